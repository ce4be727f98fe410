"""The account as the schedules run: which of them are recorded, and what is counted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from tracelock.instrument.account.account import Account
from tracelock.instrument.account.profiling import Profile
from tracelock.instrument.account.recorder import CallRecorder
from tracelock.instrument.hub import Hub
from tracelock.objects import VARIABLE
from tracelock.ops import ATOMIC, ON_WORKER, SPAWN

if TYPE_CHECKING:
    from tracelock.engine.open import OpenController
    from tracelock.instrument.live_objects import LiveObjects

#: After the first schedules those whose number is this many times that of the last one.
RARER: Final = 4
#: What a hub has that leads back to it: without these all of an exploration dies with the last
#: reference to it, and no collection is needed, of which the next exploration might see the waste.
_CIRCLES: Final = (
    "account", "controller", "invariants", "pool", "program", "stand_in", "take_in",
)  # fmt: skip
#: Workers that are no thread or task of the program.
_NONE: Final = frozenset({"setup", "outside", "invariants", "loop:callbacks", "loop:timers"})
#: Parts of a loop, and what ``asyncio.run`` does after its program.
_OF_LOOPS: Final = frozenset({
    "loop:callbacks", "loop:timers", "shutdown_asyncgens", "shutdown_default_executor",
})  # fmt: skip


def _last(name: str) -> str:
    """``main`` of ``test/main#2``."""
    return name.rpartition("/")[2].partition("#")[0]


class AccountKeeper:
    """Keeps the account of one program of ``given`` workers. ``looked``: see ``CallRecorder``."""

    def __init__(self, hub: Hub, noun: str, given: int) -> None:
        self.hub = hub
        self.given = range(given)
        self.account = Account(noun)
        self.looked: Callable[[str, str], bool] = lambda module, filename: False
        self._recorder: CallRecorder | None = None
        if Profile.usable:
            self._recorder = CallRecorder(hub, self.account, lambda *given: self.looked(*given))
        else:
            self.account.unseen["calls"] = "this interpreter cannot tell them"
        self.one_loop = False
        self._schedules = 0
        self._next = 1

    def take(self, live: LiveObjects) -> None:
        """Control begins: what there is already."""
        if self._recorder is not None:
            self._recorder.caches = live.caches

    @property
    def in_c(self) -> list[str]:
        """Packages written in C, ``ctypes`` and the like, that workers were seen to use."""
        return [] if self._recorder is None else sorted(self._recorder.in_c.found)

    def close(self) -> None:
        """Control is over, and no thread is left: there is nothing more to record."""
        hub = self.hub
        hub.layout.close()
        hub.names.mortals.close()
        for name in _CIRCLES:
            vars(hub).pop(name, None)
        if self._recorder is not None:
            del self._recorder.profile, self._recorder.looked
            self._recorder = None

    def restart(self) -> None:
        """Begin anew: more is looked into than was so far."""
        self.account.forget()
        self._schedules = 0
        self._next = 1

    def rest(self) -> None:
        """No schedule is recorded until the next ``restart``: what is looked at is recorded, and
        what comes besides says nothing of it."""
        self._next = sys.maxsize

    def throughout(self) -> AbstractContextManager[None]:
        """While this is entered every schedule is recorded (``begin(always=True)``)."""
        return nullcontext() if self._recorder is None else self._recorder.throughout()

    def on_one_thread(self) -> AbstractContextManager[None]:
        """While this is entered the schedule that has begun, if it is recorded, is so in less time:
        what is our own is left out place by place, not call by call."""
        recorder = self.hub.recorder
        return nullcontext() if recorder is None else recorder.throughout()

    def begin(self, always: bool = False) -> CallRecorder | None:
        """A schedule begins. What records it, if it is to be recorded: not where schedules are
        compared with one another, unless all are (``always``)."""
        recorder = self._recorder
        if recorder is None or self.hub.names.frozen:
            return None
        if always:
            recorder.begin(story=False)
            return recorder
        if self.hub.names.deferring:
            return None
        self._schedules += 1
        if self._schedules < self._next:
            return None
        self._next = 2 if self._schedules == 1 else self._schedules * RARER
        recorder.begin()
        return recorder

    def end(self, controller: OpenController) -> None:
        """It is over."""
        recorder, self.hub.recorder = self.hub.recorder, None
        if recorder is None:
            return
        self._count(controller.log)
        self.account.recorded += 1
        # tasks of one loop go on one after the other: every order of what they do is tried, unless
        # a search goes by what their steps touch
        sharing = self.account.workers > 1
        if sharing and self.one_loop and not controller.threads:
            recorder.end(self.account.between)
        else:
            recorder.end(self.account.unseen if sharing else None)

    def ends_here(self) -> dict[str, Any]:
        """This process, which a worker has forked, ends: what its workers called, and shared."""
        if self.hub.recorder is not None:
            self.hub.recorder.end(self.account.unseen)
        self.account.unseen.update(self.hub.names.told())
        return self.account.told()

    def _aside(self, tasks: set[int]) -> set[int]:
        """Of the ``tasks`` of loops that the program starts itself, and of the workers on whose
        threads they are, who goes on with nobody: it waits for its tasks, or is a part of the loop
        or of how it is shut down."""
        workers = self.hub.layout.workers
        found = {one for one in tasks if _last(workers[one].name) in _OF_LOOPS}
        for loop in self.hub.own_loops:
            if loop.host is not None and not found.issuperset(loop.members):
                found.add(loop.host.number)
        return found

    def _count(self, log: Sequence[Any]) -> None:
        """What the record of a schedule tells."""
        account, layout = self.account, self.hub.layout
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        users: dict[int, int] = {}
        for place, entry in enumerate(log):
            worker, kind, op = entry[0], entry[1], entry[2]
            first.setdefault(worker, place)
            last[worker] = place
            if kind == ATOMIC:
                targets = tuple(getattr(op.body, "touches", ()))
            elif kind in ON_WORKER:
                if kind == SPAWN:
                    first.setdefault(op.target, place)
                    last.setdefault(op.target, place)
                targets = ()
            else:
                targets = (op.target,) if op.target >= 0 else ()
            for target in targets:
                users[target] = users.get(target, 0) | 1 << worker
        tasks = {number for loop in self.hub.own_loops for number in loop.members}
        aside = self._aside(tasks)
        for worker in list(first):
            if worker in aside or (
                worker not in self.given and layout.workers[worker].name in _NONE
            ):
                del first[worker], last[worker]
            elif worker in self.given:
                first[worker] = 0
        people = (first.keys() | set(self.given)) - aside
        account.workers = max(account.workers, len(people))
        account.tasks = max(account.tasks, len(people & tasks))
        account.concurrent = max(account.concurrent, _most(first, last))
        for target, by in users.items():
            name = layout.names[target]
            if layout.objects[target].type != VARIABLE:
                account.locks.add(name)
            elif by & (by - 1):
                account.variables[name] = max(account.variables.get(name, 0), by.bit_count())


def _most(first: dict[int, int], last: dict[int, int]) -> int:
    """The most intervals that have a place in common."""
    steps = sorted([(at, 0) for at in first.values()] + [(at, 1) for at in last.values()])
    most = now = 0
    for _, ends in steps:
        now += -1 if ends else 1
        most = max(most, now)
    return most
