"""One trial: a command in a folder, what is done to it, and what it leaves behind."""

from __future__ import annotations

import json
import os
import re
import resource
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fcntl import ioctl
from pathlib import Path

from tracelock.trace import load_trace, recover

ROOT = Path(__file__).resolve().parents[2]
TRACELOCK = (sys.executable, "-m", "tracelock")
LONGEST = 40.0  # seconds that a trial may go on after what was done to it
SOON = 0.4  # seconds after which a worker is struck, at most, when there is one
GONE = 30.0  # seconds in which what it started has to have ended
#: What the help and ARCHITECTURE.md document.
STATUSES = (0, 1, 2, 3, 5, 130)
#: A helper of multiprocessing itself: where it is killed Python starts another one, which then
#: complains of what it was not told of. No worker, and nothing depends on it.
TRACKER = "multiprocessing.resource_tracker"
#: In the environment of all that a trial starts, whatever session it puts itself into.
MARK = "TRACELOCK_TRIAL"
#: What a command says of a worker of its that was killed.
TOLD = re.compile(rb"died|killed|outside|exit status")


@dataclass(frozen=True, slots=True)
class Strike:
    """A signal after some seconds. ``worker``: to a process that the command started, and which
    of them (a share of their number); ``typed``: as Ctrl-C on its terminal; ``drawn``: seconds
    after it has begun to draw on that; ``begun``: after it has started a process."""

    number: int
    after: float
    worker: float | None = None
    typed: bool = False
    drawn: bool = False
    begun: bool = False

    def __str__(self) -> str:
        how = "Ctrl-C" if self.typed else signal.Signals(self.number).name
        whom = "" if self.worker is None else " of a worker"
        return f"{how}{whom} at {self.after:.2f} s"


@dataclass(slots=True)
class Ended:
    """How one trial ended. ``status``: negative for a signal, None where it had to be killed.

    ``struck``: the command line of the worker that was killed, empty where there was none.
    ``terminal``: what is not as it was with the terminal.
    """

    status: int | None
    out: bytes
    err: bytes
    orphans: list[int] = field(default_factory=list)
    struck: str = ""
    terminal: list[str] = field(default_factory=list)


def marked(mark: str) -> list[int]:
    """The processes that have not ended and have the mark in their environment."""
    found, sought = [], f"{MARK}={mark}".encode()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError):  # it ended meanwhile, or is somebody else's
                if sought in Path("/proc", entry, "environ").read_bytes().split(b"\0"):
                    found.append(int(entry))
    return found


def command_line(process: int) -> str:
    """How a process was started."""
    with suppress(OSError):
        return Path("/proc", str(process), "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


class Piped:
    """A command with pipes for its output and nothing to read."""

    def __init__(self, line: Sequence[str], folder: Path, environment: dict[str, str],
                 limits: Sequence[tuple[int, int]]) -> None:  # fmt: skip
        def prepare() -> None:
            for kind, amount in limits:
                resource.setrlimit(kind, (amount, amount))

        self._process = subprocess.Popen(
            line, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, start_new_session=True, preexec_fn=prepare,
        )  # fmt: skip
        self.pid = self._process.pid
        self._said = (b"", b"")
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        self._said = self._process.communicate()

    def ended(self, seconds: float) -> bool:
        """Wait so long for its end."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.returncode is not None

    def close(self) -> Ended:
        """What there is to say, when all that could write is gone."""
        self._reader.join()
        return Ended(self._process.returncode, *self._said)


class OnTerminal:
    """A command in front on a terminal of its own, as started by a shell."""

    def __init__(self, line: Sequence[str], folder: Path, environment: dict[str, str]) -> None:
        self._master, self._slave = os.openpty()
        ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self._before = termios.tcgetattr(self._slave)
        self._report, report = os.pipe()
        hold, self._hold = os.pipe()
        leader = [sys.executable, "-S", "-E", str(Path(__file__).with_name("leader.py"))]
        self._leader = subprocess.Popen(
            [*leader, str(report), str(hold), *line], cwd=folder, stdin=self._slave,
            env={**environment, "TERM": "xterm-256color"}, stdout=self._slave, stderr=self._slave,
            start_new_session=True, pass_fds=(report, hold),
        )  # fmt: skip
        os.close(report)
        os.close(hold)
        self._out = b""
        self._over = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self._told = b""
        while b"\n" not in self._told:
            self._told += os.read(self._report, 100)
        self.pid = int(self._told.split()[0])
        self.leader = self._leader.pid

    def _read(self) -> None:
        while not self._over.is_set():
            if select.select([self._master], [], [], 0.05)[0]:
                self._out += os.read(self._master, 65536)

    def draws(self) -> None:
        """Wait until it has sent an escape sequence, or has ended."""
        end = time.monotonic() + LONGEST
        while b"\x1b[" not in self._out and not self.ended(0.01) and time.monotonic() < end:
            pass

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._master, keys)

    def press(self, keys: bytes) -> bool:
        """Press keys now and then until it ends; whether it did. Some are lost, as each command
        begins with a terminal on which nothing has been typed."""
        end = time.monotonic() + LONGEST
        while not (over := self.ended(0.2)) and time.monotonic() < end:
            self.type(keys)
        return over

    def ended(self, seconds: float) -> bool:
        """Wait so long for its end."""
        if self._told.count(b"\n") < 2 and select.select([self._report], [], [], seconds)[0]:
            self._told += os.read(self._report, 100)
        return self._told.count(b"\n") == 2

    def close(self) -> Ended:
        """What there is to say, when all that could write is gone."""
        time.sleep(0.06)  # a last look of the reader's
        self._over.set()
        self._reader.join()
        wrong = left_on(self._out)
        status = int(self._told.split()[1]) if self.ended(0) else None
        if status != -signal.SIGKILL and termios.tcgetattr(self._slave) != self._before:
            wrong.append("the terminal's settings are others")
        os.close(self._hold)
        self._leader.wait()
        for end in (self._master, self._slave, self._report):
            os.close(end)
        return Ended(status, self._out, b"", terminal=wrong)


def left_on(out: bytes) -> list[str]:
    """What escape sequences have left otherwise than it was: modes, of which only that of a
    visible cursor is set on a new terminal, and colours."""
    modes: dict[int, bool] = {}
    for numbers, to in re.findall(rb"\x1b\[\?([\d;]+)([hl])", out):
        modes |= {int(number): to == b"h" for number in numbers.split(b";")}
    wrong = [
        f"the terminal is left with mode {number} {'set' if on else 'reset'}"
        for number, on in modes.items()
        if on != (number == 25)
    ]
    colours = re.findall(rb"\x1b\[([\d;]*)m", out)
    if colours and colours[-1] not in (b"", b"0"):
        wrong.append(f"the terminal is left with the style {colours[-1].decode()}")
    return wrong


def trial(
    line: Sequence[str],
    folder: Path,
    strike: Strike | None = None,
    *,
    limits: Sequence[tuple[int, int]] = (),
    closed: str = "",
    terminal: bool = False,
    keys: bytes = b"",
) -> Ended:
    """Run one command in ``folder`` and do to it what there is to be done.

    ``limits``: resource and soft limit. ``closed``: a shell's redirection, as ``>&-``.
    ``terminal``: on a terminal, with ``keys`` pressed until it ends.
    """
    full = [*TRACELOCK, *line]
    if closed:  # the status is that of the command, not of what it writes to
        full = ["bash", "-c", f'set -o pipefail; "$@" {closed}', "bash", *full]
    mark = uuid.uuid4().hex
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), MARK: mark,
        # under a limit on files CPython would put half-written bytecode in the place of whole one
        "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    running: Piped | OnTerminal
    if terminal:
        running = OnTerminal(full, folder, environment)
        mine = {running.pid, running.leader}
    else:
        running = Piped(full, folder, environment, limits)
        mine = {running.pid}
    struck = ""
    if strike is not None and strike.drawn and isinstance(running, OnTerminal):
        running.draws()
    if strike is not None and strike.begun:
        end = time.monotonic() + LONGEST
        while set(marked(mark)) <= mine and not running.ended(0.02) and time.monotonic() < end:
            pass
    if strike is not None and not running.ended(strike.after):
        struck = _strike(strike, running, lambda: sorted(set(marked(mark)) - mine))
    late = not (running.press(keys) if isinstance(running, OnTerminal) else running.ended(LONGEST))
    if late:
        os.kill(running.pid, signal.SIGKILL)
        running.ended(LONGEST)
    end, leaders = time.monotonic() + GONE, mine - {running.pid}
    while (orphans := sorted(set(marked(mark)) - leaders)) and time.monotonic() < end:
        time.sleep(0.02)
    for orphan in orphans:
        with suppress(OSError):
            os.kill(orphan, signal.SIGKILL)
    ended = running.close()
    ended.orphans, ended.struck = orphans, struck
    if late:
        ended.status = None
    return ended


def _strike(strike: Strike, running: Piped | OnTerminal, workers: Callable[[], list[int]]) -> str:
    """Do it; of a worker, as soon as there is one. How that one had been started."""
    if strike.typed:
        assert isinstance(running, OnTerminal)
        running.type(b"\x03")
    elif strike.worker is None:
        with suppress(ProcessLookupError):
            os.kill(running.pid, strike.number)
    else:
        end, waited = time.monotonic() + LONGEST, False
        while not running.ended(0.001) and time.monotonic() < end:
            if found := [one for one in workers() if TRACKER not in command_line(one)]:
                if not waited:  # not always when the first has just been started
                    waited = True
                    running.ended(SOON * strike.worker)
                    continue
                one = found[int(strike.worker * len(found))]
                name = command_line(one)
                with suppress(ProcessLookupError):
                    os.kill(one, strike.number)
                    return name or "?"
    return ""


def faults_of(ended: Ended, line: Sequence[str], folder: Path, allowed: Sequence[int]) -> list[str]:
    """All that is not as it should be."""
    wrong = [*ended.terminal]
    said = ended.err + ended.out
    if ended.status is None:
        wrong.append(f"did not end within {LONGEST:.0f} s")
    elif ended.status not in allowed:
        wrong.append(f"status {ended.status}")
    if b"Traceback" in said:
        last = said.decode(errors="replace").strip().splitlines()
        named = [text for text in last if "Error" in text or "Interrupt" in text]
        wrong.append(f"traceback ({(named or last)[-1][:100]})")
    if ended.orphans:
        wrong.append(f"{len(ended.orphans)} processes live on")
    usual = (0, 5) if line[0] in ("explore", "compare") else (0,)  # by the time that they have
    if ended.struck and ended.status not in usual and not TOLD.search(said):
        wrong.append(f"nothing is said of the worker that was killed ({said[-100:]!r})")
    if "--json" in line and ended.out.strip() and not ended.terminal:
        try:
            if not isinstance(json.loads(ended.out), dict):
                wrong.append("stdout is no JSON object")
        except ValueError:
            wrong.append("stdout is not one JSON object")
    return wrong + wrong_files(folder)


def wrong_files(folder: Path) -> list[str]:
    """What is neither whole nor recoverable among the traces in a folder."""
    wrong = []
    for path in sorted(folder.rglob("*")):
        try:
            if path.name.endswith(".partial"):
                recover(path)
            elif path.suffix == ".json":
                load_trace(path)
        except Exception as problem:  # whatever it is, it is what the table shows
            wrong.append(f"{path.name} ({path.stat().st_size} bytes): {str(problem)[-80:]}")
    return wrong


def not_recovered(folder: Path) -> list[str]:
    """What is wrong with what a killed recorder left: it has to be there, to be recovered by the
    command, and to replay."""
    partials = sorted(folder.rglob("*.partial"))
    if len(partials) != 1:
        return [f"{len(partials)} .partial files"]
    trace = str(folder / "recovered.json")
    for line in (["recover", str(partials[0]), "-o", trace], ["replay", trace]):
        done = subprocess.run(
            [*TRACELOCK, *line], cwd=folder, capture_output=True, timeout=60, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        if done.returncode:
            said = (done.stderr + done.stdout).decode(errors="replace").strip()
            return [f"{line[0]} of what was left: status {done.returncode} ({said[-200:]})"]
    return [] if len(load_trace(trace).events) else ["what was left has no events"]
