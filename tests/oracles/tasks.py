"""Brute force for programs of tasks: every pick of every choice, one real run after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tracelock.explore.search import Budget, search
from tracelock.instrument.program import PythonProgram
from tracelock.schedulers.base import Choice, Scheduler
from tracelock.session.exploring import Plan
from tracelock.session.python import PythonExploration
from tracelock.session.python_program import default_limits


class Everything(Scheduler):
    """Depth first through all picks."""

    def __init__(self) -> None:
        self.path: list[tuple[int, int]] = []  # place among the options, how many there are
        self._at = 0
        self._begun = False

    def begin(self) -> bool:
        if self._begun:
            while self.path and self.path[-1][0] + 1 == self.path[-1][1]:
                self.path.pop()
            if not self.path:
                return False
            place, count = self.path.pop()
            self.path.append((place + 1, count))
        self._begun = True
        self._at = 0
        return True

    def pick(self, choice: Choice) -> int:
        if len(choice.options) == 1:
            return choice.options[0]
        if self._at == len(self.path):
            self.path.append((0, len(choice.options)))
        place, count = self.path[self._at]
        assert count == len(choice.options), "the program does not do the same again"
        self._at += 1
        return choice.options[place]

    def describe(self) -> dict[str, Any]:
        return {"name": "everything"}


def outcomes(
    scheduler: Scheduler | None,
    workers: Sequence[Callable[..., Any]],
    setup: Callable[[], Any],
    seen: Callable[[Any], Any],
    *,
    backend: str = "asyncio",
    clock: str = "virtual",
    cancellations: int = 0,
    instrument: Sequence[str] = (),
    most: int = 50_000,
) -> tuple[set[Any], int, bool]:
    """The ends of a program: ``seen(state)`` of every schedule that ended, ``"deadlock"`` and so
    on of the others; how many schedules there were; whether that was all. By dpor where
    ``scheduler`` is None."""
    found: set[Any] = set()

    def check(state: Any) -> None:
        found.add(seen(state))

    program = PythonProgram(
        list(workers), setup, check, list(instrument), cancellations=cancellations
    )
    plan = Plan(
        backend=backend, strategy="dpor", schedules=None, seconds=None, clock=clock, every=True,
        limits=default_limits(), shrink=False,
    )  # fmt: skip
    with PythonExploration(program, plan) as exploration:
        if scheduler is None:
            result = exploration._schedules("dpor", Budget(most), None)
        else:
            exploration.names.held = True
            result = search(exploration.runner, scheduler, Budget(most), every=True)
        for outcome in result.outcomes.values():
            if outcome.kind != "passed":
                found.add((outcome.kind, outcome.failure))
        return found, result.schedules, result.schedules < most


__all__ = ["Everything", "outcomes"]
