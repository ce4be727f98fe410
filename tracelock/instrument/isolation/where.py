"""Where the schedules of an exploration run: in this process, or apart in forked ones."""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from tracelock.engine.controller import Controller
from tracelock.engine.limits import INTERRUPTED, TIME_UP
from tracelock.engine.open import OpenController
from tracelock.errors import TracelockError
from tracelock.instrument.account.account import listed
from tracelock.instrument.isolation.carrying import Learnt, innermost, unpacked
from tracelock.instrument.isolation.child import (
    BATCH,
    ERROR,
    REST,
    Death,
    ForkedBatch,
    send,
)
from tracelock.instrument.isolation.forkable import unforkable
from tracelock.instrument.isolation.listening import ChildProcess
from tracelock.instrument.isolation.marks import SharedMark
from tracelock.instrument.isolation.probing import Look, look
from tracelock.instrument.isolation.reach import CodeReach
from tracelock.instrument.processes import forking
from tracelock.instrument.processes.remote import flush

if TYPE_CHECKING:
    from tracelock.instrument.backend import PythonBackend
    from tracelock.instrument.rewrite.loading import Sources
    from tracelock.trace import Verdict

#: Deaths of one batch, each at a place where the one before was not.
DEATHS: Final = 3
#: What changes memory of its own alone.
_NOT_HERE: Final = "process"
_LIMITS: Final[dict[str | None, str]] = {INTERRUPTED: INTERRUPTED, TIME_UP: TIME_UP}
#: Schedules one after the other that ran apart and in which a worker got stuck, where that is no
#: failure, before no more are run.
HOPELESS: Final = {"always": 3, "auto": 2}


class Isolation:
    """Runs schedules as ``PythonBackend.controlled`` does, apart or not.

    ``wanted``: ``auto``, ``always`` or ``never``. ``apart``: whether they run apart now; ``why``
    they do or, where that was wanted, do not; "" where there is nothing to say. ``forks``: how many
    processes there were. ``leaks``: state that cannot be put back, so that each schedule has a
    process of its own, which begins from what this one never changes.
    """

    def __init__(self, backend: PythonBackend, sources: Sources, wanted: str) -> None:
        self.backend = backend
        self.sources = sources
        self.wanted = wanted
        self.apart = False
        self.why = ""
        self.forks = 0
        self.leaks: list[str] = []
        self._inside = False  # this is a forked process
        self._looked = False
        self._decided = False  # by what schedules that ran in this process have shown
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
        """Control begins: schedules run apart if that is wanted, or what the program names speaks
        for it."""
        if self.wanted == "never":
            return
        kept, account = self.backend.kept, self.backend.account
        reach = CodeReach(kept.given, kept.owns)
        kept.named = reach.objects
        kept.ran_in = lambda: account.account.looked | account.account.unlooked
        if self.wanted == "always":
            self.separate()
        else:
            self._decide(in_c=reach.in_c)

    def look(self, run: Callable[[], object]) -> list[str]:
        """Before the first schedule: find out in another process whether the program leaves state
        behind that cannot be put back, if it reaches anything of which that may be so. ``run``:
        runs one schedule. Returns the modules that it has imported, where they are to be imported
        here."""
        if self._looked or self.wanted == "never" or self.backend.noun == _NOT_HERE:
            return []
        self._looked = True
        if not self.backend.kept.may_leak or unforkable():
            return []
        seen, died = Look(), ""
        parent, journal = os.getpid(), SharedMark()
        try:
            pid, pipe = self._forked(
                lambda to: send(to, REST, look(self.backend, run, parent, journal.beat))
            )
            child = ChildProcess(pid, pipe, self.backend, journal)
            try:
                told, died = child.listen([])
            finally:
                child.end()
        finally:
            journal.close()
        if told is not None:
            seen.hear(told)
        self._decide(died, seen.leaks, seen.in_c)
        return seen.imported if self.leaks else []

    def _decide(
        self, died: str = "", leaks: Iterable[str] = (), in_c: Iterable[str] = ()
    ) -> None:  # fmt: skip
        """Let schedules run apart where that is needed: how one of them ended its process, state
        that they change and that cannot be put back, code written in C that they run through."""
        leaked = [*leaks]
        for found, why in (
            ([died] if died else [], "a schedule ended its process"),
            (leaked, "what schedules change cannot be put back"),
            ([*in_c], "workers run through code in C, which may end their process"),
        ):
            if found:
                self.tell_apart(f"{why}: {listed(found)}")
        if self.apart:
            self.leaks += [name for name in leaked if name not in self.leaks]

    def tell_apart(self, why: str) -> None:
        """Let schedules run apart, and say so, but not to who wrote a test: nobody looks at
        anything afterwards."""
        self.separate("" if self.backend.program.source else why)

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
        while more and not self.apart:
            more = self._together(controller, done)
        assert isinstance(controller, OpenController)
        while more:
            self.backend.bounds.check()
            more = self._batch(controller, done)

    def _together(self, controller: Controller, done: Callable[[Any], bool]) -> bool:
        """Run schedules in this process. Whether more are to be run, now apart if they can be,
        since a worker got stuck in C and was left behind, or by what they have shown."""
        more = False

        def ended(controller: Any) -> bool:
            nonlocal more
            over = done(controller)
            more = not over
            return over or self._has_shown()

        backend, kept = self.backend, self.backend.kept
        backend.controlled(controller, ended)
        if backend.given_up is None:
            if not self._has_shown():
                return False
            self._decided = True
            self._decide(leaks=kept.leaked, in_c=backend.account.in_c)
            if self.apart:
                kept.put_back()
                for name in kept.leaked:  # no further
                    kept.lasting.pop(name, None)
            return more
        self.separate(f"of this process a thread was left behind: {backend.stuck}")
        if not self.apart:
            return False
        backend.stuck = ""
        backend.given_up = None
        kept.put_back()
        return more

    def _has_shown(self) -> bool:
        """Whether the schedules that ran in this process have shown what is to be decided."""
        if self.wanted != "auto" or self._decided or self._inside:
            return False
        return bool(self.backend.kept.leaked or self.backend.account.uses_c)

    def _batch(self, controller: OpenController, done: Callable[[Any], bool]) -> bool:
        """Run a batch of schedules in a forked process. Whether there may be more."""
        journal = SharedMark()
        records: list[bytes] = []
        batch = ForkedBatch(
            self.backend, controller, done, Learnt(self.backend, self.sources), journal,
            self.wanted == "always", 1 if self.leaks else BATCH,
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
        told = len(records)
        pid, pipe = self._forked(lambda to: batch.run(to, told))
        child = ChildProcess(pid, pipe, self.backend, batch.journal)
        try:
            return child.listen(records)
        finally:
            child.end()

    def _forked(self, run: Callable[[int], object]) -> tuple[int, int]:
        """Call ``run`` in a forked process, with where it is to write to. Returns its number and
        where that is read."""
        ours, theirs = os.pipe()
        flush()
        with forking.quietly():
            pid = forking.real_fork()
        if not pid:
            self._inside = True
            status = 1
            try:
                os.setpgid(0, 0)
                os.close(ours)
                run(theirs)
                status = 0
            except BaseException:  # it is not the program that has ended this process
                send(theirs, ERROR, traceback.format_exc().encode("utf-8", "replace"))
            finally:
                forking.real_exit(status)
        self.forks += 1
        os.close(theirs)
        return pid, ours
