"""The ``python`` part of a scenario: its workers are functions of real Python code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import Field, PlainValidator

from tracelock.scenario.language.base import DocumentModel, at_least
from tracelock.scenario.language.kinds import (
    FUNCTION,
    FieldKind,
    OptionalText,
    OptionalWhole,
    Whole,
    complain,
    kind_of,
    whole,
)


def _texts(what: str, word: str = "") -> PlainValidator:
    """A list of texts; ``word`` may stand for the list of it alone."""

    def check(value: object) -> list[str] | None:
        if value is None:
            return None
        if word and value == word:
            return [word]
        if not isinstance(value, list | tuple):
            example = f": write [{value}]" if isinstance(value, str) else ""
            raise complain(f"a list of {what} belongs here, not {kind_of(value)}{example}")
        for number, item in enumerate(value):
            if not isinstance(item, str):
                raise complain(f"a text belongs here, not {kind_of(item)}", (number,))
        return [str(item) for item in value]

    return PlainValidator(check)


def _table(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise complain(f"a mapping belongs here, not {kind_of(value)}")
    for name, item in value.items():
        if not isinstance(item, str):
            raise complain(f"a text belongs here, not {kind_of(item)}", (str(name),))
    return {str(name): str(item) for name, item in value.items()}


def _flag_or_whole(value: object) -> bool | int:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return whole(value)
    raise complain(f"true, false or a whole number belongs here, not {kind_of(value)}")


def _flag_or_table(value: object) -> bool | dict[str, str]:
    if isinstance(value, bool):
        return value
    if not isinstance(value, Mapping):
        raise complain(f"true, false or a mapping belongs here, not {kind_of(value)}")
    return _table({
        name: str(item) if isinstance(item, int) and not isinstance(item, bool) else item
        for name, item in value.items()
    })  # fmt: skip


_DOTTED: Final = r"^[^\W\d]\w*(\.[^\W\d]\w*)*$"
_MODULES: Final = {
    "anyOf": [
        {"type": ["array", "null"], "items": {"type": "string", "pattern": _DOTTED}},
        {"const": "all"},
    ]
}
_ERRORS: Final = {"type": ["array", "null"], "items": {"type": "string"}}
_TABLE: Final = {"type": "object", "additionalProperties": {"type": "string"}}
_FLAG_OR_TABLE: Final = {
    "anyOf": [
        {"type": "boolean"},
        {"type": "object", "additionalProperties": {"type": ["string", "integer"]}},
    ]
}
_FLAG_OR_WHOLE: Final = {"type": ["boolean", "integer"], "minimum": 0}

Modules = Annotated[list[str] | None, _texts("modules", "all"), FieldKind("modules", _MODULES)]
Errors = Annotated[list[str] | None, _texts("exceptions"), FieldKind("exceptions", _ERRORS)]
Functions = Annotated[list[str] | None, _texts("functions"), FieldKind("functions", _ERRORS)]
Names = Annotated[list[str] | None, _texts("workers"), FieldKind("workers", _ERRORS)]
Table = Annotated[dict[str, str], PlainValidator(_table), FieldKind("table", _TABLE)]
FlagOrWhole = Annotated[
    bool | int, PlainValidator(_flag_or_whole), FieldKind("flag_or_whole", _FLAG_OR_WHOLE)
]
FlagOrTable = Annotated[
    bool | dict[str, str], PlainValidator(_flag_or_table),
    FieldKind("flag_or_table", _FLAG_OR_TABLE),
]  # fmt: skip


class PythonDecl(DocumentModel):
    """Real Python code: each worker is one ``call`` step, a function that is called with what
    ``setup`` returned and then with the step's ``args``. Refused unless the user allows it.
    """

    setup: OptionalText = Field(
        None,
        description='Makes what the workers share, anew each time: "module:function".',
        json_schema_extra={"pattern": FUNCTION},
    )
    check: OptionalText = Field(
        None,
        description="Called with it at the end; raises or returns false on the bug: "
        '"module:function".',
        json_schema_extra={"pattern": FUNCTION},
    )
    always: Functions = Field(
        None,
        description="Called with it between steps, wherever what they read has changed; each "
        'raises or returns false on the bug: "module:function".',
    )
    instrument: Modules = Field(
        None,
        description="Modules whose shared accesses are scheduling points, with all below them: "
        'besides your own; "only" as the first for no others, none for an empty list, "all" for '
        "every module in Python that the workers execute.",
    )
    expected_errors: Errors = Field(
        None, description='Exceptions that may end a worker: "ValueError" or "module:Class".'
    )
    cancellations: Whole = at_least(0, "How many of its awaits a schedule may cancel.", 0)
    cancellable: Names = Field(
        None, description="The workers that may be cancelled, by name (all of them)."
    )
    gc: FlagOrWhole = Field(
        False, description="Whether a garbage collection may come at any step; a number: so many."
    )
    interpreter: OptionalText = Field(
        None,
        description="Between which accesses another thread may come in: any (any two), this (where "
        "the running interpreter lets it), gil-3.12 and the like.",
    )
    network: Table = Field(
        default_factory=dict,
        description="What sockets between workers may do: splits (reads of a direction that give "
        "less than has come), faults (how many a schedule may have), kinds (of these).",
    )
    outside: OptionalText = Field(
        None,
        description="What comes of calls to what is outside of the run: refused (the default), or "
        "real (ask, and record what was answered).",
    )
    crash_consistency: FlagOrTable = Field(
        False,
        description="Whether the machine may crash at any operation on files, which loses what was "
        "not synced; a table: states (how many are tried at each point), block (how many bytes of "
        "a file are written at once), machine (false: only hosts with a disk of their own crash).",
    )
    recover: OptionalText = Field(
        None,
        description="Called with what setup returned after a crash, in the place of check; raises "
        'or returns false on the bug: "module:function".',
        json_schema_extra={"pattern": FUNCTION},
    )
    collections: OptionalWhole = at_least(0, "Recorded: what gc was.")
    pytest: OptionalText = Field(None, description="Recorded: the id of the test that this was.")
    exploration: OptionalWhole = Field(
        None, description="Recorded: which exploration of that test it was, from 0."
    )
    sources: Table = Field(
        default_factory=dict, description="Recorded: the digests of the source files."
    )
    places: Table = Field(
        default_factory=dict, description="Recorded: the function at each file:line."
    )

    def how_many(self) -> int | None:
        """How many cancellations, None where that is not said."""
        return self.cancellations if "cancellations" in self.model_fields_set else None


def document_keys(data: Any) -> dict[str, Any]:
    """A ``python`` part of a trace without the keys that this version does not know."""
    known = PythonDecl.model_fields
    if not isinstance(data, Mapping):
        return {}
    return {str(name): value for name, value in data.items() if name in known}
