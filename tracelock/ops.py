"""The vocabulary: what a worker may ask for, and when two requests depend on each other.

An :class:`Op` is one visible step of one worker: one event of the trace and one scheduling
point. The list of kinds is closed; everything above this module speaks in it. Shared things
(variables and objects) are numbered by a :class:`Layout`, variables first, so that an op
carries a small integer and the hot path never compares strings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

Value = Any  # a JSON scalar, or (in queues and locals) a list of them

# --- kinds -----------------------------------------------------------------------------------
# Plain integers: comparing two module constants is several times cheaper than two enum members,
# and this happens at every step of every schedule.
READ: Final = 0
WRITE: Final = 1
COMPARE_EXCHANGE: Final = 2
EXCHANGE: Final = 3
FETCH_ADD: Final = 4
ATOMIC: Final = 5
ACQUIRE: Final = 6
RELEASE: Final = 7
REQUEST: Final = 8  # joins the queue of an object that hands over first come, first served
WAIT: Final = 9  # arrives at a condition, event or barrier
WAKE: Final = 10  # the end of a wait that blocked
NOTIFY: Final = 11
SET: Final = 12
CLEAR: Final = 13
PUT: Final = 14
GET: Final = 15
SLEEP: Final = 16
CHECKPOINT: Final = 17
SPAWN: Final = 18
JOIN: Final = 19
CANCEL: Final = 20
CANCELLED: Final = 21  # a cancellation, by a worker or a timeout block, reaches its worker
TIMEOUT: Final = 22  # the deadline of a timeout block, or of a waiting op, passes
CRASH: Final = 23
CALL: Final = 24
CHOOSE: Final = 25  # the program asks for one of some values; see ``Alternatives``

NAMES: Final = (
    "read", "write", "compare_exchange", "exchange", "fetch_add", "atomic", "acquire", "release",
    "request", "wait", "wake", "notify", "set", "clear", "put", "get", "sleep", "checkpoint",
    "spawn", "join", "cancel", "cancelled", "timeout", "crash", "call", "choose",
)  # fmt: skip
KIND_OF: Final = {name: kind for kind, name in enumerate(NAMES)}

#: Kinds whose target is a shared variable.
ON_VARIABLE: Final = frozenset({READ, WRITE, COMPARE_EXCHANGE, EXCHANGE, FETCH_ADD})
#: Kinds whose target is a worker's number, not a shared thing.
ON_WORKER: Final = frozenset({SPAWN, JOIN, CANCEL})


@dataclass(slots=True, eq=False, repr=False)
class Op:
    """One visible step, as asked for. Treated as immutable.

    ``target``: number of the shared thing (or of the worker, see ``ON_WORKER``), -1 for none.
    ``at``: the step's path in the scenario, or ``file:line``.
    ``value``: what goes in: the value of write, put, exchange and compare_exchange, ``by`` of
    fetch_add, ``n`` of release and notify (-1: all), seconds of sleep, arguments of call.
    ``expect``: of compare_exchange; of a read or write of a container's contents in real code, how
    many items it had then, which is known when the step is made; of a call to what is outside of
    the run, what came of it, as data. ``timeout``: seconds, or None to wait for ever.
    ``blocking``: False for a try. ``body``: of atomic, see ``AtomicBody``; of call, the name; of
    spawn by a fork, the numbers of the objects whose state is copied; of set, the numbers of other
    objects on whose state what comes next depends; of choose, ``Alternatives``.
    ``soft``: the step has an ``into``, so that running out of time there is a result (false)
    and not an error.
    ``remark``: what the record tells of the step besides; nothing depends on it. Of a release, the
    name of the exception that leaves the section; of a cancel, that its task has swallowed it; of
    an access in the standard library, the place that has called it; of a set, what of the network
    is so from then on.
    """

    kind: int
    target: int
    at: str
    value: Value = None
    timeout: float | None = None
    blocking: bool = True
    expect: Value = None
    body: Any = None
    soft: bool = False
    remark: str = ""

    def __repr__(self) -> str:
        return f"<{NAMES[self.kind]} #{self.target} at {self.at}>"


class AtomicBody:
    """The inside of an ``atomic`` step.

    ``run(read, write)`` executes it once on the worker's own locals, which it changes;
    ``rehearse(read, write)`` does the same on a copy of them, which it then drops (the model
    rehearses, the real worker runs). ``read(id) -> value`` and ``write(id, value)`` are the
    backend's own. A :class:`~tracelock.errors.StepFailure` inside is kept as ``failure`` and
    thrown by the machine when it is resumed, so neither method raises it. ``touches`` is the
    static footprint, every variable the block can mention; ``looks``: those of them that it never
    changes, as far as that is known before it runs.
    """

    __slots__ = ()
    touches: frozenset[int]
    looks: frozenset[int] = frozenset()

    def run(self, read: Callable[[int], Value], write: Callable[[int, Value], None]) -> None:
        raise NotImplementedError

    def rehearse(self, read: Callable[[int], Value], write: Callable[[int, Value], None]) -> None:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Alternatives:
    """What a ``choose`` step chooses among, as its ``body``.

    ``name``: the function that was called. ``count``: how many values there are, 1 or more; the
    step's result is the number of the one that is taken. ``shown``: what they are, for people: a
    list where they are few, else words.
    """

    name: str
    count: int
    shown: Value


class Raised:
    """A result that is an exception: the step fails in its worker with it.

    ``kind`` is the name of the exception's class (``RuntimeError``, ``ValueError``,
    ``BrokenBarrierError``), the same on every Python version; ``message`` is ours.
    """

    __slots__ = ("kind", "message")

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        self.message = message

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Raised) and other.kind == self.kind

    def __hash__(self) -> int:
        return hash(self.kind)

    def __repr__(self) -> str:
        return f"{self.kind}: {self.message}"


def added(old: Value, by: Value) -> Value:
    """What ``fetch_add`` leaves in its variable, or ``Raised`` where it cannot be added."""
    try:
        new = old + by
    except TypeError as error:
        return Raised("TypeError", str(error))
    if new.__class__ is float and new - new != 0.0:
        return Raised("OverflowError", "the sum is too large for a number")
    return new


def same(a: Value, b: Value) -> bool:
    """Equality of JSON values: like Python's, but 1 and True are not the same."""
    return bool(a == b) and (a is b or (a.__class__ is bool) == (b.__class__ is bool))


class Empty:
    """The class of :data:`EMPTY`, the result of a get that got nothing."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "empty"

    def __reduce__(self) -> str:
        return "EMPTY"


EMPTY: Final = Empty()


# --- what there is to ask of -----------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class ObjectSpec:
    """One synchronisation object: ``type`` as in SCENARIO.md; options at their defaults."""

    name: str  # account[1]
    type: str
    value: int = 1  # semaphores
    lock: int = -1  # condition: number of the lock it shares, -1 for its own rlock
    parties: int = 0  # barrier
    maxsize: int = 0  # queue
    order: str = "fifo"  # queue


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """One worker instance: ``transfer[0]`` is instance 0 of the group ``transfer``."""

    name: str
    group: str
    index: int
    count: int
    manual: bool = False  # start: manual


@dataclass(frozen=True, slots=True)
class Layout:
    """Everything shared, numbered: variables ``0..len(initial)-1``, then objects.

    ``arrays`` maps a declared name to its first number and its length (None: not an array).
    ``grows``: whether things come into being while the program runs, as those of real code do.
    """

    grows: ClassVar[bool] = False
    names: tuple[str, ...]
    initial: tuple[Value, ...]
    objects: tuple[ObjectSpec, ...]
    workers: tuple[WorkerSpec, ...]
    arrays: dict[str, tuple[int, int | None]] = field(default_factory=dict)

    @property
    def variables(self) -> int:
        """How many shared variables there are; objects are numbered from here."""
        return len(self.initial)

    def spec(self, target: int) -> ObjectSpec:
        """The specification of object number ``target``."""
        return self.objects[target - len(self.initial)]

    def state_of(self, number: int) -> int:
        """The thing whose state that of thing ``number`` is part of: a condition's lock has the
        condition's too. Of all others it is the thing itself."""
        if number >= self.variables and self.spec(number).type == "condition":
            return self.spec(number).lock
        return number


# --- dependence ------------------------------------------------------------------------------
#: What an op is about; its ``target`` says which one.
THINGS: Final = 0  # variables and objects
WORKERS: Final = 1  # the life of a worker
CALLS: Final = 2  # what Python code does, of which nothing is known
_NOTHING: Final = -1

_SUBJECT: Final = tuple(
    THINGS if kind <= GET else WORKERS if kind in ON_WORKER else CALLS if kind == CALL else _NOTHING
    for kind in range(len(NAMES))
)
_LOOKS: Final = frozenset({READ, JOIN})  # kinds that change nothing
#: Kinds of which the body has the numbers of other objects that are looked at in the same step: a
#: fork copies their state.
_LOOKS_AT_OTHERS: Final = frozenset({SPAWN, SET})
_CHANGES: Final = tuple(kind not in _LOOKS for kind in range(len(NAMES)))

#: One thing, one worker, or all calls: what it is, and its number.
Place = tuple[int, int]


def accesses(op: Op) -> tuple[tuple[Place, ...], tuple[Place, ...]]:
    """What an op can read and what it can change, whatever the state.

    This is the dependence relation: two ops of different workers depend on each other where one
    can change what the other can read or change, and otherwise commute. ``conflicts`` says so of
    two ops; partial-order reduction and the shrinker have it as masks and lists of their own,
    made from this. It is conservative: of two ops that depend on each other some commute in some
    state. A thing whose state is part of another's (``Layout.state_of``) counts as itself here.
    """
    kind = op.kind
    if kind == ATOMIC:
        body = op.body
        changed = body.touches - body.looks if body.looks else body.touches
        return (
            tuple([(THINGS, number) for number in body.looks]),
            tuple([(THINGS, number) for number in changed]),
        )
    subject = _SUBJECT[kind]
    if subject == _NOTHING:
        return (), ()
    place = ((subject, op.target),)
    if not _CHANGES[kind]:
        return place, ()
    if op.body and kind in _LOOKS_AT_OTHERS:
        return tuple([(THINGS, other) for other in op.body]), place
    return (), place


def conflicts(a: Op, b: Op) -> bool:
    """Whether two ops of different workers depend on each other, see ``accesses``."""
    ka, kb = a.kind, b.kind
    if a.body is None and b.body is None:  # one place each
        return (
            a.target == b.target
            and _SUBJECT[ka] == _SUBJECT[kb] != _NOTHING
            and (_CHANGES[ka] or _CHANGES[kb])
        )
    reads, writes = accesses(a)
    others_reads, others_writes = accesses(b)
    changed = {*others_writes}
    return not (
        changed.isdisjoint(reads)
        and changed.isdisjoint(writes)
        and {*writes}.isdisjoint(others_reads)
    )


def touched(op: Op) -> tuple[int, ...]:
    """The shared variables and objects that an op can read or change."""
    reads, writes = accesses(op)
    return tuple([number for subject, number in (*reads, *writes) if subject == THINGS])
