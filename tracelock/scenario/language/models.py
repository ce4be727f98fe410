"""A scenario as pydantic models: what a document declares, in the document's own terms.

Built by :mod:`tracelock.scenario.loading` from a document, or in Python from models, plain
dicts, or both. Either way :func:`check_scenario` says what is wrong
beyond the kinds of values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, PlainValidator, model_validator

from tracelock.scenario.language.kinds import (
    MESSAGE,
    Expr,
    Model,
    OptionalText,
    OptionalWhole,
    Shape,
    Text,
    Whole,
    complain,
    key,
    kind_of,
    scalar,
)
from tracelock.scenario.language.python import PythonDecl
from tracelock.scenario.language.steps import (
    BARE_WORDS,
    BY_VERB,
    KEYS,
    STEPS,
    Acquire,
    Assert,
    Atomic,
    BareStep,
    BaseStep,
    Break,
    Call,
    Cancel,
    Checkpoint,
    Clear,
    CompareExchange,
    Continue,
    Crash,
    Exchange,
    Fail,
    FetchAdd,
    Get,
    If,
    Join,
    Let,
    Notify,
    Put,
    Read,
    Release,
    Repeat,
    Set,
    Sleep,
    Spawn,
    Step,
    Stop,
    Timeout,
    Try,
    Wait,
    While,
    With,
    Work,
    Write,
    verbs_in,
)

__all__ = [
    "BACKENDS", "BARE_WORDS", "BY_VERB", "FORMAT", "KEYS", "MESSAGE", "OBJECT_OPTIONS",
    "OBJECT_TYPES", "ORDERS", "STARTS", "STEPS", "VERDICTS", "Acquire", "Assert", "Atomic",
    "BareStep", "BaseStep", "Break", "Call", "Cancel", "Checkpoint", "Clear", "CompareExchange",
    "Continue", "Crash", "Exchange", "Expectation", "Expr", "Fail", "FetchAdd", "Get", "If",
    "Join", "Let", "Model", "Notify", "ObjectDecl", "Put", "PythonDecl", "Read", "Release",
    "Repeat",
    "Scenario", "Set", "Shape", "Sleep", "Spawn", "Step", "Stop", "Timeout", "Try", "Wait",
    "While", "With", "Work", "WorkerDecl", "Write", "kind_of", "verbs_in",
]  # fmt: skip

FORMAT: Final = "tracelock-scenario/1"
BACKENDS: Final = ("threading", "multiprocessing", "asyncio", "trio")
VERDICTS: Final = ("passes", "fails", "deadlock")
STARTS: Final = ("auto", "manual")
ORDERS: Final = ("fifo", "lifo", "priority")
#: type of object -> the options it takes, besides ``type`` and ``count``.
OBJECT_OPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "lock": (),
    "rlock": (),
    "semaphore": ("value",),
    "bounded_semaphore": ("value",),
    "condition": ("lock",),
    "event": (),
    "barrier": ("parties",),
    "queue": ("maxsize", "order"),
}
OBJECT_TYPES: Final = tuple(OBJECT_OPTIONS)


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
    Shape("shared"),
]


def _python(value: object) -> object:
    if value is None:
        raise complain("a mapping with setup, check and instrument belongs here, not nothing")
    return value


class ObjectDecl(Model):
    """One synchronisation object, or an array of ``count`` of them; ``lock`` alone is the
    short form of ``{type: lock}``. An option that is None has its type's default.
    """

    type: Text = Field(description="What it is: lock, semaphore, queue, ...")
    count: OptionalWhole = Field(None, description="Makes it an array of so many.")
    value: OptionalWhole = Field(None, description="Permits of a semaphore at the start (1).")
    lock: OptionalText = Field(None, description="The lock of a condition; else its own rlock.")
    parties: OptionalWhole = Field(None, description="How many a barrier waits for.")
    maxsize: OptionalWhole = Field(None, description="Room in a queue; 0 is unbounded.")
    order: OptionalText = Field(None, description="Of a queue: fifo, lifo or priority.")

    @model_validator(mode="before")
    @classmethod
    def _from_short(cls, data: Any) -> Any:
        return {"type": data} if isinstance(data, str) else data

    def to_data(self) -> Any:
        data = super().to_data()
        return self.type if len(data) == 1 else data


class WorkerDecl(Model):
    """A worker, or ``count`` instances of it that run the same steps."""

    count: Whole = Field(1, description="How many instances; each has its own index.")
    start: Text = Field("auto", description="manual: runs only when another worker spawns it.")
    steps: list[Step] = Field(description="What it does.")


class Expectation(Model):
    """What is known of a scenario on one backend: a verdict, and where some schedule fails or
    hangs the fewest preemptive switches that show it.
    """

    verdict: Text = Field(description="passes, fails or deadlock.")
    switches: OptionalWhole = Field(None, description="The fewest preemptive switches for it.")

    @model_validator(mode="before")
    @classmethod
    def _from_short(cls, data: Any) -> Any:
        return {"verdict": data} if isinstance(data, str) else data

    def to_data(self) -> Any:
        data = super().to_data()
        return self.verdict if len(data) == 1 else data


class Scenario(Model):
    """A whole scenario. Raises pydantic's ``ValidationError`` when built from values of the
    wrong kind; :func:`tracelock.scenario.loading.scenario_from_data` checks everything and
    raises :class:`~tracelock.errors.ScenarioError`.
    """

    format: Text = Field(FORMAT, description="The version of the language.")
    name: Text = Field(description="A short name.")
    description: Text = Field("", description="What it shows, in a sentence.")
    shared: dict[str, SharedValue] = Field(
        default_factory=dict, description="Variables every worker can touch, and their values."
    )
    objects: dict[str, ObjectDecl] = Field(
        default_factory=dict, description="Locks, queues and other synchronisation objects."
    )
    workers: dict[str, WorkerDecl] = Field(description="Who runs, and what each does.")
    always: list[Expr] = Field(
        default_factory=list, description="Must hold in every state between two visible steps."
    )
    finally_: list[Expr] = key(
        "finally", default_factory=list, description="Must hold when every worker has ended."
    )
    expect: dict[str, Expectation] = Field(
        default_factory=dict, description="What is known of the scenario on each backend."
    )

    python: Annotated[PythonDecl | None, BeforeValidator(_python)] = Field(
        None, description="The workers are functions of real Python code, and this is the rest."
    )

    def place_of(self, at: str) -> tuple[str, int, int]:
        """File, line and column of a path such as ``workers.transfer.steps[0]``.

        Line 0 where the scenario came from no document; its name stands for the file then.
        """
        find = self.__dict__.get("places")
        return (self.name, 0, 0) if find is None else find(at)

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
