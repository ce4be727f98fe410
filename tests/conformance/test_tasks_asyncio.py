"""Coroutine functions on asyncio: what is found, what is told, and what is left alone."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import os
import random
import select
import signal
import threading
import warnings
import weakref
from typing import Any

import pytest

import tracelock
from tracelock.engine.limits import RunLimits
from tracelock.instrument.patches import table

HERE = __name__


class State:
    def __init__(self) -> None:
        self.n = 0
        self.log: list[Any] = []
        self.lock = asyncio.Lock()
        self.other = asyncio.Lock()
        self.queue: asyncio.Queue[int] = asyncio.Queue()
        self.event = asyncio.Event()


async def update(s: State) -> None:
    n = s.n
    await asyncio.sleep(0)
    s.n = n + 1


async def locked(s: State) -> None:
    async with s.lock:
        await update(s)


def both(s: State) -> None:
    assert s.n == 2, f"n is {s.n}"


def explore(workers: list[Any], check: Any = None, **more: Any) -> tracelock.Explored:
    more.setdefault("instrument", [HERE])
    return tracelock.explore(setup=State, workers=workers, check=check, backend="asyncio", **more)


def told(found: tracelock.Explored) -> list[tuple[str, str]]:
    assert found.trace is not None
    return [(found.trace.workers[e.worker], e.op) for e in found.trace.events]


def test_a_lost_update_over_an_await_is_found_and_told() -> None:
    found = explore([update, update], both)
    assert found.failed
    assert found.confirmed == {"asyncio": "3/3"}
    assert [op for _, op in told(found)].count("write") == 2
    assert found.trace is not None
    assert "n is 1" in found.trace.verdict.message
    assert "reaches this too" in found.notes[0]  # every loop does that


def test_the_same_under_a_lock_is_verified() -> None:
    found = explore([locked, locked], both, strategy="dpor", schedules=None)
    assert found.verdict == "verified"
    assert found.exhaustive


def test_two_locks_the_wrong_way_round() -> None:
    async def one_two(s: State) -> None:
        async with s.lock:
            await asyncio.sleep(0)
            async with s.other:
                pass

    async def two_one(s: State) -> None:
        async with s.other, s.lock:
            pass

    found = explore([one_two, two_one])
    assert found.trace is not None
    verdict = found.trace.verdict
    assert verdict.kind == "deadlock"
    assert [(one.worker, one.holder) for one in verdict.blocked] == [
        ("one_two", ["two_one"]), ("two_one", ["one_two"]),
    ]  # fmt: skip
    assert "test_tasks_asyncio.py" in verdict.blocked[0].at


def test_a_consumer_may_come_first() -> None:
    async def consumer(s: State) -> None:
        for _ in range(2):
            s.log.append(await s.queue.get())

    async def producer(s: State) -> None:
        for number in range(2):
            await s.queue.put(number)

    found = explore([consumer, producer], lambda s: s.log == [0, 1], strategy="dpor")
    assert found.verdict == "verified"


def test_a_task_that_only_other_timing_delays() -> None:
    """The loop itself serves first come, first served: the second is never first."""

    async def first(s: State) -> None:
        await asyncio.sleep(0)
        s.log.append(1)

    async def second(s: State) -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        s.log.append(2)

    found = explore([first, second], lambda s: s.log == [1, 2])
    assert found.failed
    assert "does not reach this" in found.notes[0]


def test_callbacks_keep_their_order() -> None:
    async def calls(s: State) -> None:
        loop = asyncio.get_running_loop()
        for number in range(3):
            loop.call_soon(s.log.append, number)
        await asyncio.sleep(0)
        s.log.append("on")  # queued behind them

    found = explore([calls, update], lambda s: s.log == [0, 1, 2, "on"], strategy="dpor")
    assert found.verdict == "verified"


@pytest.mark.parametrize("strategy", ["random", "dpor"])
def test_a_method_of_a_task_may_be_a_callback(strategy: str) -> None:
    """As any other: it takes the place of no step that the task has to make."""

    async def cancelled(s: State) -> None:
        s.log.append(asyncio.current_task())
        for _ in range(4):
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                s.n += 1

    async def cancels(s: State) -> None:
        loop = asyncio.get_running_loop()
        if s.log:
            loop.call_soon(s.log[0].cancel)
            loop.call_later(0.1, s.log[0].cancel)

    found = explore([cancelled, cancels], strategy=strategy, schedules=100)
    assert not found.failed, found.trace and found.trace.verdict.message


def test_timers_fire_in_order_and_cost_nothing() -> None:
    async def sleeps(s: State) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        loop.call_later(7200, s.log.append, "later")
        loop.call_later(3600, s.log.append, "sooner")
        await asyncio.sleep(10_000)
        s.log.append(loop.time() - began)

    found = explore([sleeps], lambda s: s.log == ["sooner", "later", 10_000], strategy="dpor")
    assert found.verdict == "verified"


def test_timers_are_choices_under_the_adversarial_clock() -> None:
    async def waits(s: State) -> None:
        try:
            async with asyncio.timeout(60):
                await s.event.wait()
        except TimeoutError:
            s.log.append("late")

    async def sets(s: State) -> None:
        await asyncio.sleep(0)
        s.event.set()

    assert explore([waits, sets], lambda s: not s.log, strategy="dpor").verdict == "verified"
    assert explore([waits, sets], lambda s: not s.log, clock="adversarial").failed


def test_a_cancellation_leaks_a_lock() -> None:
    async def leaks(s: State) -> None:
        await s.lock.acquire()
        await asyncio.sleep(0)
        s.n += 1
        s.lock.release()

    assert explore([leaks, locked], both).verdict == "verified"
    found = explore([leaks, leaks], cancellations=1)
    assert found.trace is not None
    assert found.trace.verdict.kind == "deadlock"
    assert [op for _, op in told(found)].count("cancelled") == 1
    again = tracelock.replay(found.trace, setup=State, workers=[leaks, leaks])
    assert again.reproduced


def test_a_worker_that_is_cancelled_is_no_failure() -> None:
    found = explore([locked, locked], cancellations=2, strategy="random", schedules=100)
    assert found.verdict == "passed"


def test_an_error_in_a_callback_is_heard() -> None:
    async def hangs(s: State) -> None:
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        def answer() -> None:
            raise KeyError("gone")

        loop.call_soon(answer)
        await future

    found = explore([hangs])
    assert found.trace is not None
    message = found.trace.verdict.message
    assert "hangs waits at a future" in message
    assert "KeyError: 'gone'" in message
    assert any("KeyError" in note for note in found.notes)


def test_an_error_that_nobody_asks_for_is_a_failure_unless_it_is_expected() -> None:
    async def starts(s: State) -> None:
        async def fails() -> None:
            raise ValueError("unseen")

        s.log.append(asyncio.create_task(fails()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    found = explore([starts], strategy="dpor")
    assert found.trace is not None
    assert "ValueError: unseen" in found.trace.verdict.message
    assert found.confirmed == {"asyncio": "3/3"}
    found = explore([starts], strategy="dpor", expected_errors=[ValueError])
    assert found.verdict == "passed"  # the account names errors that nobody received
    assert any("never retrieved: starts/fails ended with ValueError" in n for n in found.notes)


def test_an_error_that_the_check_asks_for_is_none() -> None:
    async def starts(s: State) -> None:
        async def fails() -> None:
            raise ValueError("seen")

        s.log.append(asyncio.create_task(fails()))

    async def check(s: State) -> None:
        assert (await asyncio.gather(*s.log, return_exceptions=True))[0].args == ("seen",)

    assert explore([starts], check, strategy="dpor").verdict == "verified"


def test_tasks_in_the_background_come_to_rest_before_the_check() -> None:
    async def leave(s: State) -> None:
        async def give_back() -> None:
            await asyncio.sleep(0)
            s.n += 1
            await asyncio.sleep(1000)  # only time could let it go on: this is rest
            s.n += 1

        s.log.append(asyncio.create_task(give_back()))

    found = explore([leave], lambda s: s.n == 1, strategy="dpor")
    assert found.verdict == "verified"


def test_what_dies_in_winding_up_is_no_failure() -> None:
    async def starts(s: State) -> None:
        async def serves() -> None:
            try:
                await s.event.wait()
            except asyncio.CancelledError:
                raise RuntimeError("cut short") from None

        s.log.append(asyncio.create_task(serves()))

    assert explore([starts], strategy="dpor").verdict == "verified"


def test_a_cancellation_that_leaves_the_check_is_a_failure_of_the_check() -> None:
    async def starts(s: State) -> None:
        s.log.append(asyncio.create_task(s.event.wait()))

    async def check(s: State) -> None:
        s.log[0].cancel()
        await s.log[0]

    found = explore([starts], check)
    assert found.trace is not None
    assert found.trace.verdict.failure == "finally"
    assert "CancelledError" in found.trace.verdict.message


def test_a_task_that_spins_is_named_as_a_livelock() -> None:
    async def spin(s: State) -> None:
        while True:
            await asyncio.sleep(0)

    found = explore([spin], schedules=2, limits=RunLimits(steps=2000))
    assert found.verdict == "unfinished"
    assert "a livelock, as it seems: nothing came but spin at " in str(found.ways[0].message)


def test_timeouts_may_be_infinite_and_handlers_of_signals_are_kept() -> None:
    async def waits(s: State) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, print)
        assert loop.remove_signal_handler(signal.SIGTERM)
        assert not loop.remove_signal_handler(signal.SIGTERM)
        s.log.append(asyncio.create_task(asyncio.sleep(math.inf)))
        async with asyncio.timeout(math.inf):
            await asyncio.wait_for(asyncio.sleep(1), math.inf)

    assert explore([waits], strategy="dpor").verdict == "verified"


def test_tasks_that_are_left_are_cancelled_in_the_end() -> None:
    async def starts(s: State) -> None:
        async def serves() -> None:
            try:
                await s.event.wait()
            finally:
                s.log.append("closed")

        s.log.append(asyncio.create_task(serves()))
        await asyncio.sleep(0)

    found = explore([starts], lambda s: len(s.log) <= 2, strategy="dpor")
    assert found.verdict == "verified"


def test_threads_of_the_executor_are_workers() -> None:
    def body(s: State) -> None:
        s.n += 1

    async def sends(s: State) -> None:
        await asyncio.to_thread(body, s)

    async def adds(s: State) -> None:
        s.n += 1

    found = explore([sends, adds], both)
    assert found.trace is not None
    assert "sends/executor" in found.trace.workers
    assert ("sends/executor", "read") in told(found)


def test_a_group_starts_and_ends_in_its_order() -> None:
    async def one(s: State, number: int) -> None:
        s.log.append(number)

    async def group(s: State) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in range(4):
                tasks.create_task(one(s, number))
            raise ValueError

    async def outer(s: State) -> None:
        try:
            await group(s)
        except* ValueError:
            s.log.append("failed")

    found = explore([outer], lambda s: s.log[-1] == "failed", strategy="random", schedules=200)
    assert found.verdict == "passed"
    assert not any("deterministic" in note for note in found.notes)


def test_gather_in_one_worker_that_starts_the_others() -> None:
    async def main(s: State) -> None:
        await asyncio.gather(*(asyncio.create_task(update(s)) for _ in range(2)))

    found = explore([main], both)
    assert found.trace is not None
    assert {"main/update", "main/update#2"} <= set(found.trace.workers)


def test_async_setup_and_check() -> None:
    async def setup() -> State:
        await asyncio.sleep(1)
        return State()

    async def check(s: State) -> None:
        await asyncio.sleep(1)
        assert s.n == 2

    found = tracelock.explore(
        setup=setup, workers=[locked, locked], check=check, backend="asyncio", instrument=[HERE],
        strategy="dpor",
    )  # fmt: skip
    assert found.verdict == "verified"


def test_a_spin_ends() -> None:
    async def spins(s: State) -> None:
        while not s.event.is_set():
            await asyncio.sleep(0)

    async def sets(s: State) -> None:
        s.event.set()

    found = explore([spins, sets], strategy="random", schedules=50)
    assert found.verdict == "passed"


def test_real_input_is_named_and_no_deadlock() -> None:
    async def listens(s: State) -> None:
        server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        async with server:
            await server.serve_forever()

    found = explore([listens], schedules=3)
    assert found.verdict == "unfinished"
    assert "only real input and output is left" in found.ways[0].message
    assert "listens" in found.ways[0].message


def test_a_task_that_blocks_the_thread_is_named() -> None:
    reading, writing = os.pipe()

    async def blocks(s: State) -> None:
        await asyncio.sleep(0)
        os.read(reading, 1)

    found = explore([blocks], schedules=3, limits=RunLimits(steps=1000, stall=0.5))
    assert found.verdict == "unfinished"
    told = "\n".join(found.notes)
    assert "blocks is stuck outside tracelock's control" in told and "os.read" in told
    os.close(writing)
    os.close(reading)


def test_a_thread_that_was_given_up_leaves_the_process_alone_when_it_comes_back() -> None:
    reading, writing = os.pipe()

    async def blocks(s: State) -> None:
        select.select([reading], [], [], 20)

    before = set(threading.enumerate())
    found = explore([blocks], schedules=3, limits=RunLimits(steps=1000, stall=0.2))
    assert any("is stuck outside tracelock's control" in note for note in found.notes)
    random.seed(7)
    state = random.getstate()
    os.write(writing, b"go on")
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    assert random.getstate() == state
    os.close(reading)
    os.close(writing)


def test_cancel_scopes_and_futures_are_in_the_order_of_their_making() -> None:
    async def waits(s: State) -> None:
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in range(9)]
        for number, future in enumerate(futures):
            loop.call_soon(future.set_result, number)
        done, _ = await asyncio.wait(futures)
        s.log.append([future.result() for future in done])

    found = explore([waits], lambda s: s.log == [list(range(9))], strategy="dpor")
    assert found.verdict == "verified", found.summary


def test_what_is_patched_is_undone() -> None:
    def now() -> dict[str, Any]:
        rows = [row for row in table("asyncio", "anyio") if row.by is not None]
        return {row.name: row.owner.__dict__.get(row.attribute) for row in rows}

    before = now()
    assert "asyncio.Lock.acquire" in before
    explore([locked, locked], both, schedules=5)
    after = now()
    assert before == after


def test_a_failing_worker_is_a_failure_with_its_place() -> None:
    async def fails(s: State) -> None:
        await asyncio.sleep(0)
        if s.n:
            raise LookupError("too late")
        s.n = 1

    found = explore([fails, fails])
    assert found.trace is not None
    verdict = found.trace.verdict
    assert (verdict.kind, verdict.failure) == ("failed", "error")
    assert "LookupError: too late" in verdict.message
    assert explore([fails, fails], expected_errors=[LookupError]).verdict == "verified"


def test_a_task_that_is_over_lives_as_long_as_the_program_has_it() -> None:
    """And what it has raised, with all that its frames hold."""

    class Big:
        pass

    async def main(s: State) -> None:
        async def fails() -> None:
            big = Big()
            s.log.append(weakref.ref(big))
            await asyncio.sleep(0)
            raise ValueError("seen")

        task = asyncio.create_task(fails())
        await asyncio.wait([task])
        assert task.exception()
        s.log.append(weakref.ref(task))
        del task
        gc.collect()
        assert [look() for look in s.log] == [None, None]

    explored = explore([main], schedules=20)
    assert explored.verdict in ("passed", "verified"), explored.story()


def test_what_a_loop_logs_is_logged_where_it_happens() -> None:
    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage().partition("\n")[0])

    told: list[str] = []

    async def main(s: State) -> None:
        told.clear()

        async def fails() -> None:
            await asyncio.sleep(0)
            raise ValueError("nobody asks")

        task = asyncio.create_task(fails())
        while not task.done():
            await asyncio.sleep(0)
        del task
        gc.collect()
        assert told == ["Task exception was never retrieved"]

    handler, logger = Handler(), logging.getLogger("asyncio")
    logger.addHandler(handler)
    try:
        explored = explore([main], schedules=20)
    finally:
        logger.removeHandler(handler)
    assert explored.trace is not None
    assert "never retrieved: main/fails ended with ValueError" in explored.trace.verdict.message


@pytest.mark.parametrize("on_a_thread", [False, True])
def test_nothing_is_told_of_coroutines_whose_schedule_was_cut(on_a_thread: bool) -> None:
    async def gathers(s: State) -> None:
        await asyncio.gather(*(update(s) for _ in range(6)))

    async def has_some(s: State) -> None:
        some = [update(s) for _ in range(6)]
        await asyncio.sleep(0)
        for one in some:
            await one

    def on_its_own_loop(s: State) -> None:
        asyncio.run(gathers(s))

    gc.collect()  # what other tests have left tells of itself now
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        more: dict[str, Any] = {"schedules": 20, "limits": RunLimits(steps=8)}
        if on_a_thread:
            found = tracelock.explore(
                setup=State, workers=[on_its_own_loop, on_its_own_loop], instrument=[HERE], **more
            )
        else:
            found = explore([gathers, has_some], **more)
        gc.collect()
    assert found.verdict == "unfinished" and "the limit of 8 steps" in found.summary
    told = [str(one.message) for one in heard]
    assert not [one for one in told if not one.startswith("unclosed <socket.socket")]  # of others


def test_what_the_program_never_awaits_is_told() -> None:
    async def forgets(s: State) -> None:
        update(s)  # type: ignore[unused-coroutine]
        await update(s)

    with pytest.warns(RuntimeWarning, match="coroutine 'update' was never awaited"):
        explore([forgets], schedules=1)
