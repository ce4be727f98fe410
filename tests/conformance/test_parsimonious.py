"""The search whose memory is that of one way: what brute force reaches, and each class once."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.amount import amount
from tests.oracles.classes import Reached, reach
from tests.oracles.every import Every
from tests.oracles.generate import THEMES, generate
from tracelock.backends.rules import ASYNCIO_RULES, MULTIPROCESSING_RULES, THREADING_RULES
from tracelock.objects import Rules
from tracelock.scenario.loading import load_scenario, scenario_from_data
from tracelock.scenario.program import Program
from tracelock.schedulers.dpor.parsimonious import ParsimoniousScheduler
from tracelock.schedulers.dpor.scheduler import DporScheduler

DATA = Path(__file__).resolve().parents[1] / "data" / "oracles"
TRACES = json.loads((DATA / "traces.json").read_text(encoding="utf-8"))
#: The themes whose steps have no limits for it.
FIT = sorted(THEMES.keys() - {"atomics", "spawning"})


def program(workers: dict[str, Any], **parts: Any) -> Program:
    """A program from its parts; a worker is its list of steps, or a whole declaration."""
    declared = {
        name: worker if isinstance(worker, dict) else {"steps": worker}
        for name, worker in workers.items()
    }
    data = {"format": "tracelock-scenario/1", "name": "test", "workers": declared, **parts}
    return Program(scenario_from_data(data))


def readers(count: int) -> Program:
    """One worker writes what so many others read."""
    return program(
        {
            "writer": [{"write": "x", "value": 42}],
            "reader": {"count": count, "steps": [{"read": "x", "into": "r"}]},
        },
        shared={"x": 0},
    )


def explored(
    made: Program, rules: Rules = THREADING_RULES, clock: str = "virtual", **options: Any
) -> tuple[ParsimoniousScheduler, Reached]:
    """What the search reaches of a program."""
    search = ParsimoniousScheduler(**options)
    return search, reach(made, rules, clock, search, skip=lambda: search.cut)


@pytest.mark.parametrize("entry", TRACES, ids=lambda entry: Path(entry["scenario"]).stem)
def test_exactly_the_published_executions(entry: dict[str, Any]) -> None:
    search, found = explored(Program(load_scenario(DATA / entry["scenario"])))
    assert search.executions == found.runs == len(found.classes) == entry["executions"]
    assert not search.unfit
    assert search.redundant == search.missed == 0
    assert search.exhaustive
    assert search.estimate() == 1.0


@pytest.mark.parametrize("clock", ["virtual", "adversarial"])
@pytest.mark.parametrize("theme", FIT)
def test_each_class_of_generated_scenarios_once(theme: str, clock: str) -> None:
    for seed in range(200, 200 + amount(4, 40)):
        made = Program(scenario_from_data(generate(seed, theme, 600, early=clock == "adversarial")))
        for rules in (THREADING_RULES, MULTIPROCESSING_RULES):
            every = reach(made, rules, clock, Every())
            search, found = explored(made, rules, clock)
            assert found.ends == every.ends, (seed, rules.backend)
            assert found.classes == dict.fromkeys(every.classes, 1), (seed, rules.backend)
            assert not search.unfit
            assert search.exhaustive


@pytest.mark.parametrize("theme", ["atomics", "spawning", "tasks"])
def test_what_it_is_not_fit_for_is_searched_by_wakeup_trees(theme: str) -> None:
    """From the first execution that shows it on: nothing is missed."""
    rules = ASYNCIO_RULES if theme == "tasks" else THREADING_RULES
    unfit = 0
    for seed in range(amount(12, 40)):
        made = Program(scenario_from_data(generate(seed, theme, 600)))
        every = reach(made, rules, "virtual", Every())
        search, found = explored(made, rules)
        assert found.ends == every.ends, seed
        assert found.classes.keys() == every.classes.keys(), seed
        assert search.exhaustive
        unfit += bool(search.unfit)
        trees = DporScheduler()
        reach(made, rules, "virtual", trees, skip=lambda trees=trees: trees.cut)  # type: ignore[misc]
        assert search.executions == trees.executions, seed
        assert search.redundant == (trees.redundant if search.unfit else 0), seed
    assert unfit


def test_it_begins_again_where_a_later_execution_shows_that_it_is_not_fit() -> None:
    """The atomic step comes only where the other worker was first."""
    atomic = {"atomic": [{"read": "x", "into": "l"}, {"write": "y", "value": "l"}]}
    made = program(
        {
            "a": [{"if": "y == 1", "then": [atomic]}],
            "b": [{"write": "y", "value": 1}, {"write": "x", "value": 5}],
        },
        shared={"x": 0, "y": 0},
    )
    search, found = explored(made)
    assert search.unfit
    assert search.exhaustive
    every = reach(made, THREADING_RULES, "virtual", Every())
    assert found.ends == every.ends
    trees = DporScheduler()
    reach(made, THREADING_RULES, "virtual", trees)
    assert search.executions == trees.executions
    assert found.runs == search.executions + 2  # those before


def test_memory_is_not_that_of_the_executions() -> None:
    """Each reader more doubles the executions, and adds as much as the others to what is kept."""
    kept = []
    for count in (4, 8):
        search = ParsimoniousScheduler()
        most = 0

        def skip(search: ParsimoniousScheduler = search) -> bool:
            nonlocal most
            jumps = sum(len(way.todo) for way in search._ways)
            assert len(search._ways) <= len(search._steps)
            assert len(search._trees) == len(search._sleeps) == len(search._steps) + 1
            assert not any(search._trees)
            most = max(most, jumps)
            return False

        found = reach(readers(count), THREADING_RULES, "virtual", search, skip=skip)
        assert found.runs == 1 << count
        kept.append(most)
    assert kept == [4, 8]


def test_a_step_on_an_object_has_at_most_one_jump_to_make() -> None:
    """A worker that takes a lock many times does not race with all times that another has it."""
    taking = [{"repeat": 30, "do": [{"with": "m", "do": []}]}]
    made = program({"w": {"count": 2, "steps": taking}}, objects={"m": "lock"})
    search = ParsimoniousScheduler()
    jumps = []

    def skip() -> bool:
        jumps.append(len(search._ways[-1].todo) if search._ways else 0)
        raise _Enough

    with pytest.raises(_Enough):
        reach(made, THREADING_RULES, "virtual", search, skip=skip)
    assert jumps == [1]


class _Enough(Exception):
    """The first execution is all that is wanted."""


def test_conditions_between_steps_are_watched() -> None:
    made = program(
        {
            "a": [{"write": "x", "value": 1}],
            "b": [{"write": "y", "value": 1}, {"read": "x", "into": "l"}],
            "c": [{"read": "y", "into": "l"}],
        },
        shared={"x": 0, "y": 0},
        always=["x >= y"],
    )
    for watched in ((), [(0, 1)]):
        trees = DporScheduler(watched)
        old = reach(made, THREADING_RULES, "virtual", trees)
        search, found = explored(made, watched=watched)
        assert not search.unfit
        assert search.executions == trees.executions
        assert found.ends == old.ends
        assert found.classes.keys() == old.classes.keys()


def test_a_run_that_a_bound_ends_is_not_exhausted() -> None:
    made = program(
        {
            "spin": [{"while": "not go", "do": ["checkpoint"]}],
            "set": [{"write": "go", "value": True}],
        },
        shared={"go": False},
    )
    search = ParsimoniousScheduler()
    found = reach(made, THREADING_RULES, "virtual", search, steps=20)
    assert search.finished
    assert not search.exhaustive
    assert {end[0] for end in found.ends} == {"passed", "unfinished"}
    assert search.executions == 11
    assert search.bounded == 2


def test_a_step_that_is_not_there_makes_it_begin_again() -> None:
    """A program that depends on more than its schedule, or a rule that is wrong: the search goes
    on by wakeup trees."""
    search = ParsimoniousScheduler()
    runs = 0

    def skip() -> bool:
        nonlocal runs
        runs += 1
        if runs == 3:
            search._give_up(0)
        return search.cut

    found = reach(readers(3), THREADING_RULES, "virtual", search, skip=skip)
    assert search.unfit
    assert search.exhaustive
    assert search.executions == len(found.classes) == 8
    assert found.runs == runs > 8


def test_it_can_be_handed_to_another_process_between_executions() -> None:
    search = ParsimoniousScheduler()
    sizes = []

    def skip() -> bool:
        state = {
            key: value
            for key, value in vars(search).items()
            if key not in ("_run", "_history", "_steps")
        }
        sizes.append(len(pickle.dumps(state)))
        return False

    reach(readers(6), THREADING_RULES, "virtual", search, skip=skip)
    assert len(sizes) == 64


def test_the_estimate_rises_to_one() -> None:
    search = ParsimoniousScheduler()
    seen = []
    made = Program(load_scenario(DATA / "lastzero-5.json"))
    reach(
        made, THREADING_RULES, "virtual", search,
        skip=lambda: bool(seen.append(search.estimate())),  # type: ignore[func-returns-value]
    )  # fmt: skip
    assert all(0.0 <= share < 1.0 for share in seen[:-1])
    assert sorted(seen) == seen
    assert search.estimate() == 1.0
