"""The kinds of values that a scenario is made of, as pydantic fields.

Every check here raises an error whose text is final: a plain sentence, not pydantic's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import PlainValidator
from pydantic_core import PydanticCustomError

MESSAGE: Final = "tracelock"  # the error type of everything said in our own words


def complain(message: str, at: tuple[int | str, ...] = ()) -> PydanticCustomError:
    """An error whose text is final; ``at`` is a path below the value that was checked."""
    return PydanticCustomError(MESSAGE, "{message}", {"message": message, "at": at})


def kind_of(value: object) -> str:
    """What a newcomer calls ``value``: "a list", "a number", ..."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return f"a {type(value).__name__}"


def scalar(value: object, wanted: str = "one value or an expression") -> Any:
    """``value`` as a plain JSON scalar; raises for anything else."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise complain("infinity and NaN are not values of the language")
        return float(value)
    if isinstance(value, str):
        return str(value)
    raise complain(f"{wanted} belongs here, not {kind_of(value)}")


def _text(wanted: str, optional: bool = False) -> PlainValidator:
    def check(value: object) -> str | None:
        if isinstance(value, str):
            return str(value)
        if optional and value is None:
            return None
        quoted = "; quote it" if isinstance(value, bool | int | float) else ""
        raise complain(f"{wanted} belongs here, not {kind_of(value)}{quoted}")

    return PlainValidator(check)


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise complain(f"true or false belongs here, not {kind_of(value)}")


def whole(value: object) -> int:
    """``value`` as an ``int``; a bool or a float is refused."""
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    raise complain(f"a whole number belongs here, not {kind_of(value)}")


def _whole_or_none(value: object) -> int | None:
    return None if value is None else whole(value)


@dataclass(frozen=True, slots=True)
class FieldKind:
    """What a field of a model holds, for the checks and, as a hook of pydantic's, for the schema.

    ``schema`` is None where pydantic's own is right. ``least``: an expression that is a constant
    must be a number from there on, a whole one if ``whole``, or null if ``optional``.
    """

    name: str
    schema: Mapping[str, Any] | None = None
    least: int | None = None
    whole: bool = False
    optional: bool = True

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> dict[str, Any]:
        schema = handler(core_schema) if self.schema is None else self.schema
        return dict(schema)


_WORD: Final = r"[^\s\d!-/:-@\[-^`{-~][^\s!-/:-@\[-^`{-~]*"
#: What names something, as JSON Schema.
NAME: Final[dict[str, Any]] = {"type": "string", "pattern": f"^{_WORD}$"}
#: What names a function, as JSON Schema.
FUNCTION: Final = "^[^:\\s]+:[^:\\s]+$"
_EXPRESSION: Final = {"type": ["string", "number", "boolean", "null"]}
_REFERENCE: Final = {"type": "string", "pattern": rf"^\s*{_WORD}\s*(\[[\s\S]*\]\s*)?$"}
_OPTIONAL_NAME: Final[dict[str, Any]] = {**NAME, "type": ["string", "null"]}
_OPTIONAL_TEXT: Final = {"type": ["string", "null"]}

_Scalar = Annotated[str | int | float | bool | None, PlainValidator(scalar)]
Expr = Annotated[_Scalar, FieldKind("expression", _EXPRESSION)]
OptionalSeconds = Annotated[_Scalar, FieldKind("expression", _EXPRESSION, 0)]
Seconds = Annotated[_Scalar, FieldKind("expression", _EXPRESSION, 0, optional=False)]
Count = Annotated[_Scalar, FieldKind("expression", _EXPRESSION, 0, whole=True, optional=False)]
Permits = Annotated[_Scalar, FieldKind("expression", _EXPRESSION, 1, whole=True, optional=False)]
ObjectRef = Annotated[str, _text("the name of an object"), FieldKind("object", _REFERENCE)]
VariableRef = Annotated[
    str, _text("the name of a shared variable"), FieldKind("variable", _REFERENCE)
]
WorkerRef = Annotated[str, _text("the name of a worker"), FieldKind("worker", _REFERENCE)]
Local = Annotated[
    str | None, _text("the name of a local", optional=True), FieldKind("local", _OPTIONAL_NAME)
]
LocalName = Annotated[str, _text("the name of a local")]
Text = Annotated[str, _text("a text"), FieldKind("text", {"type": "string"})]
OptionalText = Annotated[
    str | None, _text("a text", optional=True), FieldKind("text", _OPTIONAL_TEXT)
]
Flag = Annotated[bool, PlainValidator(_flag), FieldKind("flag", {"type": "boolean"})]
Whole = Annotated[int, PlainValidator(whole), FieldKind("whole", {"type": "integer"})]
OptionalWhole = Annotated[
    int | None, PlainValidator(_whole_or_none), FieldKind("whole", {"type": ["integer", "null"]})
]
