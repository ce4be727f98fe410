"""A scenario as pydantic models: what a document declares, in the document's own terms.

Built by :mod:`tracelock.scenario.loading` from a document, or in Python from models, plain
dicts, or both. Either way :func:`check_scenario` says what is wrong
beyond the kinds of values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Final

from pydantic import BeforeValidator, ConfigDict, Field, PlainValidator, model_validator

from tracelock.errors import Problem
from tracelock.scenario.language.base import DocumentModel, at_least, key, one_of
from tracelock.scenario.language.kinds import (
    NAME,
    Expr,
    FieldKind,
    OptionalText,
    OptionalWhole,
    Text,
    Whole,
    complain,
    kind_of,
    scalar,
)
from tracelock.scenario.language.objects import OBJECTS
from tracelock.scenario.language.python import PythonDecl
from tracelock.scenario.language.verbs import Steps

FORMAT: Final = "tracelock-scenario/1"
BACKENDS: Final = ("threading", "multiprocessing", "asyncio", "trio")
VERDICTS: Final = ("passes", "fails", "deadlock")
STARTS: Final = ("auto", "manual")
ORDERS: Final = ("fifo", "lifo", "priority")
_SCALARS: Final = ["string", "number", "boolean", "null"]
_SHARED: Final = {"type": [*_SCALARS, "array"], "items": {"type": _SCALARS}}


_NAMED: Final[dict[str, Any]] = {"propertyNames": NAME}


def _shared(value: object) -> Any:
    wanted = "one value or a flat list of values"
    if not isinstance(value, list | tuple):
        return scalar(value, wanted)
    for number, item in enumerate(value):
        if isinstance(item, list | tuple | Mapping):
            raise complain(f"{wanted} belongs here, not {kind_of(item)} in a list", (number,))
    return [scalar(item, "one value") for item in value]


SharedValue = Annotated[
    str | int | float | bool | list[str | int | float | bool | None] | None,
    PlainValidator(_shared),
    FieldKind("shared", _SHARED),
]


def _python(value: object) -> object:
    if value is None:
        raise complain("a mapping with setup, check and instrument belongs here, not nothing")
    return value


class Abbreviated(DocumentModel):
    """A model that its field ``short`` alone may stand for: ``lock`` for ``{type: lock}``."""

    short: ClassVar[str]

    @model_validator(mode="before")
    @classmethod
    def _from_short(cls, data: Any) -> Any:
        return {cls.short: data} if isinstance(data, str) else data

    def to_data(self) -> Any:
        data = super().to_data()
        return data[self.short] if len(data) == 1 else data

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        reference: dict[str, Any] = handler(core_schema)
        schema = handler.resolve_ref_schema(reference)
        whole = dict(schema)
        for one in whole["properties"].values():
            if isinstance(one["type"], list):
                one["type"] = one["type"][0]  # None is for Python; no document has it
        schema.clear()
        schema.update(description=whole["description"], anyOf=cls.forms(whole))
        return reference

    @classmethod
    def forms(cls, whole: dict[str, Any]) -> list[dict[str, Any]]:
        """What may be written, as JSON Schema; ``whole`` is the schema of the mapping."""
        return [whole["properties"][cls.short], whole]


class ObjectDecl(Abbreviated):
    """One synchronisation object, or an array of ``count`` of them; ``lock`` alone is the
    short form of ``{type: lock}``. An option that is None has its type's default.
    """

    short: ClassVar[str] = "type"

    type: Text = Field(description="What it is: lock, semaphore, queue, ...")
    count: OptionalWhole = at_least(1, "Makes it an array of so many.")
    value: OptionalWhole = at_least(0, "Permits of a semaphore at the start (1).")
    lock: OptionalText = Field(None, description="The lock of a condition; else its own rlock.")
    parties: OptionalWhole = at_least(1, "How many a barrier waits for.")
    maxsize: OptionalWhole = at_least(0, "Room in a queue; 0 is unbounded.")
    order: OptionalText = one_of(ORDERS, "Of a queue: fifo, lifo or priority.", None)

    @classmethod
    def forms(cls, whole: dict[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = [
            {"enum": [name for name, kind in OBJECTS.items() if not kind.required]}
        ]
        for name, kind in OBJECTS.items():
            properties = {key: whole["properties"][key] for key in ("count", *kind.options)}
            found.append({
                **whole, "description": f"A {name}, or an array of them.",
                "properties": {"type": {"const": name}, **properties},
                "required": ["type", *kind.required],
            })  # fmt: skip
        return found


class WorkerDecl(DocumentModel):
    """A worker, or ``count`` instances of it that run the same steps."""

    count: Whole = at_least(1, "How many instances; each has its own index.", 1)
    start: Text = one_of(STARTS, "manual: runs only when another worker spawns it.", "auto")
    steps: Steps = Field(description="What it does.")


class Expectation(Abbreviated):
    """What is known of a scenario on one backend: a verdict, and where some schedule fails or
    hangs the fewest preemptive switches that show it.
    """

    short: ClassVar[str] = "verdict"

    verdict: Text = one_of(VERDICTS, "passes, fails or deadlock.")
    switches: OptionalWhole = at_least(0, "The fewest preemptive switches for it.")


def _per_backend(schema: dict[str, Any]) -> None:
    expectation = schema["additionalProperties"]
    schema["properties"] = dict.fromkeys(BACKENDS, expectation)
    schema["additionalProperties"] = False


def _not_null(schema: dict[str, Any]) -> None:
    schema["allOf"] = schema.pop("anyOf")[:1]


class Scenario(DocumentModel):
    """A whole scenario. Raises pydantic's ``ValidationError`` when built from values of the
    wrong kind; :func:`tracelock.scenario.loading.scenario_from_data` checks everything and
    raises :class:`~tracelock.errors.ScenarioError`.
    """

    model_config = ConfigDict(json_schema_extra={"required": ["format", "name", "workers"]})

    format: Text = Field(
        FORMAT, description="The version of the language.", json_schema_extra={"const": FORMAT}
    )
    name: Text = Field(description="A short name.", json_schema_extra={"pattern": r"\S"})
    description: Text = Field("", description="What it shows, in a sentence.")
    shared: dict[str, SharedValue] = Field(
        default_factory=dict,
        description="Variables every worker can touch, and their values.",
        json_schema_extra=_NAMED,
    )
    objects: dict[str, ObjectDecl] = Field(
        default_factory=dict,
        description="Locks, queues and other synchronisation objects.",
        json_schema_extra=_NAMED,
    )
    workers: dict[str, WorkerDecl] = Field(
        description="Who runs, and what each does.",
        json_schema_extra={**_NAMED, "minProperties": 1},
    )
    always: list[Expr] = Field(
        default_factory=list, description="Must hold in every state between two visible steps."
    )
    finally_: list[Expr] = key(
        "finally", default_factory=list, description="Must hold when every worker has ended."
    )
    expect: dict[str, Expectation] = Field(
        default_factory=dict,
        description="What is known of the scenario on each backend.",
        json_schema_extra=_per_backend,
    )

    python: Annotated[PythonDecl | None, BeforeValidator(_python)] = Field(
        None,
        description="The workers are functions of real Python code, and this is the rest.",
        json_schema_extra=_not_null,
    )

    def place_of(self, at: str) -> tuple[str, int, int]:
        """File, line and column of a path such as ``workers.transfer.steps[0]``.

        Line 0 where the scenario came from no document; its name stands for the file then.
        """
        find = self.__dict__.get("places")
        return (self.name, 0, 0) if find is None else find(at)

    def problem(self, at: str, message: str) -> Problem:
        """What is wrong at a path, with its place."""
        name, line, column = self.place_of(at)
        return Problem(name, line, column, at, message)

    def located(self, find: Callable[[str], tuple[str, int, int]]) -> Scenario:
        """This scenario, with ``find`` to answer ``place_of``; it counts for no comparison."""
        self.__dict__["places"] = find
        return self

    def to_data(self) -> dict[str, Any]:
        """The scenario as plain JSON data that loads as an equal scenario; ``format`` first."""
        data: dict[str, Any] = super().to_data()
        return {"format": self.format, **data}

    def to_yaml(self) -> str:
        """The scenario as a YAML document that loads as an equal scenario."""
        from tracelock.scenario.documents.yaml_writer import dump_yaml

        return dump_yaml(self.to_data())
