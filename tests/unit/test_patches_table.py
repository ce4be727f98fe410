"""The table of patches against reality: what it says is controlled or seen is so, and is undone."""

from __future__ import annotations

import queue
import threading
import time
from _thread import RLock as ImportedRLock
from collections.abc import Callable
from typing import Any

import pytest

import tracelock
from tracelock.instrument.clock import START
from tracelock.instrument.patches import CONTROLLED, MISSING, NOT_CONTROLLED, SEEN, table

TABLE = table()


def lock() -> None:
    with threading.Lock():
        pass


def started() -> threading.Thread:
    thread = threading.Thread(target=lock)
    thread.start()
    return thread


def condition(use: Callable[[threading.Condition], Any]) -> None:
    one = threading.Condition()
    with one:
        use(one)


def timed(thing: Any, method: str, *arguments: Any) -> None:
    getattr(thing, method)(*arguments)


def semaphore(kind: Any = None) -> None:
    one = (kind or threading.Semaphore)(1)
    one.acquire()
    one.release()


def entered() -> None:
    with threading.Semaphore(1):
        pass


def event(method: str, *arguments: Any) -> Callable[[], None]:
    return lambda: timed(threading.Event(), method, *arguments)


def queued(kind: str, *calls: tuple[Any, ...]) -> Callable[[], None]:
    def use() -> None:
        one = getattr(queue, kind)()
        for method, *arguments in calls:
            getattr(one, method)(*arguments)

    return use


def clock(name: str) -> Callable[[], Any]:
    """A look at a clock, found when it is called, which is when it is patched."""
    return lambda: getattr(time, name)()


def joined() -> None:
    started().join()


#: A use of each row for what is of ``threading``, ``queue`` and ``time``.
USES: dict[str, Callable[[], Any]] = {
    "threading.Thread.__init__": joined,
    "threading.Thread.start": started,
    "threading.Thread.join": joined,
    "threading.Thread.is_alive": lambda: started().is_alive(),
    "threading.Condition.__init__": lambda: condition(lambda one: None),
    "threading.Condition.__enter__": lambda: condition(lambda one: None),
    "threading.Condition.__exit__": lambda: condition(lambda one: None),
    "threading.Condition.wait": lambda: condition(lambda one: one.wait(1.0)),
    "threading.Condition.notify": lambda: condition(lambda one: one.notify()),
    "threading.Condition.notify_all": lambda: condition(lambda one: one.notify_all()),
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
    "queue.Queue.__init__": queued("Queue", ("put", 1)),
    "queue.Queue.put": queued("Queue", ("put", 1)),
    "queue.Queue.get": queued("Queue", ("put", 1), ("get",)),
    "queue.Queue.qsize": queued("Queue", ("qsize",)),
    "queue.Queue.empty": queued("Queue", ("empty",)),
    "queue.Queue.full": queued("Queue", ("full",)),
    "queue.Queue.task_done": queued("Queue", ("put", 1), ("get",), ("task_done",)),
    "queue.Queue.join": queued("Queue", ("join",)),
    **(
        {"queue.Queue.shutdown": queued("Queue", ("shutdown",))}
        if hasattr(queue.Queue, "shutdown")
        else {}
    ),
    "queue.SimpleQueue": queued("SimpleQueue", ("put", 1)),
    "queue.SimpleQueue.put": queued("SimpleQueue", ("put", 1)),
    "queue.SimpleQueue.get": queued("SimpleQueue", ("put", 1), ("get",)),
    "queue.SimpleQueue.qsize": queued("SimpleQueue", ("qsize",)),
    "queue.SimpleQueue.empty": queued("SimpleQueue", ("empty",)),
    "threading.Lock": lock,
    "threading.RLock": lambda: threading.RLock().acquire(),
    "_thread.RLock": lambda: ImportedRLock().acquire(),
    "time.sleep": lambda: time.sleep(3600),
    **{f"time.{name}": clock(name) for name in START},
    **{f"time.{name}_ns": clock(f"{name}_ns") for name in START},
}
OWNERS = {name.partition(".")[0] for name in USES}


def test_there_is_a_use_for_each_row() -> None:
    rows = {
        patch.name
        for patch in TABLE
        # the order of threads in sets is tested with the programs that keep them there
        if patch.name.partition(".")[0] in OWNERS and patch.what is not MISSING
    }
    assert rows == USES.keys()
    assert {patch.how for patch in TABLE} <= {CONTROLLED, SEEN, NOT_CONTROLLED}


@pytest.fixture(scope="module")
def explored() -> tuple[tracelock.Explored, dict[str, list[Any]]]:
    """One exploration in which each use is a worker, and what each got in every schedule."""
    got: dict[str, list[Any]] = {name: [] for name in USES}

    def worker(name: str, use: Callable[[], Any]) -> Callable[[], None]:
        def work() -> None:
            got[name].append(use())

        work.__name__ = name.replace(".", "_")
        return work

    def fails() -> None:
        threading.Event().wait(10_000.0)
        raise RuntimeError("the last one, so that there is a trace")

    workers = [worker(name, use) for name, use in USES.items()]
    found = tracelock.explore(workers=[*workers, fails], instrument=[], schedules=2, shrink=False)
    return found, got


def test_the_uses_do_the_same_again(
    explored: tuple[tracelock.Explored, dict[str, list[Any]]],
) -> None:
    found, _ = explored
    assert found.trace is not None and found.trace.verdict.message.startswith("RuntimeError: the l")
    assert found.confirmed == {"threading": "3/3"}, found.notes


@pytest.mark.parametrize("name", sorted(USES))
def test_a_row_says_what_is_so(
    explored: tuple[tracelock.Explored, dict[str, list[Any]]], name: str
) -> None:
    (how,) = {patch.how for patch in TABLE if patch.name == name}
    found, got = explored
    trace = found.trace
    assert trace is not None
    worker = trace.workers.index(name.replace(".", "_"))
    events = [event for event in trace.events if event.worker == worker]
    if how == CONTROLLED:
        assert events, "a scheduling point"
        return
    assert how == SEEN and not events, "no scheduling point"
    short = name.rpartition(".")[2]
    start = START[short.removesuffix("_ns")] * (1_000_000_000 if short.endswith("_ns") else 1)
    assert set(got[name]) == {start}, "answered from the schedule, at whose start this is the time"


def seen_in(patch: Any) -> Any:
    if patch.owner is not None:
        return patch.owner.__dict__.get(patch.attribute)
    module = __import__(patch.name.rpartition(".")[0])
    return getattr(module, patch.attribute)


def test_every_patch_is_there_while_code_is_under_control_and_gone_afterwards() -> None:
    """``_thread`` keeps its names: it is how threads come to be."""
    before = [seen_in(patch) for patch in TABLE]
    during: list[list[Any]] = []
    tracelock.explore(
        workers=[lambda: during.append([seen_in(patch) for patch in TABLE])], instrument=[],
        schedules=1,
    )  # fmt: skip
    after = [seen_in(patch) for patch in TABLE]
    assert all(a is b for a, b in zip(before, after, strict=True))
    for patch, found in zip(TABLE, during[0], strict=True):
        if not patch.name.startswith("_thread."):
            assert found is not patch.what, patch.name
