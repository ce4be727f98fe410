"""The queues of ``multiprocessing``.

What is put in is kept, pickled, where the controller is, in the order of the puts, and not in the
pipe: a full pipe blocks no worker, and an item is there as soon as its put is over. (Really a
thread of the putting process sends it a moment later; that delay is not explored.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from multiprocessing import queues
from multiprocessing.reduction import ForkingPickler
from typing import Any, Final

from tracelock.instrument.callers import caller
from tracelock.instrument.primitives import BODY, QueueMethods
from tracelock.instrument.processes.sync import Interprocess
from tracelock.instrument.worker import Uncontrolled, Worker
from tracelock.ops import READ, ObjectSpec, Op

_UNBOUNDED: Final = 1 << 30  # a semaphore's greatest value is as good as no bound


class ProcessQueues(Interprocess, QueueMethods):
    def spec(self, obj: Any, name: str, worker: Worker) -> ObjectSpec:
        """What is in its pipe at its first use is taken over."""
        store = worker.hub.stores[name] = deque()
        with Uncontrolled(worker):
            while obj._poll():
                store.append(obj._reader.recv_bytes())
                if isinstance(obj, queues.Queue):
                    obj._sem.release()  # type: ignore[attr-defined]
        bound = self.capacity(obj)
        size = bound if bound < _UNBOUNDED else 0
        return ObjectSpec(name, "room", value=len(store), maxsize=size)

    def capacity(self, queue: Any) -> int:
        return int(getattr(queue, "_maxsize", 0))

    def check(self, queue: Any, bounded: bool, block: Any, timeout: float | None) -> None:
        if getattr(queue, "_closed", False) is True:
            raise ValueError(f"Queue {queue!r} is closed")

    def pickled(self, item: Any) -> bytes:
        return bytes(ForkingPickler.dumps(item))

    def remove(self, worker: Worker, queue: Any, data: Any) -> Any:
        return ForkingPickler.loads(data)

    def size(self, worker: Worker, queue: Any) -> int:
        return int(
            worker.exchange(Op(READ, self.number(queue, worker), caller(worker, BODY + 2)))[1]
        )

    def look(self, worker: Worker, queue: Any, answer: Callable[[int], Any]) -> Any:
        size = self.size(worker, queue)
        worker.record(size)
        return answer(size)


class ProcessJoinableQueues(ProcessQueues):
    """How many items are unfinished is a semaphore of the queue that is not under control."""

    def created(self, worker: Worker, obj: Any, *args: Any, **kwargs: Any) -> None:
        obj._cond = kwargs["ctx"].Condition()  # one under control
        super().created(worker, obj)

    def insert(self, worker: Worker, queue: Any, item: Any) -> None:
        self.unfinished(queue, 1)

    def unfinished(self, queue: Any, more: int = 0) -> int:
        semlock = queue._unfinished_tasks._semlock
        if more:
            semlock.release() if more > 0 else semlock.acquire(False)
        return int(semlock._get_value())

    def all_done(self, queue: Any) -> Any:
        return queue._cond

    def join(self, worker: Worker, real: Any, queue: Any) -> None:
        with queue._cond:
            worker.step(Op(READ, self.number(queue, worker), caller(worker, BODY)))
            if self.unfinished(queue):
                queue._cond.wait()


ProcessQueues().declare(
    "multiprocessing.Queue", queues.Queue, __name__,
    "__init__", "put", "get", "qsize", "empty", "full",
)  # fmt: skip
ProcessJoinableQueues().declare(
    "multiprocessing.JoinableQueue", queues.JoinableQueue, __name__,
    "__init__", "put", "task_done", "join",
)  # fmt: skip
ProcessQueues().declare(
    "multiprocessing.SimpleQueue", queues.SimpleQueue, __name__, "__init__", "put", "get", "empty"
)
