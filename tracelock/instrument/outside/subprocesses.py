"""Subprocesses: what they were started with, what they wrote and how they ended is recorded.

``subprocess.Popen`` gets methods that stand between the program and a real process: one that is
made by the original class, and that nobody else has. To start it, to talk to it and to wait for it
are calls to the outside; a replay starts nothing.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

from tracelock.instrument.files.access import FILE, paths_of
from tracelock.instrument.outside.calls import ask, asks, outside_of, refuse
from tracelock.instrument.outside.descriptors import moved
from tracelock.instrument.outside.kinds import WAY_OUT
from tracelock.instrument.outside.pausing import pauses
from tracelock.instrument.patching import SEEN, patch
from tracelock.instrument.worker import Worker, here

_POPEN: Final[Any] = subprocess.Popen
_init: Final[Any] = _POPEN.__init__
real_communicate: Final[Any] = _POPEN.communicate
real_wait: Final[Any] = _POPEN.wait
real_poll: Final[Any] = _POPEN.poll
real_send_signal: Final[Any] = _POPEN.send_signal
PIPE: Final = subprocess.PIPE
#: What a stream may be for what goes by it to be recorded, or to be nothing.
_STREAMS: Final = (None, PIPE, subprocess.DEVNULL)
#: For how long it is waited for the end of a process where it is asked whether it has ended, in
#: seconds.
POLLED_FOR: Final = 0.02
#: Bytes that are read from a pipe at once.
CHUNK: Final = 65_536


def plain_arguments(worker: Worker, args: Any) -> list[str]:
    """A command in words that are the same on another machine: the interpreter and paths of the
    project and of temporary files by what they stand for."""
    given = [args] if isinstance(args, (str, bytes, os.PathLike)) else list(args)
    words = [_plain(worker, os.fsdecode(one)) for one in given]
    if words and os.path.isabs(words[0]) and not isinstance(args, str):
        words[0] = os.path.basename(words[0])  # wherever it is installed
    return words


def _plain(worker: Worker, text: str) -> str:
    if text == sys.executable:
        return "python"
    if os.path.isabs(text) and "\n" not in text:
        return paths_of(worker.hub).label(os.path.abspath(text)).removeprefix(FILE)
    return text


def program_of(told: Sequence[str]) -> str:
    """What a trace calls a process by that was started with these words."""
    words = told[0].split() if told else []
    return words[0] if words else "?"


def refuse_process(worker: Worker, command: Any) -> None:
    """End the schedule, unfinished, for a process that a loop would have to wait for."""
    told = " ".join(plain_arguments(worker, command))
    refuse(worker, f"subprocess: {told:.120}, which is outside of the run: {WAY_OUT}")


def check_streams(worker: Worker, program: str, stdin: Any, stdout: Any, stderr: Any) -> None:
    """Ends the schedule, unfinished, for streams that go where nothing is recorded."""
    for one, more in ((stdin, ()), (stdout, ()), (stderr, (subprocess.STDOUT,))):
        if one not in (*_STREAMS, *more):
            refuse(
                worker, f"subprocess: {program} is given {one!r:.60} for a stream, and what goes "
                "by it is in no trace: give it a pipe (subprocess.PIPE, capture_output=True)",
            )  # fmt: skip


def real_popen(*args: Any, **more: Any) -> Any:
    """A real process, whatever takes the place of its methods."""
    real = _POPEN.__new__(_POPEN)
    _init(real, *args, **more)
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(real, name)
        if stream is not None:
            descriptor = moved(os.dup(stream.fileno()))
            stream.close()
            mode = "wb" if name == "stdin" else "rb"
            made: Any = open(descriptor, mode)  # noqa: SIM115 - it is the process's
            if real.text_mode:
                made = io.TextIOWrapper(made, encoding=real.encoding, errors=real.errors)
            setattr(real, name, made)
    return real


class Process:
    """What stands behind an object of ``Popen``: ``real`` is None in a replay.

    ``program``: what a trace calls it by. ``text``: the encoding and the errors of its streams,
    None where these are of bytes.
    """

    def __init__(self, worker: Worker, program: str, real: Any) -> None:
        self.program = program
        self.real = real
        self.told = False  # that it has ended, to the program
        if real is not None:
            outside_of(worker.hub).to_end.append(self.end)

    def end(self) -> None:
        """End it: the schedule has ended."""
        real = self.real
        if real_poll(real) is None:
            real.kill()
        for stream in (real.stdin, real.stdout, real.stderr):
            if stream is not None:
                with contextlib.suppress(OSError, ValueError):
                    stream.close()
        real_wait(real)

    def asked(
        self, worker: Worker, what: str, live: Callable[[], Any], value: Sequence[Any] = ()
    ) -> Any:  # fmt: skip
        """What it does, or did."""
        return ask(worker, "subprocess", f"{self.program}: {what}", live, value)


def of(popen: Any) -> Process | None:
    """What stands behind it, None for a real one."""
    found: Process | None = vars(popen).get("_tracelock_process")
    return found


class OutsidePipe(io.RawIOBase):
    """One end of a pipe to a process; ``name``: of which of its streams."""

    def __init__(self, process: Process, name: str) -> None:
        self.process, self.stream = process, name

    def _worker(self) -> Worker:
        worker = here()
        if worker is None:
            raise ValueError("a pipe of a process that a schedule started, which is over")
        return worker

    def readable(self) -> bool:
        return self.stream != "stdin"

    def writable(self) -> bool:
        return self.stream == "stdin"

    def readinto(self, buffer: Any) -> int:
        real = self.process.real
        size = min(len(buffer), CHUNK)

        def live() -> bytes:
            return os.read(getattr(real, self.stream).fileno(), size)

        data = self.process.asked(self._worker(), f"read {self.stream}", live)
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        real, sent = self.process.real, bytes(data)

        def live() -> int:
            written = 0
            while written < len(sent):
                written += os.write(real.stdin.fileno(), sent[written:])
            return written

        told = [len(sent), zlib.crc32(sent)]
        return int(self.process.asked(self._worker(), "write stdin", live, told))

    def close(self) -> None:
        if not self.closed:
            real = self.process.real
            if real is not None and not getattr(real, self.stream).closed:
                with contextlib.suppress(OSError):
                    getattr(real, self.stream).close()
        super().close()


def _stream(process: Process, popen: Any, name: str, bufsize: int) -> Any:
    raw = OutsidePipe(process, name)
    made: Any = io.BufferedWriter(raw) if name == "stdin" else io.BufferedReader(raw)
    if popen.text_mode:
        made = io.TextIOWrapper(
            made, encoding=popen.encoding, errors=popen.errors,
            write_through=name == "stdin" and bufsize == 0,
            line_buffering=name == "stdin" and bufsize == 1,
        )  # fmt: skip
    return made


def ended_within(real: Any, seconds: float) -> Any:
    """How a real process has ended, None where it has not in so many seconds."""
    try:
        return real_wait(real, seconds)
    except subprocess.TimeoutExpired:
        return real_poll(real)


# --- Popen -----------------------------------------------------------------------------------
@patch("subprocess.Popen.__init__", SEEN)
def started(
    worker: Worker, real_init: Any, self: Any, args: Any, bufsize: int = -1, executable: Any = None,
    stdin: Any = None, stdout: Any = None, stderr: Any = None, *rest: Any, **more: Any,
) -> None:  # fmt: skip
    given = (args, bufsize, executable, stdin, stdout, stderr, *rest)
    if not asks(worker) or worker.elsewhere:
        real_init(self, *given, **more)
        return
    if rest:
        raise TypeError("Popen: arguments after stderr are given by name under tracelock")
    told = plain_arguments(worker, args)
    program = program_of(told)
    check_streams(worker, program, stdin, stdout, stderr)
    made: list[Any] = []

    def live() -> int:
        made.append(real_popen(*given, **more))
        return int(made[0].pid)

    self._child_created = False  # whatever becomes of it, it is not this one's to wait for
    pid = ask(worker, "subprocess", f"start {program}", live, told)
    process = self._tracelock_process = Process(worker, program, made[0] if made else None)
    self.args, self.pid, self.returncode = args, pid, None
    self.encoding, self.errors = more.get("encoding"), more.get("errors")
    universal, text = more.get("universal_newlines"), more.get("text")
    self.text_mode = bool(self.encoding or self.errors or text or universal)
    if self.text_mode and self.encoding is None:
        self.encoding = io.text_encoding(None)
    self._input, self._communication_started = None, False
    for name, one in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr)):
        made_of = _stream(process, self, name, bufsize) if one == PIPE else None
        setattr(self, name, made_of)


def _plain_seconds(timeout: float | None) -> float | None:
    return None if timeout is None else float(timeout)


@patch("subprocess.Popen.communicate", SEEN)
def communicate(
    worker: Worker, real: Any, self: Any, input: Any = None, timeout: float | None = None
) -> Any:  # fmt: skip
    process = of(self)
    if process is None:
        return real(self, input, timeout)
    sent = input
    if isinstance(input, str):
        sent = input.encode(self.encoding or "utf-8", self.errors or "strict")
    if self.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            self.stdin.flush()

    def live() -> tuple[Any, Any, Any]:
        out, err = real_communicate(process.real, input, timeout)
        return out, err, process.real.returncode

    told = [] if sent is None else [len(sent), zlib.crc32(bytes(sent))]
    out, err, code = process.asked(worker, "communicate", live, told)
    for stream in (self.stdin, self.stdout, self.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    self.returncode = code
    return out, err


@patch("subprocess.Popen.wait", SEEN)
def wait(worker: Worker, real: Any, self: Any, timeout: float | None = None) -> Any:
    process = of(self)
    if process is None:
        return real(self, timeout)
    if self.returncode is None:
        self.returncode = process.asked(worker, "wait", lambda: real_wait(process.real, timeout))
    return self.returncode


@patch("subprocess.Popen.poll", SEEN)
def poll(worker: Worker, real: Any, self: Any) -> Any:
    process = of(self)
    if process is None:
        return real(self)
    if self.returncode is None:
        # who asks again and again, and sleeps in virtual time meanwhile, waits for real time
        self.returncode = process.asked(
            worker, "poll", lambda: ended_within(process.real, POLLED_FOR)
        )
    return self.returncode


@patch("subprocess.Popen.send_signal", SEEN)
def send_signal(worker: Worker, real: Any, self: Any, sig: int) -> None:
    process = of(self)
    if process is None:
        real(self, sig)
    elif self.returncode is None:
        name = signal.Signals(sig).name
        process.asked(worker, f"signal {name}", lambda: real_send_signal(process.real, sig))


async def answer(
    sleep: Callable[[float], Awaitable[object]], process: Process, what: str,
    live: Callable[[float], Any], *value: Any,
) -> Any:  # fmt: skip
    """What ``live`` gives when there is something: it is called with for how long it may wait, and
    gives None where there was nothing. ``sleep``: of the loop, which does something else then."""
    worker: Any = here()
    for virtual, real in pauses(worker):
        await sleep(virtual)
        found = process.asked(running_worker(), what, partial(live, real), value)
        if found is not None:
            return found
    return refuse(
        worker, f"subprocess: {process.program}: {what} took longer than {worker.hub.stall:g} "
        "seconds; RunLimits(stall=...) says how long that may take",
    )  # fmt: skip


def running_worker() -> Worker:
    """Who runs. Raises RuntimeError where the schedule is over."""
    worker = here()
    if worker is None:
        raise RuntimeError("a process that a schedule started, which is over")
    return worker
