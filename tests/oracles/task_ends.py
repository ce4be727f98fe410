"""Every end of a program of real tasks: by dpor, or by every order of its choices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tests.oracles.every import Every
from tracelock.explore.search import Budget, search
from tracelock.schedulers.base import Scheduler
from tracelock.session.code import PythonCode
from tracelock.session.exploring import Exploration
from tracelock.session.plan import Plan
from tracelock.session.targets import target_for


class Ends(NamedTuple):
    """The ends of a program: ``seen(state)`` of every schedule that ended, its kind and more of the
    others; how many schedules there were, and executions of dpor; whether that was all, and whether
    dpor went by the steps of tasks."""

    ends: set[Any]
    schedules: int
    executions: int
    complete: bool
    by_steps: bool


def ends_of(
    workers: Sequence[Callable[..., Any]],
    setup: Callable[[], Any],
    seen: Callable[[Any], Any],
    scheduler: Scheduler | None = None,
    *,
    backend: str = "asyncio",
    clock: str = "virtual",
    cancellations: int = 0,
    instrument: Sequence[str] = (),
    most: int = 50_000,
    warm: bool = True,
) -> Ends:
    """The ends of a program, by dpor where ``scheduler`` is None. ``warm``: the schedules that an
    exploration begins with are run, by which it is known what of the program can be seen."""
    found: set[Any] = set()

    def check(state: Any) -> None:
        found.add(seen(state))

    code = PythonCode(workers, setup, check, instrument, cancellations=cancellations)
    plan = Plan(
        backend=backend, strategy="dpor", schedules=None, seconds=None, clock=clock, every=True,
        shrink=False,
    )  # fmt: skip
    with Exploration(target_for(code=code), plan) as exploration:
        host: Any = exploration.host
        if warm:
            host.warm_up(True)
        made = _Made(host)
        if scheduler is None:
            result = exploration.schedules("dpor", Budget(most))
        else:
            ours = warm and not scheduler.systematic
            with host.held(), host.backend.searching(scheduler, clock, ours):
                result = search(exploration.runner, scheduler, Budget(most), every=True)
        for outcome in result.outcomes.values():
            if outcome.kind != "passed":
                found.add((outcome.kind, outcome.failure))
        complete = result.schedules < most
        return Ends(found, result.schedules, host.executions, complete, made.by_steps)


class _Made:
    """The schedulers that a host makes from now on."""

    def __init__(self, host: Any) -> None:
        self._schedulers: list[Scheduler] = []
        make = host.scheduler

        def scheduler(*given: Any) -> Scheduler:
            self._schedulers.append(make(*given))
            return self._schedulers[-1]

        host.scheduler = scheduler

    @property
    def by_steps(self) -> bool:
        """Whether the last one went by the steps of tasks to its end."""
        return bool(self._schedulers) and self._schedulers[-1].by_steps


def agree(
    workers: Sequence[Callable[..., Any]],
    setup: Callable[[], Any],
    seen: Callable[[Any], Any],
    **more: Any,
) -> None:
    """dpor finds the ends that every order has, and no other; in no more schedules."""
    every = ends_of(workers, setup, seen, Every(), warm=False, **more)
    assert every.complete
    whole = more.keys() & {"backend", "cancellations"} or more.get("clock", "virtual") != "virtual"
    for warm in (False,) if whole else (False, True):  # then by the steps of the tasks
        found = ends_of(workers, setup, seen, warm=warm, **more)
        assert found.complete
        assert found.ends == every.ends
        assert found.schedules <= every.schedules + 1  # one more where a redundant one was begun
