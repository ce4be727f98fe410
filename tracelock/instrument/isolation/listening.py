"""A forked process as its parent sees it: what it tells, that it stands still, how it ended."""

from __future__ import annotations

import os
import select
import signal
import time
from time import monotonic
from typing import TYPE_CHECKING, Final

from tracelock.engine.limits import INTERRUPTED, Interrupted, TimeUp
from tracelock.engine.verdicts import STUCK, EndOfProcess
from tracelock.errors import InternalError
from tracelock.instrument.isolation.child import ERROR, HEAD, SCHEDULE
from tracelock.instrument.isolation.marks import SharedMark
from tracelock.instrument.processes import forking

if TYPE_CHECKING:
    from tracelock.instrument.backend import PythonBackend

#: How often the parent looks whether the child still gets on, in seconds.
LOOK: Final = 0.1
#: How much longer than a worker a child may stand still, and how long it may take to end when the
#: exploration is to end, in seconds.
MORE: Final = 2.0
GRACE: Final = 1.25


class ChildProcess:
    """A forked process as its parent sees it."""

    def __init__(self, pid: int, pipe: int, backend: PythonBackend, journal: SharedMark) -> None:
        self.pid = pid
        self.pipe = pipe
        self.bounds = backend.bounds
        self.journal = journal
        limits = backend.limits
        stall = min(limits.stall, limits.seconds)
        self.patience = 2 * stall + MORE
        self._buffer = bytearray()
        self._status: int | None = None

    def listen(self, records: list[bytes]) -> tuple[bytes | None, str]:
        """Take what it tells until it ends. Its schedules go to ``records``; returns its last
        message, or None and how it died. Raises InternalError where the process does not end by
        what the program does."""
        seen, since, late = self._seen(), monotonic(), 0.0
        while True:
            try:
                ready = select.select([self.pipe], [], [], LOOK)[0]
            except KeyboardInterrupt:
                self.bounds.interrupted()
                continue
            if not ready and self._ended():
                ready = select.select([self.pipe], [], [], 0)[0]  # what it said last
                if not ready:
                    return None, self._how()
            if ready:
                data = os.read(self.pipe, 1 << 20)
                if not data:
                    self._wait()
                    return None, self._how()
                self._buffer += data
                since = monotonic()
                rest = self._messages(records)
                if rest is not None:
                    return rest, ""
            now, mark = monotonic(), self._seen()
            if mark != seen:
                seen, since = mark, now
            why = self.bounds.why()
            if why and not late:
                late = now
                if why is INTERRUPTED:
                    self._signal(signal.SIGINT)
            if late and now - late > GRACE:
                raise Interrupted if why is INTERRUPTED else TimeUp
            if now - since > self.patience:
                self.end()
                return None, f"{STUCK}, which did not let go for {self.patience:g} seconds"

    def _seen(self) -> tuple[int, ...]:
        """How far it is."""
        return (*self.journal.read(), self.journal.beats())

    def _messages(self, records: list[bytes]) -> bytes | None:
        """Take whole messages off what has come; the last one of the process, if that is there."""
        buffer = self._buffer
        at = 0
        rest: bytes | None = None
        while len(buffer) - at >= HEAD.size:
            kind, size = HEAD.unpack_from(buffer, at)
            end = at + HEAD.size + size
            if len(buffer) < end:
                break
            body = bytes(buffer[at + HEAD.size : end])
            at = end
            if kind == SCHEDULE:
                records.append(body)
            elif kind == ERROR:
                self.bounds.check()  # it may have been ended in the middle of something
                raise InternalError(
                    "isolation: tracelock failed in the forked process that runs the schedules:\n"
                    + body.decode("utf-8", "replace")
                )
            else:
                rest = body
        del buffer[:at]
        return rest

    def _how(self) -> str:
        status = self._status or 0
        if os.WIFSIGNALED(status):
            return EndOfProcess.by_signal(os.WTERMSIG(status))
        return EndOfProcess.by_exit(os.WEXITSTATUS(status))

    def _signal(self, number: int) -> None:
        """Send a signal to the process and to all that it has forked."""
        for kill, whom in ((os.killpg, self.pid), (forking.real_kill, self.pid)):
            try:
                kill(whom, number)
                return
            except OSError:
                continue

    def _ended(self, options: int = getattr(os, "WNOHANG", 0)) -> bool:
        """Whether it has ended."""
        if self._status is None:
            try:
                pid, status = forking.real_waitpid(self.pid, options)
            except ChildProcessError:  # somebody else has waited for it
                pid, status = self.pid, 0
            if pid:
                self._status = status
        return self._status is not None

    def _wait(self) -> None:
        """It has closed its pipe: wait for its end."""
        until = monotonic() + GRACE
        while not self._ended() and monotonic() < until:
            time.sleep(0.002)
        self.end()

    def end(self) -> None:
        """End it, and all that it has forked. Safe to call twice."""
        if self.pipe >= 0:
            os.close(self.pipe)
            self.pipe = -1
        self._signal(signal.SIGKILL)
        while not self._ended(0):
            pass
