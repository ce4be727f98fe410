"""Probabilistic concurrency testing: random priorities, lowered at a few random steps."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from tracelock.errors import UsageError
from tracelock.schedulers.base import WORKER, Choice
from tracelock.schedulers.sampling import Sampler

#: Steps that the first schedule is taken to have.
GUESS: Final = 16
#: A schedule that is longer than this, and than four times the shortest, is taken to spin.
PATIENCE: Final = 100
_PRIORITIES: Final = 1 << 31


@dataclass(slots=True)
class Drawn:
    """What schedules of PCT were drawn for, as far as the guarantee goes by it.

    ``steps``: the most that a schedule had. ``counts``: of each depth and each ``k`` that was taken
    for the number of steps, how many schedules, without the last one.
    """

    steps: int = 0
    counts: Counter[tuple[int, int]] = field(default_factory=Counter)

    def copy(self) -> Drawn:
        """One that is added to by itself."""
        return Drawn(self.steps, self.counts.copy())

    def add(self, other: Drawn) -> None:
        """Add the schedules of another search, or of another part of it."""
        self.steps = max(self.steps, other.steps)
        self.counts.update(other.counts)


class PctScheduler(Sampler):
    """PCT (Burckhardt, Kothari, Musuvathi, Nagarakatte, ASPLOS 2010).

    Every worker gets a random priority and the highest that can go on does; at ``depth - 1``
    random steps the worker that would go on is lowered under all others. A failure that needs
    ``depth`` ordering constraints, in a program of ``n`` workers and ``k`` steps, is found by a
    schedule with a probability of at least ``1 / (n * k**(depth - 1))``.

    Departures. ``k`` is learnt: the longest schedule so far, a shorter one pulling it down by an
    eighth of the difference, so that a schedule depends on those before it. The steps at which
    a priority changes are distinct and never the first, which only drops schedules that another
    draw gives. A worker that spins would keep its priority for ever, so that in a schedule of
    more than 100 steps, and of four times the shortest so far, the running worker goes behind all
    others, again each time it has become that much longer: the guarantee is for schedules shorter
    than that, and longer ones do not count for ``k``. Waiters to wake and timers to fire are
    drawn uniformly.
    """

    name = "pct"

    def __init__(self, seed: int, depth: int = 3, first: int = 0) -> None:
        """Raises UsageError for a ``depth`` under 1."""
        if depth < 1:
            raise UsageError(f"pct needs a depth of at least 1, not {depth}")
        super().__init__(seed, first)
        self.depth = depth
        self.length = GUESS  # the k of the paper
        self._drawn = Drawn()
        self._last: tuple[int, int] | None = None
        self._shortest = 0
        self._patience = PATIENCE
        self._priority: list[int] = []
        self._changes: list[tuple[int, int]] = []  # (step, new priority), the next one last
        self._next = 0  # the step at which something is to be done
        self._watch = 0  # the step at which the running worker goes behind the others

    def begin(self) -> bool:
        super().begin()
        if self._last is not None:  # the last one of a search may have been cut short
            self._drawn.counts[self._last] += 1
        self._priority.clear()
        self._next = self._watch = 0
        return True

    def pick(self, choice: Choice) -> int:
        if choice.kind is not WORKER:
            return self.uniform(choice)
        if choice.seq >= self._next:
            self._change(choice)
        options = choice.options
        priority = self._priority
        if len(options) == 2:
            a, b = options
            return a if priority[a] > priority[b] else b
        if len(options) == 1:
            return options[0]
        return max(options, key=priority.__getitem__)

    def end(self, steps: int) -> None:
        self._drawn.steps = max(self._drawn.steps, steps)
        self._last = (self.depth, self.length)
        if not self._shortest:
            self.length = max(steps, 1)
        if not self._shortest or steps < self._shortest:
            self._shortest = max(steps, 1)
            self._patience = max(PATIENCE, 4 * steps)
        if steps < self._patience:
            length = self.length
            self.length = steps if steps > length else length - ((length - steps) >> 3)

    def _change(self, choice: Choice) -> None:
        """Draw the priorities at the start of a schedule; lower one of them later."""
        priority = self._priority
        seq = choice.seq
        if not priority:
            # high numbers for the beginning; ``depth - 2 .. 0`` are the lowered ones
            for _ in choice.pending:
                priority.append(self.depth + self.below(_PRIORITIES))
            steps: dict[int, int] = {}
            span = self.length - 1
            for lowered in range(min(self.depth - 1, span)):
                step = 1 + self.below(span)
                while step in steps:
                    step = step % span + 1
                steps[step] = lowered
            self._changes = sorted(steps.items(), reverse=True)
        while self._changes and self._changes[-1][0] <= seq:
            _, lowered = self._changes.pop()
            priority[max(choice.options, key=priority.__getitem__)] = lowered
        if seq >= self._watch:
            if seq:
                runs = max(choice.options, key=priority.__getitem__)
                priority[runs] = min(priority) - 1
            self._watch = seq + self._patience
        self._next = min(self._watch, self._changes[-1][0]) if self._changes else self._watch

    def drawn(self) -> Drawn:
        return self._drawn

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "depth": self.depth}
