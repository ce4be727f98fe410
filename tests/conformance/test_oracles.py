"""The brute-force oracle agrees with itself, with closed forms and with published counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.helpers.amount import amount
from tests.oracles.brute import (
    Found,
    Outcome,
    TooMany,
    all_runs,
    all_states,
    all_traces,
    random_walk,
)
from tracelock.backends.rules import (
    ASYNCIO_RULES,
    MULTIPROCESSING_RULES,
    THREADING_RULES,
    TRIO_RULES,
)
from tracelock.objects import Rules
from tracelock.scenario.loading import load_scenario, scenario_from_data
from tracelock.scenario.program import Program

DATA = Path(__file__).resolve().parents[1] / "data" / "oracles"
TRACES = json.loads((DATA / "traces.json").read_text(encoding="utf-8"))


def program(workers: dict[str, Any], **parts: Any) -> Program:
    """A program from its parts; a worker is its list of steps, or a whole declaration."""
    declared = {
        name: worker if isinstance(worker, dict) else {"steps": worker}
        for name, worker in workers.items()
    }
    data = {"format": "tracelock-scenario/1", "name": "test", "workers": declared, **parts}
    return Program(scenario_from_data(data))


def incrementers(count: int) -> Program:
    steps = [{"write": "x", "value": "x + 1"}]
    return program({"inc": {"count": count, "steps": steps}}, shared={"x": 0})


def agree(made: Program, rules: Rules = THREADING_RULES, clock: str = "virtual") -> Any:
    """Both searches on ``made``; their common result, with the number of runs."""
    runs, traces = all_runs(made, rules, clock)
    states = all_states(made, rules, clock)
    assert states.outcomes == runs.outcomes
    assert states.fewest == runs.fewest
    return runs, traces


# --- closed forms ----------------------------------------------------------------------------
def test_two_unlocked_increments_in_six_orders() -> None:
    runs, traces = agree(incrementers(2))
    assert runs.count == 6  # 4! / (2! 2!)
    assert len(traces) == 4  # (n!)^2
    assert {outcome.values for outcome in runs.outcomes} == {(1,), (2,)}
    assert runs.fewest == {"passed": 0}


def test_three_unlocked_increments() -> None:
    runs, traces = agree(incrementers(3))
    assert (runs.count, len(traces)) == (90, 36)
    assert {outcome.values for outcome in runs.outcomes} == {(1,), (2,), (3,)}


def test_the_fewest_switches_to_a_lost_update() -> None:
    made = program(
        {"inc": {"count": 2, "steps": [{"write": "x", "value": "x + 1"}]}},
        shared={"x": 0},
        **{"finally": ["x == 2"]},
    )
    runs, _ = agree(made)
    assert runs.fewest == {"passed": 0, "failed:finally": 1}


def test_a_deadlock_is_an_outcome_and_a_blocked_switch_is_free() -> None:
    steps = [{"with": "m[index]", "do": [{"with": "m[1 - index]", "do": []}]}]
    made = program({"w": {"count": 2, "steps": steps}}, objects={"m": {"type": "lock", "count": 2}})
    runs, traces = agree(made)
    assert runs.outcomes == {Outcome("passed", ()), Outcome("deadlock", ())}
    assert runs.fewest == {"passed": 0, "deadlock": 1}
    assert len(traces) == 3  # 2^2 - 1


def test_every_kind_of_failure_is_told_apart() -> None:
    made = program(
        {
            "a": [{"if": "x == 0", "then": [{"fail": "no"}]}],
            "b": [{"write": "x", "value": 1}, {"release": "m"}],
        },
        shared={"x": 0},
        objects={"m": "lock"},
        always=["x < 1"],
    )
    runs, _ = agree(made)
    assert {outcome.verdict for outcome in runs.outcomes} == {"failed:assert", "failed:always"}
    assert runs.verdicts == {"failed"}
    assert runs.switches("failed") == 0


def test_a_crash_is_an_outcome() -> None:
    made = program({"a": ["crash"], "b": ["checkpoint"]})
    runs, _ = agree(made)
    assert runs.outcomes == {Outcome("crashed", ())}
    assert runs.count == 2


def test_a_notify_may_wake_either_process() -> None:
    """Which of two waiters wakes is a choice among processes, and none among threads."""
    waiter = [{"with": "c", "do": [{"wait": "c"}, {"write": "woken", "value": "index"}]}]
    made = program(
        {
            "w": {"count": 2, "steps": waiter},
            "n": [{"with": "c", "do": [{"notify": "c"}]}],
        },
        shared={"woken": -1},
        objects={"c": "condition"},
    )
    threads, _ = agree(made)
    processes, _ = agree(made, MULTIPROCESSING_RULES)
    assert processes.count > threads.count
    # either way either may be first in line
    assert processes.outcomes == threads.outcomes
    assert {outcome.values for outcome in threads.outcomes} == {(-1,), (0,), (1,)}


def test_an_adversarial_clock_lets_timers_fire_early() -> None:
    made = program(
        {"slow": [{"sleep": 5}, {"set": "e"}], "w": [{"wait": "e", "timeout": 9, "into": "ok"},
                                                     {"write": "x", "value": "ok"}]},
        shared={"x": None},
        objects={"e": "event"},
    )  # fmt: skip
    virtual, _ = agree(made)
    adversarial, _ = agree(made, clock="adversarial")
    assert virtual.outcomes == {Outcome("passed", ((bool, True),))}
    assert adversarial.outcomes == {Outcome("passed", ((bool, value),)) for value in (True, False)}


def test_an_atomic_step_leaves_its_locals_behind() -> None:
    steps = [{"atomic": [{"read": "x", "into": "a"}, {"write": "x", "value": "a + 1"}]},
             {"fetch_add": "y", "by": "a"}]  # fmt: skip
    made = program({"w": {"count": 2, "steps": steps}}, shared={"x": 0, "y": 0})
    runs, _ = agree(made)
    assert runs.outcomes == {Outcome("passed", (2, 1))}


# --- bounds ----------------------------------------------------------------------------------
def test_too_much_is_refused() -> None:
    with pytest.raises(TooMany, match="89 runs"):
        all_runs(incrementers(3), THREADING_RULES, limit=89)
    with pytest.raises(TooMany, match="10 states"):
        all_states(incrementers(3), THREADING_RULES, limit=10)
    with pytest.raises(TooMany, match="10 prefixes"):
        all_traces(incrementers(3), THREADING_RULES, limit=10)


def test_a_loop_that_need_not_end_has_states_but_no_end_of_runs() -> None:
    made = program(
        {
            "spin": [{"while": "not go", "do": ["checkpoint"]}],
            "set": [{"write": "go", "value": True}],
        },
        shared={"go": False},
    )
    with pytest.raises(TooMany, match="did not end"):
        all_runs(made, THREADING_RULES)
    found = all_states(made, THREADING_RULES)
    assert found.verdicts == {"passed"}
    assert found.count < 20


# --- published counts ------------------------------------------------------------------------
@pytest.mark.parametrize("entry", TRACES, ids=lambda entry: Path(entry["scenario"]).stem)
def test_inequivalent_executions(entry: dict[str, Any]) -> None:
    made = Program(load_scenario(DATA / entry["scenario"]))
    found = all_traces(made, THREADING_RULES)
    assert found.count == entry["executions"]
    try:
        runs, traces = all_runs(made, THREADING_RULES, limit=200)
    except TooMany:
        return
    assert len(traces) == entry["executions"]
    assert runs.outcomes == found.outcomes


BENCH = json.loads((DATA / "sctbench.json").read_text(encoding="utf-8"))["programs"]


@pytest.mark.parametrize("entry", BENCH, ids=lambda entry: Path(entry["scenario"]).stem)
def test_how_often_a_random_walk_fails(entry: dict[str, Any]) -> None:
    made = Program(load_scenario(DATA / "sctbench" / entry["scenario"]))
    chances = random_walk(made, THREADING_RULES)
    assert sum(chances.values()) == pytest.approx(1)
    assert 1 - chances["passed"] == pytest.approx(entry["random_exact"], abs=5.1e-5)


# --- random programs -------------------------------------------------------------------------
OBJECTS = {
    "m": "lock",
    "r": "rlock",
    "c": {"type": "condition", "lock": "m"},
    "s": {"type": "semaphore", "value": 1},
    "e": "event",
    "q": {"type": "queue", "maxsize": 1},
    "b": {"type": "barrier", "parties": 2},
}
STEPS: list[Any] = [
    {"write": "x", "value": "x + 1"},
    {"write": "y", "value": 1},
    {"read": "y", "into": "l"},
    {"fetch_add": "x", "by": 1},
    {"compare_exchange": "x", "expect": 1, "value": 5, "into": "l"},
    {"atomic": [{"read": "x", "into": "l"}, {"write": "y", "value": "l"}]},
    {"acquire": "m"},
    {"release": "m"},
    {"acquire": "m", "blocking": False, "into": "l"},
    {"with": "m", "do": [{"write": "x", "value": "x + 1"}]},
    {"with": "m", "do": [{"wait": "c"}]},
    {"with": "m", "do": [{"notify": "c"}, {"write": "y", "value": 7}]},
    {"with": "r", "do": [{"with": "r", "do": [{"write": "y", "value": "x"}]}]},
    {"acquire": "s"},
    {"release": "s"},
    {"set": "e"},
    {"clear": "e"},
    {"wait": "e"},
    {"wait": "b"},
    {"put": "q", "value": "index"},
    {"get": "q", "into": "l"},
    {"put": "q", "value": 9, "blocking": False, "into": "l"},
    {"if": "x > 0", "then": [{"write": "y", "value": 3}]},
    {"assert": "y < 3"},
    "checkpoint",
]
TIMED: list[Any] = [
    {"sleep": 1},
    {"with": "m", "do": [{"sleep": 2}]},
    {"acquire": "m", "timeout": 1, "into": "l"},
    {"wait": "e", "timeout": 1, "into": "l"},
    {"with": "m", "do": [{"wait": "c", "timeout": 1, "into": "l"}]},
    {"get": "q", "into": "l", "timeout": 3, "got": "l"},
]

TASKS: list[Any] = [
    {"timeout": 1, "do": [{"with": "m", "do": [{"sleep": 2}]}], "into": "l"},
    {"timeout": 1, "do": [{"wait": "e"}]},
    {"timeout": 1, "do": [{"with": "m", "do": [{"wait": "c"}]}]},
    {"timeout": 1, "do": [{"acquire": "s"}, {"put": "q", "value": 1}, {"put": "q", "value": 2}]},
    {"cancel": "w0"},
    {"cancel": "w1"},
]


def possible(steps: list[Any], rules: Rules) -> list[Any]:
    """Those of ``steps`` that a backend does not refuse."""
    words = {'"with": "r"': "rlock", '"wait": "b"': "barrier", '"clear"': "clear"}
    return [
        step
        for step in steps
        if not any(
            word in json.dumps(step) and feature in rules.refuses for word, feature in words.items()
        )
    ]


def programs(
    steps: list[Any], most: int, rules: Rules = THREADING_RULES
) -> st.SearchStrategy[Program]:
    """Programs of two or three workers of one to ``most`` steps, with what ``rules`` have."""
    objects = {
        name: declared
        for name, declared in OBJECTS.items()
        if (declared["type"] if isinstance(declared, dict) else declared) not in rules.refuses
    }
    worker = st.lists(st.sampled_from(steps), min_size=1, max_size=most)
    return st.lists(worker, min_size=2, max_size=3).map(
        lambda lists: program(
            {f"w{n}": steps for n, steps in enumerate(lists)},
            shared={"x": 0, "y": 0},
            objects=objects,
        )
    )


def ends(found: Found) -> set[tuple[str, Any]]:
    """Outcomes, but for which of several independent failures came first."""
    return {(verdict.partition(":")[0], values) for verdict, values in found.outcomes}


QUICK = settings(
    derandomize=True,
    deadline=None,
    max_examples=amount(40, 120),
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)


@QUICK
@given(programs(STEPS, 3), st.sampled_from([THREADING_RULES, MULTIPROCESSING_RULES]))
def test_runs_states_and_traces_of_random_programs(made: Program, rules: Rules) -> None:
    """The dependence relation too: merging equivalent prefixes loses no outcome."""
    try:
        runs, traces = all_runs(made, rules, limit=400)
    except TooMany:
        assume(False)
    states = all_states(made, rules)
    assert states.outcomes == runs.outcomes
    assert states.fewest == runs.fewest
    merged = all_traces(made, rules)
    assert ends(merged) == ends(runs)
    assert merged.count == len(traces)


@QUICK
@given(programs(STEPS + TIMED * 2, 2), st.sampled_from(["virtual", "adversarial"]))
def test_runs_and_states_of_random_programs_with_timers(made: Program, clock: str) -> None:
    try:
        runs, _ = all_runs(made, THREADING_RULES, clock, limit=400)
    except TooMany:
        assume(False)
    states = all_states(made, THREADING_RULES, clock)
    assert states.outcomes == runs.outcomes
    assert states.fewest == runs.fewest


TASK_PROGRAMS = [
    (rules, programs(possible(STEPS + TIMED * 2 + TASKS * 3, rules), 3, rules))
    for rules in (ASYNCIO_RULES, TRIO_RULES)
]


@QUICK
@given(st.data(), st.sampled_from(TASK_PROGRAMS), st.sampled_from(["virtual", "adversarial"]))
def test_runs_and_states_of_random_programs_of_tasks(
    data: st.DataObject, case: tuple[Rules, st.SearchStrategy[Program]], clock: str
) -> None:
    """Cancellations, timeout blocks and first-in-line objects go back in time as well."""
    rules, made = case[0], data.draw(case[1])
    try:
        runs, _ = all_runs(made, rules, clock, limit=400)
        states = all_states(made, rules, clock)
    except TooMany:
        assume(False)
    assert states.outcomes == runs.outcomes
    assert states.fewest == runs.fewest
