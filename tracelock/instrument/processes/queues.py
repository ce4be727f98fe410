"""The queues of ``multiprocessing`` under control.

What is put in is kept, pickled, where the controller is, in the order of the puts, and not in the
pipe: so that a full pipe blocks nobody and an item is there as soon as its put is over. (Really a
thread of the putting process sends it a moment later; that delay is not looked at.)
"""

from __future__ import annotations

import queue
from collections import deque
from multiprocessing import queues
from multiprocessing.reduction import ForkingPickler
from typing import Any, Final

from tracelock.instrument.callers import caller, creation_name
from tracelock.instrument.patching import replace_methods
from tracelock.instrument.processes.relay import stored
from tracelock.instrument.processes.remote import RemoteWorker
from tracelock.instrument.threads.sync import numbered
from tracelock.instrument.worker import Uncontrolled, Worker, here, shown
from tracelock.ops import GET, PUT, READ, WRITE, ObjectSpec, Op, Value

QUEUE: Final = queues.Queue
JOINABLE: Final = queues.JoinableQueue
SIMPLE: Final = queues.SimpleQueue
_MOST: Final = 1 << 30  # as good as no bound
ORIGINAL: Final[dict[tuple[Any, str], Any]] = {
    (cls, name): cls.__dict__[name]
    for cls, names in (
        (QUEUE, ("__init__", "put", "get", "qsize", "empty", "full")),
        (JOINABLE, ("__init__", "put", "task_done", "join")),
        (SIMPLE, ("__init__", "put", "get", "empty")),
    )
    for name in names
}


def _init(cls: Any, self: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    worker = here()
    if worker is None:
        ORIGINAL[cls, "__init__"](self, *args, **kwargs)
        return
    with Uncontrolled(worker):
        ORIGINAL[cls, "__init__"](self, *args, **kwargs)
    if cls is JOINABLE:
        self._cond = kwargs["ctx"].Condition()  # one under control
    self._tracelock_name = creation_name("queue", worker)
    number_of(self, worker)


def queue_init(self: Any, *args: Any, **kwargs: Any) -> None:
    _init(QUEUE, self, args, kwargs)


def joinable_init(self: Any, *args: Any, **kwargs: Any) -> None:
    _init(JOINABLE, self, args, kwargs)


def simple_init(self: Any, *args: Any, **kwargs: Any) -> None:
    _init(SIMPLE, self, args, kwargs)


def number_of(self: Any, worker: Worker) -> int:
    """The number of a queue; what is in its pipe at its first use is taken over."""
    hub = worker.hub

    def spec(name: str) -> ObjectSpec:
        store = hub.stores[name] = deque()
        hub.interprocess.add(name)
        with Uncontrolled(worker):
            while self._poll():
                store.append(self._reader.recv_bytes())
                if issubclass(type(self), QUEUE):
                    self._sem.release()
        most = getattr(self, "_maxsize", 0)
        return ObjectSpec(name, "room", value=len(store), maxsize=most if most < _MOST else 0)

    return numbered(self, worker, "queue", spec)


def _step(worker: Worker, op: Op, payload: bytes | None = None) -> tuple[Value, Any]:
    """The result of an op on a queue, and the item that it got or the number of items."""
    if isinstance(worker, RemoteWorker):
        result = worker.step(op, None, payload)
        return result, worker.extra
    result = worker.step(op)
    return result, stored(worker.hub, op, result, payload)


def _put(self: Any, obj: Any, block: bool, timeout: float | None, worker: Worker) -> None:
    if getattr(self, "_closed", False) is True:
        raise ValueError(f"Queue {self!r} is closed")
    number = number_of(self, worker)
    data = bytes(ForkingPickler.dumps(obj))
    wait = None if timeout is None or not block else max(0.0, timeout)
    op = Op(PUT, number, caller(worker, 3), shown(obj), wait, bool(block))
    if not _step(worker, op, data)[0]:
        raise queue.Full


def _get(self: Any, block: bool, timeout: float | None, worker: Worker) -> Any:
    if getattr(self, "_closed", False) is True:
        raise ValueError(f"Queue {self!r} is closed")
    wait = None if timeout is None or not block else max(0.0, timeout)
    op = Op(GET, number_of(self, worker), caller(worker, 3), None, wait, bool(block))
    result, data = _step(worker, op)
    if result is not None:
        raise queue.Empty
    item = ForkingPickler.loads(data)
    worker.record(shown(item))
    return item


def _size(self: Any, worker: Worker) -> int:
    _, size = _step(worker, Op(READ, number_of(self, worker), caller(worker, 3)))
    worker.record(size)
    return int(size)


def queue_put(self: Any, obj: Any, block: bool = True, timeout: float | None = None) -> None:
    worker = here()
    if worker is None:
        ORIGINAL[QUEUE, "put"](self, obj, block, timeout)
    else:
        _put(self, obj, block, timeout, worker)


def queue_get(self: Any, block: bool = True, timeout: float | None = None) -> Any:
    worker = here()
    if worker is None:
        return ORIGINAL[QUEUE, "get"](self, block, timeout)
    return _get(self, block, timeout, worker)


def queue_qsize(self: Any) -> int:
    worker = here()
    return int(ORIGINAL[QUEUE, "qsize"](self)) if worker is None else _size(self, worker)


def queue_empty(self: Any) -> bool:
    worker = here()
    return bool(ORIGINAL[QUEUE, "empty"](self)) if worker is None else not _size(self, worker)


def queue_full(self: Any) -> bool:
    worker = here()
    if worker is None:
        return bool(ORIGINAL[QUEUE, "full"](self))
    return _size(self, worker) >= int(self._maxsize)


# --- with task_done and join ---------------------------------------------------------------
# How many are unfinished is a semaphore of the queue's that is not under control: it changes along
# with ops on the queue.
def joinable_put(self: Any, obj: Any, block: bool = True, timeout: float | None = None) -> None:
    worker = here()
    if worker is None:
        ORIGINAL[JOINABLE, "put"](self, obj, block, timeout)
        return
    _put(self, obj, block, timeout, worker)
    self._unfinished_tasks._semlock.release()


def joinable_task_done(self: Any) -> None:
    worker = here()
    if worker is None:
        ORIGINAL[JOINABLE, "task_done"](self)
        return
    with self._cond:
        worker.step(Op(WRITE, number_of(self, worker), caller(worker)))
        if not self._unfinished_tasks._semlock.acquire(False):
            raise ValueError("task_done() called too many times")
        if self._unfinished_tasks._semlock._is_zero():
            self._cond.notify_all()


def joinable_join(self: Any) -> None:
    worker = here()
    if worker is None:
        ORIGINAL[JOINABLE, "join"](self)
        return
    with self._cond:
        worker.step(Op(READ, number_of(self, worker), caller(worker)))
        if not self._unfinished_tasks._semlock._is_zero():
            self._cond.wait()


# --- without bounds ------------------------------------------------------------------------
def simple_put(self: Any, obj: Any) -> None:
    worker = here()
    if worker is None:
        ORIGINAL[SIMPLE, "put"](self, obj)
    else:
        _put(self, obj, True, None, worker)


def simple_get(self: Any) -> Any:
    worker = here()
    if worker is None:
        return ORIGINAL[SIMPLE, "get"](self)
    return _get(self, True, None, worker)


def simple_empty(self: Any) -> bool:
    worker = here()
    return bool(ORIGINAL[SIMPLE, "empty"](self)) if worker is None else not _size(self, worker)


replace_methods("multiprocessing", {
    QUEUE: {
        "__init__": queue_init, "put": queue_put, "get": queue_get, "qsize": queue_qsize,
        "empty": queue_empty, "full": queue_full,
    },
    JOINABLE: {
        "__init__": joinable_init, "put": joinable_put, "task_done": joinable_task_done,
        "join": joinable_join,
    },
    SIMPLE: {"__init__": simple_init, "put": simple_put, "get": simple_get, "empty": simple_empty},
})  # fmt: skip
