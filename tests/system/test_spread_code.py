"""A search of real code that others share is the search: whoever runs its parts, in any order."""

from __future__ import annotations

import json
import pickle
import random
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, wait
from math import comb
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import spread_programs as programs
from tests.helpers.amount import amount
from tracelock.errors import UsageError
from tracelock.explore.spread import coordinator, sources
from tracelock.session.api import explore
from tracelock.session.elsewhere import running, spreading
from tracelock.session.explored import Explored
from tracelock.session.plan import Spreading


class Asked(Future[Any]):
    """Runs its part when it is asked for."""

    run: Callable[[], None]

    def result(self, timeout: float | None = None) -> Any:
        if not self.done():
            self.run()
        return super().result(timeout)


class Late(Executor):
    """Runs parts in this process, one by one in any order, when somebody waits for one."""

    def __init__(self, seed: int = 0) -> None:
        self.ran = 0
        self._rng = random.Random(seed)
        self.waiting: list[Asked] = []

    def submit(self, fn: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        future = Asked()
        travels = pickle.dumps(given)

        def run() -> None:
            self.waiting.remove(future)
            if future.set_running_or_notify_cancel():
                self.ran += 1
                try:
                    future.set_result(pickle.loads(pickle.dumps(fn(*pickle.loads(travels)))))
                except Exception as error:
                    future.set_exception(error)

        future.run = run
        self.waiting.append(future)
        return future

    def run_one(self) -> None:
        self._rng.choice(self.waiting).run()


RIGHT = {
    "setup": programs.account, "workers": [programs.deposit] * 2, "check": programs.all_there,
}  # fmt: skip
WRONG = {
    "setup": programs.account, "workers": [programs.charge] * 3, "check": programs.charged,
}  # fmt: skip
LEARNS = {"setup": programs.account, "workers": [programs.late] * 3}
TASKS = {"setup": programs.account, "workers": [programs.step] * 2, "check": programs.stepped}


def ends(explored: Explored) -> list[tuple[str, int]]:
    return sorted((way.kind, way.count) for way in explored.ways)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreading, "CHUNK", 16)
    monkeypatch.setattr(coordinator, "wait", _wait)
    for name in ("SLICE", "FIRST_SLICE", "LONGEST_SLICE"):
        monkeypatch.setattr(sources, name, 0.002)
    # as in processes that are there for that: opening a program anew for each part takes its time
    monkeypatch.setattr(spreading, "CodeJob", lambda *given: running.CodeJob(*given[:3], True))


def _wait(flying: Any, timeout: float, return_when: str) -> Any:
    for executor in _running:
        while not any(future.done() for future in flying) and executor.waiting:
            executor.run_one()
    return wait(flying, timeout, return_when)


_running: list[Late] = []


def spread(executor: Late, **given: Any) -> Explored:
    _running[:] = [executor]
    try:
        return explore(**given, spreading=Spreading(executor=executor, width=3))
    finally:
        _running.clear()


@pytest.mark.parametrize("program", [RIGHT, WRONG, LEARNS, TASKS])
@pytest.mark.parametrize("strategy", ["random", "pos"])
def test_it_comes_to_the_sequential_search(program: dict[str, Any], strategy: str) -> None:
    how = {"strategy": strategy, "schedules": 100, "seed": 11, "every": True, "shrink": False}
    alone = explore(**program, **how, confirm=1)
    executor = Late(3)
    shared = spread(executor, **program, **how, confirm=1)
    assert executor.ran >= 100 // 16
    assert (shared.verdict, shared.schedules) == (alone.verdict, alone.schedules)
    assert ends(shared) == ends(alone)
    assert shared.confirmed == alone.confirmed
    assert shared.account is not None and alone.account is not None
    assert shared.account.variables.keys() == alone.account.variables.keys()
    assert shared.account.unseen.keys() == alone.account.unseen.keys()


def test_the_first_failure_is_that_of_the_sequential_search() -> None:
    how = {"strategy": "random", "seed": 2, "shrink": False}
    alone = explore(**WRONG, **how)
    for seed in range(amount(1, 3)):
        shared = spread(Late(seed), **WRONG, **how)
        assert shared.schedules == alone.schedules
        assert shared.trace is not None and alone.trace is not None
        assert shared.trace.events == alone.trace.events


@pytest.mark.parametrize("strategy", ["auto", "pct", "surw"])
def test_samplers_that_learn_do_not_depend_on_who_runs_them(strategy: str) -> None:
    how = {"strategy": strategy, "seed": 4, "every": True, "shrink": False, "confirm": 0}
    if strategy == "auto":
        how["schedules"] = 160
    found = [spread(Late(seed), **WRONG, **{"schedules": 64, **how}) for seed in range(2)]
    assert ends(found[0]) == ends(found[1])
    assert found[0].verdict == "failed"


def test_cancellations_are_drawn_in_each_part() -> None:
    how = {"strategy": "random", "seed": 4, "cancellations": 1, "schedules": 64, "every": True}
    found = [spread(Late(seed), **TASKS, **how, shrink=False, confirm=0) for seed in range(2)]
    assert ends(found[0]) == ends(found[1])


# --- systematic searches ---------------------------------------------------------------------
SYSTEMATIC = [
    RIGHT,
    {**WRONG, "workers": [programs.charge] * 2},
    {**LEARNS, "workers": [programs.late] * 2},
]


@pytest.mark.parametrize("program", SYSTEMATIC)
@pytest.mark.parametrize("strategy", ["dpor", "preemption"])
def test_systematic_searches_come_to_the_sequential_one(
    program: dict[str, Any], strategy: str
) -> None:
    most = 4_000 if strategy == "dpor" else 150
    how = {"strategy": strategy, "schedules": most, "every": True, "shrink": False, "confirm": 0}
    alone = explore(**program, **how)
    for seed in range(amount(1, 2)):
        executor = Late(seed)
        shared = spread(executor, **program, **how)
        assert shared.verdict == alone.verdict
        assert shared.executions == alone.executions
        assert [kind for kind, _ in ends(shared)] == [kind for kind, _ in ends(alone)]
        if strategy == "dpor":
            assert executor.ran > 1


def test_schedules_in_forked_processes_are_all_run() -> None:
    how = {"strategy": "dpor", "every": True, "shrink": False, "isolation": "always"}
    for make in (lambda: spread(Late(), **RIGHT, **how),
                 lambda: explore(**RIGHT, **how, spreading=Spreading(jobs=2))):  # fmt: skip
        shared = make()
        assert (shared.verdict, shared.executions) == ("verified", comb(4, 2))


def test_of_a_program_that_depends_on_more_nothing_is_verified() -> None:
    how = {"strategy": "dpor", "every": True, "shrink": False, "confirm": 0, "schedules": 500}
    for seed in range(amount(1, 4)):
        shared = spread(Late(seed), setup=programs.account, workers=[programs.differs] * 2, **how)
        assert shared.verdict == "unfinished"
        assert any("not deterministic" in note for note in shared.notes)


def test_objects_that_only_some_parts_meet_are_the_same_to_all() -> None:
    program = {"setup": programs.account, "workers": [programs.own_lock] * 2}
    how = {"strategy": "dpor", "schedules": 4_000, "every": True, "shrink": False, "confirm": 0}
    alone = explore(**program, **how)
    for seed in range(amount(1, 3)):
        shared = spread(Late(seed), **program, **how)
        assert (shared.verdict, shared.executions) == (alone.verdict, alone.executions)


def test_dpor_of_tasks_says_that_it_is_not_shared() -> None:
    shared = spread(Late(), setup=programs.account, workers=[programs.polite] * 2, strategy="dpor")
    assert shared.verdict == "verified"
    assert any("dpor searched in this process alone" in note for note in shared.notes)


# --- processes -------------------------------------------------------------------------------
def test_processes_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreading, "ALONE", 0.0)
    how = {"strategy": "random", "schedules": 64, "seed": 11, "every": True, "shrink": False}
    alone = explore(**WRONG, **how, confirm=1)
    shared = explore(**WRONG, **how, confirm=1, spreading=Spreading(jobs=2))
    assert (ends(shared), shared.confirmed) == (ends(alone), alone.confirmed)
    assert not active_children()


def test_a_part_of_a_process_that_died_is_run_again() -> None:
    class Dies(Late):
        died = 0

        def submit(self, fn: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
            if not self.died:
                self.died = 1
                raise BrokenExecutor
            return super().submit(fn, *given, **named)

    how = {"strategy": "random", "schedules": 48, "seed": 11, "every": True, "shrink": False}
    alone = explore(**WRONG, **how, confirm=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coordinator, "given_up", lambda: None)
        executor = Dies()
        shared = spread(executor, **WRONG, **how, confirm=0)
    assert executor.died and ends(shared) == ends(alone)


def test_a_dask_cluster_shares_it() -> None:
    distributed = pytest.importorskip("distributed")
    how = {"strategy": "random", "schedules": 64, "seed": 11, "every": True, "shrink": False}
    alone = explore(**WRONG, **how, confirm=1)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        dask = Spreading(dask=cluster.scheduler_address)
        shared = explore(**WRONG, **how, confirm=1, spreading=dask)
        proved = explore(**RIGHT, strategy="dpor", spreading=dask)
    assert (ends(shared), shared.confirmed) == (ends(alone), alone.confirmed)
    assert (proved.verdict, proved.executions) == ("verified", comb(4, 2))


# --- kept in a file --------------------------------------------------------------------------
@pytest.mark.parametrize("strategy", ["random", "pct"])
def test_what_is_kept_is_gone_on_with(strategy: str, tmp_path: Path) -> None:
    path = str(tmp_path / "search.json")
    how = {"strategy": strategy, "seed": 11, "every": True, "shrink": False, "confirm": 0}
    kept = Spreading(checkpoint=path)
    whole = explore(**WRONG, **how, schedules=70, spreading=Spreading(checkpoint=path + "x"))
    for schedules in (24, 45, 70):
        found = explore(**WRONG, **how, schedules=schedules, spreading=kept)
    assert ends(found) == ends(whole)
    assert found.verdict == "failed" and found.trace is not None
    if strategy == "random":
        assert ends(found) == ends(explore(**WRONG, **how, schedules=70))


def test_a_kept_search_is_shared_later(tmp_path: Path) -> None:
    path = str(tmp_path / "search.json")
    how = {"strategy": "random", "seed": 11, "every": True, "shrink": False, "confirm": 0}
    explore(**WRONG, **how, schedules=30, spreading=Spreading(checkpoint=path))
    _running[:] = [Late(1)]
    shared = Spreading(executor=_running[0], width=3, checkpoint=path)
    found = explore(**WRONG, **how, schedules=80, spreading=shared)
    _running.clear()
    assert ends(found) == ends(explore(**WRONG, **how, schedules=80))


def test_a_file_of_another_program_or_with_other_content(tmp_path: Path) -> None:
    path = tmp_path / "search.json"
    how = {"strategy": "random", "schedules": 10, "spreading": Spreading(checkpoint=str(path))}
    explore(**RIGHT, **how)
    with pytest.raises(UsageError, match="it is of another scenario"):
        explore(**WRONG, **how)
    with pytest.raises(UsageError, match="its strategy is random, not pct"):
        explore(**RIGHT, **{**how, "strategy": "pct"})
    data = json.loads(path.read_text())
    del data["digest"]
    data["stages"]["random"]["known"] = ["nothing"]
    path.write_text(json.dumps(data))
    with pytest.raises(UsageError, match="damaged"):
        explore(**RIGHT, **how)


def test_a_kept_tree_is_shared_later(tmp_path: Path) -> None:
    path = str(tmp_path / "search.json")
    how = {"strategy": "dpor", "every": True, "shrink": False, "confirm": 0, "schedules": 4_000}
    program = SYSTEMATIC[1]
    alone = explore(**program, **how)
    explore(**program, **{**how, "schedules": 20}, spreading=Spreading(checkpoint=path))
    for schedules in (45, 4_000):
        _running[:] = [Late(1)]
        shared = Spreading(executor=_running[0], width=3, checkpoint=path)
        found = explore(**program, **{**how, "schedules": schedules}, spreading=shared)
        assert _running[0].ran > 1
    _running.clear()
    assert (found.verdict, found.executions) == (alone.verdict, alone.executions)
    assert ends(found) == ends(alone)


# --- what is refused -------------------------------------------------------------------------
def test_functions_without_a_name_are_refused() -> None:
    with pytest.raises(UsageError, match=r"a lambda of .* cannot be imported by name"):
        explore(workers=[lambda: None] * 2, spreading=Spreading(jobs=2))

    def local() -> None:
        return

    with pytest.raises(UsageError, match=r"local of .* Put setup, workers and check into a module"):
        explore(workers=[local] * 2, spreading=Spreading(jobs=2))


def test_functions_of_a_script_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs.goes_on, "__module__", "__main__")
    with pytest.raises(UsageError, match="goes_on of a script that was run"):
        explore(setup=programs.account, workers=[programs.goes_on] * 2, spreading=Spreading(jobs=2))
