"""The orders that loops have of themselves: first come, first served, or shuffled batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final

from tracelock.schedulers.base import INJECT, LAST, OPTION, WORKER, Choice, Run, Scheduler


class OwnOrder(Scheduler):
    """Whatever is first in the line of a loop goes on; threads when they can, and go on then.

    ``once``: for one schedule. ``values``: of each worker the numbers of the values that it gets.
    Timers fire when they must. ``inject``: at which of the places for
    a cancellation there is one, -1: at none; ``places`` counts them. ``threads``: whether a thread
    could have gone on where another was picked, which no loop has an order for.
    """

    sized = False

    def __init__(self, once: bool = False, inject: int = -1) -> None:
        self.once = once
        self.inject = inject
        self.places = 0
        self.values: dict[int, list[int]] = {}
        self.threads = False
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
        if choice.kind == OPTION:
            return self._value(choice)
        if choice.kind != WORKER or len(options) == 1:
            return options[0]
        loops = self._run.loops
        best, rank = options[0], LAST + 2
        for worker in options:
            gate = loops.get(worker)
            if gate is None:
                self.threads = True
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

    def _value(self, choice: Choice) -> int:
        left = self.values.get(choice.worker)
        number = left.pop(0) if left else choice.options[0]
        return number if number in choice.options else choice.options[0]

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


#: The orders of asyncio's loops, and of trio's, as they are called.
FIRST_COME: Final = "the loop's own order (first come, first served)"
SHUFFLED: Final = "trio's own order (batches of all that can go on, shuffled)"
#: How many schedules of one such order are tried at most, with a cancellation at each place.
_TRIES: Final = 200


def _first_come(cancellations: int) -> Iterator[OwnOrder]:
    first = OwnOrder(once=True)
    yield first
    for place in range(min(first.places, _TRIES) if cancellations else 0):
        yield OwnOrder(once=True, inject=place)


def _shuffled(cancellations: int) -> Iterator[OwnOrder]:
    for seed in range(_TRIES // 4):
        first = Batches(seed)
        yield first
        for place in range(min(first.places, 8) if cancellations else 0):
            yield Batches(seed, place)


_ORDERS: Final[dict[str, Callable[[int], Iterator[OwnOrder]]]] = {
    FIRST_COME: _first_come, SHUFFLED: _shuffled,
}  # fmt: skip


def own_orders(name: str, cancellations: int) -> Iterator[OwnOrder]:
    """Schedules in the order of this name, with one cancellation or none."""
    return _ORDERS[name](cancellations)
