"""The steps of the scenario language: one frozen pydantic model per verb, and the table of verbs.

A field has the name of its key in a document; where that is a word of Python it has a trailing
underscore (``with_``, ``if_``). Models check kinds only (a text, a flag, a list of steps);
what a name means is the business of :mod:`tracelock.scenario.checks.scenario`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

from pydantic import ConfigDict, Discriminator, Field, Tag
from pydantic.fields import FieldInfo

from tracelock.scenario.language.base import (
    Assignments,
    BareStep,
    BaseStep,
    Expressions,
    StepField,
    key,
)
from tracelock.scenario.language.kinds import (
    FUNCTION,
    NAME,
    Count,
    Expr,
    FieldKind,
    Flag,
    Local,
    ObjectRef,
    OptionalSeconds,
    OptionalText,
    Permits,
    Seconds,
    Text,
    VariableRef,
    WorkerRef,
)

Block = Annotated[list["Step"], FieldKind("block")]


class Acquire(BaseStep):
    """Takes a lock, a permit of a semaphore, or the lock of a condition."""

    acquire: ObjectRef = Field(description="What to take.")
    blocking: Flag = Field(True, description="false: try, and go on at once either way.")
    timeout: OptionalSeconds = Field(None, description="How long to wait for it, in seconds.")
    into: Local = Field(None, description="Local that gets whether it was taken.")


class Release(BaseStep):
    """Gives back a lock, permits of a semaphore, or the lock of a condition."""

    release: ObjectRef = Field(description="What to give back.")
    n: Permits = Field(1, description="How many permits (semaphores).")


class With(BaseStep):
    """Holds a lock while its block runs, and releases it however the block ends."""

    with_: ObjectRef = key("with", description="What to hold.")
    do: Block = Field(description="The block.")


class Read(BaseStep):
    """Reads a shared variable."""

    read: VariableRef = Field(description="The shared variable.")
    into: Local = Field(None, description="Local that gets the value.")


class Write(BaseStep):
    """Writes a shared variable."""

    write: VariableRef = Field(description="The shared variable.")
    value: Expr = Field(description="What to write. Shared variables in it are read first.")


class Let(BaseStep):
    """Sets locals of this worker; no other worker can notice."""

    let: Assignments = Field(
        description="Locals and their values.", json_schema_extra={"propertyNames": NAME}
    )


class Atomic(BaseStep):
    """Does several reads and writes as one indivisible step."""

    atomic: Block = Field(description="The block: read, write, let, if and assert only.")


class CompareExchange(BaseStep):
    """Writes a shared variable if it still has the value expected, in one step."""

    compare_exchange: VariableRef = Field(description="The shared variable.")
    expect: Expr = Field(description="The value it must have.")
    value: Expr = Field(description="The value it then gets.")
    into: Local = Field(None, description="Local that gets whether it was exchanged.")


class Exchange(BaseStep):
    """Writes a shared variable and gives its old value, in one step."""

    exchange: VariableRef = Field(description="The shared variable.")
    value: Expr = Field(description="The value it gets.")
    into: Local = Field(None, description="Local that gets the old value.")


class FetchAdd(BaseStep):
    """Adds to a shared variable and gives its old value, in one step."""

    fetch_add: VariableRef = Field(description="The shared variable.")
    by: Expr = Field(description="What to add.")
    into: Local = Field(None, description="Local that gets the old value.")


class Wait(BaseStep):
    """Waits at a condition, an event or a barrier."""

    wait: ObjectRef = Field(description="The condition, event or barrier.")
    timeout: OptionalSeconds = Field(None, description="How long to wait, in seconds.")
    into: Local = Field(None, description="Local that gets the result of the wait.")
    until: Expr = Field(None, description="Waits again until this holds (conditions).")


class Notify(BaseStep):
    """Wakes waiters of a condition."""

    notify: ObjectRef = Field(description="The condition.")
    n: Count = Field(1, description="How many waiters to wake.")
    all: Flag = Field(False, description="true: wakes every waiter.")


class Set(BaseStep):
    """Sets an event: all who wait go on."""

    set: ObjectRef = Field(description="The event.")


class Clear(BaseStep):
    """Clears an event."""

    clear: ObjectRef = Field(description="The event.")


class Put(BaseStep):
    """Puts an item into a queue."""

    put: ObjectRef = Field(description="The queue.")
    value: Expr = Field(description="The item.")
    blocking: Flag = Field(True, description="false: try, and go on at once either way.")
    timeout: OptionalSeconds = Field(None, description="How long to wait for room, in seconds.")
    into: Local = Field(None, description="Local that gets whether it was put.")


class Get(BaseStep):
    """Takes an item out of a queue."""

    get: ObjectRef = Field(description="The queue.")
    into: Local = Field(None, description="Local that gets the item.")
    blocking: Flag = Field(True, description="false: try, and go on at once either way.")
    timeout: OptionalSeconds = Field(None, description="How long to wait for an item, in seconds.")
    got: Local = Field(None, description="Local that gets whether there was an item.")


class Sleep(BaseStep):
    """Sleeps."""

    sleep: Seconds = Field(description="How long, in seconds.")


class Checkpoint(BareStep):
    """Lets other workers run."""


class Work(BaseStep):
    """Does so many rounds of arithmetic, to take time."""

    work: Seconds = Field(description="How many rounds.")


class If(BaseStep):
    """Runs one of two blocks."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["then"]}, {"required": ["else"]}]}
    )

    if_: Expr = key("if", description="The condition.")
    then: Block = Field(default_factory=list, description="The block where it holds.")
    else_: Block = key(
        "else", default_factory=list, description="The block where it does not hold."
    )

    def to_data(self) -> Any:
        data = super().to_data()
        if "then" not in data and "else" not in data:
            data["then"] = []  # a document needs one of them
        return data


class While(BaseStep):
    """Runs its block as long as a condition holds."""

    while_: Expr = key("while", description="The condition.")
    do: Block = Field(description="The block.")


class Repeat(BaseStep):
    """Runs its block so many times."""

    repeat: Count = Field(description="How many times.")
    do: Block = Field(description="The block.")
    index: Local = Field(None, description="Local that counts the rounds from 0.")


class Break(BareStep):
    """Leaves the innermost while or repeat."""


class Continue(BareStep):
    """Goes on with the next round of the innermost while or repeat."""


class Stop(BareStep):
    """Ends this worker."""


class Assert(BaseStep):
    """Fails the run where its expression is false."""

    assert_: Expr = key("assert", description="What must hold.")
    message: OptionalText = Field(None, description="What to say where it does not.")


class Fail(BaseStep):
    """Fails the run."""

    fail: Text = Field(description="What to say.")


class Spawn(BaseStep):
    """Starts a worker declared with ``start: manual``; of an array all, or the one indexed."""

    spawn: WorkerRef = Field(description="The worker.")


class Join(BaseStep):
    """Waits until a worker has ended; of an array all, or the one indexed."""

    join: WorkerRef = Field(description="The worker.")
    timeout: OptionalSeconds = Field(None, description="How long to wait for it, in seconds.")
    into: Local = Field(None, description="Local that gets whether it has ended.")


class Try(BaseStep):
    """Runs a block, and a second one however the first ends."""

    try_: Block = key("try", description="The block.")
    finally_: Block = key("finally", description="What runs however it ends.")


class Timeout(BaseStep):
    """Cancels its block when the time is over (asyncio and trio only)."""

    timeout: Seconds = Field(description="How long the block may take, in seconds.")
    do: Block = Field(description="The block.")
    into: Local = Field(None, description="Local that gets whether the block ended in time.")


class Cancel(BaseStep):
    """Cancels a worker (asyncio and trio only)."""

    cancel: WorkerRef = Field(description="The worker.")


class Crash(BareStep):
    """Kills this worker's process without unwinding (multiprocessing only)."""


class Call(BaseStep):
    """Calls a Python function: trusted code, refused unless the user allows it."""

    call: Text = Field(
        description='The function, as "module:function".',
        json_schema_extra={"pattern": FUNCTION},
    )
    args: Expressions = Field(default_factory=list, description="Its arguments.")
    into: Local = Field(None, description="Local that gets the result.")


class Verb(NamedTuple):
    """What the language knows of a verb. How it is compiled and exported stands in the tables
    ``LOWERINGS`` of ``scenario.compile.compiler`` and ``WRITERS`` of ``export.backends``.

    ``visible``: other workers can notice the step itself. ``in_atomic``: it may stand in an
    ``atomic`` block. ``truth``: its ``into`` gets true or false. ``feature``: a backend may
    refuse it (and says so in its rules).
    """

    model: type[BaseStep]
    visible: bool = True
    in_atomic: bool = False
    truth: bool = False
    feature: bool = False


#: All verbs; what is not listed here is no step of the language.
VERBS: Final[dict[str, Verb]] = {
    "acquire": Verb(Acquire, truth=True),
    "release": Verb(Release),
    "with": Verb(With),
    "read": Verb(Read, in_atomic=True),
    "write": Verb(Write, in_atomic=True),
    "let": Verb(Let, visible=False, in_atomic=True),
    "atomic": Verb(Atomic),
    "compare_exchange": Verb(CompareExchange, truth=True),
    "exchange": Verb(Exchange),
    "fetch_add": Verb(FetchAdd),
    "wait": Verb(Wait, truth=True),
    "notify": Verb(Notify),
    "set": Verb(Set),
    "clear": Verb(Clear, feature=True),
    "put": Verb(Put, truth=True),
    "get": Verb(Get),
    "sleep": Verb(Sleep),
    "checkpoint": Verb(Checkpoint),
    "work": Verb(Work, visible=False),
    "if": Verb(If, visible=False, in_atomic=True),
    "while": Verb(While, visible=False),
    "repeat": Verb(Repeat, visible=False),
    "break": Verb(Break, visible=False),
    "continue": Verb(Continue, visible=False),
    "stop": Verb(Stop, visible=False),
    "assert": Verb(Assert, visible=False, in_atomic=True),
    "fail": Verb(Fail, visible=False),
    "spawn": Verb(Spawn),
    "join": Verb(Join, truth=True),
    "try": Verb(Try, visible=False),
    "timeout": Verb(Timeout, truth=True, feature=True),
    "cancel": Verb(Cancel, feature=True),
    "crash": Verb(Crash, feature=True),
    "call": Verb(Call, feature=True),
}  # fmt: skip
BARE_WORDS: Final = tuple(verb for verb, row in VERBS.items() if issubclass(row.model, BareStep))


def _tag(value: Any) -> str | None:
    if isinstance(value, BaseStep):
        return f"<{value.verb}>"
    if isinstance(value, str):
        return f"<{value}>" if value in BARE_WORDS else None
    if isinstance(value, Mapping):
        found = verbs_in(value)
        return f"<{found[0]}>" if len(found) == 1 else None
    return None


if TYPE_CHECKING:
    Step = BaseStep
else:
    Step = Annotated[
        reduce(or_, (Annotated[row.model, Tag(f"<{verb}>")] for verb, row in VERBS.items())),
        Discriminator(_tag),
    ]
#: The steps of a worker.
Steps = Annotated[list[Step], FieldKind("block")]


def _marks(info: FieldInfo) -> Iterator[FieldKind]:
    """What a field holds. pydantic before 2.12 lists what marks a forward reference twice."""
    found = [mark for mark in info.metadata if isinstance(mark, FieldKind)]
    return (mark for number, mark in enumerate(found) if mark not in found[:number])


for _verb, _row in VERBS.items():
    _row.model.verb = _verb
    _row.model.model_rebuild()
    _row.model.parts = tuple(
        StepField(name, info.serialization_alias or name, mark)
        for name, info in _row.model.model_fields.items()
        for mark in _marks(info)
    )
#: verb -> its other keys, as written in a document.
KEYS: Final[dict[str, tuple[str, ...]]] = {
    verb: tuple(part.key for part in row.model.parts if part.key != verb)
    for verb, row in VERBS.items()
}


def verbs_in(keys: Iterable[Any]) -> list[str]:
    """The verbs that a step with these keys names: one, if the step is well formed.

    ``timeout`` is a verb and also a key of acquire, wait, ...: it counts as a verb only where
    no other verb present takes it as a key.
    """
    found = [name for name in keys if isinstance(name, str) and name in VERBS]
    for verb in found:
        if all(other == verb or other in KEYS[verb] for other in found):
            return [verb]
    return found
