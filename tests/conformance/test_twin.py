"""The passing twin: the nearest schedule that passes, and the one sentence about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conformance.test_library import FILES, scenario_in, small_program
from tests.helpers.support import random_run
from tracelock.errors import UsageError
from tracelock.explore.running import Executed, Runner
from tracelock.explore.shrink.best import Effort
from tracelock.explore.shrink.schedule import shrink
from tracelock.explore.shrink.twin import NoTwin, Twin, passing_twin
from tracelock.scenario.loading import scenario_from_data
from tracelock.scenario.program import Program
from tracelock.session import rules_of

FAILING = [
    pytest.param(path, backend, id=f"{path.stem}-{backend}")
    for path in FILES
    for backend, expected in scenario_in(path).expect.items()
    if expected.verdict != "passes"
]
#: Files in which every schedule fails: there is nothing to compare with.
ALWAYS = {
    "bounded_semaphore_over_release", "broken_barrier", "cancelled_lock_holder",
    "crash_holding_lock", "failure_inside_with", "release_by_another", "release_unlocked",
    "self_deadlock",
}  # fmt: skip
#: What is said of some, on threads.
SAID = {
    "unlocked_counter": "If incrementer[0] goes on to write counter before incrementer[1] reads "
    "counter, it passes.",
    "deadlock_ab_ba": "If transfer[0] goes on to acquire account[1] before transfer[1] acquires "
    "account[1], it passes.",
    "check_then_act": "If buyer[0] goes on to write free before buyer[1] reads free, it passes.",
    "event_pulse": "If listener waits at pulse before sender sets pulse, it passes.",
}


def runner_for(data: dict[str, Any], backend: str = "threading", clock: str = "virtual") -> Runner:
    return Runner(Program(scenario_from_data(data)), rules_of(backend), clock=clock)


def smallest(runner: Runner, seed: int = 1) -> Executed:
    for schedule in range(10_000):
        executed = random_run(runner, seed, schedule)
        if executed.verdict.kind not in ("passed", "unfinished"):
            return shrink(runner, executed, effort=Effort(seconds=None)).executed
    raise AssertionError("nothing fails")


@pytest.mark.parametrize(("path", "backend"), FAILING)
def test_twins_of_the_library(path: Path, backend: str) -> None:
    runner = Runner(small_program(path), rules_of(backend))
    failing = smallest(runner)
    twin = passing_twin(runner, failing)
    if path.stem in ALWAYS:
        assert isinstance(twin, NoTwin) and twin.proved
        return
    assert isinstance(twin, Twin)
    again = runner.execute(twin.passing.picks)
    assert again is not None and again.verdict.kind == "passed"
    mine, theirs = failing.log[: twin.switch], twin.passing.log[: twin.switch]
    assert [(e[0], e[1], e[2].at) for e in mine] == [(e[0], e[1], e[2].at) for e in theirs]
    parted = failing.log[twin.switch], twin.passing.log[twin.switch]
    assert twin.instead == (parted[0][0], parted[1][0])
    assert twin.instead[0] != twin.instead[1]
    assert twin.passing.switches <= failing.switches, "a switch is taken back, none put in"
    names = [runner.program.layout.workers[worker].name for worker in reversed(twin.instead)]
    assert twin.explanation.startswith(f"If {names[0]} ")
    assert f" before {names[1]} " in twin.explanation
    assert twin.explanation.endswith(", it passes.")
    if backend == "threading" and path.stem in SAID:
        assert twin.explanation == SAID[path.stem]
    same = passing_twin(runner, failing)
    assert isinstance(same, Twin)
    assert (same.passing.picks, same.explanation) == (twin.passing.picks, twin.explanation)


def test_it_is_the_latest_switch_that_is_taken_back() -> None:
    path = next(path for path in FILES if path.stem == "peterson_reordered")
    runner = Runner(small_program(path), rules_of("threading"))
    failing = smallest(runner)
    assert failing.switches == 2
    twin = passing_twin(runner, failing)
    assert isinstance(twin, Twin)
    assert twin.passing.switches == 1, "the first of the two is still there"


def test_a_timer_that_fires_is_a_choice() -> None:
    data = {
        "format": "tracelock-scenario/1", "name": "early", "objects": {"m": "lock"},
        "workers": {"only": {"steps": [
            {"acquire": "m", "timeout": 5, "into": "got"}, {"assert": "got"},
        ]}},
    }  # fmt: skip
    runner = runner_for(data, clock="adversarial")
    failing = smallest(runner)
    twin = passing_twin(runner, failing)
    assert isinstance(twin, Twin)
    assert (twin.switch, twin.instead) == (0, (0, 0))
    assert twin.explanation == "If only acquires m and does not run out of time there, it passes."


def test_who_wakes_is_a_choice() -> None:
    data = {
        "format": "tracelock-scenario/1", "name": "whom", "shared": {"sleeping": 0},
        "objects": {"c": "condition"},
        "workers": {
            "good": {"steps": [{"with": "c", "do": [
                {"write": "sleeping", "value": "sleeping + 1"}, {"wait": "c"}, {"notify": "c"},
            ]}]},
            "bad": {"steps": [{"with": "c", "do": [
                {"write": "sleeping", "value": "sleeping + 1"}, {"wait": "c"},
            ]}]},
            "waker": {"steps": [{"sleep": 1}, {"with": "c", "do": [{"notify": "c"}]}]},
        },
    }  # fmt: skip
    runner = runner_for(data, "multiprocessing")
    # good first in line, yet bad is woken, who wakes nobody
    failing = None
    for schedule in range(200):
        executed = random_run(runner, 2, schedule)
        if executed.verdict.kind == "deadlock" and executed.log[0][0] == 0:
            failing = executed
            break
    assert failing is not None
    twin = passing_twin(runner, failing)
    assert isinstance(twin, Twin)
    assert twin.explanation == "If waker wakes good and not bad, it passes."


def test_where_no_single_change_passes_a_search_does() -> None:
    # three switches of a stubborn puzzle have to be right at once
    data = {
        "format": "tracelock-scenario/1", "name": "puzzle", "shared": {"s": 0},
        "workers": {
            "a": {"steps": [
                {"compare_exchange": "s", "expect": 0, "value": 1, "into": "k"},
                {"compare_exchange": "s", "expect": 2, "value": 3, "into": "k"},
            ]},
            "b": {"steps": [
                {"compare_exchange": "s", "expect": 1, "value": 2, "into": "k"},
                {"compare_exchange": "s", "expect": 3, "value": 4, "into": "k"},
            ]},
        },
        "finally": ["s == 4"],
    }  # fmt: skip
    runner = runner_for(data)
    failing = runner.execute([1, 1, 0, 0])
    assert failing is not None and failing.verdict.kind == "failed"
    twin = passing_twin(runner, failing)
    assert isinstance(twin, Twin)
    assert [entry[0] for entry in twin.passing.log] == [0, 1, 0, 1]
    assert twin.switch == 0
    none = passing_twin(runner, failing, states=1)
    assert isinstance(none, NoTwin) and not none.proved


def test_when_the_time_is_up_nothing_is_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a schedule of thousands of events the plans alone take seconds."""
    runner = Runner(small_program(FILES[0]), rules_of("threading"))
    failing = smallest(runner)
    planned: list[int] = []

    def others(own: Any, place: int) -> tuple[Any, ...]:
        planned.append(place)
        return ()

    monkeypatch.setitem(passing_twin.__globals__, "_others", others)
    passing_twin(runner, failing, seconds=60, states=1)
    assert planned
    planned.clear()
    passing_twin(runner, failing, seconds=0)
    assert not planned


def test_a_schedule_of_another_program() -> None:
    runner = Runner(small_program(FILES[0]), rules_of("threading"))
    with pytest.raises(UsageError, match="picks"):
        passing_twin(runner, Executed([9], [], smallest_verdict(runner), 0))


def smallest_verdict(runner: Runner) -> Any:
    return smallest(runner).verdict
