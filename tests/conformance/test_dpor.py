"""Partial-order reduction reaches what brute force reaches, and each class of runs once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.amount import amount
from tests.oracles.classes import Reached, reach
from tests.oracles.every import Every
from tests.oracles.generate import THEMES, generate
from tracelock.backends.base import Options
from tracelock.backends.rules import (
    ASYNCIO_RULES,
    MULTIPROCESSING_RULES,
    THREADING_RULES,
    TRIO_RULES,
)
from tracelock.backends.simulated import SimulatedBackend
from tracelock.engine.controller import Controller
from tracelock.objects import Rules
from tracelock.scenario.loading import load_scenario, scenario_from_data
from tracelock.scenario.program import Program
from tracelock.schedulers.dpor.scheduler import DporScheduler
from tracelock.schedulers.dpor.wakeup import Node, Step, insert, place

DATA = Path(__file__).resolve().parents[1] / "data" / "oracles"
TRACES = json.loads((DATA / "traces.json").read_text(encoding="utf-8"))
#: Those of which brute force makes at most a few thousand runs.
SMALL = {
    "lastzero-2", "lastzero-3", "readers-2", "readers-4", "writers-reader-2", "writers-reader-3",
    "lockinc-2", "lockinc-3", "ainc-3", "ainc-4", "inc-2", "inc-3", "cas-2", "cas-5", "wcas-2",
    "philosophers-2", "philosophers-3", "sections-2x1", "sections-2x3", "store-buffering",
    "message-passing", "load-buffering", "iriw", "account", "deadlock01", "reorder-3",
}  # fmt: skip
RULES = {
    rules.backend: rules
    for rules in (THREADING_RULES, MULTIPROCESSING_RULES, ASYNCIO_RULES, TRIO_RULES)
}


def program(workers: dict[str, Any], **parts: Any) -> Program:
    """A program from its parts; a worker is its list of steps, or a whole declaration."""
    declared = {
        name: worker if isinstance(worker, dict) else {"steps": worker}
        for name, worker in workers.items()
    }
    data = {"format": "tracelock-scenario/1", "name": "test", "workers": declared, **parts}
    return Program(scenario_from_data(data))


def explore(
    made: Program,
    rules: Rules = THREADING_RULES,
    clock: str = "virtual",
    scheduler: DporScheduler | None = None,
    **options: Any,
) -> tuple[DporScheduler, Reached]:
    """What the scheduler reaches; executions that it cut are left out."""
    dpor = DporScheduler() if scheduler is None else scheduler
    return dpor, reach(made, rules, clock, dpor, skip=lambda: dpor.cut, **options)


# --- published counts ------------------------------------------------------------------------
@pytest.mark.parametrize("entry", TRACES, ids=lambda entry: Path(entry["scenario"]).stem)
def test_exactly_the_inequivalent_executions(entry: dict[str, Any]) -> None:
    """As many as published, all different, none redundant; and those that brute force has."""
    made = Program(load_scenario(DATA / entry["scenario"]))
    dpor, found = explore(made)
    assert dpor.executions == entry["executions"]
    assert dpor.redundant == 0
    assert dpor.exhaustive
    assert dpor.estimate() == 1.0
    assert found.runs == len(found.classes) == entry["executions"]
    if Path(entry["scenario"]).stem in SMALL:
        every = reach(made, THREADING_RULES, "virtual", Every(), limit=35_000)
        assert found.classes.keys() == every.classes.keys()
        assert found.ends == every.ends


# --- generated scenarios ---------------------------------------------------------------------
@pytest.mark.parametrize("clock", ["virtual", "adversarial"])
@pytest.mark.parametrize("theme", sorted(THEMES))
def test_generated_scenarios_on_threads(theme: str, clock: str) -> None:
    """Fourteen of each theme and clock at length: ends, lock orders and classes as by brute force;
    one execution for each class, but for atomic steps, of which it is not known
    beforehand what they touch."""
    for seed in range(amount(6, 14)):
        made = Program(scenario_from_data(generate(seed, theme, early=clock == "adversarial")))
        every = reach(made, THREADING_RULES, clock, Every())
        dpor, found = explore(made, clock=clock)
        assert found.ends == every.ends, seed
        assert found.classes.keys() == every.classes.keys(), seed
        assert dpor.redundant == 0, seed
        assert dpor.exhaustive
        if theme == "atomics":
            assert dpor.executions <= every.runs
        else:
            assert dpor.executions == len(every.classes), seed


@pytest.mark.parametrize("clock", ["virtual", "adversarial"])
@pytest.mark.parametrize("theme", ["conditions", "events", "locks", "timeouts"])
def test_generated_scenarios_on_processes(theme: str, clock: str) -> None:
    """There a notify may wake any waiter, which is a choice of its own."""
    for seed in range(100, 100 + amount(5, 12)):
        made = Program(scenario_from_data(generate(seed, theme, early=clock == "adversarial")))
        every = reach(made, MULTIPROCESSING_RULES, clock, Every())
        dpor, found = explore(made, MULTIPROCESSING_RULES, clock)
        assert found.ends == every.ends, seed
        assert found.classes == dict.fromkeys(every.classes, 1), seed
        assert dpor.redundant == 0


@pytest.mark.parametrize("clock", ["virtual", "adversarial"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_generated_scenarios_of_tasks(backend: str, clock: str) -> None:
    """Nothing is missed; what a task does until it suspends is not known beforehand, so that
    there may be more executions than need be."""
    for theme in ("tasks", "locks", "conditions", "semaphores"):
        for seed in range(amount(15, 40)):
            made = Program(scenario_from_data(generate(seed, theme, early=clock == "adversarial")))
            every = reach(made, RULES[backend], clock, Every())
            dpor, found = explore(made, RULES[backend], clock)
            assert found.ends == every.ends, (theme, seed)
            assert found.classes.keys() == every.classes.keys(), (theme, seed)
            assert dpor.exhaustive
            assert dpor.executions <= every.runs


def test_a_notify_wakes_each_waiter_once() -> None:
    waiter = [{"with": "c", "do": [{"wait": "c"}, {"write": "woken", "value": "index"}]}]
    notifier = [{"with": "c", "do": [{"notify": "c", "n": 2}]}]
    made = program(
        {"w": {"count": 3, "steps": waiter}, "n": notifier},
        shared={"woken": -1},
        objects={"c": "condition"},
    )
    every = reach(made, MULTIPROCESSING_RULES, "virtual", Every())
    dpor, found = explore(made, MULTIPROCESSING_RULES)
    assert found.ends == every.ends
    assert found.classes == dict.fromkeys(every.classes, 1)
    assert dpor.redundant == 0


# --- what ends an execution does not end the search --------------------------------------------
def test_failures_and_deadlocks_are_executions_like_others() -> None:
    steps = [
        {"acquire": "m[index]"},
        {"acquire": "m[1 - index]"},
        {"read": "x", "into": "l"},
        {"assert": "l == index"},
        {"write": "x", "value": 1},
        {"release": "m[index]"},
        {"release": "m[1 - index]"},
    ]
    made = program(
        {"w": {"count": 2, "steps": steps}},
        shared={"x": 0},
        objects={"m": {"type": "lock", "count": 2}},
    )
    dpor, found = explore(made)
    assert dpor.executions == 3
    assert sorted(end[0] for end in found.ends) == ["deadlock", "failed", "passed"]


def test_a_run_that_a_bound_ends_is_not_exhausted() -> None:
    made = program(
        {
            "spin": [{"while": "not go", "do": ["checkpoint"]}],
            "set": [{"write": "go", "value": True}],
        },
        shared={"go": False},
    )
    dpor, found = explore(made, steps=20)
    assert dpor.finished
    assert not dpor.exhaustive
    every = reach(made, THREADING_RULES, "virtual", Every(), steps=20)
    assert found.ends == every.ends
    assert {end[0] for end in found.ends} == {"passed", "unfinished"}
    # the write before each of ten reads, or after them all, where the bound is
    assert dpor.executions == 11
    assert dpor.bounded == 2
    assert dpor.redundant == 0


def test_conditions_between_steps_are_watched() -> None:
    """Two writes commute, unless a condition on both is checked in between."""
    made = program(
        {"a": [{"write": "x", "value": 1}], "b": [{"write": "y", "value": 1}]},
        shared={"x": 0, "y": 0},
        always=["x >= y"],
    )
    dpor, found = explore(made)
    assert dpor.executions == 1
    assert {end[0] for end in found.ends} == {"passed"}
    dpor, found = explore(made, scheduler=DporScheduler([(0, 1)]))
    assert dpor.executions == 2
    assert dpor.redundant == 0
    assert {end[0] for end in found.ends} == {"passed", "failed"}


def test_timers_of_one_deadline_fire_in_each_order() -> None:
    steps = [{"sleep": 1}, {"write": "x", "value": "x * 10 + index"}]
    made = program({"w": {"count": 3, "steps": steps}}, shared={"x": 0})
    every = reach(made, THREADING_RULES, "virtual", Every())
    dpor, found = explore(made)
    assert found.ends == every.ends
    assert found.classes == dict.fromkeys(every.classes, 1)
    dpor, found = explore(made, clock="adversarial")
    # early or late is no matter there: as if nobody slept
    assert dpor.executions == 36
    assert dpor.redundant == 0


def test_a_task_goes_on_until_it_suspends() -> None:
    """An update without a suspension in it cannot be lost."""
    made = program(
        {"w": {"count": 3, "steps": [{"write": "x", "value": "x + 1"}, "checkpoint"]}},
        shared={"x": 0},
    )
    _, found = explore(made, ASYNCIO_RULES)
    assert {end[3] for end in found.ends} == {(3,)}
    _, found = explore(made)
    assert {end[3] for end in found.ends} == {(1,), (2,), (3,)}


# --- the search as a whole ---------------------------------------------------------------------
def picks_of(made: Program) -> list[tuple[int, ...]]:
    scheduler = DporScheduler()
    runs: list[tuple[int, ...]] = []

    def done(controller: Controller) -> bool:
        runs.append(tuple(entry[0] for entry in controller.log))
        return False

    with SimulatedBackend(made, Options(), THREADING_RULES) as backend:
        backend.controlled(Controller(made.layout, THREADING_RULES, scheduler), done)
    return runs


def test_the_search_repeats_itself() -> None:
    made = Program(load_scenario(DATA / "reorder-3.json"))
    assert picks_of(made) == picks_of(made)


@pytest.mark.parametrize(("stem", "most"), [("lockinc-5", 10), ("philosophers-5", 40)])
def test_memory_is_that_of_the_depth(stem: str, most: int) -> None:
    """Nothing is kept of what has been explored: only the last execution, and steps planned."""
    made = Program(load_scenario(DATA / f"{stem}.json"))
    dpor = DporScheduler()
    planned = 0

    def size(nodes: list[Node]) -> int:
        return sum(1 + size(node.children) for node in nodes)

    def skip() -> bool:
        nonlocal planned
        planned = max(planned, sum(size(tree) for tree in dpor._trees))
        assert len(dpor._trees) == len(dpor._sleeps) == len(dpor._steps) + 1
        return False

    reach(made, THREADING_RULES, "virtual", dpor, skip=skip)
    assert planned <= most


def test_the_estimate_rises_to_one() -> None:
    made = Program(load_scenario(DATA / "lastzero-5.json"))
    dpor = DporScheduler()
    seen = [dpor.estimate()]

    def skip() -> bool:
        seen.append(dpor.estimate())
        return False

    reach(made, THREADING_RULES, "virtual", dpor, skip=skip)
    assert seen[0] == 0.0
    assert all(0.0 <= share < 1.0 for share in seen)
    assert seen[48] > 0.3
    assert dpor.estimate() == 1.0


# --- wakeup trees ------------------------------------------------------------------------------
def read(worker: int, thing: int) -> Step:
    return worker, (), 1 << thing, 1 << 10 + worker


def write(worker: int, thing: int) -> Step:
    return worker, (), 0, 1 << thing | 1 << 10 + worker


def test_weak_initials() -> None:
    sequence = [read(0, 0), read(1, 1), write(2, 0)]
    assert place(read(0, 0), sequence) == 0
    assert place(read(1, 1), sequence) == 1
    assert place(write(2, 0), sequence) == -1  # after the read of the same thing
    assert place(read(3, 1), sequence) == 3  # not in there, and independent of it
    assert place(write(3, 1), sequence) == -1
    assert place((2, (1,), 0, 1 << 12), [(2, (0,), 0, 1 << 12)]) == -1  # another data choice
    assert place((2, (1,), 0, 1 << 12), [(2, (), 0, 1 << 12)]) == 0  # any


def test_insertion_into_a_wakeup_tree() -> None:
    tree: list[Node] = []
    assert insert(tree, [read(0, 0), write(1, 0)])
    assert not insert(tree, [read(0, 0), write(1, 0), read(2, 5)])  # ends in a leaf
    assert not insert(tree, [read(0, 0)])
    assert insert(tree, [write(1, 0), read(0, 0)])
    assert insert(tree, [read(0, 0), write(2, 0), write(1, 0)])
    assert [node.step[0] for node in tree] == [0, 1]
    assert [node.step[0] for node in tree[0].children] == [1, 2]
