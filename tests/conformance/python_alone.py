"""Small threaded programs that have but one outcome, whatever the schedule.

Each notes what it sees; run plainly and under control it must see the same.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import (
    ALL_COMPLETED,
    Future,
    InvalidStateError,
    ThreadPoolExecutor,
    as_completed,
    wait,
)
from contextlib import suppress
from typing import Any

Out = list[Any]


def attempt(out: Out, function: Callable[..., Any], *args: Any, **keywords: Any) -> None:
    """Note what ``function`` gives, or what it raises."""
    try:
        out.append(function(*args, **keywords))
    except Exception as error:
        out.append((type(error).__name__, str(error)))


def locks(out: Out) -> None:
    lock = threading.Lock()
    attempt(out, lock.acquire)
    attempt(out, lock.acquire, False)
    attempt(out, lock.acquire, True, 0.01)
    attempt(out, lock.acquire, timeout=0)
    attempt(out, lock.locked)
    attempt(out, lock.release)
    attempt(out, lock.locked)
    attempt(out, lock.release)
    attempt(out, lock.acquire, False, 1)
    attempt(out, lock.acquire, True, -2)
    with lock as entered:
        out.append(entered)


def rlocks(out: Out) -> None:
    lock = threading.RLock()
    with lock, lock:
        attempt(out, lock.acquire)
        attempt(out, lock.acquire, False)
    attempt(out, lock.release)
    attempt(out, lock.release)
    attempt(out, lock.release)

    def other() -> None:
        attempt(out, lock.release)
        attempt(out, lock.acquire, False)
        with suppress(RuntimeError):
            lock.release()

    with lock:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()


def a_lock_released_by_another(out: Out) -> None:
    lock = threading.Lock()
    lock.acquire()
    thread = threading.Thread(target=lambda: attempt(out, lock.release))
    thread.start()
    thread.join()
    attempt(out, lock.acquire, False)


def conditions(out: Out) -> None:
    condition = threading.Condition()
    attempt(out, condition.notify)
    attempt(out, condition.notify_all)
    attempt(out, condition.wait, 0.01)
    with condition:
        attempt(out, condition.notify)
        attempt(out, condition.notify, 3)
        attempt(out, condition.wait, 0.01)
        attempt(out, condition.wait, 0)
        attempt(out, condition.wait_for, lambda: False, 0.01)
        attempt(out, condition.wait_for, lambda: 7)
        attempt(out, condition.wait_for, list, timeout=0)
    attempt(out, condition.acquire, False)
    attempt(out, condition.release)
    attempt(out, condition.release)


def conditions_of_a_lock(out: Out) -> None:
    lock = threading.Lock()
    one, two = threading.Condition(lock), threading.Condition(lock)
    with one:
        attempt(out, two.acquire, False)
        attempt(out, two.wait, 0.01)
        attempt(out, two.notify)
    attempt(out, lock.locked)


def wait_for_wakes(out: Out) -> None:
    condition = threading.Condition()
    items: list[int] = []

    def produce() -> None:
        for item in range(3):
            with condition:
                items.append(item)
                condition.notify_all()

    thread = threading.Thread(target=produce)
    with condition:
        thread.start()
        out.append(condition.wait_for(lambda: len(items) == 3))
        out.append(list(items))
    thread.join()


def wait_in_an_rlock(out: Out) -> None:
    condition = threading.Condition(threading.RLock())

    def wake() -> None:
        with condition:
            condition.notify()

    thread = threading.Thread(target=wake)
    with condition, condition:
        thread.start()
        out.append(condition.wait())
    attempt(out, condition.release)
    thread.join()


def semaphores(out: Out) -> None:
    attempt(out, threading.Semaphore, -1)
    attempt(out, threading.BoundedSemaphore, -1)
    semaphore = threading.Semaphore(2)
    attempt(out, semaphore.acquire)
    attempt(out, semaphore.acquire)
    attempt(out, semaphore.acquire, False)
    attempt(out, semaphore.acquire, True, 0.01)
    attempt(out, semaphore.acquire, False, 1)
    attempt(out, semaphore.release, 3)
    attempt(out, semaphore.release, 0)
    with semaphore as entered:
        out.append(entered)
    bounded = threading.BoundedSemaphore(1)
    attempt(out, bounded.release)
    with bounded:
        attempt(out, bounded.acquire, False)
    attempt(out, bounded.release)
    attempt(out, bounded.acquire)
    attempt(out, bounded.release, 2)


def events(out: Out) -> None:
    event = threading.Event()
    attempt(out, event.is_set)
    attempt(out, event.wait, 0.01)
    attempt(out, event.wait, 0)
    attempt(out, event.set)
    attempt(out, event.set)
    attempt(out, event.is_set)
    attempt(out, event.wait)
    attempt(out, event.clear)
    attempt(out, event.is_set)


def barriers(out: Out) -> None:
    attempt(out, threading.Barrier(1).wait)
    barrier = threading.Barrier(2, action=lambda: out.append("action"), timeout=5)
    seen: Out = []
    thread = threading.Thread(target=lambda: attempt(seen, barrier.wait))
    thread.start()
    attempt(seen, barrier.wait)
    thread.join()
    out.append(sorted(seen))
    out.append((barrier.n_waiting, barrier.parties, barrier.broken))
    attempt(out, barrier.wait, 0.01)
    out.append(barrier.broken)
    attempt(out, barrier.wait)
    attempt(out, barrier.reset)
    attempt(out, barrier.abort)
    attempt(out, barrier.wait)


def queues(out: Out) -> None:
    for kind in (queue.Queue, queue.LifoQueue, queue.PriorityQueue):
        made: queue.Queue[int] = kind(2)
        attempt(out, made.put, 2)
        attempt(out, made.put_nowait, 1)
        attempt(out, made.full)
        attempt(out, made.put_nowait, 3)
        attempt(out, made.put, 3, True, 0.01)
        attempt(out, made.put, 3, True, -1)
        attempt(out, made.qsize)
        attempt(out, made.get)
        attempt(out, made.get_nowait)
        attempt(out, made.empty)
        attempt(out, made.get_nowait)
        attempt(out, made.get, True, 0.01)
        attempt(out, made.get, True, -1)
        attempt(out, made.task_done)
        attempt(out, made.task_done)
        attempt(out, made.task_done)
        attempt(out, made.join)


def queues_with_their_mutex(out: Out) -> None:
    made: queue.Queue[int] = queue.Queue()
    made.put(1)
    with made.mutex:
        out.append(made.mutex.locked())
        made.queue.append(2)
    with made.not_empty:
        attempt(out, made.not_empty.wait, 0.01)
        made.not_empty.notify_all()
    out.append(list(made.queue))


def queues_shut_down(out: Out) -> None:
    """Python 3.13."""
    if not hasattr(queue.Queue, "shutdown"):
        return
    made: queue.Queue[int] = queue.Queue(1)
    seen: Out = []
    getter = threading.Thread(target=attempt, args=(seen, made.get))
    getter.start()
    made.shutdown()
    getter.join()
    attempt(out, made.put, 1)
    attempt(out, made.get_nowait)
    made = queue.Queue(1)
    made.put(1)
    waiting = [
        threading.Thread(target=attempt, args=(seen, made.put, 2)),
        threading.Thread(target=attempt, args=(seen, made.join)),
    ]
    for thread in waiting:
        thread.start()
    made.shutdown(immediate=True)
    for thread in waiting:
        thread.join()
    attempt(out, made.get)
    attempt(out, made.qsize)
    out.append(sorted(map(str, seen)))


def simple_queues(out: Out) -> None:
    made: queue.SimpleQueue[int] = queue.SimpleQueue()
    for item in (3, 1, 2):
        attempt(out, made.put, item)
    attempt(out, made.qsize)
    attempt(out, made.get)
    attempt(out, made.get_nowait)
    attempt(out, made.get, timeout=1)
    attempt(out, made.get, False)
    attempt(out, made.get_nowait)
    attempt(out, made.get, True, 0.01)
    attempt(out, made.empty)


def queues_joined(out: Out) -> None:
    made: queue.Queue[int] = queue.Queue()

    def work() -> None:
        while (item := made.get()) >= 0:
            out.append(item)
            made.task_done()
        made.task_done()

    thread = threading.Thread(target=work)
    thread.start()
    for item in (5, 6, -1):
        made.put(item)
    made.join()
    out.append(made.unfinished_tasks)
    thread.join()


class Counting(threading.Thread):
    """A thread with a ``run`` of its own."""

    def __init__(self, out: Out) -> None:
        super().__init__(name="counting", daemon=False)
        self.out = out

    def run(self) -> None:
        self.out.append((self.name, threading.current_thread() is self, self.is_alive()))


def subclasses(out: Out) -> None:
    thread = Counting(out)
    attempt(out, thread.join)
    attempt(out, thread.is_alive)
    thread.start()
    attempt(out, thread.join)
    attempt(out, thread.is_alive)
    attempt(out, thread.start)
    attempt(out, thread.join, 0)
    attempt(out, thread.join, 1)
    attempt(out, threading.current_thread().join)
    out.append(thread.ident is not None)


def arguments(out: Out) -> None:
    def work(*args: Any, **keywords: Any) -> None:
        out.append((args, keywords))

    thread = threading.Thread(target=work, args=(1, 2), kwargs={"key": 3}, name="named")
    out.append((thread.name, thread.ident))
    thread.start()
    thread.join()
    idle = threading.Thread()
    idle.start()
    idle.join()


def join_times_out(out: Out) -> None:
    event = threading.Event()
    thread = threading.Thread(target=event.wait)
    thread.start()
    attempt(out, thread.join, 0.01)
    attempt(out, thread.is_alive)
    event.set()
    attempt(out, thread.join, 5)
    attempt(out, thread.is_alive)


def locals_of_threads(out: Out) -> None:
    here = threading.local()
    here.value = "main"

    def work() -> None:
        out.append(hasattr(here, "value"))
        here.value = "thread"
        out.append(here.value)

    for _ in range(2):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    out.append(here.value)


def timers(out: Out) -> None:
    fired = threading.Timer(0.01, out.append, ("fired",))
    fired.start()
    fired.join()
    cancelled = threading.Timer(30, out.append, ("never",))
    cancelled.start()
    cancelled.cancel()
    cancelled.join()
    out.append((fired.finished.is_set(), cancelled.is_alive()))


def executors(out: Out) -> None:
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(pow, 2, n) for n in range(5)]
        out.append([future.result() for future in futures])
        out.append(list(pool.map(abs, [-1, -2, 3])))
        attempt(out, pool.submit(int, "x").result)
        out.append(str(pool.submit(int, "x").exception()))
        out.append(sorted(future.result() for future in as_completed(futures)))
        done, left = wait(futures, return_when=ALL_COMPLETED)
        out.append((len(done), len(left)))
    attempt(out, pool.submit, abs, 1)


def futures(out: Out) -> None:
    event = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(event.wait)
        queued = pool.submit(abs, -1)
        attempt(out, running.result, 0.01)
        attempt(out, queued.exception, timeout=0.01)
        attempt(out, queued.cancel)
        attempt(out, queued.cancelled)
        attempt(out, queued.result)
        called: Out = []
        running.add_done_callback(lambda future: called.append(future.result()))
        event.set()
        attempt(out, running.result)
    out.append((running.done(), running.cancel(), called))
    alone: Future[int] = Future()
    alone.set_result(4)
    attempt(out, alone.result)
    try:
        alone.set_result(5)
    except InvalidStateError:
        out.append("has a result")


def executors_shut_down(out: Out) -> None:
    begun, event = threading.Event(), threading.Event()

    def work() -> bool:
        begun.set()
        return event.wait(5)

    pool = ThreadPoolExecutor(1)
    running = pool.submit(work)
    begun.wait()
    queued = [pool.submit(abs, -1) for _ in range(2)]
    pool.shutdown(wait=False, cancel_futures=True)
    out.append([future.cancelled() for future in queued])
    event.set()
    pool.shutdown()
    attempt(out, running.result)
    started: Out = []
    with ThreadPoolExecutor(1, initializer=started.append, initargs=(1,)) as pool:
        attempt(out, pool.submit(len, started).result)


def clocks(out: Out) -> None:
    begun = time.monotonic(), time.perf_counter(), time.time(), time.monotonic_ns()
    time.sleep(0.02)
    spent = [
        time.monotonic() - begun[0], time.perf_counter() - begun[1], time.time() - begun[2],
        (time.monotonic_ns() - begun[3]) / 1e9,
    ]  # fmt: skip
    out.append([0.019 <= one < 2 for one in spent])
    attempt(out, time.sleep, -1)
    attempt(out, time.sleep, 0)


def daemons(out: Out) -> None:
    forever = threading.Event()
    thread = threading.Thread(target=forever.wait, daemon=True)
    thread.start()
    out.append((thread.daemon, thread.is_alive()))
    attempt(out, setattr, thread, "daemon", False)
    forever.set()
    thread.join()


ALONE: list[Callable[[Out], None]] = [
    locks, rlocks, a_lock_released_by_another, conditions, conditions_of_a_lock, wait_for_wakes,
    wait_in_an_rlock, semaphores, events, barriers, queues, queues_with_their_mutex,
    queues_shut_down, simple_queues, queues_joined,
    subclasses, arguments, join_times_out, locals_of_threads, timers, executors, futures,
    executors_shut_down, clocks, daemons,
]  # fmt: skip
