"""The numbering of everything shared."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings

from tests.helpers.scenario_strategies import scenarios
from tracelock.ops import ObjectSpec
from tracelock.scenario.compile.layout import build_layout
from tracelock.scenario.language.models import Scenario


def layout_of(**more: Any) -> Any:
    data = {"name": "x", "workers": {"w": {"steps": []}}, **more}
    return build_layout(Scenario.model_validate(data))


def test_variables_then_objects_in_order_of_declaration() -> None:
    layout = layout_of(
        shared={"v": 7, "a": [1, None], "empty": []},
        objects={
            "m": "lock",
            "two": {"type": "semaphore", "count": 2, "value": 0},
            "q": {"type": "queue", "maxsize": 3, "order": "lifo"},
            "b": {"type": "barrier", "parties": 4},
        },
    )
    assert layout.names == ("v", "a[0]", "a[1]", "m", "two[0]", "two[1]", "q", "b")
    assert layout.initial == (7, 1, None)
    assert layout.arrays == {
        "v": (0, None), "a": (1, 2), "empty": (3, 0),
        "m": (3, None), "two": (4, 2), "q": (6, None), "b": (7, None),
    }  # fmt: skip
    assert layout.objects == (
        ObjectSpec("m", "lock"),
        ObjectSpec("two[0]", "semaphore", value=0),
        ObjectSpec("two[1]", "semaphore", value=0),
        ObjectSpec("q", "queue", maxsize=3, order="lifo"),
        ObjectSpec("b", "barrier", parties=4),
    )
    assert layout.spec(4).name == "two[0]"


def test_locks_of_conditions() -> None:
    layout = layout_of(
        shared={"v": 0},
        objects={
            "early": {"type": "condition", "lock": "g"},
            "own": "condition",
            "g": "lock",
            "many": {"type": "condition", "count": 2},
            "pair": {"type": "rlock", "count": 2},
            "each": {"type": "condition", "count": 2, "lock": "pair"},
            "both": {"type": "condition", "count": 2, "lock": "g"},
        },
    )
    found = {number: layout.spec(number) for number in range(1, len(layout.names))}
    assert [(spec.name, spec.type, spec.lock) for spec in found.values()] == [
        ("early", "condition", 4),
        ("own", "condition_lock", -1),
        ("own", "condition", 2),
        ("g", "lock", -1),
        ("many[0]", "condition_lock", -1),
        ("many[1]", "condition_lock", -1),
        ("many[0]", "condition", 5),
        ("many[1]", "condition", 6),
        ("pair[0]", "rlock", -1),
        ("pair[1]", "rlock", -1),
        ("each[0]", "condition", 9),
        ("each[1]", "condition", 10),
        ("both[0]", "condition", 4),
        ("both[1]", "condition", 4),
    ]
    assert layout.arrays["own"] == (3, None) and layout.arrays["many"] == (7, 2)


def test_workers() -> None:
    layout = layout_of(
        workers={"one": {"steps": []}, "two": {"count": 2, "start": "manual", "steps": []}}
    )
    assert [(w.name, w.group, w.index, w.count, w.manual) for w in layout.workers] == [
        ("one", "one", 0, 1, False),
        ("two[0]", "two", 0, 2, True),
        ("two[1]", "two", 1, 2, True),
    ]


@settings(derandomize=True, deadline=None, max_examples=50)
@given(scenarios())
def test_numbers_fit_names(data: dict[str, Any]) -> None:
    layout = build_layout(Scenario.model_validate(data))
    assert len(layout.names) == len(layout.initial) + len(layout.objects)
    for number, spec in enumerate(layout.objects, layout.variables):
        assert layout.names[number] == spec.name
    for name, (first, length) in layout.arrays.items():
        assert layout.names[first] == (name if length is None else f"{name}[0]")
