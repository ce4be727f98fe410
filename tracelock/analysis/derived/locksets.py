"""Who holds which lock at each event (Savage and others, *Eraser*, SOSP 1997, call it a lockset).

Locks are ``lock``, ``rlock``, the lock of a condition, and a semaphore of one that is used like a
lock. A semaphore of several keeps nobody apart, so it is none.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from tracelock.analysis.derived.must import exclusive
from tracelock.analysis.derived.steps import Steps, failed
from tracelock.ops import ACQUIRE, CANCELLED, GET, RELEASE, WAIT, WAKE
from tracelock.trace import MISSING

__all__ = ["Hold", "Locksets"]


class Hold(NamedTuple):
    """A lock, and the event with which its holder took it.

    Two events of a worker with an equal hold are in one critical section: the lock was not given
    up in between.
    """

    lock: str
    taken: int


Holds = tuple[Hold, ...]


class Locksets:
    """``holds[seq]``: what the worker of event ``seq`` held just before it, oldest first.

    ``taken``: the events that took a lock which their worker did not hold already.
    ``releases``: for each event that took a lock, the one that gave it up (absent: nobody did).
    ``strangers``: releases of a lock that somebody else had taken, with the event that took it
    (-1: nobody held it). ``ends``: what each worker holds after the last event.
    """

    def __init__(self, steps: Steps) -> None:
        self.holds: list[Holds] = []
        self.taken: list[int] = []
        self.releases: dict[int, int] = {}
        self.strangers: list[tuple[int, int]] = []
        self.ends: list[Holds] = []
        self.locks = self._locks(steps)
        self._sets: dict[Holds, frozenset[str]] = {}
        self._walk(steps)

    @staticmethod
    def _locks(steps: Steps) -> frozenset[str]:
        """The names of all locks."""
        found = set()
        of: dict[str, list[int]] = defaultdict(list)
        for seq, target in enumerate(steps.targets):
            if target is not None and ACQUIRE <= steps.kinds[seq] <= RELEASE:
                of[target].append(seq)
        for name, thing in steps.things.items():
            if thing.type in ("lock", "rlock"):
                found.add(name)
            elif thing.type == "condition":
                found.add(thing.lock)
            elif "semaphore" in thing.type and exclusive(steps, thing, of[name]):
                found.add(name)
        return frozenset(found)

    def _walk(self, steps: Steps) -> None:
        count = len(steps.names)
        now: list[Holds] = [()] * count
        self.ends = now
        depth: list[dict[str, int]] = [{} for _ in range(count)]
        waiting: list[dict[str, int]] = [{} for _ in range(count)]  # given up for a wait: depth
        owner: dict[str, int] = {}
        holds, kinds, targets, results = self.holds, steps.kinds, steps.targets, steps.results
        for seq, worker in enumerate(steps.workers):
            holds.append(now[worker])
            kind = kinds[seq]
            if not ACQUIRE <= kind <= GET and kind != CANCELLED:
                continue
            target, result = targets[seq], results[seq]
            if target is None:
                continue
            lock = steps.lock_of(target)
            if lock not in self.locks:
                continue
            mine = depth[worker]
            if kind == ACQUIRE and (result is True or result is MISSING):
                mine[lock] = mine.get(lock, 0) + 1
                if mine[lock] == 1:
                    self._take(now, owner, worker, lock, seq)
            elif kind == RELEASE and not failed(result):
                by = owner.get(lock, -1)
                if by != worker:
                    self.strangers.append((seq, self._since(now, by, lock)))
                    if by < 0:
                        continue
                depth[by][lock] -= 1
                if not depth[by][lock]:
                    self._give(now, owner, by, lock, seq)
            elif kind == WAIT and result is MISSING and mine.get(lock):
                waiting[worker][lock] = mine[lock]
                mine[lock] = 0
                self._give(now, owner, worker, lock, seq)
            elif kind in (WAKE, CANCELLED) and lock in waiting[worker] and not failed(result):
                mine[lock] = waiting[worker].pop(lock)
                self._take(now, owner, worker, lock, seq)

    def _take(
        self, now: list[Holds], owner: dict[str, int], worker: int, lock: str, seq: int
    ) -> None:
        now[worker] = (*now[worker], Hold(lock, seq))
        owner[lock] = worker
        self.taken.append(seq)

    def _give(
        self, now: list[Holds], owner: dict[str, int], worker: int, lock: str, seq: int
    ) -> None:
        self.releases[self._since(now, worker, lock)] = seq
        now[worker] = tuple(hold for hold in now[worker] if hold.lock != lock)
        owner.pop(lock, None)

    @staticmethod
    def _since(now: list[Holds], worker: int, lock: str) -> int:
        if worker < 0:
            return -1
        return next((hold.taken for hold in now[worker] if hold.lock == lock), -1)

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
