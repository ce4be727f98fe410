"""The search of states: the same as brute force, its findings run again, livelocks, bounds."""

from __future__ import annotations

import json
import sys
from collections.abc import Hashable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.amount import amount
from tests.helpers.cases import CASES
from tests.helpers.task_fuzz import random_scenario
from tests.oracles.brute import TooMany, all_states
from tests.oracles.generate import THEMES, generate
from tracelock.engine.limits import RunLimits
from tracelock.errors import UnsupportedError, UsageError
from tracelock.explore.running import Runner
from tracelock.explore.search import Budget
from tracelock.explore.states.search import StateSearch, StatesFound, StatesProgress
from tracelock.objects import frozen
from tracelock.ops import Layout
from tracelock.scenario.language.models import Scenario
from tracelock.scenario.loading import load_scenario, scenario_from_data
from tracelock.scenario.program import Program
from tracelock.session import check_supported, rules_of

ROOT = Path(__file__).resolve().parents[2]
BACKENDS = ("threading", "multiprocessing", "asyncio", "trio")
Outcomes = set[tuple[str, Hashable]]


def program(workers: dict[str, Any], **parts: Any) -> Program:
    """A program from its parts; a worker is its list of steps, or a whole declaration."""
    declared = {
        name: worker if isinstance(worker, dict) else {"steps": worker}
        for name, worker in workers.items()
    }
    data = {"format": "tracelock-scenario/1", "name": "test", "workers": declared, **parts}
    return Program(scenario_from_data(data), fuel=1000)


def search(made: Program, backend: str = "threading", **options: Any) -> StatesFound:
    return StateSearch(made, rules_of(backend), **options).run()


def outcomes(layout: Layout, found: StatesFound) -> Outcomes:
    """In the terms of the brute force: the verdict, and the values of all variables."""
    firsts = sorted((first, name) for name, (first, _) in layout.arrays.items())
    result: Outcomes = set()
    for outcome in found.outcomes.values():
        values: list[Any] = []
        for _, name in firsts:
            value = outcome.state.get(name, [])
            values += value if isinstance(value, list) else [value]
        kind = outcome.kind if outcome.failure is None else f"failed:{outcome.failure}"
        result.add((kind, frozen(tuple(values))))
    return result


def agree(scenario: Scenario, made: Program, backend: str, clock: str, most: int) -> bool:
    """The search, the same without its tables, and brute force agree; False: it is too large."""
    try:
        check_supported(scenario, backend)
    except UnsupportedError:
        return False
    rules = rules_of(backend)
    found = search(made, backend, clock=clock, every=True, max_states=most)
    if found.stopped:
        return False
    slow = search(made, backend, clock=clock, every=True, tables=False)
    assert (found.states, found.transitions) == (slow.states, slow.transitions)
    assert (found.depth, found.verdict) == (slow.depth, slow.verdict)
    mine = outcomes(made.layout, found)
    assert mine == outcomes(made.layout, slow)
    reproduced(made, backend, clock, found)
    try:
        brute = all_states(made, rules, clock, limit=2 * most)
    except TooMany:
        return True
    assert mine == {tuple(outcome) for outcome in brute.outcomes}
    return True


def reproduced(made: Program, backend: str, clock: str, found: StatesFound) -> None:
    """Every finding runs again, from its picks alone, to the same end."""
    runner = Runner(made, rules_of(backend), clock=clock)
    for outcome in found.outcomes.values():
        again = runner.execute(outcome.first.picks)
        assert again is not None
        assert again.picks == outcome.first.picks
        assert again.verdict == outcome.first.verdict
        assert (again.verdict.kind, again.verdict.state) == (outcome.kind, outcome.state)


# --- the same as brute force -----------------------------------------------------------------
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_library(backend: str) -> None:
    compared = 0
    for path in sorted((ROOT / "scenarios").glob("*.yaml")):
        scenario = load_scenario(path)
        compared += agree(scenario, Program(scenario), backend, "virtual", 250)
    assert compared >= 28


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("clock", ["virtual", "adversarial"])
def test_the_conformance_cases(backend: str, clock: str) -> None:
    compared = 0
    for data in CASES.values():
        scenario = scenario_from_data(data)
        compared += agree(scenario, Program(scenario), backend, clock, 250)
    assert compared >= 10


@pytest.mark.parametrize("theme", [*THEMES, "tasks"])
def test_generated_scenarios(theme: str) -> None:
    compared = 0
    for seed in range(2):
        scenario = scenario_from_data(generate(seed, theme))
        for place, backend in enumerate(BACKENDS):
            clock = ("virtual", "adversarial")[(seed + place) % 2]
            compared += agree(scenario, Program(scenario), backend, clock, 400)
    assert compared >= 2


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_random_scenarios_of_tasks(backend: str) -> None:
    compared = 0
    for seed in range(amount(4, 10)):
        scenario = scenario_from_data(random_scenario(seed, backend))
        clock = ("virtual", "adversarial")[seed % 2]
        compared += agree(scenario, Program(scenario), backend, clock, 120)
    assert compared >= 3


# --- what is found ---------------------------------------------------------------------------
def test_the_expectations_of_the_library() -> None:
    """The default search stops at the first failure, which is the expected one."""
    decided = 0
    for path in sorted((ROOT / "scenarios").glob("*.yaml")):
        scenario = load_scenario(path)
        made = Program(scenario)
        for backend, expected in scenario.expect.items():
            found = search(made, backend, max_states=3_000)
            if found.stopped == "states":
                continue
            decided += 1
            kinds = {
                "passes": {"verified"},
                "fails": {"failed", "crashed"},
                "deadlock": {"deadlock"},
            }[expected.verdict]
            first = found.failures()[0].kind if found.failures() else found.verdict
            assert first in kinds, (path.stem, backend)
    assert decided > 100


def test_a_shortest_schedule() -> None:
    """Nothing in fewer steps loses an update; brute force over the lengths says so too."""
    made = program(
        {"inc": {"count": 3, "steps": [{"repeat": 2, "do": [{"write": "x", "value": "x + 1"}]}]}},
        shared={"x": 0},
        always=["x < 3"],
    )
    found = search(made)
    (outcome,) = found.failures()
    assert (outcome.failure, found.stopped, found.verdict) == ("always", "failure", "failed")
    failing = [n for n, entry in enumerate(outcome.first.log) if entry[2].value == 3]
    assert failing[0] == 5  # read, write, three times
    reproduced(made, "threading", "virtual", found)


def test_the_first_failure_stands() -> None:
    """``always`` is looked at before the worker goes on to fail by itself, in the same step."""
    made = program(
        {"a": [{"write": "x", "value": 1}, {"fail": "mine"}]}, shared={"x": 0}, always=["x == 0"]
    )
    found = search(made, every=True)
    assert [o.failure for o in found.failures()] == ["always"]
    made = program(
        {"a": [{"write": "x", "value": 1}, {"fail": "mine"}]}, shared={"x": 0}, always=["x == 1"]
    )
    found = search(made)  # it does not hold at the very beginning
    assert [(o.failure, o.at) for o in found.failures()] == [("always", "always[0]")]
    assert found.states == 1


def test_a_failure_with_a_spinner_left() -> None:
    """The run of a failure need not end: it is cut right after."""
    made = program(
        {
            "a": [{"write": "x", "value": 1}, {"assert": "x == 2"}],
            "b": [{"while": "x < 5", "do": []}],
        },
        shared={"x": 0},
    )
    for every in (False, True):
        found = search(made, every=every)
        (outcome,) = found.failures()
        assert (outcome.kind, outcome.failure) == ("failed", "assert")
        assert len(outcome.first.log) < 10


def test_every_final_state_is_listed() -> None:
    made = program(
        {"inc": {"count": 3, "steps": [{"write": "x", "value": "x + 1"}]}}, shared={"x": 0}
    )
    found = search(made, every=True)
    assert {o.state["x"] for o in found.outcomes.values()} == {1, 2, 3}
    assert found.verdict == "verified"
    reproduced(made, "threading", "virtual", found)


def test_more_interleavings_than_could_be_tried() -> None:
    steps = [
        {"repeat": 6, "do": [{"with": "m[index]", "do": [{"fetch_add": "x[index]", "by": 1}]}]}
    ]
    made = program(
        {"w": {"count": 5, "steps": steps}},
        shared={"x": [0] * 5},
        objects={"m": {"type": "lock", "count": 5}},
        **{"finally": ["sum(x) == 30"]},
    )
    # 90! / 18!^5 schedules
    found = StateSearch(made, rules_of("threading"), max_states=30_000).run()
    assert (found.verdict, found.stopped) == ("unfinished", "states")
    two = program(
        {"w": {"count": 3, "steps": steps}},
        shared={"x": [0] * 3},
        objects={"m": {"type": "lock", "count": 3}},
    )
    found = search(two)
    assert (found.verdict, found.states) == ("verified", 19**3)


# --- livelocks -------------------------------------------------------------------------------
SPIN = [{"while": "flag == 0", "do": ["checkpoint"]}]


@pytest.mark.parametrize("backend", BACKENDS)
def test_to_wait_for_another_is_no_livelock(backend: str) -> None:
    made = program(
        {"a": SPIN, "b": ["checkpoint", {"write": "flag", "value": 1}]}, shared={"flag": 0}
    )
    found = search(made, backend)
    assert (found.verdict, found.livelocks, found.notes) == ("verified", [], [])


@pytest.mark.parametrize("backend", BACKENDS)
def test_to_wait_for_nobody_is_a_livelock(backend: str) -> None:
    made = program({"a": SPIN, "b": [{"read": "flag"}]}, shared={"flag": 0})
    found = search(made, backend)
    assert found.verdict == "failed"
    (livelock,) = found.livelocks
    assert livelock.workers == ("a",)
    assert "a (at workers.a.steps[0]" in livelock.message
    goes_round(made, backend, found)


def goes_round(made: Program, backend: str, found: StatesFound) -> None:
    """The cycle of each livelock can be had again and again, the same each time."""
    for livelock in found.livelocks:
        steps = livelock.steps
        log = livelock.executed.log
        assert livelock.executed.verdict.kind == "unfinished"
        assert livelock.executed.picks == livelock.picks + livelock.cycle * 2
        limits = RunLimits(steps=len(log) + 3 * steps)
        again = Runner(made, rules_of(backend), limits=limits).execute(
            livelock.picks + livelock.cycle * 5
        )
        assert again is not None and again.verdict.kind == "unfinished"
        events = [(worker, kind, op.at, result) for worker, kind, op, result, _, _ in again.log]
        assert len(events) == limits.steps
        for n in range(1, 5):
            assert events[-(n + 1) * steps : -n * steps] == events[-steps:]
        assert {made.layout.workers[e[0]].name for e in events[-steps:]} == set(livelock.workers)


def test_a_livelock_that_only_some_schedules_come_to() -> None:
    """Both say that they want to go, and then each waits for the other to take it back."""
    steps = [
        {"write": "wants[index]", "value": 1},
        {"while": "wants[1 - index]", "do": ["checkpoint"]},
        {"write": "wants[index]", "value": 0},
    ]
    made = program({"w": {"count": 2, "steps": steps}}, shared={"wants": [0, 0]})
    found = search(made)
    assert found.verdict == "failed"
    (livelock,) = found.livelocks
    assert livelock.workers == ("w[0]", "w[1]")
    assert [entry[0] for entry in livelock.executed.log[:2]] in ([0, 1], [1, 0])
    goes_round(made, "threading", found)
    # on asyncio a task goes on until it waits, and both still can
    assert search(made, "asyncio").verdict == "verified"


def test_to_be_polite_for_ever_is_possible_only() -> None:
    """Each takes its lock, tries the other's, and steps back: an end can always be reached."""
    steps = [
        {"let": {"done": False}},
        {
            "while": "not done",
            "do": [
                {"acquire": "m[index]"},
                {"acquire": "m[1 - index]", "blocking": False, "into": "done"},
                {"if": "done", "then": [{"release": "m[1 - index]"}]},
                {"release": "m[index]"},
            ],
        },
    ]
    made = program({"w": {"count": 2, "steps": steps}}, objects={"m": {"type": "lock", "count": 2}})
    found = search(made)
    assert (found.verdict, found.livelocks) == ("verified", [])
    (note,) = found.notes
    assert note.startswith("a fair schedule need not end")
    assert "w[0]" in note and "w[1]" in note


def test_a_spinner_beside_a_deadlock() -> None:
    made = program(
        {
            "a": [{"acquire": "m"}, {"acquire": "m"}, {"write": "flag", "value": 1}],
            "b": SPIN,
        },
        shared={"flag": 0},
        objects={"m": "lock"},
    )
    found = search(made)
    (livelock,) = found.livelocks
    assert livelock.workers == ("b",)
    assert "a (at workers.a.steps[1]) waits" in livelock.message
    goes_round(made, "threading", found)


def test_polling_with_sleeps_is_a_livelock_too() -> None:
    made = program({"a": [{"while": "flag == 0", "do": [{"sleep": 0.1}]}]}, shared={"flag": 0})
    for backend in BACKENDS:
        found = search(made, backend)
        assert [one.workers for one in found.livelocks] == [("a",)]
        goes_round(made, backend, found)


def test_a_scenario_that_is_not_meant_to_end() -> None:
    steps = [{"while": True, "do": [{"write": "x", "value": "(x + 1) % 4"}]}]
    made = program({"w": {"count": 2, "steps": steps}}, shared={"x": 0}, always=["x < 4"])
    found = search(made)
    assert (found.verdict, found.livelocks) == ("verified", [])
    assert "never ends" in found.notes[0]


def test_the_virtual_clock_stands_still_while_somebody_spins() -> None:
    made = program(
        {"a": SPIN, "b": [{"sleep": 1}, {"write": "flag", "value": 1}]}, shared={"flag": 0}
    )
    found = search(made)
    assert (found.verdict, found.livelocks) == ("unfinished", [])
    assert "adversarial clock" in found.notes[0]
    assert search(made, clock="adversarial").verdict == "verified"
    # a task that never suspends holds up the loop, whatever the time
    hog = program(
        {
            "a": [{"while": "flag == 0", "do": []}],
            "b": [{"sleep": 1}, {"write": "flag", "value": 1}],
        },
        shared={"flag": 0},
    )
    found = search(hog, "asyncio")
    assert [one.workers for one in found.livelocks] == [("a",)]


def test_retries_with_timeouts_close_their_cycle() -> None:
    steps = [
        {"let": {"done": False}},
        {
            "while": "not done",
            "do": [
                {
                    "timeout": 0.1,
                    "do": [{"with": "m[index]", "do": [{"with": "m[1 - index]", "do": []}]}],
                    "into": "done",
                }
            ],
        },
    ]
    made = program({"w": {"count": 2, "steps": steps}}, objects={"m": {"type": "lock", "count": 2}})
    for backend, clock in (("trio", "virtual"), ("trio", "adversarial"), ("asyncio", "virtual")):
        found = search(made, backend, clock=clock)
        assert (found.verdict, found.stopped) == ("verified", "")
        assert found.states < 1000


# --- time ------------------------------------------------------------------------------------
def test_deadlines_are_the_sums_that_the_controller_makes() -> None:
    """0.1 + 0.2 is later than 0.3: the search first takes them for the same, and notices."""
    made = program(
        {
            "a": [{"sleep": 0.1}, {"sleep": 0.2}, {"write": "x", "value": 1}],
            "b": [{"sleep": 0.3}, {"read": "x", "into": "seen"}, {"assert": "seen == 0"}],
        },
        shared={"x": 0},
    )
    found = search(made, every=True)
    brute = all_states(made, rules_of("threading"))
    assert outcomes(made.layout, found) == {tuple(outcome) for outcome in brute.outcomes}
    reproduced(made, "threading", "virtual", found)


# --- bounds ----------------------------------------------------------------------------------
ENDLESS = [{"while": True, "do": [{"write": "x", "value": "x + 1"}]}]


class Clock:
    """A clock for a search that goes on by a hundredth of a second at each look."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.looks = 0
        module = sys.modules[StateSearch.__module__]
        monkeypatch.setattr(module, "monotonic", self)

    def __call__(self) -> float:
        self.looks += 1
        return self.looks / 100


def test_a_bound_is_never_a_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    made = program({"w": {"count": 2, "steps": ENDLESS}}, shared={"x": 0})
    found = search(made, max_states=5_000)
    assert (found.verdict, found.stopped, found.exhaustive) == ("unfinished", "states", False)
    assert 5_000 < found.states < 15_000
    found = search(made, max_bytes=3_000_000)
    assert (found.verdict, found.stopped) == ("unfinished", "bytes")
    clock = Clock(monkeypatch)
    found = StateSearch(made, rules_of("threading")).run(Budget(seconds=0.3))
    assert (found.verdict, found.stopped) == ("unfinished", "seconds")
    # it stops at the first look past the bound, and reads the clock twice more for the report
    assert clock.looks == 34 and found.seconds == pytest.approx(0.33)


def test_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[StatesProgress] = []
    made = program({"w": {"count": 2, "steps": ENDLESS}}, shared={"x": 0})
    Clock(monkeypatch)
    StateSearch(made, rules_of("threading")).run(Budget(seconds=0.6), told.append)
    assert 5 <= len(told) <= 6  # one for each tenth of a second, by the search's own clock
    assert all(a.states < b.states and a.depth <= b.depth for a, b in pairwise(told))
    assert told[-1].rate > 0 and told[-1].frontier > 0


def test_a_worker_without_visible_steps_is_unfinished() -> None:
    made = program({"a": ["checkpoint", {"while": True, "do": []}], "b": ["checkpoint"]})
    found = search(made)
    assert found.verdict == "unfinished"
    (outcome,) = found.outcomes.values()
    assert (outcome.kind, outcome.count) == ("unfinished", 2)
    assert "rounds of its loops" in outcome.message


def test_an_interrupt_keeps_what_was_found() -> None:
    made = program({"w": {"count": 2, "steps": ENDLESS}}, shared={"x": 0})

    def interrupt(_: StatesProgress) -> None:
        raise KeyboardInterrupt

    found = StateSearch(made, rules_of("threading")).run(Budget(seconds=5), interrupt)
    assert (found.verdict, found.stopped) == ("unfinished", "interrupted")
    assert found.states > 0


def test_a_call_cannot_be_taken_back() -> None:
    made = program({"a": [{"call": "os:getpid"}]})
    with pytest.raises(UsageError, match="call"):
        search(made)


# --- the numbers of states -------------------------------------------------------------------
def philosophers(count: int) -> Program:
    path = ROOT / "tests" / "data" / "oracles" / "philosophers-3.json"
    text = path.read_text(encoding="utf-8").replace("% 3", f"% {count}")
    return Program(scenario_from_data(json.loads(text.replace('"count": 3', f'"count": {count}'))))


def test_philosophers() -> None:
    """A philosopher has left none, one, or both forks, or put one back, or both: 5 places, and
    neighbours do not hold the same one. That counts closed walks, the trace of a matrix's power.
    All but one of them can be reached: not all can have put back their second forks, as the last
    to do so had a neighbour's first fork until then."""
    # row: how I stand; column: how my right-hand neighbour does, whose first fork is my second
    mine = [[not (i in (2,) and j in (1, 2, 3)) for j in range(5)] for i in range(5)]

    def walks(n: int) -> int:
        power = [[int(i == j) for j in range(5)] for i in range(5)]
        for _ in range(n):
            power = [
                [sum(power[i][k] * mine[k][j] for k in range(5)) for j in range(5)]
                for i in range(5)
            ]
        return sum(power[i][i] for i in range(5))

    for count in (2, 3, 5, 6):
        found = search(philosophers(count), every=True)
        assert found.states == walks(count) - 1
        assert {o.kind for o in found.outcomes.values()} == {"deadlock", "passed"}
