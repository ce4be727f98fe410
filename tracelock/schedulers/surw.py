"""Selectively uniform random walk: every order of the interesting steps equally likely."""

from __future__ import annotations

from typing import Final

from tracelock.ops import ATOMIC, CANCEL, ON_WORKER, READ, SPAWN, Op, touched
from tracelock.schedulers.base import WORKER, Choice
from tracelock.schedulers.sampling import INCREMENT, MASK, MULTIPLIER, Sampler

#: The schedules that are counted in full; later one in eight is, since counting costs.
COUNTED: Final = 16


class SurwScheduler(Sampler):
    """SURW (Zhao, Wolff, Mathur, Roychoudhury, ASPLOS 2025).

    One shared thing is drawn for each schedule, and the steps on it are the interesting ones. The
    worker whose interesting step comes next is drawn with the number that each still has to make
    as its weight; the others wait before theirs. All else is a random walk with the numbers of
    all steps left as weights. With exact counts every order of the interesting steps is equally
    likely (as long as nothing blocks), which a walk that is fair at every step is far from.

    The counts are means over earlier schedules, so that schedule ``k`` of a seed depends on those
    before it; the first is a plain random walk. The thing is drawn from the variables and
    objects that at least two workers used, one of them not only to read. Where a worker will be
    started by another its counts go to that one until then.

    A departure: when the worker drawn takes more steps than a whole schedule has on average
    before its interesting one (it spins until another's), or ends without one, another is
    drawn. Waiters to wake and timers to fire are drawn uniformly.
    """

    name = "surw"

    def __init__(self, seed: int, first: int = 0) -> None:
        super().__init__(seed, first)
        self._counted = 0  # schedules in the sums
        self._sums: list[dict[int, int]] = []  # for each worker: thing -> steps; -1: all of them
        self._writers: set[int] = set()  # things that somebody did not only read
        self._parents: dict[int, int] = {}  # who started whom
        self._things: list[int] = []  # what may be drawn as interesting
        self._counting = True
        self._trail: list[tuple[int, Op]] = []
        # of this schedule
        self._thing = -1
        self._due = -1  # the worker whose interesting step is the next; -1: anybody's
        self._give_up = 0  # number of the step at which another worker becomes due
        self._patience = 0
        self._expected: dict[int, tuple[list[int], list[int]]] = {}  # per thing, see _expect
        self._left: list[int] = []  # interesting steps to come
        self._rest: list[int] = []  # all steps to come, at least one

    def begin(self) -> bool:
        super().begin()
        schedule = self.schedule
        self._counting = self._counted < COUNTED or schedule & 7 == 0
        things = self._things
        self._thing = -1
        self._due = -1
        self._rest = []
        if things:
            self._thing = things[self.below(len(things))] if len(things) > 1 else things[0]
        return True

    def pick(self, choice: Choice) -> int:
        if choice.kind is not WORKER:
            return self.uniform(choice)
        pending = choice.pending
        rest = self._rest
        if not rest:
            rest = self._start(choice)
        options = choice.options
        thing = self._thing
        if len(options) == 1:
            picked = options[0]
        else:
            due = self._due
            if due >= 0 and (pending[due] is None or choice.seq > self._give_up):
                due = self._draw(choice)
            picked = -1
            total = 0
            state = self._state
            for worker in options:
                if (
                    due >= 0
                    and worker != due
                    and ((op := pending[worker]).target == thing or op.kind == ATOMIC)  # type: ignore[union-attr]
                    and self._interesting(op)  # type: ignore[arg-type]
                ):
                    continue
                weight = rest[worker]
                total += weight
                if picked < 0:
                    picked = worker
                else:
                    # one pass: the newcomer takes the place with its share of the total
                    state = (state * MULTIPLIER + INCREMENT) & MASK
                    if (state >> 33) * total >> 31 < weight:
                        picked = worker
            self._state = state
            if picked < 0:
                # the worker that is due waits for one of those held back
                picked = self.uniform(choice)
        op = pending[picked]
        if rest[picked] > 1:
            rest[picked] -= 1
        if self._counting:
            self._trail.append((picked, op))  # type: ignore[arg-type]
        kind = op.kind  # type: ignore[union-attr]
        if kind == SPAWN:
            child = op.target  # type: ignore[union-attr]
            rest[picked] = max(1, rest[picked] - rest[child])
            self._left[picked] -= min(self._left[picked], self._left[child])
        elif (op.target == thing or kind == ATOMIC) and self._interesting(op):  # type: ignore
            if self._left[picked]:
                self._left[picked] -= 1
            self._draw(choice)
        return picked

    def end(self, steps: int) -> None:
        if not self._counting:
            return
        self._counted += 1
        sums = self._sums
        for worker, op in self._trail:
            own = sums[worker]
            own[-1] = own.get(-1, 0) + 1
            if op.kind in ON_WORKER:
                if op.kind == SPAWN:
                    self._parents[op.target] = worker
                continue
            for thing in (op.target,) if op.target >= 0 else touched(op):
                own[thing] = own.get(thing, 0) + 1
                if op.kind != READ:
                    self._writers.add(thing)
        self._trail.clear()
        self._expected.clear()
        used: dict[int, int] = {}
        for own in sums:
            for thing in own:
                used[thing] = used.get(thing, 0) + 1
        self._things = sorted(t for t, n in used.items() if t in self._writers and n > 1)

    def _interesting(self, op: Op) -> bool:
        if op.target == self._thing:
            return self._thing >= 0 and not SPAWN <= op.kind <= CANCEL
        return op.kind == ATOMIC and self._thing in op.body.touches

    def _start(self, choice: Choice) -> list[int]:
        """The counts that a schedule begins with."""
        workers = len(choice.pending)
        if not self._counted:
            self._sums = [{} for _ in range(workers)]
            self._trail.clear()
            self._rest, self._left = [1] * workers, [0] * workers
            return self._rest
        known = self._expected.get(self._thing)
        if known is None:
            known = self._expected[self._thing] = self._expect(self._thing)
        self._rest, self._left = known[0].copy(), known[1].copy()
        self._draw(choice)
        return self._rest

    def _expect(self, thing: int) -> tuple[list[int], list[int]]:
        """For each worker the steps to come in all and on ``thing``, with who it will start."""
        counted = self._counted
        half = counted >> 1
        own_rest = [(own.get(-1, 0) + half) // counted or 1 for own in self._sums]
        own_left = [
            (own[thing] + half) // counted or 1 if thing in own else 0 for own in self._sums
        ]
        self._patience = sum(own_rest) + 16
        rest, left = own_rest.copy(), own_left.copy()
        for child, parent in self._parents.items():
            for _ in own_rest:  # bounded: who starts whom can differ between schedules
                rest[parent] += own_rest[child]
                left[parent] += own_left[child]
                if parent not in self._parents:
                    break
                parent = self._parents[parent]
        return rest, left

    def _draw(self, choice: Choice) -> int:
        """Whose interesting step comes next, -1 where none is left; also kept in ``_due``."""
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
        self._give_up = choice.seq + self._patience
        return due
