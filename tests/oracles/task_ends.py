"""Every end of a program of real tasks: by dpor, or by every order of its choices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.oracles.every import Every
from tracelock.explore.search import Budget, search
from tracelock.schedulers.base import Scheduler
from tracelock.session.code import PythonCode
from tracelock.session.exploring import Exploration
from tracelock.session.plan import Plan
from tracelock.session.targets import target_for


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

    code = PythonCode(workers, setup, check, instrument, cancellations=cancellations)
    plan = Plan(
        backend=backend, strategy="dpor", schedules=None, seconds=None, clock=clock, every=True,
        shrink=False,
    )  # fmt: skip
    with Exploration(target_for(code=code), plan) as exploration:
        if scheduler is None:
            result = exploration.schedules("dpor", Budget(most))
        else:
            with exploration.host.held():
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
