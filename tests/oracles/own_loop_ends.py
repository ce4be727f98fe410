"""Every end of a program of real code: by dpor, then by every order of its choices, or by many at
random, in one exploration, so that all have learnt the same of what is shared."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from tests.oracles.every import Every
from tracelock.explore.search import Budget, Searched, search
from tracelock.schedulers.base import Scheduler
from tracelock.session.code import PythonCode
from tracelock.session.exploring import Exploration
from tracelock.session.plan import Plan
from tracelock.session.targets import target_for


class Ends:
    """The ends of the schedules of one program. A context manager."""

    def __init__(self, module: ModuleType, cancellations: int = 0) -> None:
        self.states: set[Any] = set()

        def check(state: Any) -> None:
            self.states.add(repr(module.final(state)))

        code = PythonCode(
            module.WORKERS, module.setup, check, [module.__name__], cancellations=cancellations
        )
        plan = Plan(
            "threading", "dpor", schedules=None, seconds=None, every=True, shrink=False,
            isolation="never",
        )  # fmt: skip
        self.exploration = Exploration(target_for(code=code), plan)

    def __enter__(self) -> Ends:
        self.exploration.__enter__()
        self.exploration.host.warm_up(True)
        return self

    def __exit__(self, *exc: Any) -> None:
        self.exploration.__exit__(*exc)

    def _ends(self, found: Searched) -> set[Any]:
        ends = {(one.kind, one.failure) for one in found.outcomes.values() if one.kind != "passed"}
        assert "unfinished" not in {kind for kind, _ in ends}, found.outcomes
        return {*self.states, *ends}

    def by_dpor(self, most: int, seconds: float | None = 20) -> tuple[set[Any], Searched]:
        self.states.clear()
        found = self.exploration.schedules("dpor", Budget(most, seconds))
        return self._ends(found), found

    def by_every(self, most: int) -> tuple[set[Any], Searched]:
        self.states.clear()
        return self._search(Every(), most)

    def by_random(self, seed: int, most: int) -> tuple[set[Any], Searched]:
        self.states.clear()
        host = self.exploration.host
        return self._search(host.injecting(host.scheduler("random", seed, None), seed), most)

    def _search(self, scheduler: Scheduler, most: int) -> tuple[set[Any], Searched]:
        with self.exploration.host.held():
            found = search(self.exploration.runner, scheduler, Budget(most), every=True)
        return self._ends(found), found
