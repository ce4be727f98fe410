"""The real objects of ``multiprocessing``: built, used without blocking, and reset.

An object can only reach a process by inheritance, so it is built before the workers' processes
and serves many schedules. What a schedule leaves behind lies in two places: the semaphores, which
all processes share (``restore``, in the parent), and each process's own record of which locks it
holds (``forget``, in every worker).
"""

from __future__ import annotations

import contextlib
import fcntl
import queue
import threading
from collections.abc import Callable, Iterator
from multiprocessing import synchronize
from multiprocessing.context import BaseContext
from typing import Any, Final

from tracelock.backends.real import ERRORS, SIGNALS, Attempts, Makers, build, unless
from tracelock.backends.real import wait as wait_at
from tracelock.engine.effects import raised
from tracelock.errors import LimitReached, UsageError
from tracelock.ops import ACQUIRE, EMPTY, GET, PUT, Layout, ObjectSpec, Op, Raised, Value

#: Seconds that an item may take from a put into its pipe while nobody else runs.
FLUSH: Final = 2.0
PIPE_BYTES: Final = 1 << 20
_MOST: Final[int] = vars(synchronize)["SEM_VALUE_MAX"]  # not in the stubs


def make_objects(layout: Layout, ctx: BaseContext) -> list[Any]:
    """Fresh real objects by number (None for variables)."""

    def queue_of(spec: ObjectSpec) -> Any:
        real: Any = ctx.Queue(counted(spec, spec.maxsize))
        with contextlib.suppress(AttributeError, OSError):  # room before a put has to wait
            fcntl.fcntl(real._writer.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        return real

    makers: Makers = {
        "lock": lambda spec: ctx.Lock(),
        "rlock": lambda spec: ctx.RLock(),
        "condition_lock": lambda spec: ctx.RLock(),
        "semaphore": lambda spec: ctx.Semaphore(counted(spec, spec.value)),
        "bounded_semaphore": lambda spec: ctx.BoundedSemaphore(counted(spec, spec.value)),
        "event": lambda spec: ctx.Event(),
        "barrier": lambda spec: ctx.Barrier(spec.parties),
        "queue": queue_of,
    }
    return build(layout, makers, ctx.Condition)


def counted(spec: ObjectSpec, count: int) -> int:
    """``count``, where the semaphore inside an object can count so far."""
    if count > _MOST:
        raise UsageError(f"{spec.name}: a semaphore between processes counts to {_MOST:,}")
    return count


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


#: Each kind of op as a try, by kind; a put goes through a sender.
ATTEMPTS: Final[Attempts] = {
    **SIGNALS,
    ACQUIRE: lambda real, op: real.acquire(False),
    GET: unless(queue.Empty, EMPTY, lambda real, op: real.get(False)),
}


def attempt(layout: Layout, real: list[Any], out: dict[int, Sender], op: Op) -> Value:
    """Do an op that does not wait on its real object; a blocking one is only tried.

    Returns its result, a ``Raised`` where the object raises. Raises LimitReached where a put
    does not get into the pipe.
    """
    try:
        if op.kind != PUT:
            return ATTEMPTS[op.kind](real[op.target], op)
        if not out[op.target].put(op.value, False):
            return False
    except ERRORS as error:
        return raised(error)
    if not out[op.target].flush(FLUSH):
        raise LimitReached(f"the pipe of the queue {layout.names[op.target]} is full")
    return True


def is_empty(real: Any, maxsize: int) -> bool:
    """Whether a queue is empty and, if it is bounded, nobody is in the middle of a put or get."""
    if maxsize > 0:
        with contextlib.suppress(NotImplementedError):  # macOS cannot say
            return bool(real._sem._semlock._get_value() == maxsize)
    return not real._poll()


def wait(real: Any, type_: str, op: Op, timeout: float | None) -> Value:
    """Wait at a condition, an event or a barrier; the result in the model's terms."""
    if type_ == "event" and not op.blocking:
        return real.is_set()
    result = wait_at(real, op, timeout)
    if type_ == "condition" and result.__class__ is Raised and result.kind == "ValueError":
        # the lock has been released by another worker: the wait has counted itself as a sleeper
        # before it failed, and a notify would wait for it for ever
        real._sleeping_count.acquire(False)
    return result


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


def _reset_condition(condition: Any, _: ObjectSpec) -> None:
    for semaphore in (
        condition._sleeping_count, condition._woken_count, condition._wait_semaphore
    ):  # fmt: skip
        bring_to(getattr(semaphore, "real", semaphore), 0)


def _reset_event(real: Any, spec: ObjectSpec) -> None:
    _reset_condition(real._cond, spec)
    bring_to(real._flag, 0)


def _reset_barrier(real: Any, spec: ObjectSpec) -> None:
    _reset_condition(real._cond, spec)
    real._state = real._count = 0


def _reset_queue(real: Any, _: ObjectSpec) -> None:
    with contextlib.suppress(queue.Empty):
        while True:
            real.get(False)


#: By type: back to the initial state, but for the locks, which ``free_again`` frees.
_RESETS: Final[dict[str, Callable[[Any, ObjectSpec], None]]] = {
    **dict.fromkeys(("lock", "rlock", "condition_lock"), lambda real, spec: None),
    **dict.fromkeys(
        ("semaphore", "bounded_semaphore"), lambda real, spec: bring_to(real, spec.value)
    ),
    "condition": _reset_condition,
    "event": _reset_event,
    "barrier": _reset_barrier,
    "queue": _reset_queue,
}


def restore(layout: Layout, objects: list[Any]) -> bool:
    """In the parent, while no worker uses them: back to the initial state.

    False where that cannot be: the owner of an ``RLock`` is dead.
    """
    whole = True
    for number, spec in enumerate(layout.objects, layout.variables):
        real = objects[number]
        whole = all(free_again(lock) for lock in _locks(real)) and whole
        _RESETS[spec.type](real, spec)
    return whole
