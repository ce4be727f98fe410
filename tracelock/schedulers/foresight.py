"""What a schedule that is planned would show that none has shown so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from tracelock.ops import ACQUIRE, JOIN, ON_WORKER, RELEASE, SPAWN, WRITE, Op, Place, accesses
from tracelock.schedulers.survey import Site

#: Steps of one schedule; of a longer one nothing is foretold.
LONGEST: Final = 400
#: Steps that are gone through for one search in all, so that a long one is not slowed down.
EFFORT: Final = 4_000
#: Workers that a circle of locks may have, and circles that are tried.
CIRCLE: Final = 6
CIRCLES: Final = 64

#: Where workers wait for ever: of each the first step of its kind, and the step it waits at.
Waits = frozenset[tuple[str, str]]
#: A worker that asked for a lock (the last number) while it had another.
LockOrder = tuple[int, int, int]


class Intended(NamedTuple):
    """How a schedule is to go: of the workers that can go on always the one of the highest
    ``priority``; one that comes to its stop (a site, and for which time) gets the priority
    ``behind``, the next such one the number below, and so on."""

    priority: list[int]
    stops: dict[int, tuple[Site, int]]
    behind: int

    def key(self) -> tuple[object, ...]:
        """The same for two that go the same way."""
        order = sorted(range(len(self.priority)), key=self.priority.__getitem__)
        return (tuple(order), tuple(sorted(self.stops.items())), self.behind)


class Foretold(NamedTuple):
    """What is expected of a schedule, the more the better: compared in this order.

    ``stuck``: 1 where workers wait for ever at steps where that was not expected before.
    ``mixed``: of how many of the new views the worker came between two steps of another one, which
    came between two of its own, so that no order of whole workers gives it. ``views``: so many
    views are new, of workers and of what is left at the end. ``past``: on how many workers all of
    them depend, together; where something is mixed, the fewer the better (below 0), since who comes
    later covers up what was mixed.
    """

    stuck: int
    mixed: int
    views: int
    past: int


class Foresight:
    """Reads-from feedback, before the fact.

    From the schedules that were run it keeps what each worker did, and what each has read from
    whom. A schedule that is planned is gone through with these steps: locks keep others out, and
    what each worker would read is compared with what has been seen. Which write each read takes
    is the feedback of RFF (Wolff, Shi, Duck, Mathur, Roychoudhury, "Greybox fuzzing for concurrency
    testing", ASPLOS 2024), used here to choose among plans. ``circle`` gives those of lock orders
    (Havelund, "Using runtime analysis to guide model checking of Java programs", SPIN 2000).

    It can be wrong: a worker that reads something else may do something else, and waits of
    conditions and events are taken to be over at once. So nothing is concluded from it but which
    plan comes first. ``left``: how many steps may still be gone through; at 0 it has no opinion.
    """

    def __init__(self) -> None:
        self.left = EFFORT
        self._numbers: dict[tuple[object, ...], int] = {}
        self._ends: set[int] = set()  # views at the end of schedules
        self._known: set[int] = set()  # of workers at any time
        self._steps: dict[int, list[_Seen]] = {}  # of each worker, when it was looked at last
        self._spawned: set[int] = set()
        self._stuck: set[Waits] = set()  # of plans that were followed
        self._kinds: Mapping[int, str] = {}
        self._loose: set[int] = set()
        self._orders: dict[LockOrder, tuple[Site, int]] = {}
        self._tried: set[tuple[LockOrder, ...]] = set()

    def take(
        self, trail: Sequence[tuple[int, Op]], kinds: Mapping[int, str], loose: set[int]
    ) -> None:
        """A schedule has ended. ``kinds``: workers with the same one do the same; ``loose``: what
        is acquired and is no lock."""
        if len(trail) > LONGEST or self.left <= 0:
            self._steps.clear()
            return
        self.left -= len(trail)
        self._kinds, self._loose = kinds, loose
        reading = _Reading(kinds, self._numbers, self._known)
        steps: dict[int, list[_Seen]] = {}
        for worker, op in trail:
            own = steps.get(worker)
            if own is None:
                own = steps[worker] = []
                reading.begin(worker)
            if own and own[-1].op is op:
                continue  # the end of a wait
            own.append(seen := _seen(op))
            if op.kind == SPAWN:
                self._spawned.add(op.target)
            reading.step(worker, seen)
            self._known.add(reading.view[worker])
        self._ends.update(reading.view.values())
        self._ends.add(reading.end())
        self._steps.update(steps)
        for worker, own in steps.items():
            self._order(worker, own)

    # --- a plan ------------------------------------------------------------------------------
    def foretell(self, plan: Intended) -> tuple[Foretold, Waits]:
        """What the plan would show, and where workers would wait for ever."""
        if not self._steps or self.left <= 0:
            return Foretold(0, 0, 0, 0), frozenset()
        reading = _Reading(self._kinds, self._numbers, self._known)
        going = _Going(self._steps, self._loose, self._spawned, plan, reading)
        self.left -= going.run()
        waits = frozenset(
            (self._kinds.get(worker, ""), op.at) for worker, op in going.waiting.items()
        )
        new = {view: worker for worker, view in reading.view.items() if view not in self._ends}
        mixed = reading.mixed()
        many = sum(worker in mixed for worker in new.values())
        end = reading.end() not in self._ends
        many += end and bool(mixed)
        past = sum(others.bit_count() for others in reading.past.values())
        stuck = int(bool(waits) and waits not in self._stuck)
        return Foretold(stuck, many, len(new) + end, -past if many else past), waits

    def chosen(self, waits: Waits) -> None:
        """A plan of which this was foretold is followed."""
        if waits:
            self._stuck.add(waits)

    # --- orders of locks ---------------------------------------------------------------------
    def _order(self, worker: int, steps: Sequence[_Seen]) -> None:
        held: list[int] = []
        times: dict[Site, int] = {}
        for op, *_ in steps:
            site = (op.at, op.kind, op.target)
            times[site] = times.get(site, 0) + 1
            if op.kind == ACQUIRE and op.target not in self._loose:
                if op.blocking and op.timeout is None and op.target not in held:
                    for lock in held:
                        self._orders.setdefault((worker, lock, op.target), (site, times[site]))
                held.append(op.target)
            elif op.kind == RELEASE and op.target in held:
                held.remove(op.target)

    def circle(self) -> dict[int, tuple[Site, int]] | None:
        """Stops of workers, each of which then has the lock that the one before it asks for next;
        None where there are no more such circles than were given before."""
        found = self._circle()
        if found is None:
            return None
        self._tried.add(found)
        return {order[0]: self._orders[order] for order in found}

    def _circle(self) -> tuple[LockOrder, ...] | None:
        if len(self._tried) >= CIRCLES:
            return None
        by_held: dict[int, list[LockOrder]] = {}
        for order in self._orders:
            by_held.setdefault(order[1], []).append(order)
        for start in self._orders:
            paths: list[tuple[LockOrder, ...]] = [(start,)]
            while paths and self.left > 0:
                path = paths.pop()
                self.left -= 1
                for order in by_held.get(path[-1][2], ()):
                    # the lowest worker begins, so that each circle is found once
                    if order[0] <= start[0] or any(order[0] == one[0] for one in path):
                        continue
                    longer = (*path, order)
                    if order[2] == start[1]:
                        if longer not in self._tried:
                            return longer
                    elif len(longer) < CIRCLE:
                        paths.append(longer)
        return None


class _Seen(NamedTuple):
    """A step that was seen: what it reads and writes of things that have a value, and on which of
    these what it does may depend (on all, but for a plain write). ``bars``: it can have to wait, or
    lets others go on."""

    op: Op
    reads: tuple[Place, ...]
    writes: tuple[Place, ...]
    takes: tuple[Place, ...]
    bars: bool


def _seen(op: Op) -> _Seen:
    if op.kind in (ACQUIRE, RELEASE) or op.kind in ON_WORKER:
        return _Seen(op, (), (), (), True)
    reads, writes = accesses(op)
    return _Seen(op, reads, writes, reads if op.kind == WRITE else (*reads, *writes), False)


class _Reading:
    """What each worker has read from whom, as one schedule goes on.

    The ``view`` of a worker is a number for its kind and, for each of its reads, for who had
    written that, where, and with which view of its own: as far as values come from other workers
    the same numbers are the same values. ``past``: of each worker the set of those (as bits) whose
    writes it depends on; one that reads what nobody was seen to read may go another way, and
    depends on all that was written.
    """

    def __init__(
        self, kinds: Mapping[int, str], numbers: dict[tuple[object, ...], int], known: set[int]
    ) -> None:
        self.view: dict[int, int] = {}
        self.past: dict[int, int] = {}
        self._kinds = kinds
        self._numbers = numbers
        self._known = known
        self._writers = 0
        self._left: dict[Place, tuple[int, int]] = {}  # thing -> its value, its past
        self._before: dict[int, int] = {}  # of each worker: whose steps have to come before
        self._written: dict[Place, int] = {}  # thing -> the same of one who reads it
        self._used: dict[Place, int] = {}  # and of one who changes it

    def begin(self, worker: int) -> None:
        """A worker makes its first step."""
        self.view[worker] = self._number(self._kinds.get(worker, ""))
        self.past[worker] = self._before[worker] = 1 << worker

    def step(self, worker: int, seen: _Seen) -> None:
        """A worker makes a step."""
        op, reads, writes, takes, _ = seen
        if not (reads or writes):
            return
        at = op.at
        before = self._before[worker]
        for thing in reads:
            before |= self._written.get(thing, 0)
        for thing in writes:
            before |= self._used.get(thing, 0)
        self._before[worker] = before
        for thing in reads:
            self._used[thing] = self._used.get(thing, 0) | before
        for thing in takes:
            value, past = self._left.get(thing, (-1, 0))
            self.view[worker] = view = self._number(self.view[worker], at, value)
            self.past[worker] |= past if view in self._known else past | self._writers
        if not writes:
            return
        self._writers |= 1 << worker
        for thing in writes:
            self._written[thing] = self._used[thing] = before
            value = self._number(self.view[worker], at, thing)
            self._left[thing] = (value, self.past[worker])

    def mixed(self) -> set[int]:
        """Those who come before and after one and the same other worker."""
        before = self._before
        return {
            worker
            for worker, others in before.items()
            if any(
                other != worker and others >> other & 1 and before[other] >> worker & 1
                for other in before
            )
        }

    def end(self) -> int:
        """What all things have in them, as a view."""
        return self._number(*[(thing, self._left[thing][0]) for thing in sorted(self._left)])

    def _number(self, *what: object) -> int:
        return self._numbers.setdefault(what, len(self._numbers))


class _Going:
    """One planned schedule, gone through with the steps that workers were seen to make."""

    def __init__(
        self,
        steps: Mapping[int, Sequence[_Seen]],
        loose: set[int],
        spawned: set[int],
        plan: Intended,
        reading: _Reading,
    ) -> None:
        self._steps = steps
        self._loose = loose
        self._unborn = spawned.copy()
        self._priority = plan.priority.copy()
        self._stops = plan.stops.copy()
        self._behind = plan.behind
        self._reading = reading
        self._at = dict.fromkeys(steps, 0)
        self._owner: dict[int, tuple[int, int]] = {}  # lock -> who has it, how often
        self.waiting: dict[int, Op] = {}  # at the end: whoever cannot go on, and at which step
        for worker in steps:
            reading.begin(worker)

    def run(self) -> int:
        """To the end. How many steps were looked at."""
        count = 0
        at, steps, priority = self._at, self._steps, self._priority
        line = [worker for worker in steps if worker < len(priority)]
        line.sort(key=priority.__getitem__, reverse=True)
        unborn, step = self._unborn, self._reading.step
        while line:
            for worker in line:
                seen = steps[worker][at[worker]]
                count += 1
                if (not seen.bars and worker not in unborn) or self._can(worker, seen.op):
                    break
            else:
                break
            if worker in self._stops and self._stops_at(worker, seen.op):
                priority[worker] = self._behind
                self._behind -= 1
                line.sort(key=priority.__getitem__, reverse=True)
                continue
            if seen.bars:
                self._make(worker, seen.op)
            else:
                step(worker, seen)
            at[worker] += 1
            if at[worker] == len(steps[worker]):
                line.remove(worker)
        self.waiting = {worker: steps[worker][at[worker]].op for worker in line}
        return count

    def _stops_at(self, worker: int, op: Op) -> bool:
        stop = self._stops[worker]
        if (op.at, op.kind, op.target) != stop[0]:
            return False
        if stop[1] > 1:
            self._stops[worker] = (stop[0], stop[1] - 1)
            return False
        del self._stops[worker]
        return True

    def _can(self, worker: int, op: Op) -> bool:
        if worker in self._unborn:
            return False
        if op.kind == ACQUIRE:
            if op.target in self._loose or not op.blocking or op.timeout is not None:
                return True
            owner = self._owner.get(op.target)
            return owner is None or owner[0] == worker
        if op.kind == JOIN:
            own = self._steps.get(op.target)
            return own is None or self._at[op.target] == len(own)
        return True

    def _make(self, worker: int, op: Op) -> None:
        kind, target = op.kind, op.target
        if kind in (ACQUIRE, RELEASE):
            owner, times = self._owner.get(target, (worker, 0))
            times += 1 if kind == ACQUIRE else -1
            if owner == worker and target not in self._loose:
                if times > 0:
                    self._owner[target] = (worker, times)
                else:
                    self._owner.pop(target, None)
        elif kind == SPAWN:
            self._unborn.discard(target)
