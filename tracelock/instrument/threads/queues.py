"""Queues under control: what the methods of ``queue`` do in a worker. See ``sync``."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any, Final

from tracelock.instrument.callers import caller, creation_name
from tracelock.instrument.patching import CONTROLLED, replace, replace_methods
from tracelock.instrument.threads.locks import Lock
from tracelock.instrument.threads.sync import CONDITION, call_it, name_it, numbered, patience
from tracelock.instrument.threads.sync import ORIGINAL as ORIGINAL_SYNC
from tracelock.instrument.worker import Uncontrolled, Worker, here, shown
from tracelock.ops import GET, PUT, READ, SET, WRITE, ObjectSpec, Op

#: The originals, before anything is patched.
QUEUE: Final = queue.Queue
SIMPLE: Final[Any] = queue._PySimpleQueue  # type: ignore[attr-defined]
ORIGINAL: Final[dict[tuple[Any, str], Any]] = {
    **ORIGINAL_SYNC,
    **{
        (cls, name): cls.__dict__[name]
        for cls, names in (
            (QUEUE, ("__init__", "put", "get", "qsize", "empty", "full", "task_done", "join",
                     "shutdown")),
            (SIMPLE, ("put", "get", "qsize", "empty")),
        )
        for name in names
        if name in cls.__dict__  # ``shutdown`` came with Python 3.13
    },
}  # fmt: skip


def queue_init(self: Any, maxsize: int = 0) -> None:
    worker = here()
    if worker is None:
        ORIGINAL[QUEUE, "__init__"](self, maxsize)
        return
    with Uncontrolled(worker):
        ORIGINAL[QUEUE, "__init__"](self, maxsize)
    name = creation_name("queue", worker)
    call_it(self, name, worker)
    # Whoever uses them from outside, as in ``with q.mutex: q.queue.clear()``, is under control.
    self.mutex = Lock(worker.hub, self.mutex, f"{name}.mutex", worker.hub.schedule)
    for part in ("not_empty", "not_full", "all_tasks_done"):
        condition = getattr(self, part)
        ORIGINAL[CONDITION, "__init__"](condition, self.mutex)
        call_it(condition, f"{name}.{part}", worker)


def queue_number(self: Any, worker: Worker) -> int:
    """The number of a queue, with the items that it had when it was first used."""

    def spec(name: str) -> ObjectSpec:
        count = len(self._queue) if isinstance(self, SIMPLE) else self._qsize()
        return ObjectSpec(name, "room", value=count, maxsize=getattr(self, "maxsize", 0))

    return numbered(self, worker, "queue", spec)


def queue_put(self: Any, item: Any, block: bool = True, timeout: float | None = None) -> None:
    worker = here()
    if worker is None:
        ORIGINAL[QUEUE, "put"](self, item, block, timeout)
        return
    if timeout is not None and timeout < 0 and block and self.maxsize > 0:
        raise ValueError("'timeout' must be a non-negative number")
    wait, block = patience(block, timeout)
    op = Op(PUT, queue_number(self, worker), caller(worker), shown(item), wait, block)
    if not worker.do(op):
        raise queue.ShutDown if _shut(self) else queue.Full  # type: ignore[attr-defined]
    with Uncontrolled(worker):
        self._put(item)
        self.unfinished_tasks += 1


def queue_get(self: Any, block: bool = True, timeout: float | None = None) -> Any:
    worker = here()
    if worker is None:
        return ORIGINAL[QUEUE, "get"](self, block, timeout)
    if timeout is not None and timeout < 0 and block:
        raise ValueError("'timeout' must be a non-negative number")
    return _get(self, block, timeout, worker, self._get)


def _get(self: Any, block: bool, timeout: float | None, worker: Worker, take: Any) -> Any:
    wait, block = patience(block, timeout)
    op = Op(GET, queue_number(self, worker), caller(worker, 3), None, wait, block)
    if worker.step(op) is not None:
        raise queue.ShutDown if _shut(self) else queue.Empty  # type: ignore[attr-defined]
    with Uncontrolled(worker):
        item = take()
    worker.record(shown(item))
    return item


def _shut(self: Any) -> bool:
    """Whether a queue was shut down (Python 3.13)."""
    return bool(getattr(self, "is_shutdown", False))


def queue_shutdown(self: Any, immediate: bool = False) -> None:
    """Python 3.13: nobody waits from now on."""
    worker = here()
    if worker is None:
        ORIGINAL[QUEUE, "shutdown"](self, immediate)
        return
    with self.all_tasks_done:
        worker.step(Op(SET, queue_number(self, worker), caller(worker), bool(immediate)))
        self.is_shutdown = True
        while immediate and self._qsize():
            self._get()
            if self.unfinished_tasks > 0:
                self.unfinished_tasks -= 1
        if immediate:
            self.all_tasks_done.notify_all()
        self.not_empty.notify_all()
        self.not_full.notify_all()


def _looks(name: str, cls: Any, answer: Callable[[Any, int], bool] | None = None) -> Any:
    def look(self: Any) -> Any:
        worker = here()
        if worker is None:
            return ORIGINAL[cls, name](self)
        worker.step(Op(READ, queue_number(self, worker), caller(worker)))
        size = len(self._queue) if cls is SIMPLE else self._qsize()
        result = size if answer is None else answer(self, size)
        worker.record(result)
        return result

    look.__name__ = name
    return look


def _is_empty(queue_: Any, size: int) -> bool:
    return not size


def _is_full(queue_: Any, size: int) -> bool:
    return bool(0 < queue_.maxsize <= size)


queue_qsize = _looks("qsize", QUEUE)
queue_empty = _looks("empty", QUEUE, _is_empty)
queue_full = _looks("full", QUEUE, _is_full)
simple_qsize = _looks("qsize", SIMPLE)
simple_empty = _looks("empty", SIMPLE, _is_empty)


def queue_task_done(self: Any) -> None:
    worker = here()
    if worker is None:
        ORIGINAL[QUEUE, "task_done"](self)
        return
    with self.all_tasks_done:
        # A put does not take the mutex here, so that the count is looked at in one step.
        worker.step(Op(WRITE, queue_number(self, worker), caller(worker)))
        if self.unfinished_tasks <= 0:
            raise ValueError("task_done() called too many times")
        self.unfinished_tasks -= 1
        if not self.unfinished_tasks:
            self.all_tasks_done.notify_all()


def queue_join(self: Any) -> None:
    worker = here()
    if worker is None:
        ORIGINAL[QUEUE, "join"](self)
        return
    with self.all_tasks_done:
        while True:
            worker.step(Op(READ, queue_number(self, worker), caller(worker)))
            worker.record(self.unfinished_tasks)
            if not self.unfinished_tasks:
                return
            self.all_tasks_done.wait()


def simple_put(self: Any, item: Any, block: bool = True, timeout: float | None = None) -> None:
    worker = here()
    if worker is None:
        ORIGINAL[SIMPLE, "put"](self, item, block, timeout)
        return
    worker.do(Op(PUT, queue_number(self, worker), caller(worker), shown(item)))
    with Uncontrolled(worker):
        self._queue.append(item)
        self._count.release()


def simple_get(self: Any, block: bool = True, timeout: float | None = None) -> Any:
    worker = here()
    if worker is None:
        return ORIGINAL[SIMPLE, "get"](self, block, timeout)
    if timeout is not None and timeout < 0:
        raise ValueError("'timeout' must be a non-negative number")

    def take() -> Any:
        self._count.acquire(False)
        return self._queue.popleft()

    return _get(self, block, timeout, worker, take)


def make_simple_queue() -> Any:
    """``queue.SimpleQueue()``: where a worker makes it, the one that is written in Python."""
    worker = here()
    if worker is None:
        return _C_SIMPLE()
    with Uncontrolled(worker):
        made = SIMPLE()
    name_it(made, "queue")
    return made


_C_SIMPLE: Final[Any] = queue.SimpleQueue

replace_methods("queue", {
    QUEUE: {
        "__init__": queue_init, "put": queue_put, "get": queue_get, "qsize": queue_qsize,
        "empty": queue_empty, "full": queue_full, "task_done": queue_task_done,
        "join": queue_join, "shutdown": queue_shutdown,
    },
    SIMPLE: {"put": simple_put, "get": simple_get, "qsize": simple_qsize, "empty": simple_empty},
})  # fmt: skip
replace("queue.SimpleQueue", make_simple_queue, CONTROLLED, module=__name__)
