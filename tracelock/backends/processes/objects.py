"""The real objects of ``multiprocessing``: made, used without blocking, and reset.

An object can only reach a process by inheritance, so it is made before the workers' processes
and serves many schedules. What a schedule leaves behind lies in two places: the semaphores, which
all processes share (``restore``, in the parent), and each process's own idea of which locks it
holds (``forget``, in every worker).
"""

from __future__ import annotations

import contextlib
import fcntl
import queue
import threading
from collections.abc import Iterator
from multiprocessing import synchronize
from multiprocessing.context import BaseContext
from typing import Any, Final

from tracelock.errors import LimitReached, UsageError
from tracelock.ops import (
    ACQUIRE,
    CLEAR,
    EMPTY,
    GET,
    NOTIFY,
    PUT,
    RELEASE,
    SET,
    Layout,
    ObjectSpec,
    Op,
    Raised,
    Value,
)

ERRORS = (RuntimeError, ValueError, TypeError, AssertionError, threading.BrokenBarrierError)
#: Seconds that an item may take from a put into its pipe while nobody else runs.
FLUSH: Final = 2.0
PIPE_BYTES: Final = 1 << 20
_MOST: Final[int] = vars(synchronize)["SEM_VALUE_MAX"]  # not in the stubs


def make_objects(layout: Layout, ctx: BaseContext) -> list[Any]:
    """Fresh real objects by number (None for variables)."""
    real: list[Any] = [None] * len(layout.names)
    for number, spec in enumerate(layout.objects, layout.variables):
        if spec.type != "condition":
            real[number] = _make(spec, ctx)
    for number, spec in enumerate(layout.objects, layout.variables):
        if spec.type == "condition":
            real[number] = ctx.Condition(real[spec.lock])
    return real


def _make(spec: ObjectSpec, ctx: BaseContext) -> Any:
    kind = spec.type
    if kind == "lock":
        return ctx.Lock()
    if kind in ("rlock", "condition_lock"):
        return ctx.RLock()
    if kind == "event":
        return ctx.Event()
    if kind == "barrier":
        return ctx.Barrier(spec.parties)
    if max(spec.value, spec.maxsize) > _MOST:
        raise UsageError(f"{spec.name}: a semaphore between processes counts to {_MOST:,}")
    if kind == "semaphore":
        return ctx.Semaphore(spec.value)
    if kind == "bounded_semaphore":
        return ctx.BoundedSemaphore(spec.value)
    made: Any = ctx.Queue(spec.maxsize)
    with contextlib.suppress(AttributeError, OSError):  # room before a put has to wait
        fcntl.fcntl(made._writer.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return made


# --- using them ------------------------------------------------------------------------------
class Sender:
    """The sending end of one queue in one worker: waits until an item is really in the pipe.

    ``multiprocessing.Queue`` hands items to a thread of the putting process. A put counts as
    done when that thread has written the item, so that a get anywhere sees it from then on.
    """

    def __init__(self, real: Any) -> None:
        self.real = real
        self.sent = threading.Semaphore(0)
        send = real._send_bytes

        def send_bytes(data: Any) -> None:
            send(data)
            self.sent.release()

        real._send_bytes = send_bytes  # taken over by the thread when the first item comes

    def put(self, item: Value, blocking: bool, seconds: float | None = None) -> bool:
        """Hand an item over; False where the queue is full."""
        try:
            self.real.put(item, blocking, seconds)
        except queue.Full:
            return False
        return True

    def flush(self, seconds: float | None = None) -> bool:
        """Wait until the item last put is in the pipe; False if it does not get in."""
        return self.sent.acquire(timeout=seconds)


def senders(layout: Layout, real: list[Any]) -> dict[int, Sender]:
    """A sender for each queue, by its number."""
    return {
        number: Sender(real[number])
        for number, spec in enumerate(layout.objects, layout.variables)
        if spec.type == "queue"
    }


def attempt(layout: Layout, real: list[Any], out: dict[int, Sender], op: Op) -> Value:
    """Do an op that does not wait on its real object; a blocking one is only tried.

    Returns its result, a ``Raised`` where the object raises. Raises LimitReached where a put
    does not get into the pipe.
    """
    thing = real[op.target]
    kind = op.kind
    try:
        if kind == ACQUIRE:
            return thing.acquire(False)
        if kind == RELEASE:
            return thing.release()
        if kind == NOTIFY:
            return thing.notify_all() if op.value == -1 else thing.notify(op.value)
        if kind == SET:
            return thing.set()
        if kind == CLEAR:
            return thing.clear()
        if kind == PUT:
            if not out[op.target].put(op.value, False):
                return False
            if not out[op.target].flush(FLUSH):
                raise full_pipe(layout, op.target)
            return True
        assert kind == GET
        try:
            return thing.get(False)
        except queue.Empty:
            return EMPTY
    except ERRORS as error:
        return raised(error)


def is_empty(real: Any, maxsize: int) -> bool:
    """Whether a queue is empty and, if it is bounded, nobody is in the middle of a put or get."""
    if maxsize > 0:
        with contextlib.suppress(NotImplementedError):  # macOS cannot say
            return bool(real._sem._semlock._get_value() == maxsize)
    return not real._poll()


def full_pipe(layout: Layout, number: int) -> LimitReached:
    """The error of a put for which there is no room in the pipe of its queue."""
    return LimitReached(f"the pipe of the queue {layout.names[number]} is full")


def raised(error: BaseException) -> Raised:
    """An object's exception as a result."""
    return Raised(type(error).__name__, str(error))


def wait(real: Any, type_: str, op: Op, timeout: float | None) -> Value:
    """Wait at a condition, an event or a barrier; the result in the model's terms."""
    try:
        if type_ == "event" and not op.blocking:
            return real.is_set()
        result = real.wait(timeout)
    except threading.BrokenBarrierError as error:
        return False if op.soft else raised(error)
    except ValueError as error:
        # a condition on a lock that another worker has released: the wait has counted itself as
        # a sleeper before it failed, and a notify would wait for it for ever
        if type_ == "condition":
            real._sleeping_count.acquire(False)
        return raised(error)
    except ERRORS as error:
        return raised(error)
    return True if type_ == "barrier" else result


# --- resetting them --------------------------------------------------------------------------
def _locks(real: Any) -> Iterator[Any]:
    """The locks of an object of which a process keeps in mind whether it holds them."""
    if isinstance(real, synchronize.Lock | synchronize.RLock):
        yield real
    inner = getattr(real, "_cond", None)
    if inner is not None:
        yield inner._lock


def forget(objects: list[Any]) -> None:
    """In a worker: hold nothing any more."""
    for real in objects:
        for lock in _locks(real):
            if isinstance(lock, synchronize.RLock):
                while lock._semlock._is_mine():  # type: ignore[attr-defined]
                    lock.release()
            else:
                # The count of a plain lock says what this process did, not what is so.
                lock._semlock._after_fork()


def bring_to(semaphore: Any, value: int) -> None:
    """Bring a semaphore that nobody uses to ``value``."""
    semlock = semaphore._semlock
    try:
        now = semlock._get_value()
    except NotImplementedError:  # macOS cannot say
        now = 0
        while semlock.acquire(False):
            now += 1
        for _ in range(now):
            semlock.release()
    while now > value:
        semlock.acquire(False)
        now -= 1
    while now < value:
        semlock.release()
        now += 1


def _condition(condition: Any) -> None:
    for semaphore in (
        condition._sleeping_count, condition._woken_count, condition._wait_semaphore
    ):  # fmt: skip
        bring_to(getattr(semaphore, "real", semaphore), 0)


def free_again(lock: Any) -> bool:
    """Free a lock that nobody uses; False for one that died with its owner."""
    if isinstance(lock, synchronize.RLock):
        if not lock.acquire(False):
            return False
        lock.release()
        return True
    bring_to(lock, 1)
    lock._semlock._after_fork()
    return True


def restore(layout: Layout, objects: list[Any]) -> bool:
    """In the parent, while no worker uses them: back to the initial state.

    False where that cannot be: the owner of an ``RLock`` is dead.
    """
    whole = True
    for number, spec in enumerate(layout.objects, layout.variables):
        real = objects[number]
        whole = all(free_again(lock) for lock in _locks(real)) and whole
        kind = spec.type
        if kind == "condition":
            _condition(real)
        elif kind == "event":
            _condition(real._cond)
            bring_to(real._flag, 0)
        elif kind == "barrier":
            _condition(real._cond)
            real._state = real._count = 0
        elif kind in ("semaphore", "bounded_semaphore"):
            bring_to(real, spec.value)
        elif kind == "queue":
            with contextlib.suppress(queue.Empty):
                while True:
                    real.get(False)
    return whole
