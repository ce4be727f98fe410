"""The published JSON Schema of the scenario language: completion and checking in editors.

Made from the models, so that the two cannot drift apart. It knows the shape of a document, not
what its names mean; :mod:`tracelock.scenario.loading` has the last word. Draft 7, which is what
editors know best.
"""

from __future__ import annotations

import inspect
from typing import Any, Final

from pydantic.fields import FieldInfo

from tracelock.scenario.language.models import (
    BACKENDS,
    FORMAT,
    OBJECT_OPTIONS,
    ORDERS,
    STARTS,
    STEPS,
    VERDICTS,
    Assert,
    BareStep,
    BaseStep,
    Expectation,
    If,
    Let,
    Model,
    ObjectDecl,
    PythonDecl,
    Read,
    Scenario,
    Shape,
    WorkerDecl,
    Write,
)

Schema = dict[str, Any]

_WORD: Final = r"[^\s\d!-/:-@\[-^`{-~][^\s!-/:-@\[-^`{-~]*"
_DOTTED: Final = r"^[^\W\d]\w*(\.[^\W\d]\w*)*$"
_NAME: Final[Schema] = {"type": "string", "pattern": f"^{_WORD}$"}
_REFERENCE: Final[Schema] = {"type": "string", "pattern": rf"^\s*{_WORD}\s*(\[[\s\S]*\]\s*)?$"}
_SHAPES: Final[dict[str, Schema]] = {
    "expression": {"$ref": "#/definitions/expression"},
    "object": {"$ref": "#/definitions/reference"},
    "variable": {"$ref": "#/definitions/reference"},
    "worker": {"$ref": "#/definitions/reference"},
    "local": {"$ref": "#/definitions/name"},
    "text": {"type": "string"},
    "flag": {"type": "boolean"},
    "whole": {"type": "integer"},
    "shared": {"$ref": "#/definitions/shared"},
    "modules": {"type": "array", "items": {"type": "string", "pattern": _DOTTED}},
    "exceptions": {"type": "array", "items": {"type": "string"}},
    "table": {"type": "object", "additionalProperties": {"type": "string"}},
    "flag_or_whole": {"type": ["boolean", "integer"], "minimum": 0},
}
_SCALAR: Final = ["string", "number", "boolean", "null"]
_IN_ATOMIC: Final = (Read, Write, Let, If, Assert)
_OPTION_DETAILS: Final[dict[str, Schema]] = {
    "count": {"minimum": 1},
    "value": {"minimum": 0, "default": 1},
    "parties": {"minimum": 1},
    "maxsize": {"minimum": 0, "default": 0},
    "order": {"enum": list(ORDERS), "default": "fifo"},
}


def scenario_schema() -> Schema:
    """The schema as plain JSON data, freshly made."""
    definitions: Schema = {
        "expression": {
            "description": "A text is an expression; any other value is itself. "
            "A text that is meant is quoted once more: \"'red'\".",
            "type": list(_SCALAR),
        },
        "name": _NAME,
        "reference": {**_REFERENCE, "description": "name, or name[EXPRESSION] of an array."},
        "shared": {
            "description": "One value, or a flat list: an array of separate variables.",
            "type": [*_SCALAR, "array"],
            "items": {"type": list(_SCALAR)},
        },
        "steps": {"type": "array", "items": {"$ref": "#/definitions/step"}},
        "step": {"anyOf": [_bare_words(), *({"$ref": _place(step)} for step in STEPS)]},
        "atomic_steps": {"type": "array", "items": {"$ref": "#/definitions/atomic_step"}},
        "atomic_step": {
            "anyOf": [{"$ref": _place(step, step is If)} for step in _IN_ATOMIC],
        },
        "step_if_in_atomic": _step(If, "atomic_steps"),
        "object": _object(),
        "worker": _worker(),
        "expectation": _expectation(),
        "python": _python(),
    }
    for step in STEPS:
        block = "atomic_steps" if step.verb == "atomic" else "steps"
        definitions[f"step_{step.verb}"] = _step(step, block)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "tracelock scenario",
        **_document(),
        "definitions": definitions,
    }


def _place(step: type[BaseStep], in_atomic: bool = False) -> str:
    return f"#/definitions/step_{step.verb}" + ("_in_atomic" if in_atomic else "")


def _about(model: type[Model]) -> str:
    return " ".join(inspect.cleandoc(model.__doc__ or "").split())


def _bare_words() -> Schema:
    bare = [step for step in STEPS if issubclass(step, BareStep)]
    return {"anyOf": [{"const": step.verb, "description": _about(step)} for step in bare]}


def _field(info: FieldInfo, shape: Schema) -> Schema:
    schema = dict(shape)
    if not info.is_required() and info.default is None and "$ref" not in schema:
        schema["type"] = [schema["type"], "null"]
    elif not info.is_required() and "$ref" in schema and info.default is None:
        schema = {"anyOf": [schema, {"type": "null"}]}
    elif "$ref" in schema:
        schema = {"allOf": [schema]}  # draft 7 ignores what stands beside a $ref
    if info.description:
        schema["description"] = info.description
    if not info.is_required() and info.default_factory is None and info.default is not None:
        schema["default"] = info.default
    return schema


def _shape(info: FieldInfo, block: str) -> Schema:
    for mark in info.metadata:
        if isinstance(mark, Shape):
            return _SHAPES[mark.name]
    return {"$ref": f"#/definitions/{block}"}


def _step(step: type[BaseStep], block: str) -> Schema:
    properties: Schema = {}
    required: list[str] = []
    for name, info in step.model_fields.items():
        written = info.serialization_alias or name
        properties[written] = _field(info, _shape(info, block))
        if info.is_required():
            required.append(written)
    if issubclass(step, BareStep):
        properties = {step.verb: {"enum": [None, True], "description": _about(step)}}
        required = [step.verb]
    expressions = {"$ref": "#/definitions/expression"}
    if step is Let:
        properties["let"] = {
            "type": "object",
            "description": properties["let"]["description"],
            "propertyNames": {"$ref": "#/definitions/name"},
            "additionalProperties": expressions,
        }
    if step.verb == "call":
        properties["call"]["pattern"] = "^[^:\\s]+:[^:\\s]+$"
        properties["args"] = {
            "type": "array",
            "description": properties["args"]["description"],
            "items": expressions,
        }
    schema = _closed(_about(step), properties, required)
    if step is If:
        schema["anyOf"] = [{"required": ["then"]}, {"required": ["else"]}]
    return schema


def _closed(about: str, properties: Schema, required: list[str]) -> Schema:
    return {
        "description": about,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _object() -> Schema:
    fields = ObjectDecl.model_fields
    forms: list[Schema] = [{"enum": [kind for kind in OBJECT_OPTIONS if kind != "barrier"]}]
    for kind, options in OBJECT_OPTIONS.items():
        properties: Schema = {"type": {"const": kind}}
        for name in ("count", *options):
            info = fields[name]
            # The model allows null in Python; nobody writes it.
            shape = {**_shape(info, ""), **_OPTION_DETAILS.get(name, {})}
            properties[name] = {**shape, "description": info.description}
        required = ["type", "parties"] if kind == "barrier" else ["type"]
        forms.append(_closed(f"A {kind}, or an array of them.", properties, required))
    return {"description": "The type alone, or a mapping with its options.", "anyOf": forms}


def _worker() -> Schema:
    fields = WorkerDecl.model_fields
    properties = {name: _field(info, _shape(info, "steps")) for name, info in fields.items()}
    properties["count"]["minimum"] = 1
    properties["start"]["enum"] = list(STARTS)
    return _closed(_about(WorkerDecl), properties, ["steps"])


def _expectation() -> Schema:
    fields = Expectation.model_fields
    verdict = {"enum": list(VERDICTS), "description": fields["verdict"].description}
    switches = {"type": "integer", "minimum": 0, "description": fields["switches"].description}
    long = _closed(_about(Expectation), {"verdict": verdict, "switches": switches}, ["verdict"])
    return {"anyOf": [verdict, long]}


def _python() -> Schema:
    fields = PythonDecl.model_fields
    properties = {name: _field(info, _shape(info, "")) for name, info in fields.items()}
    for name in ("setup", "check"):
        properties[name]["pattern"] = "^[^:\\s]+:[^:\\s]+$"
    for name in ("cancellations", "collections"):
        properties[name]["minimum"] = 0
    return _closed(_about(PythonDecl), properties, [])


def _document() -> Schema:
    fields = Scenario.model_fields
    about = {info.serialization_alias or name: info.description for name, info in fields.items()}
    named = {"propertyNames": {"$ref": "#/definitions/name"}, "type": "object"}
    conditions = {"type": "array", "items": {"$ref": "#/definitions/expression"}}
    kinds: Schema = {
        "format": {"const": FORMAT},
        "name": {"type": "string", "pattern": "\\S"},
        "description": {"type": "string"},
        "shared": {**named, "additionalProperties": {"$ref": "#/definitions/shared"}},
        "objects": {**named, "additionalProperties": {"$ref": "#/definitions/object"}},
        "workers": {
            **named,
            "minProperties": 1,
            "additionalProperties": {"$ref": "#/definitions/worker"},
        },
        "always": conditions,
        "finally": conditions,
        "expect": {
            "type": "object",
            "properties": {name: {"$ref": "#/definitions/expectation"} for name in BACKENDS},
            "additionalProperties": False,
        },
        "python": {"allOf": [{"$ref": "#/definitions/python"}]},
    }
    properties = {name: {**kinds[name], "description": text} for name, text in about.items()}
    required = ["format", "name", "workers"]
    return _closed("One scenario: shared state, objects and workers.", properties, required)
