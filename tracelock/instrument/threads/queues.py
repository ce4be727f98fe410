"""The queues of ``queue``."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator
from queue import Empty, Full
from typing import Any, Final

from tracelock.instrument.callers import caller, creation_name
from tracelock.instrument.patching import patch
from tracelock.instrument.primitives import BODY, QueueMethods, refuse, time_limit, too_long
from tracelock.instrument.threads.locks import ControlledLock
from tracelock.instrument.threads.sync import conditions
from tracelock.instrument.worker import Uncontrolled, Worker, here
from tracelock.ops import READ, SET, ObjectSpec, Op

_SIMPLE: Final[Any] = queue._PySimpleQueue  # type: ignore[attr-defined]


#: What counts the items of the standard library's own queues.
_SIZES: Final = tuple(one._qsize for one in (queue.Queue, queue.LifoQueue, queue.PriorityQueue))
#: The parts of a queue, beside its mutex, that programs may use themselves.
_CONDITIONS: Final = ("not_empty", "not_full", "all_tasks_done")


class QueueMutex(ControlledLock):
    """The mutex of a queue. Who uses it from outside does what the queue does: from the next
    schedule on the queue is the standard library's own code, on this mutex and its conditions."""

    __slots__ = ("used",)

    def __init__(self, raw: Any, name: str, born: int, used: Any) -> None:
        super().__init__(raw, name, born)
        self.used = used

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        worker = here()
        if worker is not None:
            worker.hub.names.suspect(self.used)
        return super().acquire(blocking, timeout)

    __enter__ = acquire


QueueMutex.__name__ = "Lock"


class ThreadQueues(QueueMethods):
    def created(self, worker: Worker, obj: Any, *args: Any, **kwargs: Any) -> None:
        queue: Any = obj
        name = creation_name(self.kind, worker)
        self.name(queue, name, worker)
        # code that uses them from outside, as in ``with q.mutex: q.queue.clear()``, is controlled
        used = worker.hub.names.named(f"{name} from outside")
        queue.mutex = QueueMutex(queue.mutex, f"{name}.mutex", worker.hub.schedule, used)
        parts = [queue.mutex]
        for part in _CONDITIONS:
            condition = getattr(queue, part)
            with Uncontrolled(worker):
                condition.__init__(queue.mutex)
            conditions.name(condition, f"{name}.{part}", worker)
            parts.append(condition)
        queue._tracelock_parts = parts

    def number(self, obj: Any, worker: Worker) -> int:
        hub, known = worker.hub, obj.__dict__.get("_tracelock_number")
        number = super().number(obj, worker)
        if known is None or known[0] != hub.schedule:
            model: Any = hub.controller.models[number]
            model.real = self.counter(obj)
        return number

    def counter(self, queue: Any) -> Any:
        """What tells how many items a queue has without any code of the program's; None without."""
        if type(queue)._qsize not in _SIZES:
            return None
        return lambda: len(queue.queue)

    def own_code(self, queue: Any) -> bool:
        """Whether its methods are to be the standard library's own code: a program uses its mutex
        and its conditions, or has put others in their places."""
        parts = queue.__dict__.get("_tracelock_parts")
        if parts is None:
            return False
        mutex, not_empty, not_full, done = parts
        return bool(
            mutex.used.shared
            or queue.mutex is not mutex
            or queue.not_empty is not not_empty
            or queue.not_full is not not_full
            or queue.all_tasks_done is not done
        )

    def limit(self, timeout: Any) -> float | None:
        """A time limit, which is added to the time before anything else."""
        kind = type(timeout)
        return time_limit(timeout if timeout is None or kind is int else 0.0 + timeout)

    def put(self, worker: Worker, real: Any, queue: Any, item: Any, block: Any = True,
            timeout: float | None = None) -> None:  # fmt: skip
        if self.own_code(queue):
            real(queue, item, block, timeout)
        elif block and too_long(timeout := self.limit(timeout)):
            with _refusing(Full):
                super().put(worker, real, queue, item, False)
        else:
            super().put(worker, real, queue, item, block, timeout)

    def get(self, worker: Worker, real: Any, queue: Any, block: Any = True,
            timeout: float | None = None) -> Any:  # fmt: skip
        if self.own_code(queue):
            return real(queue, block, timeout)
        if block and too_long(timeout := self.limit(timeout)):
            with _refusing(Empty):
                return super().get(worker, real, queue, False)
        return super().get(worker, real, queue, block, timeout)

    def qsize(self, worker: Worker, real: Any, queue: Any) -> int:
        if self.own_code(queue):
            return int(real(queue))
        return super().qsize(worker, real, queue)

    def empty(self, worker: Worker, real: Any, queue: Any) -> bool:
        return bool(real(queue)) if self.own_code(queue) else super().empty(worker, real, queue)

    def full(self, worker: Worker, real: Any, queue: Any) -> bool:
        return bool(real(queue)) if self.own_code(queue) else super().full(worker, real, queue)

    def task_done(self, worker: Worker, real: Any, queue: Any) -> None:
        if self.own_code(queue):
            real(queue)
        else:
            super().task_done(worker, real, queue)

    def held(self, queue: Any) -> Any:
        mutex = queue.mutex
        return _Inside(mutex) if type(mutex) is QueueMutex else queue.all_tasks_done

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
        if self.own_code(queue):
            real(queue)
            return
        with self.held(queue):
            while True:
                worker.step(Op(READ, self.number(queue, worker), caller(worker, BODY)))
                worker.record(queue.unfinished_tasks)
                if not queue.unfinished_tasks:
                    return
                queue.all_tasks_done.wait()

    def shutdown(self, worker: Worker, real: Any, queue: Any, immediate: bool = False) -> None:
        """Python 3.13: nothing waits from now on."""
        if self.own_code(queue):
            real(queue, immediate)
            return
        with self.held(queue):
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


@contextlib.contextmanager
def _refusing(error: type[Exception]) -> Iterator[None]:
    """A wait with a time limit that is too long, which has to begin where this is raised."""
    try:
        yield
    except error:
        refuse()


class _Inside:
    """The mutex as the queue's own methods hold it."""

    def __init__(self, mutex: QueueMutex) -> None:
        self.mutex = mutex

    def __enter__(self) -> None:
        ControlledLock.acquire(self.mutex)

    def __exit__(self, *exc: object) -> None:
        self.mutex.release()


_SHUT_DOWN: Final[Any] = getattr(queue, "ShutDown", None)


class ThreadSimpleQueues(ThreadQueues):
    def count(self, queue: Any) -> int:
        return len(queue._queue)

    def counter(self, queue: Any) -> Any:
        return None

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
    if not worker.importing:
        simple_queues.name(one, creation_name("queue", worker), worker)
    return one


make_simple_queue.base = _SIMPLE
