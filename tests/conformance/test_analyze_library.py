"""``analyze`` on the whole library: no false alarm on what is correct, no miss on what fails.

Traces are made afresh, free ones and controlled ones with several seeds, on every backend; for a
scenario that can fail a search finds a failing one, and the smallest of each lies in ``traces/``.
What is right is what ``expect`` says, which ``test_library`` proves by brute force.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.test_library import CASES, EXPECTED, scenario_in, small_program
from tracelock.analysis.analyze import Analysis, analyze
from tracelock.analysis.findings import ERROR, NOTE, Finding
from tracelock.scenario.language.models import Scenario
from tracelock.session import run
from tracelock.session.api import explore
from tracelock.trace import Trace, load_trace

ROOT = Path(__file__).resolve().parents[2]
TRACES = sorted((ROOT / "traces").glob("*.json"))

#: What the root of a failing trace of each scenario is; of a free run, some error of it.
NAMED = {
    "aba": {"aba"},
    "bounded_semaphore_over_release": {"bad-release"},
    "broken_barrier": {"broken-barrier", "missing-signal"},  # asyncio: nobody breaks it
    "cancelled_lock_holder": {"abandoned-lock"},
    "check_then_act": {"check-then-act"},
    "check_then_act_await": {"check-then-act"},
    "condition_lost_wakeup": {"lost-wakeup"},
    "crash_holding_lock": {"abandoned-lock", "crash"},
    "deadlock_ab_ba": {"deadlock"},
    "double_checked": {"interference", "data-race"},
    "event_pulse": {"lost-wakeup"},
    "failure_inside_with": {"failed-check"},
    "forgotten_notify": {"missing-signal"},
    "lock_fairness": {"unfair-handover"},
    "notify_wrong_waiter": {"lost-wakeup"},
    "peterson_reordered": {"interference", "data-race"},
    "philosophers": {"deadlock"},
    "release_by_another": {"release-by-another"},
    "release_unlocked": {"bad-release"},
    "self_deadlock": {"self-deadlock"},
    "starvation": {"starvation"},
    "unlocked_counter": {"lost-update"},
}


def small(path: Path) -> Scenario:
    """The scenario with its long loops cut short."""
    return small_program(path).scenario


def fresh(scenario: Scenario, backend: str) -> list[Trace]:
    """Traces of one backend, free and controlled."""
    few = backend == "multiprocessing"
    traces = [run(scenario, backend=backend) for _ in range(1 if few else 2)]
    for seed in range(1 if few else 4):
        traces.append(run(scenario, backend=backend, strategy="random", seed=seed))
    if backend == "threading":
        for seed in range(6):
            traces.append(run(scenario, backend="simulated", strategy="random", seed=seed))
            traces.append(run(scenario, backend="simulated", strategy="pct", seed=seed))
    return traces


def check_named(analysis: Analysis, stem: str) -> None:
    errors = {one.kind for one in analysis if one.severity == ERROR}
    root = check_root(analysis)
    assert {*errors, root.kind} & NAMED[stem], (stem, errors, analysis.trace.verdict.message)
    cause = [one for one in analysis if one.kind in NAMED[stem] and one.severity == ERROR]
    assert all(one.events for one in cause), "a cause is proved by its events"


def check_root(analysis: Analysis) -> Finding:
    """The one root of a run that failed, which is told first."""
    assert [one.rank for one in analysis if one.root] == [0]
    return analysis[0]


@pytest.mark.parametrize(("path", "backend"), EXPECTED)
def test_no_false_alarm_and_no_miss(path: Path, backend: str) -> None:
    scenario = scenario_in(path)
    passes = scenario.expect[backend].verdict == "passes"
    for trace in fresh(small(path), backend):
        analysis = analyze(trace)
        if passes:
            loud = [one for one in analysis if one.severity != NOTE]
            assert loud == [], (trace.mode, trace.strategy)
        elif trace.verdict.kind != "passed":
            check_named(analysis, path.stem)


def searched(path: Path, backend: str) -> bool:
    """Whether it fails there, and not by the same rules as on threads."""
    expect = scenario_in(path).expect
    again = backend == "multiprocessing" and "threading" in expect
    return expect[backend].verdict != "passes" and not again


@pytest.mark.parametrize(("path", "backend"), [case for case in EXPECTED if searched(*case.values)])
def test_a_failing_trace_of_a_search_is_named(path: Path, backend: str) -> None:
    found = explore(small(path), backend=backend, schedules=4000, shrink=False, confirm=0)
    assert found.trace is not None
    analysis = analyze(found.trace)
    check_named(analysis, path.stem)
    assert analysis[0].kind in NAMED[path.stem], analysis[0].title


def test_every_scenario_that_can_fail_has_its_name() -> None:
    failing = {
        case.values[0].stem
        for case in CASES
        if any(one.verdict != "passes" for one in scenario_in(case.values[0]).expect.values())
    }
    assert failing == set(NAMED)
    assert {path.stem for path in TRACES} == failing


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_the_smallest_failing_trace_is_named(path: Path) -> None:
    analysis = analyze(load_trace(path))
    check_named(analysis, path.stem)
    assert analysis[0].kind in NAMED[path.stem], analysis[0].title
