"""Which steps of earlier schedules race: conflict, with no lock in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tracelock.ops import (
    ACQUIRE,
    CALL,
    CHECKPOINT,
    ON_WORKER,
    READ,
    RELEASE,
    SLEEP,
    WAIT,
    Op,
    touched,
)

#: A place in the program: the step's path, what is done there and what to.
Site = tuple[str, int, int]
#: Steps of one schedule that are looked at; a longer one is looked at from its start.
LONGEST: Final = 20_000

# worker, kind of op, whether it gives up rather than wait, locks held
_Use = tuple[int, int, bool, frozenset[int]]


class RaceSurvey:
    """What is known of the workers from the schedules so far.

    ``kinds``: for each worker seen the path of its first step; workers with the same one are
    taken to do the same. ``schedules``: how many have been taken in. ``trail``: the steps of the
    current one, up to ``LONGEST``, put there by the scheduler.

    A lock is whatever is acquired, until it is seen to be held twice at a time, or released by a
    worker that does not hold it: then all that was concluded from it is forgotten. Where a
    scheduling point is not before every step (cooperative workers), there are so few that each
    counts as a race.
    """

    def __init__(self) -> None:
        self.schedules = 0
        self.kinds: dict[int, str] = {}
        self.trail: list[tuple[int, Op]] = []
        self._uses: dict[int, dict[_Use, Site]] = {}  # thing -> how it was used -> where
        self._racing: dict[int, dict[Site, None]] = {}  # worker -> its sites, as they were found
        self._times: dict[tuple[int, Site], tuple[int, int]] = {}  # first and last that counts
        self.loose: set[int] = set()  # acquired, but no locks
        self._coarse = False

    def stops(self, worker: int) -> list[Site]:
        """Where ``worker`` races, its first step aside: before that it has not begun."""
        return [
            site
            for site in self._racing.get(worker, ())
            if self._times[worker, site][0] <= self._times[worker, site][1]
        ]

    def sites(self, worker: int) -> list[Site]:
        """Where ``worker`` was seen, its first step aside."""
        return [
            site for (w, site), (low, high) in self._times.items() if w == worker and low <= high
        ]

    def times(self, worker: int, site: Site) -> tuple[int, int]:
        """From which to which time ``worker`` is at ``site``, its first step aside.

        ``(1, 0)`` for one that was not seen there.
        """
        return self._times.get((worker, site), (1, 0))

    def take(self, steps: int) -> bool:
        """A schedule of ``steps`` events has ended. Whether more sites are known to race now."""
        trail, self.trail = self.trail, []
        if len(trail) < LONGEST and len(trail) != steps:
            self._coarse = True
        self.schedules += 1
        before = sum(map(len, self._racing.values()))
        self._count(trail)
        while not self._follow(trail):
            self._uses.clear()
            self._racing.clear()
        return sum(map(len, self._racing.values())) > before

    def _count(self, trail: list[tuple[int, Op]]) -> None:
        counts: dict[tuple[int, Site], int] = {}
        begun: set[int] = set()
        for worker, op in trail:
            key = (worker, (op.at, op.kind, op.target))
            counts[key] = counts.get(key, 0) + 1
            if worker not in begun:
                begun.add(worker)
                self.kinds.setdefault(worker, op.at)
                if key not in self._times:
                    self._times[key] = (2, 1)
        for key, count in counts.items():
            low, high = self._times.get(key, (1, 0))
            if count > high:
                self._times[key] = (low, count)

    def _follow(self, trail: list[tuple[int, Op]]) -> bool:
        """Go through the steps with the locks held; False where one of them was none after all."""
        held: dict[int, list[int]] = {}
        owner: dict[int, int] = {}
        tried: set[tuple[int, int]] = set()
        resting: dict[int, tuple[Op, list[int]]] = {}
        sound = True
        for worker, op in trail:
            kind, target = op.kind, op.target
            mine = held.setdefault(worker, [])
            if worker in resting and resting[worker][0] is op:
                mine.extend(resting.pop(worker)[1])
                owner.update((lock, worker) for lock in mine)
                # to wake is to ask for the lock again, in a race with all who want it
                self._race(worker, (op.at, kind, target))
                continue
            self._use(worker, op, mine)
            if target in self.loose:
                continue
            if kind == ACQUIRE:
                if not op.blocking or op.timeout is not None:
                    tried.add((worker, target))
                elif owner.setdefault(target, worker) == worker:
                    mine.append(target)
                elif not self._coarse:
                    self.loose.add(target)
                    sound = False
            elif kind == RELEASE:
                if target in mine:
                    mine.remove(target)
                    if target not in mine:
                        owner.pop(target, None)
                elif (worker, target) not in tried and not self._coarse:
                    self.loose.add(target)
                    sound = False
            elif kind == WAIT:
                # a condition gives its lock up meanwhile; with anything else it makes no difference
                resting[worker] = (op, mine.copy())
                for lock in dict.fromkeys(mine):
                    owner.pop(lock, None)
                mine.clear()
        return sound

    def _use(self, worker: int, op: Op, held: list[int]) -> None:
        kind = op.kind
        if self._coarse:
            self._race(worker, (op.at, op.kind, op.target))
            return
        if kind in (SLEEP, CHECKPOINT) or kind in ON_WORKER:
            return
        things: Iterable[int] = (op.target,) if op.target >= 0 else sorted(touched(op))
        if kind == CALL:
            things = (-1,)
        tries = kind == ACQUIRE and (not op.blocking or op.timeout is not None)
        for thing in things:
            locks = frozenset(lock for lock in held if lock != thing)
            use = (worker, kind, tries, locks)
            uses = self._uses.setdefault(thing, {})
            site = (op.at, op.kind, op.target)
            known = use in uses
            if known and uses[use] == site:
                continue
            uses.setdefault(use, site)
            for other, its_site in list(uses.items()):
                if other[0] != worker and race(use, other):
                    self._race(worker, site)
                    if not known:
                        self._race(other[0], its_site)

    def _race(self, worker: int, site: Site) -> None:
        self._racing.setdefault(worker, {})[site] = None


def race(a: _Use, b: _Use) -> bool:
    """Whether the order of two uses of one thing by two workers is open, and can matter."""
    _, kind, tries, locks = a
    _, other, others_tries, others_locks = b
    if kind == READ and other == READ:
        return False
    if kind == RELEASE:
        # a later release only keeps the others waiting, except those that would not wait
        return others_tries
    if other == RELEASE:
        return tries
    return locks.isdisjoint(others_locks)
