"""A use of each row of the table of patches for threads, time, files and processes.

What a row says is so: its replacement is called, and makes a scheduling point or none.
"""

from __future__ import annotations

import concurrent.futures
import queue
import threading
import time
from _thread import RLock as ImportedRLock
from _thread import allocate_lock as imported_allocate
from collections.abc import Callable
from concurrent.futures import _base
from typing import Any

from tests.unit.patch_spy import Seen, explore_uses, judge
from tracelock.instrument.clock import START
from tracelock.instrument.patches import Patch, table

Use = Callable[..., Any]


def last(*state: Any) -> None:
    threading.Event().wait(10_000.0)
    raise RuntimeError("the last one, so that there is a trace")


def check(uses: dict[str, Use], rows: list[Patch], seen: Seen, makers: frozenset[str]) -> None:
    """Assert of all rows that they say what is so, and that there are no other uses."""
    assert uses.keys() == {row.name for row in rows}
    wrong = {}
    for row in rows:
        try:
            judge(row, seen, makers)
        except AssertionError as error:
            wrong[row.name] = f"{error}; {seen.of(row.name)}; {seen.gave[row.name]}"
    assert not wrong
    trace = seen.explored.trace
    assert trace.verdict.message.startswith("RuntimeError: the last one"), trace.verdict
    assert seen.explored.confirmed == {"threading": "3/3"}, seen.explored.notes


# --- threads, queues, time -------------------------------------------------------------------
def nothing() -> None:
    """What a thread runs that is started."""


def started() -> threading.Thread:
    thread = threading.Thread(target=nothing)
    thread.start()
    return thread


def condition(use: Callable[[threading.Condition], Any]) -> Use:
    def work() -> None:
        made = threading.Condition()
        with made:
            use(made)

    return work


def semaphore(kind: Any = None) -> None:
    made = (kind or threading.Semaphore)(1)
    made.acquire()
    made.release()


def entered() -> None:
    with threading.Semaphore(1):
        pass


def event(method: str, *arguments: Any) -> Use:
    def work() -> None:
        made = threading.Event()
        getattr(made, method)(*arguments)

    return work


def queued(kind: str, *calls: tuple[Any, ...]) -> Use:
    def work() -> None:
        made = getattr(queue, kind)()
        for method, *arguments in calls:
            getattr(made, method)(*arguments)

    return work


def lock(make: Callable[[], Any]) -> Use:
    def work() -> None:
        made = make()
        made.acquire()

    return work


def in_order() -> tuple[str, ...]:
    futures: list[Any] = [concurrent.futures.Future() for _ in range(5)]
    names = dict(zip(futures, "abcde", strict=True))
    concurrent.futures.wait(futures[::-1], timeout=0)
    taken = _base._AcquireFutures(futures[::-1])  # type: ignore[attr-defined]
    return tuple(names[future] for future in taken.futures)


#: With a row for what ``queue.Queue`` has from Python 3.13 on.
SHUTDOWN: dict[str, Use] = (
    {"queue.Queue.shutdown": queued("Queue", ("shutdown",))}
    if hasattr(queue.Queue, "shutdown") else {}
)  # fmt: skip
THREADS: dict[str, Use] = {
    "threading.Thread.__init__": started,
    "threading.Thread.start": started,
    "threading.Thread.join": lambda: started().join(),
    "threading.Thread.is_alive": lambda: started().is_alive(),
    "threading.Thread.__hash__": lambda: hash(threading.Thread()),
    "threading.Condition.__init__": condition(lambda one: None),
    "threading.Condition.__enter__": condition(lambda one: None),
    "threading.Condition.__exit__": condition(lambda one: None),
    "threading.Condition.wait": condition(lambda one: one.wait(1.0)),
    "threading.Condition.notify": condition(lambda one: one.notify()),
    "threading.Condition.notify_all": condition(lambda one: one.notify_all()),
    "threading.Semaphore.__init__": semaphore,
    "threading.Semaphore.acquire": semaphore,
    "threading.Semaphore.__enter__": entered,
    "threading.Semaphore.release": semaphore,
    "threading.BoundedSemaphore.release": lambda: semaphore(threading.BoundedSemaphore),
    "threading.Event.__init__": event("set"),
    "threading.Event.is_set": event("is_set"),
    "threading.Event.set": event("set"),
    "threading.Event.clear": event("clear"),
    "threading.Event.wait": event("wait", 1.0),
    "threading.Lock": lock(lambda: threading.Lock()),
    "threading.RLock": lock(lambda: threading.RLock()),
    "_thread.allocate_lock": lock(lambda: imported_allocate()),
    "_thread.RLock": lock(lambda: ImportedRLock()),
    "queue.Queue.__init__": queued("Queue", ("put", 1)),
    "queue.Queue.put": queued("Queue", ("put", 1)),
    "queue.Queue.get": queued("Queue", ("put", 1), ("get",)),
    "queue.Queue.qsize": queued("Queue", ("qsize",)),
    "queue.Queue.empty": queued("Queue", ("empty",)),
    "queue.Queue.full": queued("Queue", ("full",)),
    "queue.Queue.task_done": queued("Queue", ("put", 1), ("get",), ("task_done",)),
    "queue.Queue.join": queued("Queue", ("join",)),
    **SHUTDOWN,
    "queue.SimpleQueue": queued("SimpleQueue", ("put", 1)),
    "queue.SimpleQueue.put": queued("SimpleQueue", ("put", 1)),
    "queue.SimpleQueue.get": queued("SimpleQueue", ("put", 1), ("get",)),
    "queue.SimpleQueue.qsize": queued("SimpleQueue", ("qsize",)),
    "queue.SimpleQueue.empty": queued("SimpleQueue", ("empty",)),
    "concurrent.futures.Future.__init__": lambda: hash(concurrent.futures.Future()),
    "concurrent.futures.Future.__hash__": lambda: hash(concurrent.futures.Future()),
    "concurrent.futures.wait": in_order,
    "time.sleep": lambda: time.sleep(3600),
    # found when they are called, which is when they are patched
    **{f"time.{name}": lambda name=name: getattr(time, name)() for name in START},
    **{f"time.{name}_ns": lambda name=name: getattr(time, f"{name}_ns")() for name in START},
}
THREAD_MAKERS = frozenset({
    "threading.Thread.__init__", "threading.Condition.__init__", "threading.Semaphore.__init__",
    "threading.Event.__init__", "threading.Lock", "threading.RLock", "_thread.allocate_lock",
    "_thread.RLock", "queue.Queue.__init__", "queue.SimpleQueue",
})  # fmt: skip


def test_threads_queues_and_time() -> None:
    seen = explore_uses(THREADS, last=last)
    check(THREADS, table("threads", "time"), seen, THREAD_MAKERS)
    for name, start in START.items():
        assert set(seen.gave[f"time.{name}"]) == {start}, "the time at which a schedule starts"
        assert set(seen.gave[f"time.{name}_ns"]) == {start * 1_000_000_000}
    assert set(seen.gave["concurrent.futures.wait"]) == {("a", "b", "c", "d", "e")}
