"""The kinds of values that a scenario is made of, as pydantic fields, and the models' base.

Every check here raises an error whose text is final: a plain sentence, not pydantic's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, PlainValidator
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


class Shape:
    """Marks a kind of field for :mod:`tracelock.scenario.language.jsonschema` and the checks."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


Expr = Annotated[str | int | float | bool | None, PlainValidator(scalar), Shape("expression")]
ObjectRef = Annotated[str, _text("the name of an object"), Shape("object")]
VariableRef = Annotated[str, _text("the name of a shared variable"), Shape("variable")]
WorkerRef = Annotated[str, _text("the name of a worker"), Shape("worker")]
Local = Annotated[str | None, _text("the name of a local", optional=True), Shape("local")]
LocalName = Annotated[str, _text("the name of a local"), Shape("local")]
Text = Annotated[str, _text("a text"), Shape("text")]
OptionalText = Annotated[str | None, _text("a text", optional=True), Shape("text")]
Flag = Annotated[bool, PlainValidator(_flag), Shape("flag")]
Whole = Annotated[int, PlainValidator(whole), Shape("whole")]
OptionalWhole = Annotated[int | None, PlainValidator(_whole_or_none), Shape("whole")]


def key(name: str, **more: Any) -> Any:
    """A field whose key in a document is ``name``, a word of Python."""
    return Field(validation_alias=name, serialization_alias=name, **more)


class Model(BaseModel):
    """What all models of the language share: frozen, closed, built by key or by field name."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True
    )

    def to_data(self) -> Any:
        """Plain JSON data under the document's own keys, defaults left out."""
        data = {}
        for name, info in type(self).model_fields.items():
            value = getattr(self, name)
            if not info.is_required():
                default = info.get_default(call_default_factory=True)
                # 1 == True == 1.0 in Python, but not in a document.
                if type(value) is type(default) and value == default:
                    continue
            data[info.serialization_alias or name] = _plain(value)
        return data


def _plain(value: Any) -> Any:
    if isinstance(value, Model):
        return value.to_data()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
