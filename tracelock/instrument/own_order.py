"""The order of the loop itself: first come, first served."""

from __future__ import annotations

from typing import Any

from tracelock.engine.open import LAST
from tracelock.schedulers.base import WORKER, Choice, Run, Scheduler


class OwnOrder(Scheduler):
    """Whatever is first in the line of a loop goes on; threads when they can, and go on then.

    ``once``: for one schedule. Nothing is injected, and timers fire when they must.
    """

    def __init__(self, once: bool = False) -> None:
        self.once = once
        self._done = False
        self._run: Any = None

    def attach(self, run: Run) -> None:
        self._run = run

    def begin(self) -> bool:
        done, self._done = self._done, self.once
        return not done

    def pick(self, choice: Choice) -> int:
        options = choice.options
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
