"""Every end of a program of real tasks: by dpor, or by every order of its choices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.oracles.every import Every
from tracelock.explore.search import Budget, search
from tracelock.instrument.program import PythonProgram
from tracelock.schedulers.base import Scheduler
from tracelock.session.exploring import Plan
from tracelock.session.python import PythonExploration
from tracelock.session.python_program import default_limits


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


def agree(
    workers: Sequence[Callable[..., Any]],
    setup: Callable[[], Any],
    seen: Callable[[Any], Any],
    **more: Any,
) -> None:
    """dpor finds the ends that every order has, and no other; in no more schedules."""
    everything, tried, complete = outcomes(Every(), workers, setup, seen, **more)
    assert complete
    found, schedules, exhausted = outcomes(None, workers, setup, seen, **more)
    assert exhausted
    assert found == everything
    assert schedules <= tried + 1  # one more where a redundant one was begun
