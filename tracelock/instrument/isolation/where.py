"""Where the schedules of an exploration run: in this process, or apart in forked ones."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from time import monotonic
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from tracelock.engine.controller import Controller
from tracelock.engine.limits import INTERRUPTED, TIME_UP, Interrupted, TimeUp
from tracelock.engine.open import OpenController
from tracelock.engine.verdicts import STUCK, EndOfProcess
from tracelock.errors import InternalError, TracelockError
from tracelock.instrument.isolation.carrying import Learnt, innermost, unpacked
from tracelock.instrument.isolation.child import (
    ERROR,
    HEAD,
    SCHEDULE,
    Death,
    ForkedBatch,
    send,
)
from tracelock.instrument.isolation.marks import SharedMark
from tracelock.instrument.processes import forking
from tracelock.instrument.processes.remote import flush

if TYPE_CHECKING:
    from tracelock.instrument.backend import PythonBackend
    from tracelock.instrument.rewrite.loading import Sources
    from tracelock.trace import Verdict

#: How often the parent looks whether the child still gets on, in seconds.
LOOK: Final = 0.1
#: How much longer than a worker a child may stand still, and how long it may take to end when the
#: exploration is to end, in seconds.
MORE: Final = 2.0
GRACE: Final = 1.25
#: Deaths of one batch, each at a place where the one before was not.
DEATHS: Final = 3
_LIMITS: Final[dict[str | None, str]] = {INTERRUPTED: INTERRUPTED, TIME_UP: TIME_UP}
#: Modules by which Python calls any function of C.
_FOREIGN: Final = frozenset({"ctypes", "_ctypes", "cffi", "cffi.api", "_cffi_backend"})
_module_of: Final = type.__dict__["__module__"].__get__
#: Schedules one after the other that ran apart and in which a worker got stuck, where that is no
#: failure, before no more are run.
HOPELESS: Final = {"always": 3, "auto": 2}


class Isolation:
    """Runs schedules as ``PythonBackend.controlled`` does, apart or not.

    ``wanted``: ``auto``, ``always`` or ``never``. ``apart``: whether they run apart now; ``why``
    they do or, where that was wanted, do not; "" where there is nothing to say. ``forks``: how many
    processes there were.
    """

    def __init__(self, backend: PythonBackend, sources: Sources, wanted: str) -> None:
        self.backend = backend
        self.sources = sources
        self.wanted = wanted
        self.apart = False
        self.why = ""
        self.forks = 0
        self._inside = False  # this is a forked process
        self._stuck = 0
        self._verdict: Verdict | None = None

    def separate(self, why: str = "") -> None:
        """Let schedules run apart from now on, if they may and can."""
        if self.wanted == "never" or self.apart:
            return
        trouble = unforkable()
        self.apart = not trouble
        if trouble:
            self.why = f"isolation: schedules ran in this process: {trouble}"
        elif why:
            self.why = f"isolation: schedules ran in forked processes: {why}"

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """While this is entered, schedules run in this process."""
        apart, self.apart = self.apart, False
        try:
            yield
        finally:
            self.apart = apart

    def begin(self) -> None:
        """Control begins: schedules run apart if that is wanted, or to be feared."""
        if self.wanted == "always":
            self.separate()
        elif self.wanted == "auto" and (module := into_c(self.sources)):
            told = not self.backend.program.source  # who wrote a test looks at nothing afterwards
            self.separate(f"{module} calls C functions, which may end a process" if told else "")

    def here(self, function: Callable[..., Any] | None) -> Callable[..., Any] | None:
        """The function, which does nothing in a forked process."""
        if function is None:
            return None
        return lambda *arguments: None if self._inside else function(*arguments)

    def verdict(self) -> Verdict | None:
        """That of the schedule that has just ended, where it ran in another process."""
        return None if self._inside else self._verdict

    # --- running schedules -------------------------------------------------------------------
    def controlled(self, controller: Controller, done: Callable[[Any], bool]) -> None:
        """Run schedules until ``controller.begin()`` is False or ``done(controller)`` is True."""
        self._verdict = None
        more = True
        if not self.apart:
            more = self._together(controller, done)
        assert isinstance(controller, OpenController)
        while more:
            self.backend.bounds.check()
            more = self._batch(controller, done)

    def _together(self, controller: Controller, done: Callable[[Any], bool]) -> bool:
        """Run schedules in this process. Whether more are to be run apart, since a worker got stuck
        in C and was left behind."""
        more = False

        def ended(controller: Any) -> bool:
            nonlocal more
            over = done(controller)
            more = not over
            return over

        backend = self.backend
        backend.controlled(controller, ended if self.wanted == "auto" else done)
        if backend.given_up is None:
            return False
        self.separate(f"of this process a thread was left behind: {backend.stuck}")
        if not self.apart:
            return False
        backend.stuck = ""
        backend.given_up = None
        backend.kept.put_back()
        return more

    def _batch(self, controller: OpenController, done: Callable[[Any], bool]) -> bool:
        """Run a batch of schedules in a forked process. Whether there may be more."""
        journal = SharedMark()
        records: list[bytes] = []
        batch = ForkedBatch(
            self.backend, controller, done, Learnt(self.backend, self.sources), journal,
            self.wanted == "always",
        )  # fmt: skip
        try:
            for _ in range(DEATHS):
                rest, how = self._fork(batch, records)
                if rest is not None:
                    return self._take(batch, [unpacked(each) for each in records], unpacked(rest))
                self.backend.bounds.check()
                mark = journal.read()
                del records[mark.schedule :]
                batch.death = Death(mark, how)
        finally:
            journal.close()
        raise TracelockError(
            f"isolation: a schedule ends its process ({how}), each time at another step: the "
            "program is not deterministic"
        )

    def _take(
        self, batch: ForkedBatch, records: list[dict[str, Any]], rest: dict[str, Any]
    ) -> bool:
        """Take in what a process has told. Whether there may be more."""
        controller, done = batch.controller, batch.done
        batch.learnt.give(rest["learnt"])
        for scheduler, state in zip(batch.schedulers, rest["schedulers"], strict=True):
            vars(scheduler).clear()
            vars(scheduler).update(state)
        inner = innermost(controller.scheduler)
        cut = vars(inner).get("cut")
        for number, record in enumerate(records):
            last = number == len(records) - 1 and rest["last"] is None
            if not last and record["cut"] != inner.cut:
                inner.cut = record["cut"]
            elif last and cut is not None:
                inner.cut = cut
            self._apply(batch, record)
            if done(controller) or controller.limit in (INTERRUPTED, TIME_UP):
                return False
        if rest["last"] is not None:
            self._apply(batch, rest["last"])
        if rest["error"] is not None:
            raise rest["error"]
        return not rest["over"] and not self.backend.stuck

    def _apply(self, batch: ForkedBatch, record: dict[str, Any]) -> None:
        for name, value in record["fields"].items():
            setattr(batch.controller, name, value)
        # these two are told by their identity
        batch.controller.limit = _LIMITS.get(batch.controller.limit, batch.controller.limit)
        for place, picks in record["picks"]:
            batch.schedulers[place].picks = picks
        self.backend.program.outcome.failure = record["check"]
        self._verdict = record["verdict"]
        self._stuck = self._stuck + 1 if record["stuck"] else 0
        if record["stuck"] and self._stuck >= HOPELESS[self.wanted]:
            self.backend.stuck = record["stuck"]

    # --- processes ---------------------------------------------------------------------------
    def _fork(self, batch: ForkedBatch, records: list[bytes]) -> tuple[bytes | None, str]:
        """Run ``batch`` in a forked process. The schedules that it tells go to ``records``; returns
        its last message, or None and how it died."""
        ours, theirs = os.pipe()
        told = len(records)
        flush()
        with forking.quietly():
            pid = forking.real_fork()
        if not pid:
            self._inside = True
            status = 1
            try:
                os.setpgid(0, 0)
                os.close(ours)
                batch.run(theirs, told)
                status = 0
            except BaseException:  # it is not the program that has ended this process
                send(theirs, ERROR, traceback.format_exc().encode("utf-8", "replace"))
            finally:
                forking.real_exit(status)
        self.forks += 1
        os.close(theirs)
        child = _Child(pid, ours, self.backend, batch.journal)
        try:
            return child.listen(records)
        finally:
            child.end()


class _Child:
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
        """See ``Isolation._fork``. Raises InternalError where the process does not end by what the
        program does."""
        seen, since, late = self.journal.read(), monotonic(), 0.0
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
            now, mark = monotonic(), self.journal.read()
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
        for signalled, whom in ((os.killpg, self.pid), (forking.real_kill, self.pid)):
            try:
                signalled(whom, number)
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


def into_c(sources: Sources) -> str:
    """The first of the instrumented modules, those of the standard library aside, that calls
    functions of C by ``ctypes`` or ``cffi``; "" where none does."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in sys.stdlib_module_names or not sources.covers(name):
            continue
        values = list(vars(module).values()) if issubclass(type(module), ModuleType) else ()
        if any(_foreign(value) for value in values):
            return name
    return ""


def _foreign(value: object) -> bool:
    """Whether a value is of a module that calls functions of C. Runs no code of the program's."""
    kind = value if issubclass(type(value), type) else type(value)
    name = _module_of(kind) if kind is not ModuleType else vars(value).get("__name__")
    return type(name) is str and name in _FOREIGN


def unforkable() -> str:
    """Why this process cannot be forked, "" where it can."""
    if not hasattr(os, "fork") or not hasattr(os, "killpg"):
        return "this platform cannot fork"
    if sys.implementation.name != "cpython":
        return "what a forked process sends back needs CPython"
    if threading.current_thread() is not threading.main_thread():
        return "this is not the main thread, and the others would be gone in a fork"
    others = [
        thread.name
        for thread in threading.enumerate()
        if thread is not threading.main_thread() and not hasattr(thread, "_tracelock_own")
    ]
    if others:
        return f"threads are alive, which would be gone in a fork: {', '.join(sorted(others)[:5])}"
    return ""
