"""What all models of the language share, and what all steps do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tracelock.scenario.language.kinds import Expr, FieldKind, LocalName, complain


def key(name: str, **more: Any) -> Any:
    """A field whose key in a document is ``name``, a word of Python."""
    return Field(validation_alias=name, serialization_alias=name, **more)


def at_least(least: int, description: str, default: int | None = None) -> Any:
    """A field for a whole number from ``least`` on."""
    return Field(default, description=description, json_schema_extra={"minimum": least})


def one_of(words: Sequence[str], description: str, default: Any = ...) -> Any:
    """A field for one of these words."""
    return Field(default, description=description, json_schema_extra={"enum": list(words)})


class DocumentModel(BaseModel):
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
    if isinstance(value, DocumentModel):
        return value.to_data()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


Assignments = Annotated[dict[LocalName, Expr], FieldKind("assignments")]
Expressions = Annotated[list[Expr], FieldKind("expressions")]


class StepField(NamedTuple):
    """A field of a step: its name, its key in a document, and what it holds."""

    name: str
    key: str
    kind: FieldKind


class BaseStep(DocumentModel):
    """One step. ``verb`` is the key that names it in a document; ``parts`` are its fields, in
    the order in which they are evaluated. Both are set from the table :data:`VERBS`.
    """

    verb: ClassVar[str]
    parts: ClassVar[tuple[StepField, ...]]

    def of_kind(self, *kinds: str) -> Iterator[tuple[str, Any]]:
        """Key and value of the fields that hold one of these kinds of things."""
        return ((key, getattr(self, name)) for name, key, kind in self.parts if kind.name in kinds)

    def blocks(self) -> Iterator[tuple[str, Sequence[BaseStep]]]:
        """The lists of steps inside this one, each with its key, in order of execution."""
        return self.of_kind("block")

    @property
    def reference(self) -> str:
        """The object, shared variable or worker that the step is about, as written."""
        return next((text for _, text in self.of_kind("object", "variable", "worker")), "")

    def expressions(self) -> list[Any]:
        """All EXPRs of the step itself, in order of evaluation."""
        found: list[Any] = []
        for _, value in self.of_kind("expression", "assignments", "expressions"):
            if isinstance(value, dict | list):
                found += value.values() if isinstance(value, dict) else value
            else:
                found.append(value)
        return found

    def assigned(self) -> list[str]:
        """The locals that the step itself sets."""
        names = [name for _, let in self.of_kind("assignments") for name in let]
        return [*names, *(name for _, name in self.of_kind("local") if name is not None)]


class BareStep(BaseStep):
    """A step that is its verb and nothing else: written as a bare word."""

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, data: Any) -> Any:
        if isinstance(data, str) and data == cls.verb:
            return {}
        # ``- crash:`` is what an author who forgets the exception writes; it can mean one thing.
        if isinstance(data, Mapping) and cls.verb in data:
            value = data[cls.verb]
            if value is not None and value is not True:
                raise complain(f"{cls.verb} takes no value: write it as a bare word", (cls.verb,))
            return {name: item for name, item in data.items() if name != cls.verb}
        return data

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        reference: dict[str, Any] = handler(core_schema)
        schema = handler.resolve_ref_schema(reference)
        about = " ".join((cls.__doc__ or "").split())
        schema["properties"] = {cls.verb: {"enum": [None, True], "description": about}}
        schema["required"] = [cls.verb]
        return reference

    def to_data(self) -> Any:
        return self.verb
