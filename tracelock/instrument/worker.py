"""A worker: the context of one thread (or task) under control, and its scheduling points."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, TypeVar

from tracelock.instrument.accesses import attributes
from tracelock.instrument.accesses.noticing import Noticing
from tracelock.instrument.accesses.places import namespaces, owner_of
from tracelock.instrument.accesses.walking import CONTAINERS
from tracelock.instrument.callers import outside_of_library
from tracelock.instrument.contexts import identity
from tracelock.instrument.hub import (
    DIGITS,
    Hub,
    Phase,
    ScheduleOver,
    contexts,
    get_ident,
    new_baton,
)
from tracelock.instrument.naming import SETUP, Variable
from tracelock.instrument.steps import PLAIN, VariablesStep, shown
from tracelock.instrument.threads.owning import APART, give
from tracelock.instrument.wings import Wing
from tracelock.ops import ATOMIC, CALL, READ, WRITE, Op, Raised, Value

_Wing = TypeVar("_Wing", bound=Wing)
#: What the event of a garbage collection is a call of.
COLLECT: Final = "gc.collect"
RUN: Final = Phase.RUN
collect_garbage: Final = gc.collect
#: Containers whose number of items is told: their length runs no code of the program's.
SIZED: Final = frozenset(CONTAINERS)


class Worker(Noticing):
    """One worker in one schedule.

    ``uncontrolled``: above 0 while patched functions are to call their originals. ``launcher``: the
    baton of the thread that waits for its first op. ``daemon``: the schedule does not wait for its
    end. ``counts``: how many of each kind of thing it has created or met.
    """

    #: The worker whose thread this one uses, where that is another: see ``LoopWorker``.
    host: Any = None
    #: Whether it is in another process than the controller.
    elsewhere = False

    __slots__ = (
        "__weakref__", "answered", "baton", "collecting", "counts", "daemon", "error", "fresh",
        "hub", "ident", "importing", "label", "last", "launcher", "number", "own_thread",
        "uncontrolled",
    )  # fmt: skip

    def __init__(self, hub: Hub, number: int, baton: Any = None) -> None:
        self.hub = hub
        self.number = number
        self.baton = baton
        if baton is None:
            self.baton = new_baton()
            self.baton.acquire()
        self.label = hub.layout.workers[number].name
        self.uncontrolled = 0
        self.importing = 0  # modules, one inside of the other
        self.launcher: Any = None
        self.daemon = False
        self.collecting = False
        self.last: Variable | None = None
        self.answered = False  # what that access has got
        self.counts: dict[Any, Any] = {}
        self.fresh: list[Any] = []  # containers that it has met and that may be gone already
        self.ident = 0
        self.error: BaseException | None = None
        self.own_thread = True  # a task has not

    def home(self, kind: type[_Wing]) -> _Wing:
        """This wing as the process of the controller has it."""
        return self.hub.wing(kind)

    def count(self, key: object) -> int:
        """How many of this kind of thing it has created or met, this one included."""
        number: int = self.counts.get(key, 0) + 1
        self.counts[key] = number
        return number

    def child_label(self, base: str, kind: str) -> str:
        """The label of a thread or process that it starts."""
        parent = "" if self.label == SETUP else f"{self.label}/"
        pattern = DIGITS.sub("#", base)
        if pattern != base:  # a number that may run on from schedule to schedule
            base = self.hub.in_order(parent, pattern, self.count((pattern, kind, "order")), base)
        number = self.count((base, kind))
        return f"{parent}{base}" if number == 1 else f"{parent}{base}#{number}"

    # --- scheduling points -------------------------------------------------------------------
    def step(self, op: Op, parked: Callable[[], None] | None = None) -> Value:
        """Come to ``op`` and go on when it has been granted; its result.

        ``parked`` is called when the op has begun to wait (its lock is given up, say). Raises
        ScheduleOver when the schedule is over.
        """
        names = self.hub.names
        if names.mortal:
            names.let_die(self.fresh)
        elif self.fresh:
            names.let_go(self.fresh)
        return self._come(op, parked)

    def _come(self, op: Op, parked: Callable[[], None] | None) -> Value:
        """The same, when what the program has let go of is gone."""
        hub, controller, me = self.hub, self.hub.controller, self.number
        if hub.phase is Phase.UNWIND:
            raise ScheduleOver
        if hub.collections and hub.phase is RUN:
            self.collect(op.at)
            if hub.unwinding:  # a finalizer does not propagate exceptions
                raise ScheduleOver
        controller.ask(me, op)
        if self.launcher is not None:
            launcher, self.launcher = self.launcher, None
            to = hub.launched(launcher)
        else:
            to = hub.decide()
            if to != me:
                hub.hand_over(to)
        if to != me:
            self.wait()
        while controller.parked:
            if parked is not None:
                parked()
                parked = None
            to = hub.decide()
            if to != me:
                hub.hand_over(to)
                self.wait()
        return controller.result

    def collect(self, at: str) -> None:
        """Whether garbage is collected here, before the next op, is a choice. Finalizers run in
        this worker then, as they do where an allocation of its thread starts a collection."""
        hub = self.hub
        controller = hub.controller
        if self.collecting or self.launcher is not None or hub.collected >= hub.collections:
            return
        if not controller.log or controller.log[-1][0] != self.number:
            return  # its first op after a switch: that choice of a worker is still to come
        if controller.inject(self.number, at):
            hub.collected += 1
            self.collecting = True
            try:
                self.step(Op(CALL, -1, at, [], body=COLLECT))
                collect_garbage()
            finally:
                self.collecting = False

    def wait(self) -> None:
        """Wait for the baton. Raises ScheduleOver when the schedule is over."""
        self.baton.acquire()
        if self.hub.phase is Phase.UNWIND:
            raise ScheduleOver

    def do(self, op: Op, parked: Callable[[], None] | None = None) -> Value:
        """The same, with an error of the object raised as the real object raises it."""
        result = self.step(op, parked)
        if result.__class__ is Raised:
            raise _ERRORS.get(result.kind, RuntimeError)(result.message)
        return result

    def exchange(self, op: Op, data: bytes | None = None) -> tuple[Value, Any]:
        """Of an op on a queue: its result, and what ``Hub.exchanged`` says."""
        result = self.step(op)
        return result, self.hub.exchanged(op, result, data) if self.hub.stores else None

    def record(self, value: Value) -> None:
        """The result of the last op as the real object gave it."""
        controller = self.hub.controller
        if self.hub.phase is Phase.RUN and controller.log:
            controller.replace(value)

    # --- what rewritten code calls -----------------------------------------------------------
    def access(
        self, kind: int, obj: object, name: str | None, site: Any, value: object = None,
        also: Sequence[tuple[object, str | None]] = (),
    ) -> None:  # fmt: skip
        """A read or write of an attribute of ``obj`` (None: of its contents) comes next."""
        hub = self.hub
        names = hub.names
        if self.uncontrolled or hub.phase is not RUN:
            if hub.phase is Phase.UNWIND and not self.uncontrolled:
                hub.cut(self)
            if hub.phase is Phase.SETUP:
                names.identify(obj, self)
            self.last = None
            return
        if names.mortal:
            names.let_die(self.fresh)
            if APART and value is not None:
                give(value)
        if name is None and namespaces and issubclass(type(obj), dict):
            owner = owner_of(obj)  # type: ignore[arg-type]
            if owner is not None:
                self.attributes(kind, owner, site, value, also)
                return
        known = names.objects.get(identity(obj))
        variable = None if known is None else known.parts.get(name)
        if variable is None:
            variable = names.variable(obj, name, self)
        if names.unsure:
            names.guarded(variable, self)
        self.last = variable
        self.answered = False
        reads: Sequence[Variable] = ()
        which = None
        if kind == WRITE:
            if name is None:
                if type(value) not in PLAIN:
                    reads = names.contents(value, self)
            elif names.whole:
                which = attributes.added(names, obj, name, value, self)
        if also:
            reads = [*reads, *names.others(also, variable, self)]
        if not variable.shared:
            if hub.collections:
                self.collect(site.at)
            bit = 1 << self.number
            known_by = variable.writers if kind == WRITE else variable.users
            if not known_by & bit or variable.stamp != names.schedule:  # else it is known
                names.used(variable, self.number, kind)
            if kind == WRITE and type(value) not in PLAIN:
                names.name_contents(variable, value, self)
            if not reads and which is None:
                return
        if reads or which is not None:
            changed = [one for one in (variable, which) if one is not None and one.shared]
            own = tuple(one.number for one in changed)
            read = tuple(one.number for one in reads)
            body = VariablesStep(*((read, own) if kind == WRITE else (own + read, ())))
            self.step(Op(ATOMIC, -1, site.at, body=body))
            self.last = None
            return
        by = "" if site.library is False else outside_of_library(site)
        sized = name is None and type(obj) in SIZED
        if kind != READ:
            op = Op(WRITE, variable.number, site.at, shown(value), remark=by)
            if type(value) not in PLAIN:
                names.name_contents(variable, value, self)
        elif sized or by:  # which differ from one read here to the next
            op = Op(READ, variable.number, site.at, remark=by)
        else:
            known_op = variable.reads.get(site)
            if known_op is None:
                known_op = variable.reads[site] = Op(READ, variable.number, site.at)
            op = known_op
        self.step(op)
        if sized:
            op.expect = len(obj)  # type: ignore[arg-type]

    def together(
        self, reads: Iterable[tuple[object, str | None]],
        writes: Iterable[tuple[object, str | None]], site: Any,
    ) -> None:  # fmt: skip
        """These attributes (None: contents) are read and written next, in one step."""
        if not self._learning():
            return
        names = self.hub.names
        numbers: list[list[int]] = []
        for objects, kind in ((reads, READ), (writes, WRITE)):
            numbers.append([])
            for one, name in attributes.spread(names, objects, self):
                variable = names.variable(one, name, self)
                names.guarded(variable, self)
                if variable.shared:
                    numbers[-1].append(variable.number)
                else:
                    names.used(variable, self.number, kind)
                if kind == WRITE and names.whole and name is not None:
                    which = attributes.added(names, one, name, None, self)
                    if which is not None and which.number not in numbers[-1]:
                        numbers[-1].append(which.number)
        self.last = None
        looked, changed = numbers
        if not looked and len(changed) == 1:
            self.step(Op(WRITE, changed[0], site.at))
        elif looked or changed:
            self.step(Op(ATOMIC, -1, site.at, body=VariablesStep(looked, changed)))

    def look(self, reference: Any, site: Any) -> None:
        """It is asked next whether the object of a weak reference is alive."""
        if not self._learning():
            return
        names = self.hub.names
        self.last = variable = names.mortals.variable(reference, self)
        self.answered = False
        if variable is None:
            return
        if variable.shared:
            reads, writes = names.mortals.look(variable)
            if len(reads) + len(writes) > 1:
                self.answered = True
                self.step(Op(ATOMIC, -1, site.at, body=VariablesStep(reads, writes)))
                return
            self.step(Op(READ, variable.number, site.at))
        else:
            names.used(variable, self.number, READ)

    def saw(self, value: object) -> None:
        """The value of the read that ``access`` announced."""
        variable = self.last
        if variable is None or self.answered:
            return  # the access itself called code (a key function) that made another
        self.answered = True
        if type(value) not in PLAIN:
            self.hub.names.name_contents(variable, value, self)
        if variable.shared and self.hub.phase is Phase.RUN and not self.uncontrolled:
            self.hub.controller.replace(shown(value))

    def lock(self, raw: object) -> object:
        """The controlled lock for a real one that was created before control began."""
        return self.hub.stand_in(raw)

    # --- its life ----------------------------------------------------------------------------
    def attach(self) -> None:
        """This thread is the worker's from now on."""
        self.ident = get_ident()
        contexts[self.ident] = self

    def live(self, run: Callable[[], object]) -> None:
        """Run its code on this thread, to the end. Its baton comes with its first op."""
        self.work(run)
        self.finish()

    def work(self, run: Callable[[], object]) -> None:
        """Run its code on this thread, all but its end."""
        self.attach()
        failed: BaseException | None = None
        try:
            self.watched(run)
        except ScheduleOver:
            pass
        except BaseException as error:
            failed = error
        current = contexts.get(get_ident(), self)
        current.error = failed
        if current is not self:  # its code has forked, and this is the end of the new process
            current.end()

    def watched(self, run: Callable[[], object]) -> None:
        """Run its code, recorded where this schedule is."""
        recorder = self.hub.recorder
        if recorder is None:
            run()
        else:
            recorder.watch(run)

    def hosting(self) -> AbstractContextManager[None]:
        """While this is entered, a loop of the program's runs on this worker's thread."""
        return nullcontext()

    def launch(self, child: Worker, start: Callable[[], object]) -> None:
        """``start`` starts the thread of ``child``: return when that has come to its first op."""
        hub = self.hub
        with Uncontrolled(self):
            hub.launch(child, self.baton, start)
            self.baton.acquire()
        if hub.phase is Phase.UNWIND:
            raise ScheduleOver

    def thread_of(self, number: int, thread: Any) -> Worker:
        """The worker for a thread that this one is about to start."""
        return Worker(self.hub, number)

    def launch_thread(self, child: Worker, start: Callable[[], object]) -> None:
        """``start`` starts the thread of ``child``, which is one that the program has made."""
        self.launch(child, start)

    def finish(self) -> None:
        """Its code has ended: hand over for the last time. In its own thread."""
        hub = self.hub
        hub.names.let_die(self.fresh)
        contexts.pop(self.ident, None)
        if hub.phase is Phase.UNWIND:
            hub.main.release()
            return
        launcher, self.launcher = self.launcher, None
        try:
            hub.ended(self)
        except BaseException as error:
            hub.error = error
        if launcher is not None:
            hub.launched(launcher)  # it came to no op at all
        else:
            hub.hand_over(hub.decide())


class Main(Worker):
    """The main thread while it runs ``setup`` or ``check``: nothing is chosen then."""

    __slots__ = ()

    def wait(self) -> None:
        self.baton.acquire()
        if self.hub.over:
            self.uncontrolled += 1  # what it gives back on the way out is no step any more
            raise MainBlocked


class MainBlocked(BaseException):
    """``setup`` or ``check`` waits for something that never happens."""


_ERRORS = {one.__name__: one for one in (RuntimeError, ValueError, AssertionError)}


def here() -> Worker | None:
    """The worker on this thread, if what it does is to be controlled."""
    worker: Worker | None = contexts.get(get_ident())
    if worker is None or worker.uncontrolled or worker.hub.phase is Phase.UNWIND:
        return None
    return worker


class Uncontrolled:
    """While this is entered, patched functions call their originals in this worker."""

    __slots__ = ("worker",)

    def __init__(self, worker: Worker) -> None:
        self.worker = worker

    def __enter__(self) -> None:
        self.worker.uncontrolled += 1

    def __exit__(self, *exc: object) -> None:
        self.worker.uncontrolled -= 1
