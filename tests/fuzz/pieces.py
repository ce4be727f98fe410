"""Pieces of the inputs, each tried in a process forked from one that has everything loaded.

A piece has bounds of its own on memory and on the time of each input. A process that dies or hangs
is a crash of the input that it had; the rest of its piece is then tried in another one.
"""

from __future__ import annotations

import faulthandler
import functools
import importlib
import json
import mmap
import os
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NoReturn, TextIO

from tests.fuzz.targets import TARGETS, peak, try_one
from tracelock.cli import options

#: Bytes of address space of a process.
MEMORY = 2 << 30
#: Seconds after the time of an input in which its process has to have noticed.
GRACE = 5.0
#: Seconds between two looks at the processes.
LOOK = 0.01
_BY_NAME = {target.name: target for target in TARGETS}


@dataclass(frozen=True, slots=True)
class Piece:
    """Inputs ``first`` to ``first + count`` of a target."""

    target: str
    first: int
    count: int


@dataclass(slots=True)
class Came:
    """What came of inputs: how many were tried and how many of these the command took as good,
    the worst with their numbers (time in seconds, memory in MB), and what was wrong with which."""

    done: int = 0
    taken: int = 0
    worst: float = 0.0
    slowest: int = 0
    peak: float = 0.0
    largest: int = 0
    wrong: list[tuple[int, str]] = field(default_factory=list)

    def add(self, other: Came) -> None:
        """Count what came of more inputs in."""
        self.done += other.done
        self.taken += other.taken
        if other.worst > self.worst:
            self.worst, self.slowest = other.worst, other.slowest
        if other.peak > self.peak:
            self.peak, self.largest = other.peak, other.largest
        self.wrong += other.wrong


class Running:
    """The process of one piece."""

    def __init__(self, piece: Piece, folder: Path, limit: float, end: float) -> None:
        self.piece = piece
        self._limit = limit
        self.folder = Path(tempfile.mkdtemp(dir=folder))
        self._told = self.folder / "told"
        self._errors = self.folder / "errors"
        #: How many inputs it has done, for a look from outside.
        self._counter = mmap.mmap(-1, 8)
        self._seen = (-1, 0.0)
        self.pid = os.fork()
        if self.pid == 0:
            self._child(end)

    def _child(self, end: float) -> NoReturn:
        try:
            os.setsid()
            nothing = os.open(os.devnull, os.O_RDWR)
            errors = os.open(self._errors, os.O_CREAT | os.O_WRONLY)
            for standard, to in enumerate((nothing, nothing, errors)):
                os.dup2(to, standard)
            faulthandler.enable(2)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            with self._told.open("w", buffering=1) as told:
                self._try_all(told, end)
        except BaseException:  # whatever it was: nobody above has anything to do in this process
            os.write(2, traceback.format_exc().encode(errors="replace"))
            os._exit(1)
        os._exit(0)

    def _try_all(self, told: TextIO, end: float) -> None:
        target, came = _BY_NAME[self.piece.target], Came()
        work = self.folder / "work"
        work.mkdir()
        os.chdir(work)
        for number in range(self.piece.first, self.piece.first + self.piece.count):
            if time.time() > end:
                break
            tried = try_one(target, number, work, self._limit)
            memory = peak()
            one = Came(1, int(tried.taken), tried.seconds, number, memory, number)
            if tried.wrong is not None:
                one.wrong.append((number, tried.wrong))
                # at once, since the process may end before the piece does
                told.write(json.dumps({"number": number, "wrong": tried.wrong}) + "\n")
            came.add(one)
            self._counter[:] = struct.pack("q", came.done)
        came.wrong.clear()
        os.chdir("/")
        told.write(json.dumps({name: getattr(came, name) for name in _COUNTED}) + "\n")

    def _done(self) -> int:
        return int(struct.unpack("q", self._counter)[0])

    def result(self) -> tuple[Came, Piece | None] | None:
        """None while it runs; else what came of it, and what of it is left to be tried."""
        ended, status = os.waitpid(self.pid, os.WNOHANG)
        if not ended:
            now, done = time.monotonic(), self._done()
            if done != self._seen[0]:
                self._seen = (done, now)
            elif now > self._seen[1] + self._limit + GRACE:
                self.kill()
            return None
        self._kill_group()  # what the commands may have left
        try:
            return self._read(status)
        finally:
            self._counter.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self, status: int) -> tuple[Came, Piece | None]:
        lines = [json.loads(line) for line in self._told.read_text().splitlines()]
        came = Came(wrong=[(line["number"], line["wrong"]) for line in lines if "wrong" in line])
        if lines and "done" in lines[-1]:
            came.add(Came(**lines[-1]))
            return came, None
        at = self.piece.first + self._done()
        errors = self._errors.read_text(errors="replace")[:1500]
        code = os.waitstatus_to_exitcode(status)
        came.wrong.append((at, f"the process ended: {code} {errors}"))
        came.done = self._done() + 1
        left = self.piece.first + self.piece.count - at - 1
        return came, Piece(self.piece.target, at + 1, left) if left > 0 else None

    def kill(self) -> None:
        """End it at once; ``result`` then says so."""
        self._kill_group()
        os.kill(self.pid, signal.SIGKILL)

    def _kill_group(self) -> None:
        with suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)


_COUNTED = ("done", "taken", "worst", "slowest", "peak", "largest")


def load() -> None:
    """Import all that the targets import, so that no forked process has to.

    Commands are imported for by running some: in a process of its own, as this one must have no
    other thread and nothing to put back.
    """
    # the same for all command lines: most of the time of a quick command would be spent on it
    options.build_parser = functools.cache(options.build_parser)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with tempfile.TemporaryDirectory() as folder:
                os.chdir(folder)
                for target in TARGETS:
                    for number in range(12):
                        try_one(target, number, Path(folder), 20.0)
                os.chdir("/")
            os.write(writer, json.dumps(list(sys.modules)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as names:
        modules = json.loads(names.read())
    os.waitpid(child, 0)
    for name in modules:
        with suppress(ImportError):  # some were made, not imported
            importlib.import_module(name)
    for target in TARGETS:  # the documents that are mutated
        target.make(Random(0))


def run_pieces(
    pieces: Iterable[Piece], jobs: int, limit: float, end: float
) -> Iterator[tuple[str, Came]]:
    """Try all pieces, ``jobs`` at a time; what came of each, by its target."""
    waiting, more = deque[Piece](), iter(pieces)
    running: list[Running] = []
    folder = Path(tempfile.mkdtemp(prefix="tracelock-fuzz-"))
    try:
        while True:
            while len(running) < jobs and time.time() < end:
                piece = waiting.popleft() if waiting else next(more, None)
                if piece is None:
                    break
                running.append(Running(piece, folder, limit, end))
            if not running:
                return
            time.sleep(LOOK)
            for one in list(running):
                result = one.result()
                if result is not None:
                    running.remove(one)
                    came, left = result
                    if left is not None:
                        waiting.append(left)
                    yield one.piece.target, came
    finally:
        for one in running:
            one.kill()
            os.waitpid(one.pid, 0)
        shutil.rmtree(folder, ignore_errors=True)
