"""Programs to debug with their failing traces, a terminal for it, and a client of the protocol."""

from __future__ import annotations

import importlib
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Final

import tracelock
from tests.helpers.commands import lives

ROOT: Final = Path(__file__).resolve().parents[2]
#: Seconds that anything may take here; what comes to it has failed.
LONG: Final = 60.0

#: A condition that is not looked at again after the wait: a pool of one connection.
POOL: Final = """\
import threading


class Pool:
    def __init__(self):
        self._cond = threading.Condition()
        self._idle = [7]

    def take(self):
        with self._cond:
            if not self._idle:
                self._cond.wait()
            return self._idle.pop()

    def give(self, conn):
        with self._cond:
            self._idle.append(conn)
            self._cond.notify()


def user(pool, name="one"):
    mine = name
    conn = pool.take()
    pool.give(conn)


def two(pool):
    user(pool, "two")


def three(pool):
    user(pool, "three")


SETUP, WORKERS, CHECK = Pool, [user, two, three], None
"""
#: The same bug on asyncio, with a task that a worker starts.
POOL_OF_TASKS: Final = """\
import asyncio


class Pool:
    def __init__(self):
        self._cond = asyncio.Condition()
        self._idle = [7]

    async def take(self):
        async with self._cond:
            if not self._idle:
                await self._cond.wait()
            return self._idle.pop()

    async def give(self, conn):
        async with self._cond:
            self._idle.append(conn)
            self._cond.notify()


async def user(pool, name="one"):
    mine = name
    conn = await pool.take()
    await asyncio.sleep(0)
    await pool.give(conn)


async def two(pool):
    await user(pool, "two")


async def three(pool):
    await asyncio.create_task(user(pool, "three"))


SETUP, WORKERS, CHECK = Pool, [user, two, three], None
"""
#: An update that is lost between two tasks of trio, which a check finds.
TRIO: Final = """\
import trio


class Counter:
    def __init__(self):
        self.n = 0


async def add(counter):
    mine = counter.n
    await trio.sleep(0)
    counter.n = mine + 1


async def in_nursery(counter):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(add, counter)


def check(counter):
    total = counter.n
    assert total == 2, total


SETUP, WORKERS, CHECK = Counter, [add, in_nursery], check
"""
DEADLOCK: Final = """\
import threading


class Two:
    def __init__(self):
        self.a = threading.Lock()
        self.b = threading.Lock()

    @property
    def held(self):
        with self.a:
            return False


def one(two):
    with two.a:
        with two.b:
            pass


def other(two):
    with two.b:
        with two.a:
            pass


SETUP, WORKERS, CHECK = Two, [one, other], None
"""

#: An object whose death is seen: a debugger that keeps what it has looked at alive changes the end.
MORTAL: Final = """\
import weakref


class Shared:
    def __init__(self):
        self.reference = self.dead = None


class Node:
    pass


def make(shared):
    node = Node()
    shared.reference = weakref.ref(node)
    node = None
    shared.dead = shared.reference() is None


def other(shared):
    shared.dead


def check(shared):
    assert not shared.dead


SETUP, WORKERS, CHECK = Shared, [make, other], check
"""


def failing(folder: Path, name: str, text: str, backend: str | None = None) -> Any:
    """The failing trace of a program that is written to ``folder``, which has to be importable."""
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    importlib.invalidate_caches()
    module = importlib.import_module(name)
    explored = tracelock.explore(
        setup=module.SETUP, workers=module.WORKERS, check=module.CHECK, backend=backend, confirm=0
    )
    assert explored.trace is not None, explored.summary
    explored.trace.save(folder / f"{name}.json")
    return explored.trace


def environment(*folders: Path) -> dict[str, str]:
    path = os.pathsep.join(map(str, (ROOT, *folders)))
    return {**os.environ, "PYTHONPATH": path, "TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "80"}


# --- a terminal --------------------------------------------------------------------------------
class Terminal:
    """A process on a pseudo-terminal. What a read does not find in a minute fails the test."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.ours, self.theirs = pty.openpty()
        self.before = termios.tcgetattr(self.theirs)
        self.seen = ""
        self.process = subprocess.Popen(
            command, stdin=self.theirs, stdout=self.theirs, stderr=self.theirs, cwd=folder,
            env=environment(folder), start_new_session=True, preexec_fn=self._control,
        )  # fmt: skip

    def _control(self) -> None:
        import fcntl

        fcntl.ioctl(self.theirs, termios.TIOCSCTTY, 0)  # so that Ctrl-C is a signal

    def until(self, text: str) -> str:
        """What came before ``text``."""
        by = monotonic() + LONG
        while text not in self.seen:
            ended = self.process.poll() is not None
            if select.select([self.ours], [], [], 0.5)[0]:
                part = os.read(self.ours, 65_536)
                self.seen += part.decode().replace("\r\n", "\n")
            else:
                assert not ended and monotonic() < by, self.seen
        before, _, self.seen = self.seen.partition(text)
        return before

    def ask(self, line: str, prompt: str = "(tracelock) ") -> str:
        """Type a line: what is printed up to the next prompt."""
        self.type(line + "\n")
        return re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", self.until(prompt)).removeprefix(line + "\n")

    def type(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def ends(self) -> int:
        """Its status, once it has ended; the terminal is as it was, and no process is left."""
        status = self.process.wait(LONG)
        assert termios.tcgetattr(self.theirs) == self.before
        return status

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(LONG)
        os.close(self.ours)
        os.close(self.theirs)
        assert not lives(self.process.pid)


@contextmanager
def terminal(folder: Path, *arguments: str) -> Iterator[Terminal]:
    """``python -m`` these arguments on a terminal, in ``folder``."""
    one = Terminal([sys.executable, "-m", *arguments], folder)
    try:
        yield one
    finally:
        one.close()


# --- a client ----------------------------------------------------------------------------------
class Client:
    """A client of the Debug Adapter Protocol on a raw socket."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), LONG)
        self.socket.settimeout(LONG)
        self.file = self.socket.makefile("rb")
        self.events: list[dict[str, Any]] = []
        self.seq = 0

    def send(self, command: str, **arguments: Any) -> int:
        self.seq += 1
        body = json.dumps(
            {"seq": self.seq, "type": "request", "command": command, "arguments": arguments}
        ).encode()
        self.socket.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        return self.seq

    def message(self) -> dict[str, Any] | None:
        """The next message; None where the other end is closed."""
        header = self.file.readline()
        if not header:
            return None
        length = int(header.partition(b":")[2])
        assert self.file.readline() == b"\r\n"
        message: dict[str, Any] = json.loads(self.file.read(length))
        return message

    def response(self, seq: int) -> dict[str, Any]:
        while (message := self.message()) is not None:
            if message["type"] == "event":
                self.events.append(message)
            elif message["request_seq"] == seq:
                return message
        raise AssertionError("the connection was closed")

    def ask(self, command: str, **arguments: Any) -> Any:
        """The body of the answer to a request, which has to be granted."""
        answer = self.response(self.send(command, **arguments))
        assert answer["success"], answer
        return answer["body"]

    def refused(self, command: str, **arguments: Any) -> str:
        answer = self.response(self.send(command, **arguments))
        assert not answer["success"], answer
        return str(answer["message"])

    def event(self, name: str) -> dict[str, Any]:
        """The next event of this name."""
        while True:
            for place, event in enumerate(self.events):
                if event["event"] == name:
                    del self.events[: place + 1]
                    return dict(event.get("body") or {})
            message = self.message()
            assert message is not None and message["type"] == "event", message
            self.events.append(message)

    def begin(self) -> dict[str, Any]:
        """As editors begin: the capabilities; then the replay stands at its first place."""
        capabilities = self.ask("initialize", adapterID="tracelock", linesStartAt1=True)
        self.event("initialized")
        self.ask("attach")
        self.ask("setExceptionBreakpoints", filters=[])
        self.ask("configurationDone")
        return dict(capabilities)

    def where(self) -> tuple[str, int, str]:
        """The function, the line and the file at which it stands now."""
        thread = self.event("stopped")["threadId"]
        top = self.ask("stackTrace", threadId=thread)["stackFrames"][0]
        return top["name"], top["line"], top["source"]["path"]

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@contextmanager
def served(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """``tracelock replay ... --dap 0`` in ``folder``: the process, and its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tracelock", "replay", *arguments, "--dap", "0"],
        cwd=folder, env=environment(folder), stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "127.0.0.1:" in line, line
        yield process, int(line.rpartition(":")[2])
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=LONG)


def eventually(check: Callable[[], bool]) -> bool:
    """Whether this becomes true in a minute."""
    by = monotonic() + LONG
    while not check():
        if monotonic() > by:
            return False
        select.select([], [], [], 0.1)
    return True
