"""Reducing scenarios: what is left has the failure, and nothing can be left out of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conformance.test_library import FILES, scenario_in, small_program
from tests.helpers.amount import amount
from tracelock.errors import ScenarioError, UsageError
from tracelock.explore.running import Runner
from tracelock.explore.shrink.fewest import fewest
from tracelock.explore.shrink.scenario import (
    _edited,
    edits,
    reduce_scenario,
    same_trouble,
    signature,
    value_at,
)
from tracelock.scenario.language.models import Scenario
from tracelock.scenario.loading import load_scenario_text, scenario_from_data
from tracelock.scenario.program import Program
from tracelock.session import rules_of
from tracelock.trace import Verdict

FAILING = [
    pytest.param(path, backend, id=f"{path.stem}-{backend}")
    for path in FILES
    for backend, expected in list(scenario_in(path).expect.items())
    if expected.verdict != "passes" and backend in ("threading", "trio")
]


def failure_of(scenario: Scenario, backend: str) -> Verdict:
    runner = Runner(Program(scenario), rules_of(backend))
    found = fewest(runner, lambda verdict: verdict.kind in ("failed", "deadlock", "crashed"))
    assert found.picks is not None
    executed = runner.execute(found.picks)
    assert executed is not None
    return executed.verdict


def workers(data: dict[str, Any]) -> dict[str, Any]:
    steps: dict[str, Any] = data["workers"]
    return steps


@pytest.mark.parametrize(("path", "backend"), FAILING)
def test_the_library_is_reduced(path: Path, backend: str) -> None:
    scenario = small_program(path).scenario
    rules = rules_of(backend)
    target = failure_of(scenario, backend)
    gate = same_trouble(scenario, rules, target, seconds=None)
    reduced = reduce_scenario(scenario.to_data(), gate, seconds=None)
    assert reduced.certified
    assert reduced.scenario == scenario_from_data(reduced.data)
    assert "expect" not in reduced.data
    assert len(json.dumps(reduced.data)) <= len(json.dumps(scenario.to_data()))
    assert load_scenario_text(reduced.scenario.to_yaml()) == reduced.scenario
    # the same failure, found without the gate
    again = failure_of(reduced.scenario, backend)
    assert (again.kind, again.failure) == (target.kind, target.failure)
    assert signature(reduced.scenario, again) == signature(scenario, target)
    # one edit less, seen from outside
    for _, where, value in edits(reduced.data):
        try:
            smaller = scenario_from_data(_edited(reduced.data, where, value))
        except ScenarioError:
            continue
        assert smaller == reduced.scenario or not gate(smaller)


BLOATED: dict[str, Any] = {
    "format": "tracelock-scenario/1",
    "name": "bloated",
    "description": "A lost update, and much that has nothing to do with it.",
    "shared": {"counter": 0, "noise": 0, "unused": [1, 2, 3]},
    "objects": {"m": "lock", "many": {"type": "lock", "count": 4}, "q": "queue"},
    "workers": {
        "incrementer": {"count": 2, "steps": [
            {"let": {"x": 1}},
            {"repeat": 1, "do": [
                {"with": "many[index]", "do": [{"write": "counter", "value": "counter + 1"}]},
            ]},
            {"write": "noise", "value": "noise + 1"},
        ]},
        "bystander": {"count": 2, "steps": [
            {"put": "q", "value": 1}, {"with": "m", "do": [{"read": "noise", "into": "n"}]},
            {"if": "n > 1", "then": ["checkpoint"], "else": [{"sleep": 1}]},
        ]},
    },
    "finally": ["noise <= 5", "counter == 2"],
    "expect": {"threading": "fails"},
}  # fmt: skip


def test_only_the_failure_is_left() -> None:
    scenario = scenario_from_data(BLOATED)
    verdict = Verdict("failed", "finally", "", at="finally[1]")
    gate = same_trouble(scenario, rules_of("threading"), verdict, seconds=None)
    reduced = reduce_scenario(scenario.to_data(), gate, seconds=None)
    data = reduced.data
    assert data["shared"] == {"counter": 0}
    assert "objects" not in data
    assert data["workers"] == {
        "incrementer": {"count": 2, "steps": [{"write": "counter", "value": "counter + 1"}]}
    }
    assert data["finally"] == ["counter == 2"]
    assert data["description"] == BLOATED["description"], "its name and words are kept"
    assert reduced.certified and reduced.tried > len(reduced.history)
    assert "without worker bystander" in reduced.history
    again = reduce_scenario(data, gate, seconds=None)
    assert (again.data, again.history) == (data, [])


def test_a_document_that_always_fails_is_no_reduction() -> None:
    data = {
        "format": "tracelock-scenario/1", "name": "three", "shared": {"c": 0},
        "workers": {"w": {"count": 3, "steps": [
            {"repeat": 2, "do": [{"write": "c", "value": "c + 1"}]}
        ]}},
        "finally": ["c == 6"],
    }  # fmt: skip
    scenario = scenario_from_data(data)
    verdict = failure_of(scenario, "threading")
    gate = same_trouble(scenario, rules_of("threading"), verdict, seconds=None)
    reduced = reduce_scenario(data, gate, seconds=None)
    assert workers(reduced.data) == workers(scenario.to_data()), "two cannot count to six"


def test_fewer_rounds_and_instances() -> None:
    data = {
        "format": "tracelock-scenario/1", "name": "rounds", "shared": {"c": 0},
        "objects": {"a": "lock", "b": "lock"},
        "workers": {
            "ab": {"count": 2, "steps": [
                {"repeat": 3, "do": [{"with": "a", "do": [{"with": "b", "do": []}]}]},
            ]},
            "ba": {"count": 1, "steps": [
                {"repeat": 2, "do": [{"with": "b", "do": [{"with": "a", "do": []}]}]},
            ]},
        },
    }  # fmt: skip
    scenario = scenario_from_data(data)
    verdict = failure_of(scenario, "threading")
    gate = same_trouble(scenario, rules_of("threading"), verdict, seconds=None)
    reduced = reduce_scenario(data, gate, seconds=None)
    assert workers(reduced.data) == {
        "ab": {"steps": [{"with": "a", "do": [{"with": "b", "do": []}]}]},
        "ba": {"steps": [{"with": "b", "do": [{"with": "a", "do": []}]}]},
    }


def test_what_the_backend_refuses_is_not_kept() -> None:
    path = next(path for path in FILES if path.stem == "crash_holding_lock")
    scenario = scenario_in(path)
    verdict = failure_of(scenario, "multiprocessing")
    assert not same_trouble(scenario, rules_of("threading"), verdict)(scenario)
    assert same_trouble(scenario, rules_of("multiprocessing"), verdict)(scenario)


def test_the_gate_is_asked_of_the_start_too() -> None:
    with pytest.raises(UsageError, match="does not have this failure"):
        reduce_scenario(BLOATED, lambda _: False)
    with pytest.raises(ScenarioError):
        reduce_scenario({"name": "x"}, lambda _: True)


def test_a_spent_effort_is_said() -> None:
    reduced = reduce_scenario(BLOATED, lambda _: True, tries=3)
    assert (reduced.tried, reduced.certified) == (3, False)
    reduced = reduce_scenario(BLOATED, lambda _: True, seconds=0.0)
    assert (reduced.tried, reduced.certified) == (1, False)


@settings(derandomize=True, deadline=None, max_examples=amount(10, 25))
@given(st.sampled_from(FILES), st.sets(st.sampled_from(("write", "with", "read", "acquire"))))
def test_any_gate(path: Path, verbs: set[str]) -> None:
    """The gate decides, whatever it is: here, that the document still has certain verbs."""
    scenario = scenario_in(path)
    text = json.dumps(workers(scenario.to_data()))
    wanted = {f'"{verb}": "' for verb in verbs if f'"{verb}": "' in text}

    def gate(candidate: Scenario) -> bool:
        found = json.dumps(workers(candidate.to_data()))
        return all(one in found for one in wanted)

    reduced = reduce_scenario(scenario.to_data(), gate, seconds=None)
    assert reduced.certified and gate(reduced.scenario)
    assert reduced.data == reduce_scenario(scenario.to_data(), gate, seconds=None).data
    if not wanted:
        assert workers(reduced.data) == {} or len(workers(reduced.data)) == 1
    assert json.dumps(workers(reduced.data)).count('"') <= text.count('"')


def test_value_at() -> None:
    data = {"workers": {"w": {"steps": [{"do": [1, {"x": 2}]}]}}}
    assert value_at(data, "workers.w.steps[0].do[1]") == {"x": 2}
    assert value_at(data, "workers.w.steps[0].do[1].x") == 2
    assert value_at(data, "workers.w.steps[3]") is None
    assert value_at(data, "workers.w.steps[0].do[0].y") is None
