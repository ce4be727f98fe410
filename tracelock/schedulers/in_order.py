"""Schedules without preemption: what real code is run with first, and what no search is of."""

from __future__ import annotations

from typing import Any

from tracelock.ops import CHECKPOINT, SLEEP
from tracelock.schedulers.base import WORKER, Choice, Scheduler


class InOrder(Scheduler):
    """The worker that runs goes on; else the first, or the last, that can. For one schedule."""

    sized = False

    def __init__(self, backwards: bool) -> None:
        self.backwards = backwards
        self._done = False

    def begin(self) -> bool:
        done, self._done = self._done, True
        return not done

    def pick(self, choice: Choice) -> int:
        if choice.kind != WORKER:
            return choice.options[0]
        options = choice.options
        pending = choice.pending
        busy = [w for w in options if pending[w].kind != SLEEP] or options  # type: ignore
        if choice.current in busy:
            if pending[choice.current].kind != CHECKPOINT:  # type: ignore[union-attr]
                return choice.current
            # a task that may go on at once: one that spins should let others on
            others = [w for w in busy if w > choice.current] or busy
            return others[0]
        return busy[-1 if self.backwards else 0]

    def describe(self) -> dict[str, Any]:
        return {"name": "in-order"}


class RunToCompletion(Scheduler):
    """The current worker goes on while it can, then the first that can: for user code in which
    no order is to be explored."""

    def pick(self, choice: Choice) -> int:
        if choice.kind == WORKER and choice.current in choice.options:
            return choice.current
        return choice.options[0]

    def describe(self) -> dict[str, Any]:
        return {"name": "first"}
