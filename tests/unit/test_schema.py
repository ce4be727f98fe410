"""The published JSON Schema takes what loads, and refuses what does not."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings

from tests.helpers.amount import amount
from tests.helpers.scenario_strategies import scenarios
from tracelock.errors import ScenarioError
from tracelock.scenario.language.jsonschema import scenario_schema
from tracelock.scenario.language.objects import OBJECTS
from tracelock.scenario.language.verbs import KEYS
from tracelock.scenario.loading import load_scenario, scenario_from_data

DATA = Path(__file__).parents[1] / "data"
DOCUMENTS = sorted(
    path
    for pattern in ("examples/*.yaml", "oracles/**/*.json")
    for path in DATA.glob(pattern)
    if path.name not in ("traces.json", "sctbench.json")
)
SCENARIOS = Path(__file__).parents[2] / "scenarios"
SCHEMA = "tracelock-scenario.schema.json"
VALIDATOR = jsonschema.Draft7Validator(scenario_schema())


def accepts(data: Any) -> bool:
    return bool(VALIDATOR.is_valid(data))


def document(*steps: Any, **more: Any) -> dict[str, Any]:
    return {
        "format": "tracelock-scenario/1",
        "name": "x",
        "shared": {"v": 0},
        "objects": {"m": "lock", "c": "condition", "b": {"type": "barrier", "parties": 2}},
        "workers": {"w": {"steps": list(steps)}},
        **more,
    }


def test_is_a_schema_and_plain_data() -> None:
    schema = scenario_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    assert json.loads(json.dumps(schema)) == schema
    assert schema is not scenario_schema()


def test_has_a_name_that_goes_with_its_format() -> None:
    assert scenario_schema()["$id"] == "urn:tracelock:scenario:1"


def test_the_schema_beside_the_scenarios_is_this_one() -> None:
    """Made by ``tracelock schema``: run that again where this fails."""
    kept = (SCENARIOS / SCHEMA).read_text(encoding="utf-8")
    assert kept == json.dumps(scenario_schema(), indent=2) + "\n"


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_scenario_leads_an_editor_to_the_schema(path: Path) -> None:
    """By its first line, from the folder that it lies in; and keeps to it."""
    text = path.read_text(encoding="utf-8")
    mark, _, name = text.partition("\n")[0].partition("$schema=")
    assert mark == "# yaml-language-server: "
    assert json.loads((path.parent / name).read_text(encoding="utf-8")) == scenario_schema()
    assert accepts(yaml.safe_load(text))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_accepts_every_document(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    raw = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    assert not [error.message for error in VALIDATOR.iter_errors(raw)]
    assert accepts(load_scenario(path).to_data())


@settings(derandomize=True, deadline=None, max_examples=amount(20, 60))
@given(scenarios())
def test_accepts_whatever_loads(data: dict[str, Any]) -> None:
    assert accepts(data)
    assert accepts(scenario_from_data(data).to_data())


def test_describes_every_verb_and_key() -> None:
    definitions = scenario_schema()["definitions"]
    for verb, keys in KEYS.items():
        step = definitions[f"step_{verb}"]
        assert step["description"] and step["additionalProperties"] is False
        assert set(step["properties"]) == {verb, *keys}
        for name in (verb, *keys):
            assert step["properties"][name]["description"], (verb, name)
    for name, section in scenario_schema()["properties"].items():
        assert section["description"], name


def test_object_forms() -> None:
    for kind in OBJECTS:
        options = {"parties": 2} if kind == "barrier" else {}
        assert accepts(document(objects={"o": {"type": kind, "count": 2, **options}}))
        assert accepts(document(objects={"o": kind})) == (kind != "barrier")


RIGHT: list[Any] = [
    "checkpoint",
    {"checkpoint": None},
    {"timeout": 1, "do": []},
    {"acquire": "m", "timeout": 1},
    {"if": "v", "else": []},
    {"atomic": [{"if": "v", "then": [{"write": "v", "value": None}]}]},
]
WRONG: list[Any] = [
    "acquire",
    7,
    {},
    {"aquire": "m"},
    {"acquire": "m", "into": "2x"},
    {"acquire": "m", "release": "m"},
    {"acquire": ["m"]},
    {"acquire": "m + 1"},
    {"acquire": "m", "blocking": "no"},
    {"checkpoint": 3},
    {"write": "v"},
    {"write": "v", "value": [1]},
    {"write": "v", "vlaue": 1},
    {"with": "m", "do": "checkpoint"},
    {"let": {"a b": 1}},
    {"let": {"a": []}},
    {"atomic": [{"acquire": "m"}]},
    {"atomic": [{"if": "v", "then": [{"sleep": 1}]}]},
    {"if": "v"},
    {"fail": 404},
    {"try": []},
    {"call": "os.system"},
]
WRONG_SECTIONS: list[dict[str, Any]] = [
    {"format": "tracelock-scenario/2"},
    {"name": 3},
    {"python": None},
    {"pythn": {}},
    {"python": {"setup": "bank"}},
    {"python": {"gc": -1}},
    {"python": {"instrument": "bank"}},
    {"shared": {"v": [[1]]}},
    {"shared": {"a-b": 1}},
    {"objects": {"o": "lok"}},
    {"objects": {"o": {"type": "lock", "value": 1}}},
    {"objects": {"o": {"type": "lock", "count": 0}}},
    {"objects": {"o": {"type": "barrier"}}},
    {"objects": {"o": {"type": "queue", "order": "fif"}}},
    {"workers": {}},
    {"workers": {"w": {"count": 1}}},
    {"workers": {"w": {"count": 0, "steps": []}}},
    {"workers": {"w": {"start": "later", "steps": []}}},
    {"always": "v"},
    {"expect": {"threding": "fails"}},
    {"expect": {"threading": "fail"}},
    {"expect": {"threading": {"switches": 1}}},
    {"expect": {"threading": {"verdict": "fails", "switches": -1}}},
]


@pytest.mark.parametrize("step", RIGHT, ids=repr)
def test_accepts_step(step: Any) -> None:
    data = document(step)
    assert accepts(data)
    scenario_from_data(data)


@pytest.mark.parametrize("step", WRONG, ids=repr)
def test_refuses_step(step: Any) -> None:
    data = document(step)
    assert not accepts(data)
    with pytest.raises(ScenarioError):
        scenario_from_data(data)


@pytest.mark.parametrize("section", WRONG_SECTIONS, ids=repr)
def test_refuses_section(section: dict[str, Any]) -> None:
    data = document(**section)
    assert not accepts(data)
    with pytest.raises(ScenarioError):
        scenario_from_data(data)


@pytest.mark.parametrize("name", ["format", "name", "workers"])
def test_refuses_what_lacks(name: str) -> None:
    data = copy.deepcopy(document())
    del data[name]
    assert not accepts(data)
