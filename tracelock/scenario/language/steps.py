"""The steps of the scenario language: one frozen pydantic model per verb.

A field has the name of its key in a document; where that is a word of Python it has a trailing
underscore (``with_``, ``if_``). Models check kinds only (a text, a flag, a list of steps);
what a name means is the business of :mod:`tracelock.scenario.checks.scenario`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Final

from pydantic import Discriminator, Field, Tag
from pydantic import model_validator as _model_validator

from tracelock.scenario.language.kinds import (
    Expr,
    Flag,
    Local,
    LocalName,
    Model,
    ObjectRef,
    OptionalText,
    Text,
    VariableRef,
    WorkerRef,
    complain,
    key,
)


class BaseStep(Model):
    """One step. ``verb`` is the key that names it in a document."""

    verb: ClassVar[str]


class Acquire(BaseStep):
    """Takes a lock, a permit of a semaphore, or the lock of a condition."""

    verb: ClassVar[str] = "acquire"
    acquire: ObjectRef = Field(description="What to take.")
    blocking: Flag = Field(True, description="false: try, and go on at once either way.")
    timeout: Expr = Field(None, description="How long to wait for it, in seconds.")
    into: Local = Field(None, description="Local that gets whether it was taken.")


class Release(BaseStep):
    """Gives back a lock, permits of a semaphore, or the lock of a condition."""

    verb: ClassVar[str] = "release"
    release: ObjectRef = Field(description="What to give back.")
    n: Expr = Field(1, description="How many permits (semaphores).")


class With(BaseStep):
    """Holds a lock while its block runs, and releases it however the block ends."""

    verb: ClassVar[str] = "with"
    with_: ObjectRef = key("with", description="What to hold.")
    do: list[Step] = Field(description="The block.")


class Read(BaseStep):
    """Reads a shared variable."""

    verb: ClassVar[str] = "read"
    read: VariableRef = Field(description="The shared variable.")
    into: Local = Field(None, description="Local that gets the value.")


class Write(BaseStep):
    """Writes a shared variable."""

    verb: ClassVar[str] = "write"
    write: VariableRef = Field(description="The shared variable.")
    value: Expr = Field(description="What to write. Shared variables in it are read first.")


class Let(BaseStep):
    """Sets locals of this worker; no other worker can notice."""

    verb: ClassVar[str] = "let"
    let: dict[LocalName, Expr] = Field(description="Locals and their values.")


class Atomic(BaseStep):
    """Does several reads and writes as one indivisible step."""

    verb: ClassVar[str] = "atomic"
    atomic: list[Step] = Field(description="The block: read, write, let, if and assert only.")


class CompareExchange(BaseStep):
    """Writes a shared variable if it still has the value expected, in one step."""

    verb: ClassVar[str] = "compare_exchange"
    compare_exchange: VariableRef = Field(description="The shared variable.")
    expect: Expr = Field(description="The value it must have.")
    value: Expr = Field(description="The value it then gets.")
    into: Local = Field(None, description="Local that gets whether it was exchanged.")


class Exchange(BaseStep):
    """Writes a shared variable and gives its old value, in one step."""

    verb: ClassVar[str] = "exchange"
    exchange: VariableRef = Field(description="The shared variable.")
    value: Expr = Field(description="The value it gets.")
    into: Local = Field(None, description="Local that gets the old value.")


class FetchAdd(BaseStep):
    """Adds to a shared variable and gives its old value, in one step."""

    verb: ClassVar[str] = "fetch_add"
    fetch_add: VariableRef = Field(description="The shared variable.")
    by: Expr = Field(description="What to add.")
    into: Local = Field(None, description="Local that gets the old value.")


class Wait(BaseStep):
    """Waits at a condition, an event or a barrier."""

    verb: ClassVar[str] = "wait"
    wait: ObjectRef = Field(description="The condition, event or barrier.")
    timeout: Expr = Field(None, description="How long to wait, in seconds.")
    into: Local = Field(None, description="Local that gets the result of the wait.")
    until: Expr = Field(None, description="Waits again until this holds (conditions).")


class Notify(BaseStep):
    """Wakes waiters of a condition."""

    verb: ClassVar[str] = "notify"
    notify: ObjectRef = Field(description="The condition.")
    n: Expr = Field(1, description="How many waiters to wake.")
    all: Flag = Field(False, description="true: wakes every waiter.")


class Set(BaseStep):
    """Sets an event: all who wait go on."""

    verb: ClassVar[str] = "set"
    set: ObjectRef = Field(description="The event.")


class Clear(BaseStep):
    """Clears an event."""

    verb: ClassVar[str] = "clear"
    clear: ObjectRef = Field(description="The event.")


class Put(BaseStep):
    """Puts an item into a queue."""

    verb: ClassVar[str] = "put"
    put: ObjectRef = Field(description="The queue.")
    value: Expr = Field(description="The item.")
    blocking: Flag = Field(True, description="false: try, and go on at once either way.")
    timeout: Expr = Field(None, description="How long to wait for room, in seconds.")
    into: Local = Field(None, description="Local that gets whether it was put.")


class Get(BaseStep):
    """Takes an item out of a queue."""

    verb: ClassVar[str] = "get"
    get: ObjectRef = Field(description="The queue.")
    into: Local = Field(None, description="Local that gets the item.")
    blocking: Flag = Field(True, description="false: try, and go on at once either way.")
    timeout: Expr = Field(None, description="How long to wait for an item, in seconds.")
    got: Local = Field(None, description="Local that gets whether there was an item.")


class Sleep(BaseStep):
    """Sleeps."""

    verb: ClassVar[str] = "sleep"
    sleep: Expr = Field(description="How long, in seconds.")


class BareStep(BaseStep):
    """A step that is its verb and nothing else: written as a bare word."""

    @_model_validator(mode="before")
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

    def to_data(self) -> Any:
        return self.verb


class Checkpoint(BareStep):
    """Lets other workers run."""

    verb: ClassVar[str] = "checkpoint"


class Work(BaseStep):
    """Does so many rounds of arithmetic, to take time."""

    verb: ClassVar[str] = "work"
    work: Expr = Field(description="How many rounds.")


class If(BaseStep):
    """Runs one of two blocks."""

    verb: ClassVar[str] = "if"
    if_: Expr = key("if", description="The condition.")
    then: list[Step] = Field(default_factory=list, description="The block where it holds.")
    else_: list[Step] = key(
        "else", default_factory=list, description="The block where it does not hold."
    )

    def to_data(self) -> Any:
        data = super().to_data()
        if "then" not in data and "else" not in data:
            data["then"] = []  # a document needs one of them
        return data


class While(BaseStep):
    """Runs its block as long as a condition holds."""

    verb: ClassVar[str] = "while"
    while_: Expr = key("while", description="The condition.")
    do: list[Step] = Field(description="The block.")


class Repeat(BaseStep):
    """Runs its block so many times."""

    verb: ClassVar[str] = "repeat"
    repeat: Expr = Field(description="How many times.")
    do: list[Step] = Field(description="The block.")
    index: Local = Field(None, description="Local that counts the rounds from 0.")


class Break(BareStep):
    """Leaves the innermost while or repeat."""

    verb: ClassVar[str] = "break"


class Continue(BareStep):
    """Goes on with the next round of the innermost while or repeat."""

    verb: ClassVar[str] = "continue"


class Stop(BareStep):
    """Ends this worker."""

    verb: ClassVar[str] = "stop"


class Assert(BaseStep):
    """Fails the run where its expression is false."""

    verb: ClassVar[str] = "assert"
    assert_: Expr = key("assert", description="What must hold.")
    message: OptionalText = Field(None, description="What to say where it does not.")


class Fail(BaseStep):
    """Fails the run."""

    verb: ClassVar[str] = "fail"
    fail: Text = Field(description="What to say.")


class Spawn(BaseStep):
    """Starts a worker declared with ``start: manual``; of an array all, or the one indexed."""

    verb: ClassVar[str] = "spawn"
    spawn: WorkerRef = Field(description="The worker.")


class Join(BaseStep):
    """Waits until a worker has ended; of an array all, or the one indexed."""

    verb: ClassVar[str] = "join"
    join: WorkerRef = Field(description="The worker.")
    timeout: Expr = Field(None, description="How long to wait for it, in seconds.")
    into: Local = Field(None, description="Local that gets whether it has ended.")


class Try(BaseStep):
    """Runs a block, and a second one however the first ends."""

    verb: ClassVar[str] = "try"
    try_: list[Step] = key("try", description="The block.")
    finally_: list[Step] = key("finally", description="What runs however it ends.")


class Timeout(BaseStep):
    """Cancels its block when the time is over (asyncio and trio only)."""

    verb: ClassVar[str] = "timeout"
    timeout: Expr = Field(description="How long the block may take, in seconds.")
    do: list[Step] = Field(description="The block.")
    into: Local = Field(None, description="Local that gets whether the block ended in time.")


class Cancel(BaseStep):
    """Cancels a worker (asyncio and trio only)."""

    verb: ClassVar[str] = "cancel"
    cancel: WorkerRef = Field(description="The worker.")


class Crash(BareStep):
    """Kills this worker's process without unwinding (multiprocessing only)."""

    verb: ClassVar[str] = "crash"


class Call(BaseStep):
    """Calls a Python function: trusted code, refused unless the user allows it."""

    verb: ClassVar[str] = "call"
    call: Text = Field(description='The function, as "module:function".')
    args: list[Expr] = Field(default_factory=list, description="Its arguments.")
    into: Local = Field(None, description="Local that gets the result.")


STEPS: Final[tuple[type[BaseStep], ...]] = (
    Acquire, Release, With, Read, Write, Let, Atomic, CompareExchange, Exchange, FetchAdd, Wait,
    Notify, Set, Clear, Put, Get, Sleep, Checkpoint, Work, If, While, Repeat, Break, Continue,
    Stop, Assert, Fail, Spawn, Join, Try, Timeout, Cancel, Crash, Call,
)  # fmt: skip
BY_VERB: Final[dict[str, type[BaseStep]]] = {step.verb: step for step in STEPS}
BARE_WORDS: Final = tuple(step.verb for step in STEPS if issubclass(step, BareStep))
#: verb -> its other keys, as written in a document.
KEYS: Final[dict[str, tuple[str, ...]]] = {
    step.verb: tuple(
        written
        for name, info in step.model_fields.items()
        if (written := info.serialization_alias or name) != step.verb
    )
    for step in STEPS
}


def verbs_in(keys: Iterable[Any]) -> list[str]:
    """The verbs that a step with these keys names: one, if the step is well formed.

    ``timeout`` is a verb and also a key of acquire, wait, ...: it counts as a verb only where
    no other verb present takes it as a key.
    """
    found = [name for name in keys if isinstance(name, str) and name in BY_VERB]
    for verb in found:
        if all(other == verb or other in KEYS[verb] for other in found):
            return [verb]
    return found


def _tag(value: Any) -> str | None:
    if isinstance(value, BaseStep):
        return f"<{value.verb}>"
    if isinstance(value, str):
        return f"<{value}>" if value in BARE_WORDS else None
    if isinstance(value, Mapping):
        found = verbs_in(value)
        return f"<{found[0]}>" if len(found) == 1 else None
    return None


Step = Annotated[
    Annotated[Acquire, Tag("<acquire>")]
    | Annotated[Release, Tag("<release>")]
    | Annotated[With, Tag("<with>")]
    | Annotated[Read, Tag("<read>")]
    | Annotated[Write, Tag("<write>")]
    | Annotated[Let, Tag("<let>")]
    | Annotated[Atomic, Tag("<atomic>")]
    | Annotated[CompareExchange, Tag("<compare_exchange>")]
    | Annotated[Exchange, Tag("<exchange>")]
    | Annotated[FetchAdd, Tag("<fetch_add>")]
    | Annotated[Wait, Tag("<wait>")]
    | Annotated[Notify, Tag("<notify>")]
    | Annotated[Set, Tag("<set>")]
    | Annotated[Clear, Tag("<clear>")]
    | Annotated[Put, Tag("<put>")]
    | Annotated[Get, Tag("<get>")]
    | Annotated[Sleep, Tag("<sleep>")]
    | Annotated[Checkpoint, Tag("<checkpoint>")]
    | Annotated[Work, Tag("<work>")]
    | Annotated[If, Tag("<if>")]
    | Annotated[While, Tag("<while>")]
    | Annotated[Repeat, Tag("<repeat>")]
    | Annotated[Break, Tag("<break>")]
    | Annotated[Continue, Tag("<continue>")]
    | Annotated[Stop, Tag("<stop>")]
    | Annotated[Assert, Tag("<assert>")]
    | Annotated[Fail, Tag("<fail>")]
    | Annotated[Spawn, Tag("<spawn>")]
    | Annotated[Join, Tag("<join>")]
    | Annotated[Try, Tag("<try>")]
    | Annotated[Timeout, Tag("<timeout>")]
    | Annotated[Cancel, Tag("<cancel>")]
    | Annotated[Crash, Tag("<crash>")]
    | Annotated[Call, Tag("<call>")],
    Discriminator(_tag),
]

for _step in STEPS:
    _step.model_rebuild()
