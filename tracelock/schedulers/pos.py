"""Partial order sampling: a random priority for every pending step, drawn anew where steps race."""

from __future__ import annotations

from tracelock.ops import ATOMIC, conflicts
from tracelock.schedulers.base import WORKER, Choice
from tracelock.schedulers.sampling import INCREMENT, MASK, MULTIPLIER, Sampler


class PosScheduler(Sampler):
    """POS (Yuan, Yang, Gu, CAV 2018).

    Each pending step has a random priority and the highest that can happen does. The priority
    of every other step that could have happened and conflicts with it is drawn anew: without that
    a step that lost one race would be likely to lose the next as well. Orders of independent steps
    are not worth a draw, so that partial orders are sampled more evenly than by a random walk.

    Schedule ``k`` of a seed depends on nothing else. Waiters to wake and timers to fire are drawn
    uniformly.
    """

    name = "pos"

    def __init__(self, seed: int, first: int = 0) -> None:
        super().__init__(seed, first)
        self._priority: list[int] = []  # -1: to be drawn when the step is first an option

    def begin(self) -> bool:
        self._priority.clear()
        return super().begin()

    def pick(self, choice: Choice) -> int:
        options = choice.options
        if choice.kind is not WORKER:
            return self.uniform(choice)
        priority = self._priority
        pending = choice.pending
        if not priority:
            priority.extend([-1] * len(pending))
        if len(options) == 1:
            picked = options[0]
            priority[picked] = -1
            return picked
        best = picked = -1
        state = self._state
        for worker in options:
            level = priority[worker]
            if level < 0:
                state = (state * MULTIPLIER + INCREMENT) & MASK
                priority[worker] = level = state >> 33
            if level > best:
                best = level
                picked = worker
        self._state = state
        priority[picked] = -1
        op = pending[picked]
        kind, target = op.kind, op.target  # type: ignore[union-attr]
        for worker in options:
            other = pending[worker]
            if (
                # most steps are of different things, which needs no call to know
                (other.target == target or kind == ATOMIC or other.kind == ATOMIC)  # type: ignore[union-attr]
                and conflicts(op, other)  # type: ignore[arg-type]
            ):
                priority[worker] = -1
        return picked
