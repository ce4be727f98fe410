"""What a killed recorder leaves: a copy of its process, made now and then, that outlives it.

A long run that is recorded is in memory until its end. ``Rescue`` forks the process while the run
goes on; the copy does nothing but wait. When the run is over and its trace is saved the copy is
killed. Where the recorder dies first, the copy puts in order what had been recorded when it was
made, and leaves it as ``TARGET.partial``, which ``recover`` reads. Nothing is encoded or written
while the run goes, and a run that is over within ``FIRST`` seconds is never copied.

A new copy takes the place of the last one every half second; sooner where ``OFTEN`` events have
come, if copying takes no more than a twentieth of the time then. A fork stops the other
threads of the process between two of their instructions, so that what it shows is one moment.
"""

from __future__ import annotations

import mmap
import os
import select
import signal
import struct
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn

from tracelock.trace.files import TraceWriter
from tracelock.trace.model import Trace

#: Seconds that a run goes on before it is copied.
FIRST: Final = 0.5
#: Seconds between two copies, unless this many events have come.
PAUSE: Final = 0.5
OFTEN: Final = 5_000
#: Seconds between two looks at how many events have come.
LOOK: Final = 0.01
#: The share of the time that copies may take which are made sooner.
SHARE: Final = 0.05
#: Seconds that a copy may take to be ready.
READY: Final = 5.0
#: Seconds that a copy may take to write what it has when its recorder is dead.
PATIENCE: Final = 600
#: Seconds between two looks at whether the recorder lives, in case its end is not told.
LIVES: Final = 0.5


class Rescue:
    """For one run whose trace is to be saved at ``path``. A context manager around both.

    Does nothing where processes cannot be forked, or there are no more files.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._copy = 0  # its process
        #: A pipe that ends with the recorder, one by which a copy says that it is ready, and one
        #: with a byte in it, which that copy takes that saves.
        self._ends: tuple[int, ...] = ()
        self._made = 0  # copies
        self._newest = mmap.mmap(-1, 8)  # the last copy that was ready, for all of them to see
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Rescue:
        return self

    def __exit__(self, *exc: object) -> None:
        self.hold()
        self._end(self._copy)
        for end in self._ends:
            os.close(end)
        self._ends = ()

    def watch(
        self, count: Callable[[], int], so_far: Callable[[], Trace], *, files: bool = False
    ) -> None:
        """A run has begun: ``count()`` gives how many events it has, ``so_far()``, which is called
        in a copy of this process, the trace of what has been recorded. ``files``: it needs the
        files that are open here."""
        if self._thread is not None or not hasattr(os, "fork"):
            return
        try:
            for _ in range(3):
                self._ends += os.pipe()
        except OSError:
            return  # no more files: the run can do without
        os.set_blocking(self._ends[4], False)
        os.write(self._ends[5], b"!")
        self._thread = threading.Thread(
            target=self._renew, args=(count, so_far, files), name="tracelock:rescue", daemon=True
        )
        self._thread.start()

    def hold(self) -> None:
        """The run is over: no copy is made any more, the last one goes on waiting."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _renew(self, count: Callable[[], int], so_far: Callable[[], Trace], files: bool) -> None:
        """Copy the process as often as is to be, until the run is over."""
        pause = FIRST
        while not self._over.wait(pause):
            before, began = self._copy, time.thread_time()
            try:
                copy = self._fork(so_far, files)
            except OSError:
                return  # no more processes: what there is stays
            # until it has left the group of the recorder, a signal to that would reach it, too
            if select.select([self._ends[2]], [], [], READY)[0]:
                os.read(self._ends[2], 1)
                self._copy, copy = copy, before
            self._end(copy)
            copied, events = time.monotonic(), count()
            soonest = copied + (time.thread_time() - began) / SHARE
            while not self._over.wait(LOOK):
                now = time.monotonic()
                new = count() - events
                if new and (now > copied + PAUSE or (now > soonest and new >= OFTEN)):
                    break
            pause = 0.0

    def _fork(self, so_far: Callable[[], Trace], files: bool) -> int:
        recorder = os.getpid()
        self._made += 1
        with warnings.catch_warnings():
            # that other threads may hold locks in C: the copy needs none of theirs
            warnings.simplefilter("ignore", DeprecationWarning)
            copy = os.fork()
        if copy == 0:
            self._outlive(recorder, so_far, files)
        return copy

    def _outlive(self, recorder: int, so_far: Callable[[], Trace], files: bool) -> NoReturn:
        """In the copy: wait for the recorder's death, and save what there is."""
        try:
            os.setsid()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            nothing = os.open(os.devnull, os.O_RDWR)
            for standard in range(3):  # who reads what the recorder says must see its end
                os.dup2(nothing, standard)
            self._newest[:] = struct.pack("q", self._made)
            os.write(self._ends[3], b"!")
            os.close(self._ends[1])
            if not files:
                # a pipe that what is run closes must be closed: its reader waits for that
                first, second = sorted((self._ends[0], self._ends[4]))
                os.closerange(3, first)
                os.closerange(first + 1, second)
                os.closerange(second + 1, os.sysconf("SC_OPEN_MAX"))
            while os.getppid() == recorder and not select.select([self._ends[0]], [], [], LIVES)[0]:
                pass
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(PATIENCE)
            if self._chosen():
                self._save(so_far())
        finally:
            os._exit(0)

    def _chosen(self) -> bool:
        """Whether it is this copy that saves, where the recorder died before it could end the one
        before the newest: the newest does, if it was ready."""
        if struct.unpack("q", self._newest)[0] > self._made:
            return False
        try:
            return bool(os.read(self._ends[4], 1))
        except BlockingIOError:
            return False

    def _save(self, trace: Trace) -> None:
        if len(trace.events):
            writer = TraceWriter(self.path, trace.header(), sync=True)
            writer.write(trace.events)
            writer.flush()
            writer.abort()

    @staticmethod
    def _end(copy: int) -> None:
        if copy:
            with suppress(OSError):
                os.kill(copy, signal.SIGKILL)
                os.waitpid(copy, 0)
