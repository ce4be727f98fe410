"""The simplest search there is: every sequence of choices, one schedule after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracelock.schedulers.base import Choice, Scheduler


class Every(Scheduler):
    """Depth first, no reduction of any kind: the last choice that has an option left changes."""

    systematic = True

    def __init__(self) -> None:
        self.path: list[tuple[Sequence[int], int]] = []  # the options, and which was picked
        self.depth = 0
        self.executions = 0

    def begin(self) -> bool:
        if self.executions:
            while self.path and self.path[-1][1] + 1 == len(self.path[-1][0]):
                self.path.pop()
            if not self.path:
                self.finished = True
                return False
            options, place = self.path[-1]
            self.path[-1] = (options, place + 1)
        self.executions += 1
        self.depth = 0
        return True

    def pick(self, choice: Choice) -> int:
        if self.depth == len(self.path):
            self.path.append((tuple(choice.options), 0))
        options, place = self.path[self.depth]
        assert options == tuple(choice.options), "a run repeated did not repeat itself"
        self.depth += 1
        return options[place]

    def describe(self) -> dict[str, Any]:
        return {"name": "every"}
