"""Synchronisation objects under control: what their methods do in a worker, in every library.

``threading``, ``queue`` and ``multiprocessing`` have the same conditions, events and queues. What
one does under control is stated once, here, by a class whose methods take the place of the real
ones of their name; ``threads`` and ``processes`` say how the objects of their library are named and
where their real state is. When an object waits is decided by its model; the real state is changed
along, without waiting, and must agree: the model is checked against reality at every step.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from operator import index
from queue import Empty, Full
from threading import TIMEOUT_MAX
from typing import Any, ClassVar, Final, NoReturn

from tracelock.errors import ModelMismatch
from tracelock.instrument.callers import caller, creation_name, synchronising
from tracelock.instrument.contexts import identity
from tracelock.instrument.hub import Hub
from tracelock.instrument.patching import CONTROLLED, guarded, replace
from tracelock.instrument.rewrite.changing import note_misuse
from tracelock.instrument.steps import shown
from tracelock.instrument.worker import Uncontrolled, Worker, here
from tracelock.ops import (
    ACQUIRE,
    CLEAR,
    GET,
    NOTIFY,
    PUT,
    READ,
    RELEASE,
    SET,
    WAIT,
    WRITE,
    ObjectSpec,
    Op,
)

#: From ``caller`` to the user's code, past a method of a ``Primitive`` and the guard around it:
#: a shorter way gives the same place, but more slowly.
BODY: Final = 3


def time_limit(timeout: Any, of_nan: float | None = None) -> float | None:
    """A time limit as an int or a float, as timers and traces have it: a bool and the numbers of
    libraries are what the interpreter takes them for. Raises TypeError and ValueError as it does;
    ``of_nan``: what a NaN is taken for, if it is not refused.
    """
    kind = type(timeout)
    if timeout is None or kind is int:
        return timeout  # type: ignore[no-any-return]
    value: float = float(timeout) if issubclass(kind, float) else index(timeout)
    if value != value:
        if of_nan is None:
            raise ValueError("Invalid value NaN (not a number)")
        return of_nan
    return value if value >= -TIMEOUT_MAX else -1.0


def too_long(timeout: float | None) -> bool:
    """Whether a real wait refuses this time limit: the platform cannot count so far."""
    return timeout is not None and timeout > TIMEOUT_MAX


def refuse() -> NoReturn:
    """What a real wait that has to begin with such a time limit raises."""
    raise OverflowError("timeout value is too large")


def _leaving() -> str:
    """The name of the exception that is under way where a lock is released by hand, in a
    ``finally`` or an ``except`` of the function that releases it; "" for none."""
    kind, _, trace = sys.exc_info()
    here_too = trace is not None and trace.tb_frame is sys._getframe(2)
    return kind.__name__ if kind is not None and here_too else ""


class LockStandIn:
    """A lock under control, around a real one. Outside a schedule, and on other threads, it is the
    real lock. ``type``: of its model; ``born``: the schedule that created it, 0 for none."""

    __slots__ = ("__weakref__", "born", "name", "number", "raw", "schedule")
    type: str
    #: The value of a release, for those that have one.
    permits: int | None = None

    def __init__(self, raw: Any, name: str, born: int = 0) -> None:
        self.raw = raw
        self.name = name
        self.born = born
        self.number = -1
        self.schedule = 0

    def known(self, worker: Worker) -> int:
        """Its number in the current schedule, which may be one of a later exploration."""
        hub = worker.hub
        if self.schedule != hub.schedule:
            self.schedule = hub.schedule
            self.number = hub.number_for(self._spec(hub, hub.bind(self, self.name, self.born)))
            if self._held():
                model: Any = hub.controller.models[self.number]
                model.take_back(hub.outside, 1)
            else:
                hub.to_free.append(self)
        return self.number

    def free(self) -> None:
        """The schedule has ended: nobody holds the lock any more."""
        if self._held():
            self.raw.release()

    def _spec(self, hub: Hub, name: str) -> ObjectSpec:
        return ObjectSpec(name, self.type)

    def _held(self) -> bool:
        raise NotImplementedError

    def _owned(self) -> bool:
        """Whether this thread still holds the real lock, after it was released once."""
        raise NotImplementedError

    def _acquire(self, worker: Worker, timeout: float | None, blocking: bool) -> bool:
        op = Op(ACQUIRE, self.known(worker), caller(worker, 3), None, timeout, blocking)
        got = bool(worker.do(op))
        if got and not self.raw.acquire(False):
            raise ModelMismatch(f"{self.name} is free, but the real lock cannot be had")
        return got

    def release(self) -> None:
        worker = here()
        if worker is None:
            self.raw.release()
            return
        self._release(worker, caller(worker), _leaving())

    def _release(self, worker: Worker, at: str, leaving: str) -> None:
        op = Op(RELEASE, self.known(worker), at, self.permits, remark=leaving)
        result: Any = worker.step(op)
        self.raw.release()  # raises as the real one does
        if result is not None:
            raise ModelMismatch(f"{self.name}: {result.message}, but the real lock was released")

    def __exit__(self, *exc: Any) -> None:
        worker = here()
        if worker is None:
            self.raw.release()
        else:
            self._release(worker, caller(worker), exc[0].__name__ if exc and exc[0] else "")

    def release_wholly(self) -> int:
        """Release the real lock as often as it is held: a condition waits. How often that was."""
        depth = 1
        self.raw.release()
        while self._owned():
            self.raw.release()
            depth += 1
        return depth

    def take_back(self, depth: int, unwinding: bool) -> None:
        """Acquire the real lock so often, after a wait; while unwinding only if it is free."""
        for _ in range(depth):
            if not self.raw.acquire(False) and not unwinding:
                raise ModelMismatch(f"{self.name} is free, but the real lock cannot be had")

    def _read(self, value: Callable[[], Any]) -> Any:
        worker = here()
        if worker is not None:
            worker.step(Op(READ, self.known(worker), caller(worker, 3)))
            worker.record(value())
        return value()


class Primitive:
    """The methods of one class of synchronisation objects, as workers carry them out.

    Each is called with the worker, the original, and what the original is called with.
    """

    kind: ClassVar[str]

    def declare(self, label: str, cls: Any, module: str, *methods: str) -> None:
        """Declare the rows of the table of patches that control these methods of ``cls``, where it
        has them. Ours are called the same, without underscores."""
        for name in methods:
            if name in cls.__dict__:  # some are newer than the oldest Python
                by = guarded(cls.__dict__[name], getattr(self, name.strip("_")))
                replace(f"{label}.{name}", by, CONTROLLED, cls, name, module)

    # --- names -------------------------------------------------------------------------------
    def init(self, worker: Worker, real: Any, obj: Any, *args: Any, **kwargs: Any) -> None:
        with Uncontrolled(worker):
            real(obj, *args, **kwargs)
        if worker.importing:
            return  # it lives on with the module: see ``threads.imports``
        self.created(worker, obj, *args, **kwargs)

    def created(self, worker: Worker, obj: Any, *args: Any, **kwargs: Any) -> None:
        """A worker has created an object, with these arguments."""
        self.name(obj, creation_name(self.kind, worker), worker)

    def name(self, obj: Any, name: str, worker: Worker) -> None:
        """Name an object that the current schedule creates."""
        obj._tracelock_name = name
        synchronising.add(identity(type(obj)))
        obj._tracelock_born = worker.hub.schedule

    def number(self, obj: Any, worker: Worker) -> int:
        """The number of an object in this schedule, which gets a model at its first use."""
        hub = worker.hub
        known: tuple[int, int] = obj.__dict__.get("_tracelock_number", (0, 0))
        if known[0] != hub.schedule:
            number = hub.number_for(self.spec(obj, self.bound_name(obj, worker), worker))
            known = obj._tracelock_number = (hub.schedule, number)
        return known[1]

    def bound_name(self, obj: Any, worker: Worker) -> str:
        """The name of an object in this schedule: given at its creation, or after its first use."""
        hub = worker.hub
        attributes = obj.__dict__
        schedule, bound = attributes.get("_tracelock_bound", (0, ""))
        if schedule != hub.schedule:
            name = attributes.get("_tracelock_name")
            if name is None:
                name = f"{self.kind}@{caller(worker, 3)}"
                hub.mark(obj, name)
            bound = hub.bind(obj, name, attributes.get("_tracelock_born", 0))
            obj._tracelock_bound = (hub.schedule, bound)
        return str(bound)

    # --- what differs ------------------------------------------------------------------------
    def spec(self, obj: Any, name: str, worker: Worker) -> ObjectSpec:
        """What its model begins with: the state that it has at its first use."""
        raise NotImplementedError

    def timeout(self, timeout: float | None) -> float | None:
        """The time limit of a wait, in the terms of the model."""
        return timeout

    def limits(self, block: Any, timeout: float | None) -> tuple[float | None, bool]:
        """The time limit of an operation, and whether it waits at all."""
        if not block or (timeout is not None and timeout <= 0):
            return None, False
        return timeout, True


class EventMethods(Primitive):
    kind = "event"

    def flag(self, event: Any) -> bool:
        """Whether the real event is set."""
        raise NotImplementedError

    def spec(self, obj: Any, name: str, worker: Worker) -> ObjectSpec:
        return ObjectSpec(name, "flag", value=int(self.flag(obj)))

    def is_set(self, worker: Worker, real: Any, event: Any) -> bool:
        worker.step(Op(READ, self.number(event, worker), caller(worker, BODY)))
        flag = self.flag(event)
        worker.record(flag)
        return flag

    def set(self, worker: Worker, real: Any, event: Any) -> None:
        self._change(SET, worker, real, event)

    def clear(self, worker: Worker, real: Any, event: Any) -> None:
        self._change(CLEAR, worker, real, event)

    def _change(self, kind: int, worker: Worker, real: Any, event: Any) -> None:
        worker.step(Op(kind, self.number(event, worker), caller(worker, BODY + 1)))
        with Uncontrolled(worker):
            real(event)

    def wait(self, worker: Worker, real: Any, event: Any, timeout: float | None = None) -> bool:
        limit = self.timeout(timeout)
        return bool(
            worker.do(Op(WAIT, self.number(event, worker), caller(worker, BODY), None, limit))
        )


class ConditionMethods(Primitive):
    kind = "condition"

    def lock(self, condition: Any, worker: Worker) -> LockStandIn | None:
        """The lock of a condition; None for one that is not under control."""
        raise NotImplementedError

    def must_own(self, lock: LockStandIn, message: str) -> None:
        """If the lock is not held, raise what the real condition raises at once."""

    def spec(self, obj: Any, name: str, worker: Worker) -> ObjectSpec:
        lock = self.lock(obj, worker)
        assert lock is not None
        return ObjectSpec(name, "condition", lock=lock.known(worker))

    def wait(self, worker: Worker, real: Any, condition: Any, timeout: float | None = None) -> bool:
        lock = self.lock(condition, worker)
        if lock is None:
            return bool(real(condition, timeout))
        self.must_own(lock, "must acquire() condition before using wait()")
        depths: list[int] = []
        limit = self.timeout(timeout)
        op = Op(WAIT, self.number(condition, worker), caller(worker, BODY), None, limit)
        try:
            result = worker.step(op, lambda: depths.append(lock.release_wholly()))
        except BaseException:
            lock.take_back(sum(depths), True)
            raise
        if result.__class__ is not bool:
            note_misuse()
            raise RuntimeError("cannot wait on un-acquired lock")
        lock.take_back(sum(depths), False)
        return bool(result)

    def notify(self, worker: Worker, real: Any, condition: Any, n: int = 1) -> None:
        lock = self.lock(condition, worker)
        if lock is None:
            real(condition, n)
        else:
            self._notify(worker, lock, condition, n)

    def notify_all(self, worker: Worker, real: Any, condition: Any) -> None:
        lock = self.lock(condition, worker)
        if lock is None:
            real(condition)
        else:
            self._notify(worker, lock, condition, -1)

    def _notify(self, worker: Worker, lock: LockStandIn, condition: Any, n: int) -> None:
        self.must_own(lock, "lock is not owned")
        result = worker.step(
            Op(NOTIFY, self.number(condition, worker), caller(worker, BODY + 1), n)
        )
        if result.__class__ is not list:
            note_misuse()
            raise RuntimeError("cannot notify on un-acquired lock")


class QueueMethods(Primitive):
    kind = "queue"

    # --- what differs ------------------------------------------------------------------------
    def capacity(self, queue: Any) -> int:
        """How many items fit in; 0: without a bound."""
        raise NotImplementedError

    def check(self, queue: Any, bounded: bool, block: Any, timeout: float | None) -> None:
        """Raise what the real queue raises for these arguments; ``bounded``: this may wait."""

    def pickled(self, item: Any) -> bytes | None:
        """The item as it is sent to another process, where the queue does so."""
        return None

    def insert(self, worker: Worker, queue: Any, item: Any) -> None:
        """The put has been granted: change the real queue."""

    def remove(self, worker: Worker, queue: Any, data: Any) -> Any:
        """The get has been granted: the item, ``data`` where the controller has it."""
        raise NotImplementedError

    def refusal(self, queue: Any, error: type[Exception]) -> type[Exception]:
        """The exception of a put or get that was not granted."""
        return error

    def size(self, worker: Worker, queue: Any) -> int:
        """How many items there are: the result of a step that reads the queue."""
        raise NotImplementedError

    def unfinished(self, queue: Any, more: int = 0) -> int:
        """How many items that were put have not been reported as done, after ``more`` were put."""
        raise NotImplementedError

    def all_done(self, queue: Any) -> Any:
        """The condition of those who ``join`` the queue."""
        raise NotImplementedError

    def held(self, queue: Any) -> Any:
        """What is entered while the count of what is not done yet is looked at."""
        return self.all_done(queue)

    # --- the methods -------------------------------------------------------------------------
    def put(self, worker: Worker, real: Any, queue: Any, item: Any, block: Any = True,
            timeout: float | None = None) -> None:  # fmt: skip
        self.check(queue, self.capacity(queue) > 0, block, timeout)
        number, data = self.number(queue, worker), self.pickled(item)
        limit, waits = self.limits(block, timeout)
        op = Op(PUT, number, caller(worker, BODY), shown(item), limit, waits)
        if not worker.exchange(op, data)[0]:
            raise self.refusal(queue, Full)
        self.insert(worker, queue, item)

    def get(self, worker: Worker, real: Any, queue: Any, block: Any = True,
            timeout: float | None = None) -> Any:  # fmt: skip
        self.check(queue, True, block, timeout)
        limit, waits = self.limits(block, timeout)
        op = Op(GET, self.number(queue, worker), caller(worker, BODY), None, limit, waits)
        result, data = worker.exchange(op)
        if result is not None:
            raise self.refusal(queue, Empty)
        item = self.remove(worker, queue, data)
        worker.record(shown(item))
        return item

    def look(self, worker: Worker, queue: Any, answer: Callable[[int], Any]) -> Any:
        """What a question gives whose answer follows from the number of items."""
        result = answer(self.size(worker, queue))
        worker.record(result)
        return result

    def qsize(self, worker: Worker, real: Any, queue: Any) -> int:
        return int(self.look(worker, queue, int))

    def empty(self, worker: Worker, real: Any, queue: Any) -> bool:
        return bool(self.look(worker, queue, lambda size: not size))

    def full(self, worker: Worker, real: Any, queue: Any) -> bool:
        capacity = self.capacity(queue)
        return bool(self.look(worker, queue, lambda size: 0 < capacity <= size))

    def task_done(self, worker: Worker, real: Any, queue: Any) -> None:
        done = self.all_done(queue)
        with self.held(queue):
            # a put does not take the mutex here, so that the count is read and changed in one step
            worker.step(Op(WRITE, self.number(queue, worker), caller(worker, BODY)))
            if self.unfinished(queue) <= 0:
                raise ValueError("task_done() called too many times")
            if not self.unfinished(queue, -1):
                done.notify_all()
