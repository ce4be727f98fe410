"""Small programs on asyncio, trio and anyio, each with its known truth.

A *wrong* program has a schedule, of those that its loop can make, in which a task or a worker
raises, an exception is lost, nobody can go on, or the check fails; a *right* one has none. Why
stands beside each. ``where``: the backend that runs the workers; of ``threading`` each starts loops
of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import queue
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

State = Any
Work = Callable[[State], Any]


@dataclass(frozen=True)
class LoopCase:
    name: str
    where: str
    wrong: bool
    why: str
    setup: Callable[[], State]
    workers: list[Work]
    check: Callable[[State], Any] | None


CASES: list[LoopCase] = []
WRONG, RIGHT = True, False
Build = Callable[[], Any]


def case(where: str, wrong: bool, why: str) -> Callable[[Build], Build]:
    def add(build: Build) -> Build:
        setup, workers, check = build()
        CASES.append(LoopCase(build.__name__, where, wrong, why, setup, workers, check))
        return build

    return add


def values(**given: Any) -> Callable[[], State]:
    """A state with these, made anew where a class or function is given."""
    return lambda: SimpleNamespace(
        **{name: each() if callable(each) else each for name, each in given.items()}
    )


def equal(expected: Any) -> Callable[[State], None]:
    def check(s: State) -> None:
        assert s.n == expected, s.n

    return check


async def turn() -> None:
    await asyncio.sleep(0)


# --- accesses over an await ------------------------------------------------------------------
@case("asyncio", WRONG, "the other task writes between the read and the write")
def lost_update() -> Any:
    async def add(s: State) -> None:
        n = s.n
        await turn()
        s.n = n + 1

    return values(n=0), [add, add], equal(2)


@case("asyncio", RIGHT, "nothing comes between the read and the write of one step")
def update_in_one_step() -> Any:
    async def add(s: State) -> None:
        await turn()
        n = s.n
        s.n = n + 1
        await turn()

    return values(n=0), [add, add], equal(2)


@case("asyncio", WRONG, "the right side is read before the await that is in it")
def augmented_over_an_await() -> Any:
    async def one() -> int:
        await turn()
        return 1

    async def add(s: State) -> None:
        s.n += await one()

    return values(n=0), [add, add], equal(2)


@case("asyncio", RIGHT, "the await comes first, then read and write are one step")
def augmented_after_the_await() -> Any:
    async def one() -> int:
        await turn()
        return 1

    async def add(s: State) -> None:
        more = await one()
        s.n += more

    return values(n=0), [add, add], equal(2)


@case("asyncio", WRONG, "both see that nothing is cached, and both make it")
def check_then_act() -> Any:
    async def get(s: State) -> None:
        if s.cache is None:
            await turn()
            s.n += 1
            s.cache = object()

    return values(n=0, cache=None), [get, get], equal(1)


@case("asyncio", RIGHT, "the future is stored in the step in which it is missed")
def check_then_store_a_future() -> Any:
    async def get(s: State) -> None:
        if s.cache is None:
            s.cache = asyncio.get_running_loop().create_future()
            await turn()
            s.n += 1
            s.cache.set_result(1)
        await s.cache

    return values(n=0, cache=None), [get, get], equal(1)


@case("asyncio", WRONG, "an await inside of the loop: the dictionary changes while it is iterated")
def iterate_over_awaits() -> Any:
    async def each(s: State) -> None:
        for _ in s.items:
            await turn()

    async def add(s: State) -> None:
        await turn()
        s.items[3] = 1

    return values(items=lambda: {1: 1, 2: 2}), [each, add], None


@case("asyncio", RIGHT, "a copy is iterated")
def iterate_over_a_copy() -> Any:
    async def each(s: State) -> None:
        for _ in list(s.items):
            await turn()

    async def add(s: State) -> None:
        await turn()
        s.items[3] = 1

    return values(items=lambda: {1: 1, 2: 2}), [each, add], None


# --- locks, semaphores, conditions, events ---------------------------------------------------
@case("asyncio", RIGHT, "the lock is held over the await")
def update_with_a_lock() -> Any:
    async def add(s: State) -> None:
        async with s.lock:
            n = s.n
            await turn()
            s.n = n + 1

    return values(n=0, lock=asyncio.Lock), [add, add], equal(2)


@case("asyncio", WRONG, "each has a lock of its own")
def update_with_two_locks() -> Any:
    async def add(s: State) -> None:
        async with asyncio.Lock():
            n = s.n
            await turn()
            s.n = n + 1

    return values(n=0), [add, add], equal(2)


@case("asyncio", WRONG, "the locks are taken in two orders")
def two_locks_in_two_orders() -> Any:
    def take(first: str, second: str) -> Work:
        async def work(s: State) -> None:
            async with getattr(s, first):
                await turn()
                async with getattr(s, second):
                    pass

        return work

    return values(a=asyncio.Lock, b=asyncio.Lock), [take("a", "b"), take("b", "a")], None


@case("asyncio", RIGHT, "the locks are taken in one order")
def two_locks_in_one_order() -> Any:
    async def work(s: State) -> None:
        async with s.a:
            await turn()
            async with s.b:
                pass

    return values(a=asyncio.Lock, b=asyncio.Lock), [work, work], None


@case("asyncio", WRONG, "release by the one that has not got it: the other is inside still")
def lock_released_by_the_wrong_one() -> Any:
    async def inside(s: State) -> None:
        async with s.lock:
            s.n += 1
            await turn()
            assert s.n == 1
            s.n -= 1

    async def releases(s: State) -> None:
        await turn()
        if s.lock.locked():
            s.lock.release()

    return values(n=0, lock=asyncio.Lock), [inside, inside, releases], None


@case("asyncio", WRONG, "the semaphore lets two in")
def semaphore_of_two() -> Any:
    async def add(s: State) -> None:
        async with s.gate:
            n = s.n
            await turn()
            s.n = n + 1

    return values(n=0, gate=lambda: asyncio.Semaphore(2)), [add, add], equal(2)


@case("asyncio", RIGHT, "the semaphore lets one in")
def semaphore_of_one() -> Any:
    async def add(s: State) -> None:
        async with s.gate:
            n = s.n
            await turn()
            s.n = n + 1

    return values(n=0, gate=lambda: asyncio.Semaphore(1)), [add, add], equal(2)


@case("asyncio", WRONG, "an exception between acquire and release: the permit is gone")
def permit_lost_by_an_exception() -> Any:
    async def use(s: State) -> None:
        await s.gate.acquire()
        await turn()
        if s.n:
            s.n = 0
            return
        s.n = 1
        s.gate.release()

    async def last(s: State) -> None:
        async with s.gate:
            pass

    return values(n=0, gate=lambda: asyncio.Semaphore(1)), [use, use, last], None


@case("asyncio", WRONG, "the notification comes before anybody waits")
def notified_too_early() -> Any:
    async def wait(s: State) -> None:
        async with s.condition:
            await s.condition.wait()

    async def notify(s: State) -> None:
        async with s.condition:
            s.condition.notify()

    return values(condition=asyncio.Condition), [wait, notify], None


@case("asyncio", RIGHT, "the predicate is looked at under the lock")
def notified_with_a_predicate() -> Any:
    async def wait(s: State) -> None:
        async with s.condition:
            await s.condition.wait_for(lambda: s.n)

    async def notify(s: State) -> None:
        async with s.condition:
            s.n = 1
            s.condition.notify()

    return values(n=0, condition=asyncio.Condition), [wait, notify], None


@case("asyncio", WRONG, "two wait for one item, and `if` is not `while`")
def condition_with_if() -> Any:
    async def take(s: State) -> None:
        async with s.condition:
            if not s.items:
                await s.condition.wait()
            s.items.pop()

    async def put(s: State) -> None:
        async with s.condition:
            s.items.append(1)
            s.condition.notify_all()
        await turn()
        async with s.condition:
            s.items.append(1)
            s.condition.notify_all()

    return values(items=list, condition=asyncio.Condition), [take, take, put], None


@case("asyncio", RIGHT, "`while` looks again")
def condition_with_while() -> Any:
    async def take(s: State) -> None:
        async with s.condition:
            while not s.items:
                await s.condition.wait()
            s.items.pop()

    async def put(s: State) -> None:
        async with s.condition:
            s.items.append(1)
            s.condition.notify_all()
        await turn()
        async with s.condition:
            s.items.append(1)
            s.condition.notify_all()

    return values(items=list, condition=asyncio.Condition), [take, take, put], None


@case("asyncio", WRONG, "what is set is cleared before the waiter looks at the reason")
def event_cleared_too_early() -> Any:
    async def wait(s: State) -> None:
        await s.event.wait()
        assert s.n == 1

    async def pulse(s: State) -> None:
        s.n = 1
        s.event.set()
        await turn()
        s.n = 0
        s.event.clear()

    return values(n=0, event=asyncio.Event), [wait, pulse], None


@case("asyncio", RIGHT, "the event is set once, after what it announces")
def event_set_once() -> Any:
    async def wait(s: State) -> None:
        await s.event.wait()
        assert s.n == 1

    async def tell(s: State) -> None:
        await turn()
        s.n = 1
        s.event.set()

    return values(n=0, event=asyncio.Event), [wait, wait, tell], None


# --- cancellation and timeouts ---------------------------------------------------------------
@case("asyncio", WRONG, "the task is cancelled between the take and the put back")
def permit_lost_by_a_cancellation() -> Any:
    async def use(s: State) -> None:
        s.n -= 1
        await turn()
        s.n += 1

    async def main(s: State) -> None:
        task = asyncio.create_task(use(s))
        await turn()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    return values(n=1), [main], equal(1)


@case("asyncio", RIGHT, "a finally puts it back")
def permit_kept_by_a_finally() -> Any:
    async def use(s: State) -> None:
        s.n -= 1
        try:
            await turn()
        finally:
            s.n += 1

    async def main(s: State) -> None:
        task = asyncio.create_task(use(s))
        await turn()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    return values(n=1), [main], equal(1)


@case("asyncio", WRONG, "the item has left the queue when the timeout ends what was to handle it")
def item_lost_by_a_timeout() -> Any:
    async def handle(s: State) -> None:
        await s.queue.get()
        await asyncio.sleep(1)
        s.n += 1

    async def main(s: State) -> None:
        s.queue.put_nowait(1)
        try:
            await asyncio.wait_for(handle(s), 1)
        except TimeoutError:
            s.n += s.queue.qsize()

    return values(n=0, queue=asyncio.Queue), [main], equal(1)


@case("asyncio", RIGHT, "the timeout ends the waiting alone")
def timeout_around_the_waiting_alone() -> Any:
    async def main(s: State) -> None:
        s.queue.put_nowait(1)
        try:
            await asyncio.wait_for(s.queue.get(), 1)
        except TimeoutError:
            s.n += s.queue.qsize()
        else:
            await asyncio.sleep(1)
            s.n += 1

    return values(n=0, queue=asyncio.Queue), [main], equal(1)


@case("asyncio", WRONG, "what is shielded goes on after its caller was cancelled, and writes late")
def shielded_task_writes_late() -> Any:
    async def write(s: State) -> None:
        await asyncio.sleep(2)
        s.n = 1

    async def main(s: State) -> None:
        try:
            async with asyncio.timeout(1):
                await asyncio.shield(write(s))
        except TimeoutError:
            s.n = 2
        await asyncio.sleep(3)

    return values(n=0), [main], equal(2)


@case("asyncio", RIGHT, "the shielded task is awaited before its caller goes on")
def shielded_task_is_awaited() -> Any:
    async def write(s: State) -> None:
        await asyncio.sleep(2)
        s.n = 1

    async def main(s: State) -> None:
        task = asyncio.create_task(write(s))
        try:
            async with asyncio.timeout(1):
                await asyncio.shield(task)
        except TimeoutError:
            await task
            s.n = 2

    return values(n=0), [main], equal(2)


@case("asyncio", WRONG, "a bare except takes the cancellation, and the loop goes on for ever")
def cancellation_swallowed() -> Any:
    async def serve(s: State) -> None:
        while True:
            try:
                await s.event.wait()
            except BaseException:
                continue

    async def main(s: State) -> None:
        task = asyncio.create_task(serve(s))
        await turn()
        task.cancel()
        await task

    return values(event=asyncio.Event), [main], None


@case("asyncio", RIGHT, "the cancellation is handed on")
def cancellation_handed_on() -> Any:
    async def serve(s: State) -> None:
        while True:
            try:
                await s.event.wait()
            except ValueError:
                continue

    async def main(s: State) -> None:
        task = asyncio.create_task(serve(s))
        await turn()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    return values(event=asyncio.Event), [main], None


# --- tasks and their errors ------------------------------------------------------------------
async def fails() -> None:
    await turn()
    raise ValueError("lost")


@case("asyncio", WRONG, "nobody asks how the task ended")
def exception_never_retrieved() -> Any:
    async def main(s: State) -> None:
        s.task = asyncio.create_task(fails())
        await asyncio.sleep(1)

    return values(task=None), [main], None


@case("asyncio", RIGHT, "the error is asked for and handled")
def exception_retrieved() -> Any:
    async def main(s: State) -> None:
        task = asyncio.create_task(fails())
        await asyncio.wait([task])
        assert isinstance(task.exception(), ValueError)

    return values(), [main], None


@case("asyncio", WRONG, "a callback raises, which nobody can catch")
def callback_raises() -> Any:
    def done(task: Any) -> None:
        raise KeyError("in a callback")

    async def main(s: State) -> None:
        task = asyncio.create_task(turn())
        task.add_done_callback(done)
        await task
        await turn()

    return values(), [main], None


@case("asyncio", RIGHT, "the callback counts, in the order of their coming")
def callback_counts() -> Any:
    async def main(s: State) -> None:
        tasks = [asyncio.create_task(turn()) for _ in range(2)]
        for task in tasks:
            task.add_done_callback(lambda _: setattr(s, "n", s.n + 1))
        await asyncio.gather(*tasks)
        await turn()

    return values(n=0), [main], equal(2)


@case("asyncio", WRONG, "the first error ends the gathering, the other task goes on and writes")
def gather_leaves_the_others() -> Any:
    async def write(s: State) -> None:
        await asyncio.sleep(1)
        s.n += 1

    async def main(s: State) -> None:
        with contextlib.suppress(ValueError):
            await asyncio.gather(fails(), write(s))
        before = s.n
        await asyncio.sleep(2)
        assert s.n == before

    return values(n=0), [main], None


@case("asyncio", RIGHT, "with return_exceptions all have ended")
def gather_that_waits_for_all() -> Any:
    async def write(s: State) -> None:
        await asyncio.sleep(1)
        s.n += 1

    async def main(s: State) -> None:
        error, _ = await asyncio.gather(fails(), write(s), return_exceptions=True)
        assert isinstance(error, ValueError)

    return values(n=0), [main], equal(1)


@case("asyncio", WRONG, "with return_exceptions the error is a result that nobody looks at")
def gather_hides_the_error() -> Any:
    async def step(s: State) -> None:
        n = s.n
        await turn()
        assert s.n == n
        s.n = n + 1

    async def main(s: State) -> None:
        await asyncio.gather(step(s), step(s), return_exceptions=True)

    return values(n=0), [main], equal(2)


@case(
    "asyncio", RIGHT, "gather starts its tasks in order, and these have no await before the write"
)
def gather_starts_in_order() -> Any:
    async def opens(s: State) -> None:
        s.n = 1

    async def uses(s: State) -> None:
        assert s.n == 1

    async def main(s: State) -> None:
        await asyncio.gather(opens(s), uses(s))

    return values(n=0), [main], None


@case("asyncio", WRONG, "results come as they are done, not as they were given")
def as_completed_out_of_order() -> Any:
    async def value(n: int) -> int:
        await turn()
        return n

    async def main(s: State) -> None:
        found = [await each for each in asyncio.as_completed([value(1), value(2)])]
        assert found == [1, 2]

    return values(), [main], None


@case("asyncio", RIGHT, "the order does not matter")
def as_completed_summed() -> Any:
    async def value(n: int) -> int:
        await turn()
        return n

    async def main(s: State) -> None:
        for each in asyncio.as_completed([value(1), value(2)]):
            s.n += await each

    return values(n=0), [main], equal(3)


@case("asyncio", RIGHT, "a group waits for all its tasks")
def task_group_waits() -> Any:
    async def add(s: State) -> None:
        await turn()
        s.n += 1

    async def main(s: State) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(add(s))
        assert s.n == 3

    return values(n=0), [main], None


@case("asyncio", WRONG, "the group cancels the task that has not written yet")
def task_group_cancels_the_others() -> Any:
    async def add(s: State) -> None:
        await turn()
        s.n += 1

    async def main(s: State) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fails())
                group.create_task(add(s))
        except* ValueError:
            pass

    return values(n=0), [main], equal(1)


@case("asyncio", RIGHT, "what is in the background comes to rest before the check looks")
def background_task_returns_it() -> Any:
    async def put_back(s: State) -> None:
        await turn()
        await turn()
        s.n += 1

    async def use(s: State) -> None:
        s.n -= 1
        await turn()
        s.kept.append(asyncio.create_task(put_back(s)))

    return values(n=2, kept=list), [use, use], equal(2)


@case("asyncio", WRONG, "what is in the background forgets it in one order")
def background_task_forgets_it() -> Any:
    async def put_back(s: State) -> None:
        n = s.n
        await turn()
        s.n = n + 1

    async def use(s: State) -> None:
        s.n -= 1
        await turn()
        s.kept.append(asyncio.create_task(put_back(s)))

    return values(n=2, kept=list), [use, use], equal(2)


# --- queues ----------------------------------------------------------------------------------
@case("asyncio", WRONG, "task_done is called before the work is done, so that join returns early")
def task_done_too_early() -> Any:
    async def consume(s: State) -> None:
        await s.queue.get()
        s.queue.task_done()
        await turn()
        s.n += 1

    async def produce(s: State) -> None:
        await s.queue.put(1)
        await s.queue.join()
        assert s.n == 1

    return values(n=0, queue=asyncio.Queue), [consume, produce], None


@case("asyncio", RIGHT, "task_done after the work")
def task_done_after_the_work() -> Any:
    async def consume(s: State) -> None:
        await s.queue.get()
        await turn()
        s.n += 1
        s.queue.task_done()

    async def produce(s: State) -> None:
        await s.queue.put(1)
        await s.queue.join()
        assert s.n == 1

    return values(n=0, queue=asyncio.Queue), [consume, produce], None


@case("asyncio", WRONG, "one end mark for two consumers: the second waits for ever")
def one_end_mark_for_two() -> Any:
    async def consume(s: State) -> None:
        while await s.queue.get() is not None:
            pass

    async def produce(s: State) -> None:
        for each in (1, 2, None):
            await s.queue.put(each)

    return values(queue=asyncio.Queue), [consume, consume, produce], None


@case("asyncio", RIGHT, "an end mark for each consumer")
def an_end_mark_for_each() -> Any:
    async def consume(s: State) -> None:
        while await s.queue.get() is not None:
            s.n += 1

    async def produce(s: State) -> None:
        for each in (1, 2, None, None):
            await s.queue.put(each)

    return values(n=0, queue=lambda: asyncio.Queue(1)), [consume, consume, produce], equal(2)


@case("asyncio", WRONG, "empty() is looked at, and another takes the item before get_nowait")
def empty_then_get_nowait() -> Any:
    async def take(s: State) -> None:
        if not s.queue.empty():
            await turn()
            s.queue.get_nowait()

    def setup() -> State:
        s = SimpleNamespace(queue=asyncio.Queue())
        s.queue.put_nowait(1)
        return s

    return setup, [take, take], None


# --- generators and contexts -----------------------------------------------------------------
@case("asyncio", WRONG, "one generator for two tasks: it is running already")
def generator_of_two_tasks() -> Any:
    async def numbers() -> AsyncIterator[int]:
        for n in range(3):
            await turn()
            yield n

    async def read(s: State) -> None:
        async for _ in s.numbers:
            pass

    return values(numbers=numbers), [read, read], None


@case("asyncio", RIGHT, "each task has a generator of its own")
def generator_of_each_task() -> Any:
    async def numbers(s: State) -> AsyncIterator[int]:
        for n in range(2):
            await turn()
            yield n

    async def read(s: State) -> None:
        async for n in numbers(s):
            s.n += n

    return values(n=0), [read, read], equal(2)


@case("asyncio", WRONG, "a global instead of a context variable")
def global_for_a_request() -> Any:
    async def handle(s: State) -> None:
        mine = object()
        s.current = mine
        await turn()
        assert s.current is mine

    return values(current=None), [handle, handle], None


_current: contextvars.ContextVar[Any] = contextvars.ContextVar("_current")


@case("asyncio", RIGHT, "each task has a context of its own")
def context_variable_for_a_request() -> Any:
    async def handle(s: State) -> None:
        mine = object()
        _current.set(mine)
        await turn()
        assert _current.get() is mine

    return values(), [handle, handle], None


# --- threads beside a loop -------------------------------------------------------------------
@case("asyncio", WRONG, "the thread comes between the read and the write of one step of the loop")
def thread_against_a_step() -> Any:
    def in_a_thread(s: State) -> None:
        s.n += 1

    async def main(s: State) -> None:
        task = asyncio.create_task(asyncio.to_thread(in_a_thread, s))
        await turn()
        n = s.n
        s.n = n + 1
        await task

    return values(n=0), [main], equal(2)


@case("asyncio", RIGHT, "the thread gives its result to the loop, which adds it")
def thread_gives_its_result() -> Any:
    async def main(s: State) -> None:
        task = asyncio.create_task(asyncio.to_thread(lambda: 1))
        await turn()
        s.n += 1
        more = await task
        s.n += more

    return values(n=0), [main], equal(2)


@case("asyncio", WRONG, "a loop's event is set by a thread, which wakes no loop")
def thread_sets_an_event() -> Any:
    async def main(s: State) -> None:
        event = asyncio.Event()
        threading.Thread(target=event.set).start()
        await event.wait()

    return values(), [main], None


@case("asyncio", RIGHT, "the thread sends it to the loop")
def thread_sends_to_the_loop() -> Any:
    async def main(s: State) -> None:
        event, loop = asyncio.Event(), asyncio.get_running_loop()
        task = loop.run_in_executor(None, lambda: loop.call_soon_threadsafe(event.set))
        await event.wait()
        await task

    return values(), [main], None


# --- loops of their own ----------------------------------------------------------------------
def run(main: Work) -> Work:
    return lambda s: asyncio.run(main(s))


@case("threading", WRONG, "an asyncio lock is no lock between threads: each loop is alone with it")
def loops_of_two_threads() -> Any:
    async def add(s: State) -> None:
        async with asyncio.Lock():
            n = s.n
            await turn()
            s.n = n + 1

    return values(n=0), [run(add), run(add)], equal(2)


@case("threading", RIGHT, "a lock of threads, which is never held over an await")
def loops_of_two_threads_with_a_lock() -> Any:
    async def add(s: State) -> None:
        await turn()
        with s.lock:
            s.n += 1
        await turn()

    return values(n=0, lock=threading.Lock), [run(add), run(add)], equal(2)


@case("threading", WRONG, "a lock of threads over an await: the loop waits for its own task")
def thread_lock_over_an_await() -> Any:
    async def add(s: State) -> None:
        with s.lock:
            await turn()

    async def main(s: State) -> None:
        await asyncio.gather(add(s), add(s))

    return values(lock=threading.Lock), [run(main)], None


@case("threading", WRONG, "the result is read before the loop, in its thread, has written it")
def loop_in_a_thread_not_joined() -> Any:
    async def write(s: State) -> None:
        await turn()
        s.n = 1

    def worker(s: State) -> None:
        thread = threading.Thread(target=lambda: asyncio.run(write(s)))
        thread.start()
        assert s.n == 1

    return values(n=0), [worker], None


@case("threading", RIGHT, "the thread of the loop is joined first")
def loop_in_a_thread_joined() -> Any:
    async def write(s: State) -> None:
        await turn()
        s.n = 1

    def worker(s: State) -> None:
        thread = threading.Thread(target=lambda: asyncio.run(write(s)))
        thread.start()
        thread.join()
        assert s.n == 1

    return values(n=0), [worker], None


class Background(SimpleNamespace):
    def __init__(self) -> None:
        super().__init__(n=0, loop=asyncio.new_event_loop())
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def send(self, coro: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coro, self.loop)


@case("threading", WRONG, "two coroutines on the loop in the background lose an update")
def background_loop_loses_an_update() -> Any:
    async def add(s: State) -> None:
        n = s.n
        await turn()
        s.n = n + 1

    return Background, [lambda s: s.send(add(s)).result()] * 2, equal(2)


@case("threading", RIGHT, "on one loop a step is alone, whoever sends it")
def background_loop_adds() -> Any:
    async def add(s: State) -> None:
        await turn()
        s.n += 1

    return Background, [lambda s: s.send(add(s)).result()] * 2, equal(2)


@case("threading", WRONG, "a thread writes what the loop writes too")
def background_loop_against_a_thread() -> Any:
    async def add(s: State) -> None:
        s.n += 1

    def worker(s: State) -> None:
        s.n += 1

    return Background, [lambda s: s.send(add(s)).result(), worker], equal(2)


@case("threading", WRONG, "result() on the loop that is to give it: it waits for itself")
def result_on_its_own_loop() -> Any:
    async def inner(s: State) -> None:
        s.n = 1

    async def outer(s: State) -> None:
        s.send(inner(s)).result()

    return Background, [lambda s: s.send(outer(s)).result()], None


@case("threading", WRONG, "the future is set from a thread, which does not wake the loop")
def future_set_from_a_thread() -> Any:
    async def main(s: State) -> None:
        future = asyncio.get_running_loop().create_future()
        s.queue.put(future)
        await future

    def sets(s: State) -> None:
        s.queue.get().set_result(1)

    return values(queue=queue.Queue), [run(main), sets], None


@case("threading", RIGHT, "the result is sent to the loop of the future")
def future_set_through_its_loop() -> Any:
    async def main(s: State) -> None:
        future = asyncio.get_running_loop().create_future()
        s.queue.put(future)
        s.n = await future

    def sets(s: State) -> None:
        future = s.queue.get()
        future.get_loop().call_soon_threadsafe(future.set_result, 1)

    return values(n=0, queue=queue.Queue), [run(main), sets], equal(1)


@case("asyncio", WRONG, "a future is set by a thread, which wakes no loop")
def thread_sets_a_future() -> Any:
    async def main(s: State) -> None:
        future = asyncio.get_running_loop().create_future()
        threading.Thread(target=future.set_result, args=(1,)).start()
        await future

    return values(), [main], None


@case("asyncio", WRONG, "a task is cancelled by a thread, which wakes no loop")
def thread_cancels_a_task() -> Any:
    async def main(s: State) -> None:
        task = asyncio.create_task(asyncio.Event().wait())
        threading.Thread(target=task.cancel).start()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    return values(), [main], None
