"""Who holds which lock at each event (Savage and others, *Eraser*, SOSP 1997, call it a lockset).

Locks are ``lock``, ``rlock``, the lock of a condition, and a semaphore of one that is used like a
lock. A semaphore of several keeps nobody apart, so it is none.
"""

from __future__ import annotations

from typing import Final

from tracelock.analysis.derived.must import exclusive
from tracelock.analysis.derived.objects import MUTEXES, SEMAPHORES
from tracelock.analysis.derived.state import HANDLERS, Hold, ObjectState
from tracelock.analysis.derived.steps import Steps
from tracelock.ops import ACQUIRE, CANCELLED, RELEASE, TIMEOUT, WAIT, WAKE

__all__ = ["Hold", "Locksets"]

_Holds = tuple[Hold, ...]
_HANDLERS: Final = {
    kind: HANDLERS[kind] for kind in (ACQUIRE, RELEASE, WAIT, WAKE, CANCELLED, TIMEOUT)
}


class Locksets(ObjectState):
    """``holds[seq]``: what the worker of event ``seq`` held just before it, oldest first.

    ``taken``: the events that took a lock which their worker did not hold already.
    ``strangers``: releases of a lock that somebody else had taken, with the event that took it
    (-1: nobody held it). ``ends``: what each worker holds after the last event.
    """

    def __init__(self, steps: Steps) -> None:
        super().__init__(steps)
        self.holds: list[_Holds] = []
        self.taken: list[int] = []
        self.strangers: list[tuple[int, int]] = []
        self.ends: list[_Holds] = [()] * len(steps.names)
        self.locks = _locks(steps)
        self._sets: dict[_Holds, frozenset[str]] = {}
        kinds, ends, holds = steps.kinds, self.ends, self.holds
        for seq, worker in enumerate(steps.workers):
            holds.append(ends[worker])
            handler = _HANDLERS.get(kinds[seq])
            if handler is not None:
                handler(self, seq)
        self.position = len(steps)

    def took(self, hold: Hold) -> None:
        if hold.lock in self.locks:
            self.ends[hold.worker] = (*self.ends[hold.worker], hold)
            self.taken.append(hold.taken)

    def gave(self, hold: Hold, seq: int) -> None:
        if hold.lock in self.locks:
            now = self.ends[hold.worker]
            self.ends[hold.worker] = tuple(one for one in now if one.lock != hold.lock)

    def gave_another(self, hold: Hold | None, lock: str, seq: int) -> None:
        if lock in self.locks:
            self.strangers.append((seq, -1 if hold is None else hold.taken))

    def at(self, seq: int) -> frozenset[str]:
        """The names of the locks held at an event."""
        holds = self.holds[seq]
        found = self._sets.get(holds)
        if found is None:
            found = self._sets[holds] = frozenset(hold.lock for hold in holds)
        return found

    def throughout(self, first: int, last: int) -> frozenset[str]:
        """The locks held from one event to a later one of the same worker, without a gap."""
        a, b = self.holds[first], self.holds[last]
        if a is b:
            return self.at(first)
        return frozenset(hold.lock for hold in a if hold in b)


def _locks(steps: Steps) -> frozenset[str]:
    """The names of all locks."""
    found = {steps.lock_of(name) for name, info in steps.objects.items() if info.type in MUTEXES}
    for name, events in steps.by_object.items():
        if steps.objects[name].type in SEMAPHORES and exclusive(steps, name, events):
            found.add(name)
    return frozenset(found)
