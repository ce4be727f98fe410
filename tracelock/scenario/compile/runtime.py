"""What a compiled worker is at run time: a machine that goes from visible step to visible step.

A worker is compiled into Python functions, one for each visible step at least (see
``codegen``). ``Machine.at`` is the function that goes on from here, ``Machine.L`` holds
everything else: the locals of the scenario, loop counters, temporaries, and what a block that
is being unwound has pending. Copying the two copies the worker, whatever it is doing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NamedTuple

from tracelock.errors import Cancelled, LimitReached, ScopeExpired, StepFailure
from tracelock.ops import ATOMIC, AtomicBody, Op, Value
from tracelock.scenario.compile.costs import afresh, spend
from tracelock.scenario.compile.rounds import look
from tracelock.scenario.compile.values import freeze, reason

Segment = Callable[["Machine", Any], Any]

_PLAIN = frozenset({int, str, type(None)})


class Jump:
    """The class of :data:`JUMP`, which a segment returns to continue at ``machine.at``.

    Segments do not call each other, so that a loop needs no deeper stack in any round.
    """

    __slots__ = ()


JUMP: Final = Jump()


class TimeoutScope(NamedTuple):
    """A ``timeout`` block that a machine is in. ``uid`` differs for each entry of a block."""

    uid: int
    seconds: float
    at: str


class Handler:
    """Where an error goes: into ``L[slot]``, and on at ``entry``."""

    __slots__ = ("entry", "slot")
    entry: Segment

    def __init__(self, slot: int) -> None:
        self.slot = slot


@dataclass(slots=True, eq=False)
class YieldPoint:
    """What is known at compile time of a point where a machine waits for the result of an op.

    ``number`` is unique in the worker; ``live``: how many entries of ``L`` matter from here
    on; ``scopes``: (slot of uid, slot of seconds, path) per ``timeout`` block, outermost first;
    ``dynamic``: the op is in ``machine.op``, as it is not the same in every run.
    """

    number: int
    at: str
    handler: Handler | None
    live: int
    scopes: tuple[tuple[int, int, str], ...]
    dynamic: bool


def done(machine: Machine, result: Value) -> None:
    """The last segment of every worker: it has ended, and stays so."""


@dataclass(slots=True, eq=False)
class Code:
    """A compiled worker, shared by all its machines; never changes. ``rounds``: its ``fuel``, until
    the first look at the clock and after it."""

    file: str
    fuel: int
    rounds: tuple[int, int]
    template: list[Value]
    lines: list[tuple[str, Handler | None]]
    entry: Segment
    places: dict[Segment, YieldPoint]

    def locate(self, error: BaseException) -> tuple[str, Handler | None]:
        """The step that raised ``error``, and its handler, by the line of generated code.

        That is how blocks cost nothing on the way in: no segment keeps a stack of handlers.
        """
        # The first such line: what follows it may be from an earlier time that this very error
        # was raised, in a machine that this one was copied from or to.
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == self.file:
                return self.lines[trace.tb_lineno]
            trace = trace.tb_next
        return "", None


class Machine:
    """One worker of one run. Subclassed per worker, with the class attributes filled in.

    ``begin``, ``resume`` and ``throw`` return the next op, or None at the end of the worker.
    They raise StepFailure (the worker failed), whatever was thrown and not caught, or
    LimitReached (too many rounds without a visible step).
    """

    __slots__ = ("L", "at", "busy", "fuel", "later", "op", "spent")
    L: list[Any]
    at: Segment
    busy: bool
    op: Op | None  # the last one that was made for this machine alone
    #: Rounds until the next look at the clock, and after that; set by each segment that may use it.
    fuel: int
    later: int
    spent: int  # what the operations of its expressions have cost (costs.Spender)

    worker: ClassVar[int] = -1
    code: ClassVar[Code]

    def begin(self) -> Op | None:
        """Run to the first visible step."""
        return self.resume(None)

    def resume(self, result: Value) -> Op | None:
        """Go on from the pending op, whose result this is, to the next one."""
        try:
            op = self.at(self, result)
            while op is JUMP:
                self.fuel -= 1
                if self.fuel < 0:
                    self.fuel = self.refuel()
                op = self.at(self, None)
            return op  # type: ignore[no-any-return]
        except (Exception, Cancelled, ScopeExpired) as error:
            if isinstance(error, LimitReached):
                raise
            at, handler = self.code.locate(error)
            failure = as_failure(error, at)
        return self._unwind(failure, handler)

    def throw(self, error: BaseException) -> Op | None:
        """``error`` is raised at the pending op. Blocks around it may yield further ops first."""
        place = self.code.places.get(self.at)
        afresh(self)
        return self._unwind(error, None if place is None else place.handler)

    def _unwind(self, error: BaseException, handler: Handler | None) -> Op | None:
        if handler is None:
            self.at = done
            raise error from None
        # The traceback would keep frames, and through them machines, alive.
        error.__traceback__ = None
        self.L[handler.slot] = error
        self.at = handler.entry
        self.fuel, self.later = self.code.rounds
        return self.resume(None)

    def refuel(self) -> int:
        """The round that has begun is one more than there were until this look at the clock: how
        many there are after it until the next. Raises LimitReached."""
        look()
        if self.later <= 0:
            raise LimitReached(
                f"a worker went {self.code.fuel:,} rounds of its loops without a visible step"
            )
        more = min(self.later, max(1, self.code.rounds[0]))
        self.later -= more
        return more - 1

    def copy(self) -> Machine:
        """An independent machine at the same point. See ``rebind`` for its pending op."""
        new: Machine = _new(self.__class__)
        new.at = self.at
        new.L = self.L[:]
        new.busy = self.busy
        new.op = self.op
        new.spent = self.spent
        return new

    def rebind(self, op: Op) -> Op:
        """The pending op of the machine that this one was copied from, as this one's own.

        It is the same op, except that an ``atomic`` step works on its own machine's locals.
        """
        if op.kind != ATOMIC:
            return op
        body: AtomicBlock = op.body
        return Op(ATOMIC, -1, op.at, body=type(body)(self))

    def key(self) -> Hashable:
        """Equal for machines of one program that will behave the same."""
        place = self.code.places.get(self.at)
        if place is None:
            return (self.worker, self.at is done)
        live = self.L if place.live == len(self.L) else self.L[: place.live]
        pending: Hashable = None
        if place.dynamic:
            op = self.op
            assert op is not None
            pending = (op.target, freeze(op.value), freeze(op.timeout), freeze(op.expect))
        return (
            self.worker,
            place.number,
            pending,
            *[v if type(v) in _PLAIN else freeze(v) for v in live],
        )

    @property
    def scopes(self) -> tuple[TimeoutScope, ...]:
        """The ``timeout`` blocks around the pending op, outermost first.

        A plain ``()`` in the class of a worker that has none.
        """
        place = self.code.places.get(self.at)
        if place is None or not place.scopes:
            return ()
        slots = self.L
        return tuple(TimeoutScope(slots[uid], slots[time], at) for uid, time, at in place.scopes)


_new = object.__new__


class AtomicBlock(AtomicBody):
    """The inside of an ``atomic`` step of one machine; subclassed per step."""

    __slots__ = ("failure", "machine")
    function: ClassVar[Callable[[list[Any], Callable[[int], Value], Callable[..., None]], None]]
    slot: ClassVar[int]  # where the machine looks for a failure when it is resumed

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.failure: StepFailure | None = None

    def run(self, read: Callable[[int], Value], write: Callable[[int, Value], None]) -> None:
        """Execute the block; a failure inside reaches the machine when it is resumed."""
        self.failure = self._execute(self.machine.L, read, write)
        self.machine.L[self.slot] = self.failure

    def rehearse(self, read: Callable[[int], Value], write: Callable[[int, Value], None]) -> None:
        """Execute the block on a copy of the locals."""
        self.failure = self._execute(self.machine.L[:], read, write)

    def _execute(
        self,
        slots: list[Any],
        read: Callable[[int], Value],
        write: Callable[[int, Value], None],
    ) -> StepFailure | None:
        code = self.machine.code
        afresh(self.machine)
        try:
            type(self).function(slots, read, write)
        except Exception as error:
            if error.__traceback__ is None or not _ours(error, code.file):
                raise  # from read or write themselves: not the worker's doing
            failure = as_failure(error, code.locate(error)[0])
            assert isinstance(failure, StepFailure)
            failure.__traceback__ = None
            return failure
        return None


def _ours(error: BaseException, file: str) -> bool:
    """Whether generated code, or ``values`` or ``costs`` under it, raised ``error``."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    code = trace.tb_frame.f_code
    return code.co_filename == file or code.co_filename in _LANGUAGE


_LANGUAGE: Final = frozenset({reason.__code__.co_filename, spend.__code__.co_filename})


def as_failure(error: BaseException, at: str) -> BaseException:
    """What an error in generated code is to the outside."""
    if isinstance(error, StepFailure | Cancelled | ScopeExpired):
        return error
    return StepFailure("error", reason(error), at)
