"""Run, record and replay as a user has them: one scenario on every backend."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tracelock
from tests.helpers.amount import amount
from tests.helpers.cases import CASES, scenario
from tracelock.engine.limits import RunLimits
from tracelock.errors import ImpossibleHere, UnsupportedError, UsageError
from tracelock.scenario.loading import load_scenario, scenario_from_data
from tracelock.session import Session, Settings, replay, run
from tracelock.session.api import explore

EXAMPLES = Path(__file__).resolve().parents[1] / "data" / "examples"
BACKENDS = ("threading", "multiprocessing", "asyncio", "trio")
ALL = (*BACKENDS, "simulated")


@pytest.fixture(autouse=True)
def quick_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def example(name: str) -> Any:
    return load_scenario(EXAMPLES / f"{name}.yaml")


def failing(name: str, backend: str, seeds: int = 60) -> Any:
    """A controlled trace of a run that fails."""
    for seed in range(seeds):
        trace = run(example(name), backend=backend, strategy="random", seed=seed)
        if trace.verdict.kind != "passed":
            return trace
    raise AssertionError(f"{name} never failed on {backend}")


@pytest.mark.parametrize("backend", ALL)
@pytest.mark.parametrize("name", ["lost_update", "bank_transfer", "check_then_act"])
def test_a_failure_found_is_replayed(name: str, backend: str, tmp_path: Path) -> None:
    if name == "lost_update" and backend in ("asyncio", "trio"):
        for seed in range(20):
            trace = run(example(name), backend=backend, strategy="random", seed=seed)
            assert trace.verdict.kind == "passed"
        return
    trace = failing(name, backend)
    path = tmp_path / "trace.json"
    trace.save(path)
    result = replay(tracelock.load_trace(path))
    assert result.reproduced, result
    assert result.diverged is None
    assert result.verdict.state == trace.verdict.state
    assert result.trace.events.digest() == trace.events.digest()


def test_a_lost_update_cannot_happen_on_asyncio() -> None:
    trace = failing("lost_update", "threading")
    result = replay(trace, backend="asyncio")
    assert not result.reproduced
    assert isinstance(result.diverged, ImpossibleHere)
    assert "has not suspended" in result.diverged.why
    assert result.diverged.why.startswith("asyncio: incrementer[")


@pytest.mark.parametrize("start", BACKENDS)
@pytest.mark.parametrize("backend", ALL)
def test_the_deadlock_of_one_backend_on_another(start: str, backend: str) -> None:
    trace = failing("bank_transfer", start)
    result = replay(trace, backend=backend)
    # trio lets others in after an acquire that asyncio has to have asked for (checkpoint)
    assert result.reproduced or isinstance(result.diverged, ImpossibleHere), result
    if backend in ("threading", "multiprocessing"):
        assert result.reproduced, result.diverged


def test_a_trace_that_was_tampered_with_diverges() -> None:
    trace = failing("lost_update", "threading")
    data = trace.to_text().replace('"result": 0', '"result": 5', 1)
    result = replay(tracelock.trace.load_trace_text(data, "tampered"))
    assert result.diverged is not None and result.diverged.seq == 0
    assert "result" in result.diverged.why
    assert result.verdict.kind == "unfinished"


def test_a_trace_that_was_cut_says_so() -> None:
    trace = failing("bank_transfer", "threading")
    events = trace.events.part(0, len(trace.events) - 1)
    trace.events = events
    result = replay(trace)
    assert result.diverged is not None
    assert "the trace ends here and the run does not" in result.diverged.why


def hurried(data: Any) -> Any:
    """A document with its sleeps and timeouts cut to a twentieth: in free runs time is real."""
    if isinstance(data, list):
        return [hurried(item) for item in data]
    if not isinstance(data, dict):
        return data
    return {
        key: value * 0.05
        if key in ("sleep", "timeout") and isinstance(value, (int, float))
        else hurried(value)
        for key, value in data.items()
    }


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", sorted(CASES))
def test_free_runs_are_faithful(name: str, backend: str) -> None:
    made = scenario_from_data(hurried(CASES[name]), name)
    runs = 1 if backend == "multiprocessing" else amount(2, 4)
    try:
        session = Session(made, Settings(backend))
    except UnsupportedError:
        return
    with session:
        for outcome in session.each(runs):
            trace = outcome.trace()
            assert trace.mode == "recorded" and trace.clock == "real"
            result = replay(trace, backend="simulated")
            assert result.reproduced, (result.diverged, result.verdict, trace.verdict)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_real_backend_follows_a_free_run(backend: str) -> None:
    for name in ("check_then_act", "cas_counter", "bounded_buffer"):
        trace = run(example(name), backend=backend)
        result = replay(trace)
        assert result.reproduced, (name, result.diverged)


@pytest.mark.parametrize("backend", ["threading", "asyncio", "trio"])
def test_a_free_deadlock_ends_soon(backend: str) -> None:
    stuck = scenario(
        "stuck",
        {"a": [{"wait": "never"}], "b": [{"acquire": "m"}, {"acquire": "n"}, {"wait": "never"}],
         "c": [{"wait": "never"}]},
        objects={"never": "event", "m": "lock", "n": "semaphore"},
    )  # fmt: skip
    trace = run(scenario_from_data(stuck), backend=backend)
    assert trace.verdict.kind == "deadlock"
    assert {one.worker for one in trace.verdict.blocked} == {"a", "b", "c"}
    assert replay(trace).reproduced


@pytest.mark.parametrize("backend", ["threading", "simulated", "asyncio"])
def test_a_bound_is_unfinished_never_passed(backend: str) -> None:
    spin = scenario(
        "spin",
        {"a": [{"while": "flag == 0", "do": ["checkpoint"]}], "b": ["checkpoint"]},
        shared={"flag": 0},
    )
    limits = RunLimits(steps=200)
    trace = run(scenario_from_data(spin), backend=backend, strategy="random", seed=1, limits=limits)
    assert trace.verdict.kind == "unfinished"
    assert "200 steps" in trace.verdict.message
    assert replay(trace).reproduced


def test_a_worker_stuck_elsewhere_is_named_with_its_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    module = type(sys)("stuck_module")
    module.block = gate.wait  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "stuck_module", module)
    made = scenario_from_data(
        scenario("outside", {"a": [{"call": "stuck_module:block"}], "b": ["checkpoint"]})
    )
    for strategy, seed in ((None, None), ("random", 1)):
        trace = run(
            made, strategy=strategy, seed=seed, allow_call=True, limits=RunLimits(stall=0.6)
        )
        assert trace.verdict.kind == "unfinished"
        assert "a is stuck outside tracelock's control" in trace.verdict.message
        assert "threading.py" in trace.verdict.message
    gate.set()


def test_call_has_to_be_allowed() -> None:
    made = scenario_from_data(
        scenario("calls", {"a": [{"call": "math:sqrt", "args": ["x"], "into": "y"},
                                 {"write": "x", "value": "y"}]}, shared={"x": 16})
    )  # fmt: skip
    with pytest.raises(UnsupportedError, match="allow-call"):
        run(made)
    for backend in ALL:
        for strategy, seed in ((None, None), ("random", 3)):
            if backend == "simulated" and strategy is None:
                continue
            trace = run(made, backend=backend, strategy=strategy, seed=seed, allow_call=True)
            assert trace.verdict.state == {"x": 4.0}, backend
            assert replay(trace, allow_call=True).reproduced


def test_what_a_backend_cannot_do_is_refused_with_its_place() -> None:
    made = load_scenario(EXAMPLES.parents[2] / "scenarios" / "crash_holding_lock.yaml")
    with pytest.raises(UnsupportedError) as refused:
        run(made)
    text = str(refused.value)
    assert "crash_holding_lock.yaml:16:" in text
    assert "can be run on: multiprocessing" in text


def test_usage_errors() -> None:
    made = example("lost_update")
    for wrong in (
        {"backend": "greenlets"},
        {"strategy": "luck"},
        {"seed": 3},
        {"strategy": "random", "clock": "sundial"},
        {"start_method": "fork"},
        {"backend": "multiprocessing", "start_method": "clone"},
    ):
        with pytest.raises(UsageError):
            run(made, **wrong)


def test_the_strategy_stands_in_the_trace_and_gives_the_run_again() -> None:
    first = run(example("bounded_buffer"), strategy="random", seed=11)
    assert first.strategy == {"name": "random", "seed": 11, "schedule": 0}
    second = run(example("bounded_buffer"), strategy="random", seed=11)
    assert first.events == second.events
    assert first.digest() == second.digest()


def test_a_sum_that_is_too_large_is_the_workers_error_everywhere() -> None:
    made = scenario_from_data(
        scenario("large", {"a": [{"fetch_add": "x", "by": 1e308}]}, shared={"x": 1.7e308})
    )
    for backend in BACKENDS:
        for strategy, seed in ((None, None), ("random", 1)):
            trace = run(made, backend=backend, strategy=strategy, seed=seed)
            assert trace.verdict.failure == "error" and trace.verdict.state == {"x": 1.7e308}
            assert "OverflowError" in trace.verdict.message
            assert replay(trace).reproduced


@pytest.mark.parametrize("strategy", [None, "random"])
@pytest.mark.parametrize(
    "backend", ["threading", "multiprocessing", "asyncio", "trio", "simulated"]
)
def test_the_seconds_of_a_run_hold_in_the_middle_of_a_step(
    backend: str, strategy: str | None
) -> None:
    """Ten million rounds without a visible step take seconds."""
    steps = [{"let": {"k": 0}}, {"repeat": 9_000_000, "do": [{"let": {"k": "k * 31 % 1009"}}]},
             {"write": "x", "value": "k"}]  # fmt: skip
    made = scenario_from_data(scenario("rounds", {"w": steps}, shared={"x": 0}))
    if backend == "simulated":
        strategy = "random"
    limits = RunLimits(seconds=0.2)
    trace = run(made, backend=backend, strategy=strategy, limits=limits)
    assert trace.verdict.kind == "unfinished"
    assert "the limit of 0.2 seconds was reached" in trace.verdict.message


@pytest.mark.parametrize("how", [
    {"strategy": "random"}, {"strategy": "dpor"}, {"strategy": "states"},
    {"strategy": "random", "backend": "multiprocessing", "engine": "real"},
])  # fmt: skip
def test_the_seconds_of_a_search_hold_in_the_middle_of_a_step(how: dict[str, Any]) -> None:
    steps = [{"write": "x", "value": 1}, {"while": True, "do": []}]
    made = scenario_from_data(scenario("rounds", {"w": steps, "v": steps}, shared={"x": 0}))
    found = explore(made, seconds=0.3, **how)
    assert (found.verdict, found.stopped) == ("unfinished", "seconds")
    assert found.schedules <= 2  # of which each would take seconds


@pytest.mark.parametrize("seconds", [0.3, 0.5, 0.8])
def test_a_state_that_was_cut_by_either_bound_is_reached_again(seconds: float) -> None:
    """By the number of rounds, or by the clock: in the search and when its outcomes are run."""
    steps = [{"write": "x", "value": 1}, {"while": True, "do": []}]
    made = scenario_from_data(scenario("rounds", {"w": steps, "v": steps}, shared={"x": 0}))
    found = explore(made, seconds=seconds, strategy="states")
    assert found.verdict == "unfinished"


@pytest.mark.parametrize("strategy", ["states", "dpor", "random"])
def test_a_loop_that_a_bound_has_cut_is_never_verified(strategy: str) -> None:
    steps = [{"write": "x", "value": 1}, {"while": True, "do": []}]
    made = scenario_from_data(scenario("rounds", {"w": steps}, shared={"x": 0}))
    found = explore(made, strategy=strategy, schedules=1)
    assert found.verdict == "unfinished"
    assert "rounds of its loops" in found.ways[0].message


def test_what_took_its_time_in_the_search_takes_it_again() -> None:
    long = [
        {"let": {"n": 0}}, {"write": "x", "value": 1},
        {"while": "n < 200000", "do": [{"let": {"n": "n + 1"}}]}, {"write": "x", "value": 2},
    ]  # fmt: skip
    made = scenario_from_data(scenario(
        "long", {"w": long, "v": long}, shared={"x": 0}, **{"finally": ["x == 3"]},
    ))  # fmt: skip
    found = explore(made, seconds=0.05, strategy="states", shrink=False)
    assert found.verdict in ("unfinished", "failed")
