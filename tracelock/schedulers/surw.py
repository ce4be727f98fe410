"""Selectively uniform random walk: every order of the interesting steps equally likely."""

from __future__ import annotations

from typing import Final

from tracelock.ops import ACQUIRE, ATOMIC, ON_WORKER, READ, RELEASE, SPAWN, Op, touched
from tracelock.schedulers.base import WORKER, Choice
from tracelock.schedulers.sampling import INCREMENT, MASK, MULTIPLIER, Sampler

#: The schedules that are counted; later one in eight is, since counting costs.
COUNTED: Final = 16


class SurwScheduler(Sampler):
    """SURW (Zhao, Wolff, Mathur, Roychoudhury, ASPLOS 2025).

    One shared thing is drawn for each schedule, and the steps on it are the interesting ones. The
    worker whose interesting step comes next is drawn with the number that each still has to make
    as its weight; the others wait before theirs. All else is a random walk with the numbers of
    all steps left as weights. With exact counts every order of the interesting steps is equally
    likely (as long as nothing blocks), which a walk that is fair at every step is far from.

    Counts are means over earlier schedules, so that schedule ``k`` of a seed depends on those
    before it; the first is a plain random walk. The thing is drawn, each once before any comes
    again, from those that at least two workers used, one of them not only to read; what is
    acquired is drawn only where there is nothing else. A release is never interesting: it happens
    in the order of the acquires. Counts of a worker that another one starts go to that one until
    then.

    Departures. Where interesting steps are made under a lock, their order is that of the
    acquires: a worker that is not due waits before it takes the innermost such lock, not inside.
    When the worker that is due takes more steps than a whole schedule has on average before
    its interesting one (it spins until another's), or ends without one, another is drawn.
    Waiters to wake and timers to fire are drawn uniformly.
    """

    name = "surw"

    def __init__(self, seed: int, first: int = 0) -> None:
        super().__init__(seed, first)
        self._census = Census()
        self._counting = True
        self._deck: list[int] = []  # things not drawn since it was last filled
        # of this schedule
        self._thing = -1
        self._due = -1  # the worker whose interesting step is the next; -1: anybody's
        self._give_up = 0  # number of the step at which another worker becomes due
        self._left: list[int] = []  # interesting steps to come
        self._rest: list[int] = []  # all steps to come, at least one
        self._before: list[frozenset[int]] = []  # what a worker that is not due does not touch

    def begin(self) -> bool:
        super().begin()
        census = self._census
        self._counting = census.schedules < COUNTED or self.schedule & 7 == 0
        self._rest = []
        self._due = self._thing = -1
        if not self._deck:
            self._deck = self.shuffled(census.things.copy())
        if self._deck:
            self._thing = self._deck.pop()
        return True

    def pick(self, choice: Choice) -> int:
        if choice.kind is not WORKER:
            return self.uniform(choice)
        pending = choice.pending
        rest = self._rest
        if not rest:
            self._start(choice)
            rest = self._rest
        options = choice.options
        if len(options) == 1:
            picked = options[0]
        else:
            due = self._due
            if due >= 0 and (pending[due] is None or choice.seq > self._give_up):
                self._draw(choice)
                due = self._due
            before = self._before
            picked = -1
            total = 0
            state = self._state
            for worker in options:
                if (
                    due >= 0
                    and worker != due
                    and ((op := pending[worker]).target in before[worker] or op.kind == ATOMIC)  # type: ignore[union-attr]
                    and self._waits(worker, op)  # type: ignore[arg-type]
                ):
                    continue
                weight = rest[worker]
                total += weight
                if picked < 0:
                    picked = worker
                else:
                    # in one pass: each takes the place with its share of the total so far
                    state = (state * MULTIPLIER + INCREMENT) & MASK
                    if (state >> 33) * total >> 31 < weight:
                        picked = worker
            self._state = state
            if picked < 0:
                # the worker that is due is kept from its step by one of those that wait
                picked = self.uniform(choice)
        op = pending[picked]
        assert op is not None
        if rest[picked] > 1:
            rest[picked] -= 1
        if self._counting:
            self._census.trail.append((picked, op))
        kind = op.kind
        thing = self._thing
        if kind == SPAWN:
            rest[picked] = max(1, rest[picked] - rest[op.target])
            self._left[picked] = max(0, self._left[picked] - self._left[op.target])
        elif (op.target == thing or kind == ATOMIC) and self._interesting(op):
            if self._left[picked]:
                self._left[picked] -= 1
            self._draw(choice)
        return picked

    def end(self, steps: int) -> None:
        if self._counting and self._rest:
            things = self._census.things
            self._census.count(len(self._rest))
            if things != self._census.things:
                self._deck = []

    def _interesting(self, op: Op) -> bool:
        thing = self._thing
        if op.kind == ATOMIC:
            return thing in op.body.touches
        return op.target == thing >= 0 and op.kind != RELEASE and op.kind not in ON_WORKER

    def _waits(self, worker: int, op: Op) -> bool:
        """Whether a worker that is not due waits before ``op``, interesting or on the way."""
        if op.kind == ACQUIRE and op.target != self._thing:
            return self._left[worker] > 0
        return self._interesting(op)

    def _start(self, choice: Choice) -> None:
        """The counts that a schedule begins with."""
        workers = len(choice.pending)
        if not self._census.schedules:
            self._rest, self._left = [1] * workers, [0] * workers
            return
        rest, left, self._before = self._census.expect(self._thing)
        self._rest, self._left = rest.copy(), left.copy()
        self._draw(choice)

    def _draw(self, choice: Choice) -> None:
        """Draw whose interesting step comes next; nobody's where none is left."""
        pending = choice.pending
        due = -1
        total = 0
        state = self._state
        for worker, weight in enumerate(self._left):
            if weight and pending[worker] is not None:
                total += weight
                state = (state * MULTIPLIER + INCREMENT) & MASK
                if (state >> 33) * total >> 31 < weight:
                    due = worker
        self._state = state
        self._due = due
        self._give_up = choice.seq + self._census.steps + 16


class Census:
    """What the workers did in earlier schedules: how often each used what, under which lock."""

    def __init__(self) -> None:
        self.schedules = 0
        self.steps = 0  # of one schedule, on average
        self.things: list[int] = []  # what may be interesting
        self.trail: list[tuple[int, Op]] = []  # the steps of the current schedule
        self._uses: list[dict[int, int]] = []  # for each worker: thing -> steps, -1: all of them
        self._written: set[int] = set()  # things that somebody did not only read
        self._acquired: set[int] = set()
        self._parents: dict[int, int] = {}  # who was started by whom
        # for each thing and worker: the innermost locks under which it used it
        self._locks: dict[tuple[int, int], set[int]] = {}
        self._expected: dict[int, tuple[list[int], list[int], list[frozenset[int]]]] = {}

    def count(self, workers: int) -> None:
        """Take the trail of a schedule that has ended into the sums."""
        if not self.schedules:
            self._uses = [{} for _ in range(workers)]
        self.schedules += 1
        held: list[list[int]] = [[] for _ in range(workers)]
        for worker, op in self.trail:
            own = self._uses[worker]
            own[-1] = own.get(-1, 0) + 1
            kind = op.kind
            mine = held[worker]
            if kind == RELEASE:
                if op.target in mine:
                    mine.remove(op.target)
                continue
            if kind in ON_WORKER:
                if kind == SPAWN:
                    self._parents[op.target] = worker
                continue
            for thing in (op.target,) if op.target >= 0 else touched(op):
                own[thing] = own.get(thing, 0) + 1
                if kind != READ:
                    self._written.add(thing)
                if mine and kind != ACQUIRE:
                    self._locks.setdefault((thing, worker), set()).add(mine[-1])
            if kind == ACQUIRE:
                self._acquired.add(op.target)
                mine.append(op.target)
        self.trail.clear()
        self._expected.clear()
        self.steps = sum(own.get(-1, 0) for own in self._uses) // self.schedules
        users: dict[int, int] = {}
        for own in self._uses:
            for thing in own:
                users[thing] = users.get(thing, 0) + 1
        shared = sorted(t for t, n in users.items() if n > 1 and t in self._written)
        self.things = [t for t in shared if t not in self._acquired] or shared

    def expect(self, thing: int) -> tuple[list[int], list[int], list[frozenset[int]]]:
        """For each worker the steps to come, those on ``thing``, and what leads to them.

        Not to be changed by the caller.
        """
        known = self._expected.get(thing)
        if known is None:
            known = self._expected[thing] = self._expect(thing)
        return known

    def _expect(self, thing: int) -> tuple[list[int], list[int], list[frozenset[int]]]:
        half = self.schedules >> 1
        all_steps = [(own.get(-1, 0) + half) // self.schedules or 1 for own in self._uses]
        interesting = [
            (own[thing] + half) // self.schedules or 1 if thing in own else 0 for own in self._uses
        ]
        rest, left = all_steps.copy(), interesting.copy()
        for child, parent in self._parents.items():
            for _ in all_steps:  # bounded: who starts whom can differ between schedules
                rest[parent] += all_steps[child]
                left[parent] += interesting[child]
                if parent not in self._parents:
                    break
                parent = self._parents[parent]
        before = [
            frozenset((thing, *self._locks.get((thing, worker), ())))
            for worker in range(len(self._uses))
        ]
        return rest, left, before
