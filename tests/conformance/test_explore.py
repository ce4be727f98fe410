"""``explore`` from end to end: what it finds, what it proves, and what it never claims."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.test_library import EXPECTED
from tests.helpers.cases import scenario
from tests.make_traces import BACKENDS
from tracelock.cli.main import main
from tracelock.errors import UsageError
from tracelock.scenario.loading import load_scenario, scenario_from_data
from tracelock.schedulers.strategies import explore_names
from tracelock.session import replay
from tracelock.session.after_fix import check_fix
from tracelock.session.api import explore
from tracelock.session.explored import SearchFailed
from tracelock.session.shrinking import predict, shrink
from tracelock.trace import load_trace

ROOT = Path(__file__).resolve().parents[2]
#: Too long to be searched to the end as they are; ``test_library`` proves smaller ones.
LONG = {"counter_each_round", "counter_whole_loop"}


def library(name: str) -> Any:
    return load_scenario(ROOT / "scenarios" / f"{name}.yaml")


@pytest.mark.parametrize(
    ("path", "backend"), [case for case in EXPECTED if case.values[0].stem not in LONG]
)
def test_every_file_of_the_library(path: Path, backend: str) -> None:
    made = load_scenario(path)
    expected = made.expect[backend]
    explored = explore(made, backend=backend, confirm=1)
    if expected.verdict == "passes":
        assert explored.verdict == "verified", explored.summary
        assert explored.trace is None
        return
    assert explored.failed and explored.trace is not None
    assert explored.confirmed == {backend: "1/1"}
    assert explored.switches == expected.switches
    assert explored.minimum == "proved"
    kind = explored.trace.verdict.kind
    assert kind == ("deadlock" if expected.verdict == "deadlock" else kind)


@pytest.mark.parametrize("strategy", explore_names())
def test_each_strategy_finds_the_lost_update_and_claims_no_more(strategy: str) -> None:
    found = explore(library("unlocked_counter"), strategy=strategy, schedules=200)
    if strategy == "round-robin":
        assert found.failed
    assert found.failed and found.switches == 1
    sound = explore(library("locked_counter"), strategy=strategy, schedules=50)
    sure = {"auto", "dpor", "states", "delay", "preemption"}
    assert sound.verdict == ("verified" if strategy in sure else "passed"), sound.summary


def test_a_budget_that_cuts_an_exhaustive_search_claims_nothing() -> None:
    cut = explore(library("bounded_buffer"), strategy="dpor", schedules=5)
    assert cut.verdict == "unfinished"
    assert "nothing is claimed" in cut.summary and cut.schedules == 5


def test_rules_decide_what_is_possible() -> None:
    assert explore(library("unlocked_counter"), backend="threading").failed
    assert explore(library("unlocked_counter"), backend="asyncio").exhaustive


def test_an_invariant_over_two_variables_is_not_commuted_away() -> None:
    made = scenario_from_data(
        scenario(
            "two",
            {"a": [{"write": "x", "value": 1}, {"write": "x", "value": 0}],
             "b": [{"write": "y", "value": 1}, {"write": "y", "value": 0}]},
            shared={"x": 0, "y": 0}, always=["not (x == 1 and y == 1)"],
        )
    )  # fmt: skip
    for strategy in ("dpor", "states"):
        explored = explore(made, strategy=strategy)
        assert explored.failed and explored.trace is not None
        assert explored.trace.verdict.failure == "always"


def test_all_lists_every_distinct_outcome() -> None:
    explored = explore(library("unlocked_counter"), strategy="dpor", every=True)
    assert sorted((way.kind, way.state["counter"]) for way in explored.ways) == [
        ("failed", 1), ("passed", 2),
    ]  # fmt: skip
    assert sum(way.count for way in explored.ways) == explored.schedules == 4
    for way in explored.ways:
        trace = way.trace()
        assert replay(trace).reproduced


def test_the_real_engine_searches_too() -> None:
    for backend in BACKENDS:
        explored = explore(
            library("deadlock_timeout"), backend=backend, engine="real", strategy="random",
            schedules=20,
        )  # fmt: skip
        assert explored.verdict == "passed", explored.summary
    explored = explore(library("deadlock_ab_ba"), engine="real", strategy="random", schedules=200)
    assert explored.failed and explored.switches == 1


def test_failing_traces_of_earlier_runs_are_tried_first() -> None:
    first = explore(library("philosophers"), strategy="dpor")
    assert first.trace is not None
    again = explore(library("philosophers"), strategy="random", first=[first.trace])
    assert again.failed and again.schedules == 1


def test_raise_for_failure() -> None:
    explored = explore(library("unlocked_counter"))
    with pytest.raises(SearchFailed, match="counter is 1"):
        explored.raise_for_failure()
    explore(library("locked_counter")).raise_for_failure()


def test_usage() -> None:
    for wrong in ({"strategy": "luck"}, {"engine": "steam"}, {"schedules": 0},
                  {"engine": "real", "strategy": "states"}):  # fmt: skip
        with pytest.raises(UsageError):
            explore(library("locked_counter"), **wrong)  # type: ignore[arg-type]


def test_after_the_fix() -> None:
    old = load_trace(ROOT / "traces" / "deadlock_ab_ba.json")
    mended = check_fix(old, library("deadlock_lock_order"))
    assert mended.old == "passed" and mended.explored.verdict == "verified"
    same = check_fix(old, library("deadlock_ab_ba"))
    assert same.old == "deadlock" and same.explored.failed
    # a fix that only moves the bug: the read is locked, the write is not
    lost = load_trace(ROOT / "traces" / "unlocked_counter.json")
    moved = scenario_from_data(
        scenario(
            "moved",
            {"incrementer": {"count": 2, "steps": [
                {"with": "m", "do": [{"read": "counter", "into": "seen"}]},
                {"with": "m", "do": [{"write": "counter", "value": "seen + 1"}]}]}},
            shared={"counter": 0}, objects={"m": "lock"}, **{"finally": ["counter == 2"]},
        )
    )  # fmt: skip
    assert check_fix(lost, moved).explored.failed


def test_shrink_a_free_runs_trace_and_the_scenario() -> None:
    from tracelock.session import run

    for _ in range(200):
        trace = run(library("deadlock_ab_ba"))
        if trace.verdict.kind == "deadlock":
            break
    else:
        trace = run(library("deadlock_ab_ba"), strategy="random", seed=3)
    small = shrink(trace, reduce=True)
    assert small.shrunk.executed.switches == 1 and small.confirmed == {"threading": "3/3"}
    assert len(small.trace.events) == 2
    assert small.reduced is not None and small.reduced.certified
    assert replay(small.trace).reproduced


def test_prediction_from_a_passing_run() -> None:
    from tracelock.session import run

    trace = run(library("deadlock_ab_ba"), strategy="random", seed=0)
    for seed in range(50):
        trace = run(library("deadlock_ab_ba"), strategy="random", seed=seed)
        if trace.verdict.kind == "passed":
            break
    assert trace.verdict.kind == "passed"
    found = predict(trace)
    failing = [one for _, one in found if one is not None]
    assert failing and failing[0].verdict.kind == "deadlock"
    assert replay(failing[0]).reproduced


# --- the command line ------------------------------------------------------------------------
def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = main(arguments)
    return status, capsys.readouterr().out


def test_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bad = str(ROOT / "scenarios" / "unlocked_counter.yaml")
    status, text = call(capsys, "explore", bad, "--trace", "bad.json")
    assert status == 1
    assert "confirmed on threading, 3 of 3 replays" in text
    assert "it takes 1 preemptive switch, the fewest there can be" in text
    assert "it passes" in text
    status, text = call(capsys, "explore", bad, "--json", "--strategy", "dpor", "--all")
    data = json.loads(text)
    assert status == 1 and data["verdict"] == "failed" and data["schedules"] == 4
    assert data["redundant"] == 0 and data["switches"] == 1
    assert data["confirmed"] == {"threading": "3/3"}
    assert load_trace(data["trace"]).verdict.kind == "failed"
    status, text = call(capsys, "explore", bad, "--backend", "asyncio", "--json")
    assert status == 0 and json.loads(text)["verdict"] == "verified"
    status, text = call(capsys, "replay", "bad.json")
    assert status == 0 and "reproduced" in text
    status, text = call(capsys, "shrink", "bad.json", "--scenario", "small.yaml")
    assert status == 0 and load_scenario("small.yaml").name == "unlocked-counter"
    good = str(ROOT / "scenarios" / "locked_counter.yaml")
    status, text = call(capsys, "check", "bad.json", good, "--no-trace")
    assert status == 0 and "verified" in text
    status, text = call(capsys, "run", bad, "--strategy", "round-robin", "--trace", "rr.json")
    passing = str(tmp_path / "pass.json")
    for seed in range(50):
        call(capsys, "run", bad, "--strategy", "random", "--seed", str(seed), "--trace", passing)
        if load_trace(passing).verdict.kind == "passed":
            break
    status, text = call(capsys, "predict", passing)
    assert status == 1 and "confirmed: Lost update of counter" in text
