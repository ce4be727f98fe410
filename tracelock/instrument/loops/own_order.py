"""The order of the loop itself: first come, first served."""

from __future__ import annotations

from random import Random
from typing import Any

from tracelock.schedulers.base import INJECT, LAST, WORKER, Choice, Run, Scheduler


class OwnOrder(Scheduler):
    """Whatever is first in the line of a loop goes on; threads when they can, and go on then.

    ``once``: for one schedule. Timers fire when they must. ``inject``: at which of the places for
    a cancellation there is one, -1: at none; ``places`` counts them.
    """

    sized = False

    def __init__(self, once: bool = False, inject: int = -1) -> None:
        self.once = once
        self.inject = inject
        self.places = 0
        self._done = False
        self._run: Run

    def attach(self, run: Run) -> None:
        self._run = run

    def begin(self) -> bool:
        done, self._done = self._done, self.once
        return not done

    def pick(self, choice: Choice) -> int:
        options = choice.options
        if choice.kind == INJECT and choice.about >= 0:
            self.places += 1
            return int(self.places - 1 == self.inject)
        if choice.kind != WORKER or len(options) == 1:
            return options[0]
        loops = self._run.loops
        best, rank = options[0], LAST + 2
        for worker in options:
            gate = loops.get(worker)
            if gate is None:
                if worker == choice.current:
                    return worker
                place = LAST
            elif gate.inside >= 0:
                place = LAST if choice.current != worker else -1
            else:
                place = gate.ready[worker]
                if place < 0:
                    place = LAST + 1  # timers: when nothing else is to be done
            if place < rank:
                best, rank = worker, place
        return best

    def describe(self) -> dict[str, Any]:
        return {"name": "own-order"}


class Batches(OwnOrder):
    """The order of a loop that lets all go on that can, shuffled, and then looks again."""

    def __init__(self, seed: int, inject: int = -1) -> None:
        super().__init__(True, inject)
        self._random = Random(seed)
        self._batch: list[int] = []

    def begin(self) -> bool:
        self._batch = []
        return super().begin()

    def pick(self, choice: Choice) -> int:
        loops = self._run.loops
        tasks = [worker for worker in choice.options if worker in loops]
        if choice.kind != WORKER or len(choice.options) == 1 or len(tasks) < len(choice.options):
            return super().pick(choice)
        while True:
            while self._batch:
                worker = self._batch.pop()
                if worker in tasks:
                    return worker
            self._batch = sorted(tasks)
            self._random.shuffle(self._batch)
