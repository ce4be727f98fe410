"""The published JSON Schema of the scenario language: completion and checking in editors.

Pydantic makes it from the models, so that the two cannot drift apart; here it gets the names and
the draft (7) that editors know best. It knows the shape of a document, not what its names mean;
:mod:`tracelock.scenario.loading` has the last word.
"""

from __future__ import annotations

from typing import Any, Final

from tracelock.scenario.language.models import FORMAT, Scenario
from tracelock.scenario.language.verbs import BARE_WORDS, VERBS

Schema = dict[str, Any]

#: What the schema is called, wherever it lies: it is published as what ``tracelock schema`` prints,
#: not at an address.
SCHEMA_ID: Final = f"urn:{FORMAT.replace('-', ':').replace('/', ':')}"

#: Name of a model -> name of its definition.
_DEFINITIONS: Final = {
    "ObjectDecl": "object", "WorkerDecl": "worker", "Expectation": "expectation",
    "PythonDecl": "python",
    **{row.model.__name__: f"step_{verb}" for verb, row in VERBS.items()},
}  # fmt: skip
_STEP: Final = {"$ref": "#/definitions/step"}
_ATOMIC_STEP: Final = {"$ref": "#/definitions/atomic_step"}


def scenario_schema() -> Schema:
    """The schema as plain JSON data, freshly made."""
    made = Scenario.model_json_schema()
    definitions = {_DEFINITIONS[name]: _plain(one) for name, one in made.pop("$defs").items()}
    bare = [
        {"const": verb, "description": definitions[f"step_{verb}"]["description"]}
        for verb in BARE_WORDS
    ]
    places = [{"$ref": f"#/definitions/step_{verb}"} for verb in VERBS]
    definitions["step"] = {"anyOf": [*bare, *places]}
    inside = [verb for verb, row in VERBS.items() if row.in_atomic]
    blocks = definitions["step_if"]["properties"]
    in_atomic = {key: {**blocks[key], "items": _ATOMIC_STEP} for key in ("then", "else")}
    definitions["step_if_in_atomic"] = {
        **definitions["step_if"], "properties": {**blocks, **in_atomic}
    }  # fmt: skip
    definitions["atomic_step"] = {
        "anyOf": [
            {"$ref": f"#/definitions/step_{verb}" + ("_in_atomic" if verb == "if" else "")}
            for verb in inside
        ]
    }
    definitions["step_atomic"]["properties"]["atomic"]["items"] = _ATOMIC_STEP
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": SCHEMA_ID,
        **_plain(made),
        "title": "tracelock scenario",
        "description": "One scenario: shared state, objects and workers.",
        "definitions": definitions,
    }


def _plain(part: Any) -> Any:
    """A part of what pydantic made, without the titles that only repeat a name."""
    if isinstance(part, list):
        return [_plain(one) for one in part]
    if not isinstance(part, dict):
        return part
    if "oneOf" in part:  # nothing but the union of all steps has it
        return dict(_STEP)
    found = {}
    for key, value in part.items():
        if key == "$ref":
            value = f"#/definitions/{_DEFINITIONS[value.rpartition('/')[2]]}"
        elif key == "description" and isinstance(value, str):
            value = " ".join(value.split())
        elif (key == "title" and isinstance(value, str)) or (key == "default" and value is None):
            continue
        found[key] = value if key in ("enum", "const", "default") else _plain(value)
    return found
