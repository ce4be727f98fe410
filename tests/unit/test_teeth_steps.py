"""Mutants of scenarios: the documents that somebody would have written by hand."""

from __future__ import annotations

from typing import Any

from tracelock.scenario.loading import scenario_from_data
from tracelock.teeth.steps import REACHED, step_mutations

A, B, C, D = ({"write": "n", "value": number} for number in (1, 2, 3, 4))


def document(*steps: Any) -> dict[str, Any]:
    return {
        "format": "tracelock-scenario/1", "name": "steps", "shared": {"n": 0},
        "objects": {"one": "lock", "two": "lock", "many": {"type": "lock", "count": 2}},
        "workers": {"w": {"steps": list(steps)}},
    }  # fmt: skip


def mutants(*steps: Any) -> list[tuple[str, Any]]:
    found = step_mutations(document(*steps))
    for one in found:
        scenario_from_data(one.document)
        scenario_from_data(one.probe)
        assert {"fail": REACHED} in _all_steps(one.probe["workers"]["w"]["steps"])
    return [(one.kind, one.document["workers"]["w"]["steps"]) for one in found]


def _all_steps(block: list[Any]) -> list[Any]:
    found = list(block)
    for step in block:
        for value in step.values() if isinstance(step, dict) else ():
            if isinstance(value, list):
                found += _all_steps(value)
    return found


def held(lock: str, *steps: Any) -> dict[str, Any]:
    return {"with": lock, "do": list(steps)}


def test_with() -> None:
    assert mutants(A, held("one", B, C), D) == [
        ("removed", [A, B, C, D]),
        ("narrowed", [A, B, held("one", C), D]),
        ("narrowed", [A, held("one", B), C, D]),
        ("replaced", [A, held("two", B, C), D]),
        ("widened", [held("one", A, B, C), D]),
        ("widened", [A, held("one", B, C, D)]),
    ]


def test_acquire_and_release() -> None:
    take, give = {"acquire": "one"}, {"release": "one"}
    other_take, other_give = {"acquire": "two"}, {"release": "two"}
    assert mutants(take, A, B, give) == [
        ("removed", [A, B]),
        ("narrowed", [A, take, B, give]),
        ("narrowed", [take, A, give, B]),
        ("replaced", [other_take, A, B, other_give]),
    ]
    tried = {"try": [A, B], "finally": [C, give]}
    assert mutants(take, tried) == [
        ("removed", [{"try": [A, B], "finally": [C]}]),
        ("narrowed", [A, take, {"try": [B], "finally": [C, give]}]),
        ("narrowed", [take, {"try": [A], "finally": [C, give]}, B]),
        ("replaced", [other_take, {"try": [A, B], "finally": [C, other_give]}]),
    ]


def test_two_locks() -> None:
    assert mutants(held("many[0]", held("many[1]", A))) == [
        ("removed", [held("many[1]", A)]),
        ("swapped", [held("many[1]", held("many[0]", A))]),
        ("removed", [held("many[0]", A)]),
    ]
    assert ("swapped", [held("two", A), held("one", B)]) in mutants(held("one", A), held("two", B))


def test_what_takes_the_lock_itself_is_not_taken_in() -> None:
    kinds = [kind for kind, _ in mutants(held("one", A), held("one", B))]
    assert "widened" not in kinds and "swapped" not in kinds
