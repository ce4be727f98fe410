"""Subprocesses of asyncio: ``create_subprocess_exec`` and ``create_subprocess_shell``.

What they give talks to a real process as ``subprocesses`` does, by calls to the outside. While one
waits for its process, the loop does something else in virtual time first.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import zlib
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from tracelock.instrument.outside.calls import ask, asks, refuse
from tracelock.instrument.outside.subprocesses import (
    CHUNK,
    PIPE,
    Process,
    answer,
    check_streams,
    ended_within,
    plain_arguments,
    program_of,
    real_popen,
    real_send_signal,
    refuse_process,
    running_worker,
)
from tracelock.instrument.patching import NOT_CONTROLLED, SEEN, patch
from tracelock.instrument.worker import Worker

_LIMIT: Final = 2**16


_answer: Final = partial(answer, lambda seconds: asyncio.sleep(seconds))


class OutsideReader(asyncio.StreamReader):
    """``stdout`` or ``stderr`` of a process."""

    def __init__(self, process: Process, name: str, limit: int) -> None:
        super().__init__(limit)
        self._process, self._name = process, name

    async def _wait_for_data(self, func_name: str) -> None:
        real = self._process.real

        def live(seconds: float) -> bytes | None:
            descriptor = getattr(real, self._name).fileno()
            if not select.select([descriptor], [], [], seconds)[0]:
                return None
            return os.read(descriptor, CHUNK)

        data = await _answer(self._process, f"read {self._name}", live)
        if data:
            self.feed_data(data)
        else:
            self.feed_eof()


class OutsideWriter:
    """``stdin`` of a process, as a ``StreamWriter``."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._closed = False

    def write(self, data: Any) -> None:
        real, sent = self._process.real, bytes(data)

        def live() -> None:
            real.stdin.write(sent)
            real.stdin.flush()

        if sent:
            told = [len(sent), zlib.crc32(sent)]
            self._process.asked(running_worker(), "write stdin", live, told)

    def writelines(self, data: Iterable[Any]) -> None:
        self.write(b"".join(data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.close()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            real = self._process.real
            self._process.asked(running_worker(), "close stdin", lambda: real.stdin.close())

    def is_closing(self) -> bool:
        return self._closed

    async def drain(self) -> None:
        await asyncio.sleep(0)

    async def wait_closed(self) -> None:
        await asyncio.sleep(0)


class OutsideProcess:
    """What ``create_subprocess_exec`` gives."""

    def __init__(self, process: Process, pid: int, pipes: dict[str, bool], limit: int) -> None:
        self._process = process
        self.pid = pid
        self.returncode: int | None = None
        self.stdin = OutsideWriter(process) if pipes["stdin"] else None
        self.stdout = OutsideReader(process, "stdout", limit) if pipes["stdout"] else None
        self.stderr = OutsideReader(process, "stderr", limit) if pipes["stderr"] else None

    async def wait(self) -> int:
        if self.returncode is None:
            self.returncode = await _answer(
                self._process, "wait", partial(ended_within, self._process.real)
            )
        assert self.returncode is not None
        return self.returncode

    async def communicate(self, input: Any = None) -> tuple[Any, Any]:
        if self.stdin is not None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.stdin.write(input or b"")
            self.stdin.close()
        out = None if self.stdout is None else await self.stdout.read()
        err = None if self.stderr is None else await self.stderr.read()
        await self.wait()
        return out, err

    def send_signal(self, signal_number: int) -> None:
        if self.returncode is not None:
            raise ProcessLookupError
        real, name = self._process.real, signal.Signals(signal_number).name
        self._process.asked(
            running_worker(), f"signal {name}", lambda: real_send_signal(real, signal_number)
        )

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(
    worker: Worker, args: Any, shell: bool, limit: int, streams: dict[str, Any],
    more: dict[str, Any],
) -> OutsideProcess:  # fmt: skip
    told = plain_arguments(worker, args)
    program = program_of(told)
    check_streams(worker, program, **streams)
    made: list[Any] = []

    def live() -> int:
        made.append(real_popen(args, bufsize=0, shell=shell, **streams, **more))
        return int(made[0].pid)

    pid = ask(worker, "subprocess", f"start {program}", live, told)
    process = Process(worker, program, made[0] if made else None)
    pipes = {name: one == PIPE for name, one in streams.items()}
    return OutsideProcess(process, pid, pipes, limit)


@patch("asyncio.BaseEventLoop.subprocess_exec", NOT_CONTROLLED, of=asyncio.BaseEventLoop)
async def subprocess_exec(
    worker: Worker, real: Any, self: Any, protocol_factory: Any, program: Any, *args: Any,
    **more: Any,
) -> Any:  # fmt: skip
    return await _by_protocol(worker, real, (self, protocol_factory, program, *args), more)


@patch("asyncio.BaseEventLoop.subprocess_shell", NOT_CONTROLLED, of=asyncio.BaseEventLoop)
async def subprocess_shell(
    worker: Worker, real: Any, self: Any, protocol_factory: Any, cmd: Any, **more: Any
) -> Any:  # fmt: skip
    return await _by_protocol(worker, real, (self, protocol_factory, cmd), more)


async def _by_protocol(
    worker: Worker, real: Any, given: tuple[Any, ...], more: dict[str, Any]
) -> Any:  # fmt: skip
    """A process that talks to a protocol of the program's own: its transport is not recorded."""
    if worker.elsewhere or worker.importing:
        return await real(*given, **more)
    told = " ".join(plain_arguments(worker, list(given[2:])))
    return refuse(
        worker, f"subprocess: {told:.120}, which is started by a method of the loop, is not "
        "recorded: use asyncio.create_subprocess_exec or create_subprocess_shell",
    )  # fmt: skip


@patch("asyncio.subprocess.create_subprocess_exec", SEEN)
async def create_subprocess_exec(
    worker: Worker, real: Any, program: Any, *args: Any, stdin: Any = None, stdout: Any = None,
    stderr: Any = None, limit: int = _LIMIT, **more: Any,
) -> Any:  # fmt: skip
    streams = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
    if worker.elsewhere or worker.importing:
        return await real(program, *args, limit=limit, **streams, **more)
    await asyncio.sleep(0)
    if not asks(worker):
        refuse_process(worker, [program, *args])
    return start(worker, [program, *args], False, limit, streams, more)


@patch("asyncio.subprocess.create_subprocess_shell", SEEN)
async def create_subprocess_shell(
    worker: Worker, real: Any, cmd: Any, stdin: Any = None, stdout: Any = None, stderr: Any = None,
    limit: int = _LIMIT, **more: Any,
) -> Any:  # fmt: skip
    streams = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
    if worker.elsewhere or worker.importing:
        return await real(cmd, limit=limit, **streams, **more)
    await asyncio.sleep(0)
    if not asks(worker):
        refuse_process(worker, cmd)
    return start(worker, cmd, True, limit, streams, more)
