"""More of ``loop_cases``, on trio and anyio."""

from __future__ import annotations

import math
import queue
import threading
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import trio

from tests.conformance.loop_cases import RIGHT, WRONG, State, Work, case, equal, values


async def turn() -> None:
    await trio.sleep(0)


# --- trio ------------------------------------------------------------------------------------
@case("trio", WRONG, "the other task writes between the read and the write")
def t_lost_update() -> Any:
    async def add(s: State) -> None:
        n = s.n
        await turn()
        s.n = n + 1

    return values(n=0), [add, add], equal(2)


@case("trio", RIGHT, "a lock is held over the checkpoint")
def t_update_with_a_lock() -> Any:
    async def add(s: State) -> None:
        async with s.lock:
            n = s.n
            await turn()
            s.n = n + 1

    return values(n=0, lock=trio.Lock), [add, add], equal(2)


@case("trio", WRONG, "a nursery starts its tasks in any order")
def t_nursery_starts_in_any_order() -> Any:
    async def opens(s: State) -> None:
        s.n = 1

    async def uses(s: State) -> None:
        assert s.n == 1

    async def main(s: State) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(opens, s)
            nursery.start_soon(uses, s)

    return values(n=0), [main], None


@case("trio", RIGHT, "start waits until the task says that it has started")
def t_nursery_start_waits() -> Any:
    async def opens(s: State, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        await turn()
        s.n = 1
        task_status.started()

    async def main(s: State) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(opens, s)
            assert s.n == 1

    return values(n=0), [main], None


@case("trio", WRONG, "the permit is not given back when the deadline ends the work")
def t_permit_lost_by_a_deadline() -> Any:
    async def main(s: State) -> None:
        with trio.move_on_after(1):
            s.n -= 1
            await trio.sleep(2)
            s.n += 1

    return values(n=1), [main], equal(1)


@case("trio", RIGHT, "a finally gives it back")
def t_permit_kept_by_a_finally() -> Any:
    async def main(s: State) -> None:
        with trio.move_on_after(1):
            s.n -= 1
            try:
                await trio.sleep(2)
            finally:
                s.n += 1

    return values(n=1), [main], equal(1)


@case("trio", WRONG, "an await in a finally that is not shielded is cancelled too")
def t_cleanup_not_shielded() -> Any:
    async def main(s: State) -> None:
        with trio.move_on_after(1):
            try:
                await trio.sleep(2)
            finally:
                await turn()
                s.n = 1

    return values(n=0), [main], equal(1)


@case("trio", RIGHT, "the clean-up is shielded")
def t_cleanup_shielded() -> Any:
    async def main(s: State) -> None:
        with trio.move_on_after(1):
            try:
                await trio.sleep(2)
            finally:
                with trio.CancelScope(shield=True):
                    await turn()
                    s.n = 1

    return values(n=0), [main], equal(1)


@case("trio", WRONG, "the receiver has taken the item when the other task cancels it")
def t_item_lost_by_a_cancellation() -> Any:
    async def main(s: State) -> None:
        send, receive = trio.open_memory_channel[int](1)

        async def take() -> None:
            await receive.receive()
            await turn()
            s.n += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(take)
            await send.send(1)
            await turn()
            nursery.cancel_scope.cancel()
        s.n += receive.statistics().current_buffer_used

    return values(n=0), [main], equal(1)


@case("trio", RIGHT, "what is taken is handled without a checkpoint")
def t_item_handled_at_once() -> Any:
    async def main(s: State) -> None:
        send, receive = trio.open_memory_channel[int](1)

        async def take() -> None:
            await receive.receive()
            s.n += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(take)
            await send.send(1)
            await turn()
            nursery.cancel_scope.cancel()
        s.n += receive.statistics().current_buffer_used

    return values(n=0), [main], equal(1)


@case("trio", WRONG, "the sender is not closed: who iterates waits for ever")
def t_channel_never_closed() -> Any:
    def setup() -> State:
        send, receive = trio.open_memory_channel[int](0)
        return SimpleNamespace(send=send, receive=receive)

    async def reads(s: State) -> None:
        async for _ in s.receive:
            pass

    async def sends(s: State) -> None:
        await s.send.send(1)

    return setup, [reads, sends], None


@case("trio", RIGHT, "the sender closes its end")
def t_channel_closed() -> Any:
    def setup() -> State:
        send, receive = trio.open_memory_channel[int](0)
        return SimpleNamespace(send=send, receive=receive, n=0)

    async def reads(s: State) -> None:
        async for each in s.receive:
            s.n += each

    async def sends(s: State) -> None:
        async with s.send:
            await s.send.send(1)

    return setup, [reads, sends], equal(1)


@case("trio", WRONG, "the condition is notified before anybody waits")
def t_notified_too_early() -> Any:
    async def wait(s: State) -> None:
        async with s.condition:
            await s.condition.wait()

    async def notify(s: State) -> None:
        async with s.condition:
            s.condition.notify()

    return values(condition=trio.Condition), [wait, notify], None


@case("trio", RIGHT, "the predicate is looked at under the lock")
def t_notified_with_a_predicate() -> Any:
    async def wait(s: State) -> None:
        async with s.condition:
            while not s.n:
                await s.condition.wait()

    async def notify(s: State) -> None:
        async with s.condition:
            s.n = 1
            s.condition.notify()

    return values(n=0, condition=trio.Condition), [wait, notify], None


@case("trio", WRONG, "a lock may be released by nobody but its owner")
def t_lock_released_by_another() -> Any:
    async def holds(s: State) -> None:
        async with s.lock:
            await turn()

    async def releases(s: State) -> None:
        if s.lock.locked():
            s.lock.release()

    return values(lock=trio.Lock), [holds, releases], None


@case("trio", WRONG, "the thread comes between the read and the write of one step")
def t_thread_against_a_step() -> Any:
    def in_a_thread(s: State) -> None:
        s.n += 1

    async def main(s: State) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, in_a_thread, s)
            await turn()
            n = s.n
            s.n = n + 1

    return values(n=0), [main], equal(2)


@case("trio", RIGHT, "the thread asks the loop to add it")
def t_thread_asks_the_loop() -> Any:
    def adds(s: State) -> None:
        s.n += 1

    async def main(s: State) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, trio.from_thread.run_sync, adds, s)
            await turn()
            n = s.n
            s.n = n + 1

    return values(n=0), [main], equal(2)


@case("trio", RIGHT, "a timeout that never comes")
def t_endless_timeout() -> Any:
    async def main(s: State) -> None:
        with trio.move_on_after(math.inf) as scope:
            await s.event.wait()
        assert not scope.cancelled_caught

    async def sets(s: State) -> None:
        await trio.sleep(3)
        s.event.set()

    return values(event=trio.Event), [main, sets], None


# --- runs of their own -----------------------------------------------------------------------
@case("threading", WRONG, "two runs in two threads lose an update")
def t_runs_of_two_threads() -> Any:
    async def add(s: State) -> None:
        n = s.n
        await turn()
        s.n = n + 1

    def run(s: State) -> None:
        trio.run(add, s)

    return values(n=0), [run, run], equal(2)


@case("threading", RIGHT, "a lock of threads, never held over a checkpoint")
def t_runs_of_two_threads_with_a_lock() -> Any:
    async def add(s: State) -> None:
        await turn()
        with s.lock:
            s.n += 1

    def run(s: State) -> None:
        trio.run(add, s)

    return values(n=0, lock=threading.Lock), [run, run], equal(2)


def _sent(how: Work) -> Work:
    """A run in a thread of its own, to which the worker sends ``how`` as a system task."""

    def worker(s: State) -> None:
        told: queue.Queue[Any] = queue.Queue()

        async def outer() -> None:
            over = trio.Event()
            told.put((trio.lowlevel.current_trio_token(), over))
            await over.wait()

        thread = threading.Thread(target=trio.run, args=(outer,))
        thread.start()
        token, over = told.get()
        trio.from_thread.run(how, s, trio_token=token)
        trio.from_thread.run_sync(over.set, trio_token=token)
        thread.join()

    return worker


@case("threading", WRONG, "what is sent from outside runs beside its own nursery's tasks")
def t_sent_from_outside_loses_an_update() -> Any:
    async def add(s: State) -> None:
        n = s.n
        await turn()
        s.n = n + 1

    async def both(s: State) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(add, s)
            await add(s)

    return values(n=0), [_sent(both)], equal(2)


@case("threading", RIGHT, "the same without a checkpoint between the read and the write")
def t_sent_from_outside_adds() -> Any:
    async def add(s: State) -> None:
        await turn()
        s.n += 1

    async def both(s: State) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(add, s)
            await add(s)

    return values(n=0), [_sent(both)], equal(2)


# --- anyio, on both --------------------------------------------------------------------------
def anyio_case(wrong: bool, why: str) -> Any:
    def add(build: Any) -> Any:
        for where in ("asyncio", "trio"):

            def named() -> Any:
                return build()

            named.__name__ = f"{build.__name__}_on_{where}"
            case(where, wrong, why)(named)
        return build

    return add


@anyio_case(WRONG, "the event is set when one of two is ready, and both are expected")
def a_event_for_two() -> Any:
    async def ready(s: State) -> None:
        await anyio.sleep(0)
        s.n += 1
        s.event.set()

    async def main(s: State) -> None:
        s.event = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(ready, s)
            group.start_soon(ready, s)
            await s.event.wait()
            assert s.n == 2

    return values(n=0, event=None), [main], None


@anyio_case(RIGHT, "a group waits for all its tasks")
def a_group_waits() -> Any:
    async def add(s: State) -> None:
        await anyio.sleep(0)
        s.n += 1

    async def main(s: State) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(add, s)
            group.start_soon(add, s)
        assert s.n == 2

    return values(n=0), [main], None


@anyio_case(WRONG, "a worker that is cancelled gives back no token")
def a_token_lost() -> Any:
    async def use(s: State) -> None:
        await s.gate.acquire()
        await anyio.sleep(1)
        s.gate.release()

    async def main(s: State) -> None:
        s.gate = anyio.Semaphore(1)
        with anyio.move_on_after(1):
            await use(s)
        assert s.gate.value == 1

    return values(gate=None), [main], None


@anyio_case(RIGHT, "the semaphore is used as a context manager")
def a_token_kept() -> Any:
    async def use(s: State) -> None:
        async with s.gate:
            await anyio.sleep(1)

    async def main(s: State) -> None:
        s.gate = anyio.Semaphore(1)
        with anyio.move_on_after(1):
            await use(s)
        assert s.gate.value == 1

    return values(gate=None), [main], None


@anyio_case(WRONG, "the thread writes what the loop writes too")
def a_thread_against_the_loop() -> Any:
    def adds(s: State) -> None:
        s.n += 1

    async def main(s: State) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, adds, s)
            await anyio.sleep(0)
            n = s.n
            s.n = n + 1

    return values(n=0), [main], equal(2)


@anyio_case(RIGHT, "the thread has the loop do it")
def a_thread_has_the_loop_do_it() -> Any:
    def adds(s: State) -> None:
        s.n += 1

    async def main(s: State) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, anyio.from_thread.run_sync, adds, s)
            await anyio.sleep(0)
            n = s.n
            s.n = n + 1

    return values(n=0), [main], equal(2)
