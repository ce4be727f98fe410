"""Optimal DPOR on real Python code finds every final state that brute force finds, and no other."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.helpers.python_fuzz import Writer
from tests.oracles.every import Every
from tracelock.explore.search import Budget, Searched, search
from tracelock.instrument.naming import ObjectNames, Variable
from tracelock.schedulers.base import Scheduler
from tracelock.schedulers.dpor.scheduler import DporScheduler
from tracelock.schedulers.injecting import InjectingScheduler
from tracelock.session.code import PythonCode
from tracelock.session.plan import Plan, make_scheduler
from tracelock.session.python_host import PythonHost
from tracelock.session.python_schedulers import Restarting
from tracelock.session.targets import target_for

#: More schedules than any of the programs below has.
MOST = 3_000
#: Programs that have more than a few schedules and fewer than MOST, found by trying.
SEEDS: tuple[int, ...] = (
    33,
    102,
    110,
    115,
    124,
    125,
    128,
    132,
    133,
    139,
    150,
    153,
    156,
    163,
    172,
    179,
    180,
    184,
    187,
    188,
    189,
    192,
    195,
    208,
    209,
    213,
    219,
    234,
    243,
    246,
    247,
    267,
    272,
    274,
    297,
    309,
    317,
    323,
    333,
    343,
    344,
    345,
    349,
    359,
    379,
    383,
    385,
    388,
    396,
    418,
)


def written(seed: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Program number ``seed``, written to ``folder`` and imported from there."""
    name = f"program_{seed}"
    (folder / f"{name}.py").write_text(Writer(seed).text())
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module(name)
    monkeypatch.delitem(sys.modules, name)  # so that it is forgotten afterwards
    sys.modules[name] = module
    return module


class Seen:
    """The final states and failures of the schedules of one program."""

    def __init__(self, module: ModuleType, host: PythonHost) -> None:
        self.module = module
        self.host = host

    def run(
        self, make: Callable[[], Scheduler], *, systematic: bool = True, most: int = MOST
    ) -> tuple[set[Any], Searched]:
        """All that happens in the schedules of ``make()``."""
        names = self.host.names
        names.apply_pending()
        before = len(STATES)
        names.deferring = systematic
        scheduler: Any = Restarting(make, names, self.host.program.aim) if systematic else make()
        found = search(self.host.runner, scheduler, Budget(most), every=True)
        names.deferring = False
        assert not self.host.backend.stuck
        ends = {(one.kind, one.message) for one in found.outcomes.values() if one.kind != "passed"}
        assert {kind for kind, _ in ends} <= {"deadlock"}
        return {*STATES[before:], *ends}, found


#: The final states that ``check`` has seen; it alone changes this (all else is put back).
STATES: list[str] = []


def opened(module: ModuleType) -> PythonHost:
    """``module`` as a target on threads, not yet entered."""

    def check(state: Any) -> None:
        STATES.append(repr(module.final(state)))

    target = target_for(code=PythonCode(module.WORKERS, module.setup, check, [module.__name__]))
    host = target.open(Plan("threading", "dpor", every=True).completed(target))
    assert isinstance(host, PythonHost)
    return host


@pytest.mark.parametrize("seed", SEEDS)
def test_same_final_states_as_brute_force(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = written(seed, tmp_path, monkeypatch)
    with opened(module) as host:
        seen = Seen(module, host)
        some, dpor = seen.run(DporScheduler)
        assert dpor.exhaustive
        every, brute = seen.run(Every)
        assert brute.exhaustive
        assert some == every
        assert dpor.schedules <= brute.schedules

        # and none is lost because an access was taken for one of a single worker alone
        def used(names: ObjectNames, variable: Variable, worker: int, kind: int) -> None:
            names.suspect(variable)

        monkeypatch.setattr(ObjectNames, "used", used)
        drawn, _ = seen.run(
            lambda: InjectingScheduler(make_scheduler("random", seed), seed),
            systematic=False, most=40,
        )  # fmt: skip
        assert drawn <= every
