"""The queues of ``queue``."""

from __future__ import annotations

import queue
from typing import Any, Final

from tracelock.instrument.callers import caller, creation_name
from tracelock.instrument.patching import patch
from tracelock.instrument.primitives import BODY, QueueMethods
from tracelock.instrument.threads.locks import ControlledLock
from tracelock.instrument.threads.sync import conditions
from tracelock.instrument.worker import Uncontrolled, Worker
from tracelock.ops import READ, SET, ObjectSpec, Op

_SIMPLE: Final[Any] = queue._PySimpleQueue  # type: ignore[attr-defined]


class ThreadQueues(QueueMethods):
    def created(self, worker: Worker, obj: Any, *args: Any, **kwargs: Any) -> None:
        queue: Any = obj
        name = creation_name(self.kind, worker)
        self.name(queue, name, worker)
        # code that uses them from outside, as in ``with q.mutex: q.queue.clear()``, is controlled
        queue.mutex = ControlledLock(queue.mutex, f"{name}.mutex", worker.hub.schedule)
        for part in ("not_empty", "not_full", "all_tasks_done"):
            condition = getattr(queue, part)
            with Uncontrolled(worker):
                condition.__init__(queue.mutex)
            conditions.name(condition, f"{name}.{part}", worker)

    def spec(self, obj: Any, name: str, worker: Worker) -> ObjectSpec:
        return ObjectSpec(name, "room", value=self.count(obj), maxsize=self.capacity(obj))

    def count(self, queue: Any) -> int:
        """How many items there are."""
        return int(queue._qsize())

    def capacity(self, queue: Any) -> int:
        return int(queue.maxsize)

    def check(self, queue: Any, bounded: bool, block: Any, timeout: float | None) -> None:
        if bounded and block and timeout is not None and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")

    def insert(self, worker: Worker, queue: Any, item: Any) -> None:
        with Uncontrolled(worker):
            queue._put(item)
        self.unfinished(queue, 1)

    def remove(self, worker: Worker, queue: Any, data: Any) -> Any:
        with Uncontrolled(worker):
            return queue._get()

    def refusal(self, queue: Any, error: type[Exception]) -> type[Exception]:
        shut: bool = getattr(queue, "is_shutdown", False)  # Python 3.13
        return _SHUT_DOWN if shut else error

    def size(self, worker: Worker, queue: Any) -> int:
        worker.step(Op(READ, self.number(queue, worker), caller(worker, BODY + 2)))
        return self.count(queue)

    def unfinished(self, queue: Any, more: int = 0) -> int:
        queue.unfinished_tasks += more
        return int(queue.unfinished_tasks)

    def all_done(self, queue: Any) -> Any:
        return queue.all_tasks_done

    def join(self, worker: Worker, real: Any, queue: Any) -> None:
        with queue.all_tasks_done:
            while True:
                worker.step(Op(READ, self.number(queue, worker), caller(worker, BODY)))
                worker.record(queue.unfinished_tasks)
                if not queue.unfinished_tasks:
                    return
                queue.all_tasks_done.wait()

    def shutdown(self, worker: Worker, real: Any, queue: Any, immediate: bool = False) -> None:
        """Python 3.13: nothing waits from now on."""
        with queue.all_tasks_done:
            worker.step(Op(SET, self.number(queue, worker), caller(worker, BODY), bool(immediate)))
            queue.is_shutdown = True
            while immediate and queue._qsize():
                queue._get()
                if queue.unfinished_tasks > 0:
                    queue.unfinished_tasks -= 1
            if immediate:
                queue.all_tasks_done.notify_all()
            queue.not_empty.notify_all()
            queue.not_full.notify_all()


_SHUT_DOWN: Final[Any] = getattr(queue, "ShutDown", None)


class ThreadSimpleQueues(ThreadQueues):
    def count(self, queue: Any) -> int:
        return len(queue._queue)

    def capacity(self, queue: Any) -> int:
        return 0

    def check(self, queue: Any, bounded: bool, block: Any, timeout: float | None) -> None:
        super().check(queue, bounded, True, timeout)

    def put(self, worker: Worker, real: Any, queue: Any, item: Any, block: Any = True,
            timeout: float | None = None) -> None:  # fmt: skip
        super().put(worker, real, queue, item)

    def insert(self, worker: Worker, queue: Any, item: Any) -> None:
        with Uncontrolled(worker):
            queue._queue.append(item)
            queue._count.release()

    def remove(self, worker: Worker, queue: Any, data: Any) -> Any:
        with Uncontrolled(worker):
            queue._count.acquire(False)
            return queue._queue.popleft()


simple_queues = ThreadSimpleQueues()
ThreadQueues().declare(
    "queue.Queue", queue.Queue, __name__,
    "__init__", "put", "get", "qsize", "empty", "full", "task_done", "join", "shutdown",
)  # fmt: skip
simple_queues.declare("queue.SimpleQueue", _SIMPLE, __name__, "put", "get", "qsize", "empty")


@patch("queue.SimpleQueue")
def make_simple_queue(worker: Worker, real: Any) -> Any:
    """The one that is written in Python."""
    with Uncontrolled(worker):
        one = _SIMPLE()
    simple_queues.name(one, creation_name("queue", worker), worker)
    return one
