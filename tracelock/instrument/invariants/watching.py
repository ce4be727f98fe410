"""Invariants of real code: evaluated between steps, where a step has changed what they read.

``tracelock.explore(always=...)`` gives those of all schedules, which are called as ``check`` is;
``tracelock.always(function)``, in ``setup`` or in a worker, one of the schedule that runs. Each is
evaluated before the first step, and after each step that writes something that it read the last
time, in the thread that comes to the next step: what the step before was to do is done by then. It
is not where nobody else could come in: in the middle of what a task does from one ``await`` to the
next, or between two steps where the interpreter that is explored lets no other thread go on.

For a search that leaves out orders of steps that commute, two writes of what one invariant reads do
not: in between it would see another state. So the sets of variables that each has read, in any
schedule, are ``watched`` (see ``DporScheduler``), and a search begins again where one gets larger.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tracelock.errors import StepFailure, UsageError
from tracelock.instrument.callers import place_of_function
from tracelock.instrument.contexts import contexts
from tracelock.instrument.failures import failure_of
from tracelock.instrument.hub import Hub, Phase, ScheduleOver, get_ident
from tracelock.instrument.invariants.reader import InvariantReader
from tracelock.objects import VARIABLE
from tracelock.ops import ATOMIC, GET, NAMES, READ, Op

if TYPE_CHECKING:
    from tracelock.engine.open import OpenController
    from tracelock.instrument.program import PythonProgram

Function = TypeVar("Function", bound=Callable[..., Any])

#: What there is to say of a failure of an invariant, as scenarios have it.
ALWAYS: Final = "always"


class Invariant:
    """One invariant in one schedule. ``reads``: numbers of what it read the last time; None before
    the first time, and where its code is not looked into, so that this is not known. ``due``: a
    step has changed that, or has changed anything where it is not known."""

    __slots__ = ("arguments", "due", "exact", "function", "reads", "watched")

    def __init__(
        self, function: Callable[..., Any], arguments: Sequence[Any], watched: dict[str, None],
        exact: bool,
    ) -> None:  # fmt: skip
        self.function = function
        self.exact = exact
        self.arguments = arguments
        self.watched = watched
        self.reads: set[int] | None = None
        self.due = True


class Invariants:
    """The invariants of one program.

    ``given``: those of all schedules. ``added``: not
    empty where the program has added some itself. ``watched``: for each one that is given, and for
    all that are added, the names of what it has read in any schedule. ``by_interpreter``: what is
    explored is one interpreter, so that nobody looks where that lets no other thread go on.
    ``untold``: the search is by a scheduler of the user's own, which does not know what is watched.
    """

    def __init__(self, hub: Hub, program: PythonProgram) -> None:
        self.hub = hub
        self.given = tuple(program.invariants)
        program.watched = self.variables
        self.by_interpreter = self.untold = False
        self.added: dict[str, None] = {}
        self.watched: list[dict[str, None]] = [{} for _ in range(len(self.given) + 1)]
        self._known = 0
        self._now: list[Invariant] = []
        self._reader: InvariantReader | None = None
        self._seen = 0
        self._last: tuple[int, int, Op] | None = None

    # --- between schedules -------------------------------------------------------------------
    @property
    def any(self) -> bool:
        """Whether the program is known to have some."""
        return bool(self.given or self.added)

    @property
    def tables(self) -> list[dict[str, None]]:
        """What schedules teach."""
        return [self.added, *self.watched]

    @property
    def pending(self) -> bool:
        """Whether more turned out to be watched since ``apply``."""
        return sum(map(len, self.watched)) != self._known

    def apply(self) -> None:
        """Between two schedules: a search knows now what is watched."""
        self._known = sum(map(len, self.watched))

    def groups(self, strategy: object) -> list[tuple[int, ...]]:
        """For each invariant the numbers of the variables and objects that it reads, for a search
        by ``strategy``. One that is no name of ours is not told."""
        self.untold = not isinstance(strategy, str)
        numbers = self.hub.layout.number_of
        groups = [
            tuple(number for name in one if (number := numbers(name)) is not None)
            for one in self.watched
        ]
        return [group for group in groups if group]

    def variables(self) -> list[str]:
        """The names of all variables that invariants read: where only some of their accesses are
        in a trace, they are steps of its replay all the same."""
        layout = self.hub.layout
        names = dict.fromkeys(name for one in self.watched for name in one)
        return sorted(
            name for name in names
            if (number := layout.number_of(name)) is not None
            and layout.objects[number].type == VARIABLE
        )  # fmt: skip

    def begin(self) -> None:
        """A schedule begins."""
        self.hub.looks = bool(self.given)
        self._now.clear()
        self._reader = None
        self._seen, self._last = 0, None

    def made(self, arguments: Sequence[Any], now: Callable[[Any], Any]) -> None:
        """``setup`` has run: what it gave is what those that are given are called with. ``now``
        gives a function as it is under control."""
        self._now[:0] = [
            self._made(now(function), arguments, watched)
            for function, watched in zip(self.given, self.watched, strict=False)
        ]

    def _made(
        self, function: Callable[..., Any], arguments: Sequence[Any], watched: dict[str, None]
    ) -> Invariant:
        plain = inspect.unwrap(getattr(function, "__func__", function))
        code: Any = getattr(plain, "__code__", None)
        account = self.hub.account
        exact = code is not None and account is not None
        exact = exact and account.looked(str(plain.__module__), code.co_filename)
        if not exact:
            self.hub.names.doubts.setdefault(
                f"the invariant {_name(function)}", "what it reads is not seen: it is not code "
                "that is looked into"
            )  # fmt: skip
        return Invariant(function, arguments, watched, exact)

    def add(self, function: Callable[..., Any]) -> None:
        """One more, for the schedule that runs."""
        self.added[ALWAYS] = None
        self.hub.looks = True
        self._now.append(self._made(function, (), self.watched[-1]))

    # --- between steps -----------------------------------------------------------------------
    def look(self) -> None:
        """A step is over, the next one is to be chosen: evaluate what may not hold any more."""
        hub = self.hub
        controller: OpenController = hub.controller
        log = controller.log
        if hub.phase is not Phase.RUN or controller.failure is not None:
            return
        while self._seen < len(log):
            worker, kind, op, *_ = log[self._seen]
            self._seen += 1
            changed = changes(kind, op)
            if changed:
                for one in self._now:
                    if one.reads is None or not one.reads.isdisjoint(changed):
                        one.due = True
                        self._last = worker, kind, op
        due = [one for one in self._now if one.due]
        if due and self._others_may_come(controller):
            for one in due:
                self._evaluate(one, controller)

    def _others_may_come(self, controller: OpenController) -> bool:
        """Whether anybody but the worker that made the last step could make the next one."""
        current = controller.current
        if current < 0:
            return True
        held = controller.goes_on == len(controller.log) and current in controller.active
        if held and self.by_interpreter:
            return False
        gate = controller.loops.get(current)
        if gate is None or gate.inside < 0:
            return True
        host = getattr(self.hub.workers.get(current), "host", None)
        return any(
            controller.loops.get(other) is not gate and (host is None or other != host.number)
            for other in controller.active
        )

    def _evaluate(self, one: Invariant, controller: OpenController) -> None:
        hub = self.hub
        reader = self._reader
        if reader is None:
            reader = self._reader = InvariantReader(hub)
        ident = get_ident()
        before = contexts.get(ident)
        reader.ident, reader.uncontrolled, reader.last = ident, 0, None
        reader.reads, reader.names = set(), {}
        failure: StepFailure | None = None
        contexts[ident] = reader
        try:
            result = one.function(*one.arguments)
            if hasattr(type(result), "__await__"):
                raise UsageError("an invariant is a plain function: nobody awaits it between steps")
            if result is False:
                failure = StepFailure(ALWAYS, "it returned False", self._place(one))
        except ScheduleOver:
            raise
        except UsageError as error:
            hub.error = hub.error or error
        except BaseException as error:
            failure = failure_of(error, ALWAYS)
            failure.at = failure.at or self._place(one)
        finally:
            reader.uncontrolled = 1
            if before is None:
                contexts.pop(ident, None)
            else:
                contexts[ident] = before
        hub.names.let_go(reader.fresh)
        one.reads, one.due = reader.reads if one.exact else None, False
        one.watched.update(reader.names)
        if failure is not None and controller.failure is None and hub.error is None:
            controller.failure = self._told(one, failure)

    @staticmethod
    def _place(one: Invariant) -> str:
        return place_of_function(one.function)

    def _told(self, one: Invariant, failure: StepFailure) -> tuple[int, StepFailure]:
        """A failure, with the step after which it was."""
        first, newline, rest = failure.message.partition("\n")
        last, layout = self._last, self.hub.layout
        if last is None:
            worker, after = -1, "before the first step"
        else:
            worker, kind, op = last
            name = layout.names[op.target] if 0 <= op.target < len(layout.names) else ""
            after = f"after {layout.workers[worker].name}: {NAMES[kind]} {name}".rstrip()
            after += f" at {op.at}"
        message = f"{first} ({_name(one.function)}, {after}){newline}{rest}"
        return worker, StepFailure(failure.failure, message, failure.at)


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", type(function).__name__))


def changes(kind: int, op: Op) -> Iterable[int]:
    """The numbers of the variables and objects that a step has changed."""
    if kind == READ:
        return ()
    if kind == ATOMIC:
        written: Iterable[int] = getattr(op.body, "writes", op.body.touches)
        return written
    return (op.target,) if kind <= GET and op.target >= 0 else ()


def always(function: Function) -> Function:
    """From now on, and until the schedule ends, ``function()`` must not raise or return False
    between any two steps of the workers. Returns it, so that this is a decorator as well.

    Called in ``setup`` or in a worker; see ``explore(always=...)`` for what is evaluated when. It
    only looks: what it reads is no step of the program, and it must not change anything. Where no
    exploration is at work nothing is checked. Raises UsageError for what cannot be called, for a
    coroutine function, in a process of the program's own, and in ``check``.
    """
    if not callable(function) or inspect.iscoroutinefunction(function):
        raise UsageError("always: an invariant is a plain function without arguments")
    worker: Any = contexts.get(get_ident())
    if worker is None or worker.uncontrolled or worker.hub.phase is Phase.UNWIND:
        return function
    hub = worker.hub
    if worker.elsewhere:
        raise UsageError("always: what processes have of their own cannot be looked at in between")
    if hub.phase not in (Phase.SETUP, Phase.RUN):
        raise UsageError("always: the workers have ended, there is no further step")
    if hub.unrecorded is not None:  # with a record there is something between steps
        hub.invariants.added[ALWAYS] = None
        hub.unrecorded.beyond = True
        raise ScheduleOver
    hub.invariants.add(function)
    return function
