"""Where a garbage collection or a cancellation comes in: drawn, for strategies that sample."""

from __future__ import annotations

from typing import Final

from tracelock.schedulers.base import INJECT, Choice, Scheduler, Wrapper
from tracelock.schedulers.sampling import Sampler

#: Places that the first schedule is taken to have.
GUESS: Final = 8


class InjectingScheduler(Wrapper):
    """Any sampler, with the choices of where something is injected made here.

    A sampler that says yes or no at every place with even chances would say yes at one of the
    first few. Here the place is drawn uniformly among as many as the schedules so far had, ``most``
    times at most; one schedule in four has none.
    """

    def __init__(self, inner: Scheduler, seed: int, most: int = 2) -> None:
        super().__init__(inner)
        self._most = most
        self._draws = _Draws(seed ^ 0x1F0E)
        self._places = GUESS  # of the longest schedule so far, about
        self._seen = 0
        self._wanted: set[int] = set()

    def begin(self) -> bool:
        self._draws.begin()
        self._wanted = set()
        if self._seen:
            self._places = max(self._seen, self._places - (self._places - self._seen >> 3))
        self._seen = 0
        if self._draws.below(4):
            for _ in range(1 + self._draws.below(self._most)):
                self._wanted.add(self._draws.below(self._places))
        return self.inner.begin()

    def pick(self, choice: Choice) -> int:
        if choice.kind != INJECT:
            return self.inner.pick(choice)
        place = self._seen
        self._seen += 1
        return int(place in self._wanted)


class _Draws(Sampler):
    """The generator of a sampler, for its numbers alone."""
