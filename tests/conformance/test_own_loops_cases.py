"""How programs start and use loops of their own, one case each: each ends as it does without us."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import trio

import tracelock

HERE = __name__


class State:
    def __init__(self) -> None:
        self.n = 0
        self.queue: queue.Queue[Any] = queue.Queue()


def is_(expected: int) -> Callable[[State], None]:
    def check(s: State) -> None:
        assert s.n == expected, f"n is {s.n}"

    return check


def explore(*workers: Callable[..., Any], **more: Any) -> tracelock.Explored:
    more.setdefault("schedules", 30)
    more.setdefault("seconds", 30)
    more.setdefault("setup", State)
    more.setdefault("shrink", False)
    return tracelock.explore(workers=workers, instrument=[HERE], **more)


async def add(s: State) -> None:
    await asyncio.sleep(0)
    s.n += 1
    await asyncio.sleep(0)


async def lose(s: State) -> None:
    n = s.n
    await asyncio.sleep(0)
    s.n = n + 1


# --- one worker ------------------------------------------------------------------------------
async def ends(error: BaseException) -> None:
    await asyncio.sleep(0)
    raise error


def main_raises(s: State) -> None:
    for error in (KeyboardInterrupt(), SystemExit(2), ValueError("no")):
        with pytest.raises(type(error)):
            asyncio.run(ends(error))


def a_child_exits(s: State) -> None:
    async def main() -> None:
        child = asyncio.create_task(ends(SystemExit(3)))
        await asyncio.sleep(10)
        await child

    with pytest.raises(SystemExit):
        asyncio.run(main())


def nested(s: State) -> None:
    async def main() -> None:
        coro = add(s)
        with pytest.raises(RuntimeError, match=r"asyncio.run\(\) cannot be called"):
            asyncio.run(coro)
        loop = asyncio.new_event_loop()
        with pytest.raises(RuntimeError, match="another loop is running"):
            loop.run_until_complete(coro)
        with pytest.raises(RuntimeError, match="already running"):
            asyncio.get_running_loop().run_until_complete(coro)
        loop.close()
        coro.close()

    asyncio.run(main())


def one_after_the_other(s: State) -> None:
    for _ in range(3):
        asyncio.run(add(s))
    with asyncio.Runner(debug=True) as runner:
        runner.run(add(s))
        runner.run(add(s))


def never_closed(s: State) -> None:
    async def main() -> None:
        await asyncio.gather(add(s), add(s))

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    left = loop.create_task(asyncio.sleep(9))
    asyncio.get_event_loop().run_until_complete(main())
    assert not left.done()


def infinite(s: State) -> None:
    async def main() -> None:
        await asyncio.wait_for(add(s), float("inf"))
        async with asyncio.timeout(float("inf")):
            await asyncio.sleep(1)

    async def of_trio() -> None:
        with trio.move_on_after(float("inf")):
            await trio.sleep(0)
        with trio.move_on_after(3) as scope:
            await trio.sleep(float("inf"))
        assert scope.cancelled_caught

    asyncio.run(main())
    trio.run(of_trio)


def a_generator_left(s: State) -> None:
    async def numbers() -> Any:
        try:
            yield 1
            yield 2
        finally:
            s.n += 1

    async def main() -> None:
        async for _ in numbers():
            break

    asyncio.run(main())
    trio.run(main)


def a_handler_of_a_signal(s: State) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, print)
        await add(s)
        assert loop.remove_signal_handler(signal.SIGTERM)

    async def of_trio() -> None:
        with trio.open_signal_receiver(signal.SIGTERM):
            await trio.sleep(1)

    asyncio.run(main())
    trio.run(of_trio)


@pytest.mark.parametrize(
    ("worker", "n"),
    [
        (main_raises, 0), (nested, 0), (one_after_the_other, 5), (never_closed, 2),
        (infinite, 1), (a_generator_left, 2), (a_handler_of_a_signal, 1),
    ],
)  # fmt: skip
def test_a_worker_runs_them_as_without_control(worker: Any, n: int) -> None:
    found = explore(worker, check=is_(n), schedules=10)
    assert found.verdict == "passed", found.story()


def test_an_exit_in_a_task_comes_out_of_the_run() -> None:
    found = explore(a_child_exits, schedules=10)
    assert found.verdict == "passed", found.story()
    (note,) = found.notes
    count, total = note.split()[1], note.split()[3]
    assert count == total  # of the schedules that were run


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no eager tasks before 3.12")
def test_eager_tasks_of_its_own_factory() -> None:
    def with_(update: Any) -> Any:
        async def main(s: State) -> None:
            loop = asyncio.get_running_loop()
            loop.set_task_factory(asyncio.eager_task_factory)
            await asyncio.gather(loop.create_task(update(s)), loop.create_task(update(s)))

        return lambda s: asyncio.run(main(s))

    assert explore(with_(lose), check=is_(2)).failed
    assert explore(with_(add), check=is_(2)).verdict == "passed"


# --- two loops -------------------------------------------------------------------------------
def gives_a_future(s: State) -> None:
    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        s.queue.put(future)
        s.n = await future

    asyncio.run(main())


def sends_a_result(s: State) -> None:
    async def main() -> None:
        future = await asyncio.to_thread(s.queue.get)
        future.get_loop().call_soon_threadsafe(future.set_result, 5)

    asyncio.run(main())


def sets_the_result(s: State) -> None:
    s.queue.get().set_result(5)  # which wakes nobody on another thread


def gives_an_event(s: State) -> None:
    async def main() -> None:
        event = asyncio.Event()
        s.queue.put((asyncio.get_running_loop(), event))
        await event.wait()

    asyncio.run(main())


def sends_a_coroutine(s: State) -> None:
    loop, event = s.queue.get()

    async def main() -> None:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(add(s), loop))
        loop.call_soon_threadsafe(event.set)

    asyncio.run(main())


def sets_the_event(s: State) -> None:
    s.queue.get()[1].set()


def test_loops_talk_through_what_is_safe() -> None:
    found = explore(gives_a_future, sends_a_result, check=is_(5))
    assert found.verdict == "passed", found.story()
    found = explore(gives_an_event, sends_a_coroutine, check=is_(1))
    assert found.verdict == "passed", found.story()


@pytest.mark.parametrize(
    "pair", [(gives_a_future, sets_the_result), (gives_an_event, sets_the_event)]
)
def test_what_does_not_wake_a_loop_does_not_wake_it(pair: Any) -> None:
    found = explore(*pair)
    assert found.trace is not None
    assert found.trace.verdict.kind == "deadlock"
    assert found.confirmed == {"threading": "3/3"}


def test_a_loop_that_something_else_wakes_sees_it_then() -> None:
    def gives(s: State) -> None:
        async def main() -> None:
            future = asyncio.get_running_loop().create_future()
            s.queue.put(future)
            while not future.done():
                await asyncio.sleep(0.1)
            s.n = await future

        asyncio.run(main())

    assert explore(gives, sets_the_result, check=is_(5)).verdict == "passed"


class Background(State):
    """The usual loop on a thread of its own, begun by a fixture."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()


@pytest.mark.parametrize(("update", "wrong"), [(lose, True), (add, False)])
def test_a_loop_in_the_background_that_setup_starts(update: Any, wrong: bool) -> None:
    def worker(s: Background) -> None:
        asyncio.run_coroutine_threadsafe(update(s), s.loop).result()

    found = explore(worker, worker, setup=Background, check=is_(2))
    assert found.failed == wrong, found.story()
    assert found.verdict != "verified"


# --- elsewhere -------------------------------------------------------------------------------
def both(update: Any) -> Any:
    async def main(s: State) -> None:
        await asyncio.gather(update(s), update(s))

    return main


@pytest.mark.parametrize("strategy", ["auto", "dpor"])
def test_one_on_a_thread_of_a_coroutine_is_controlled_and_nothing_is_proved(strategy: str) -> None:
    def worker(update: Any) -> Any:
        async def main(s: State) -> None:
            await asyncio.to_thread(lambda: asyncio.run(both(update)(s)))

        return main

    found = explore(worker(lose), check=is_(2), backend="asyncio", strategy=strategy)
    assert found.failed
    assert found.confirmed == {"asyncio": "3/3"}
    found = explore(worker(add), check=is_(2), backend="asyncio", strategy=strategy)
    assert found.verdict == "passed"


def test_one_on_a_thread_of_trio_too() -> None:
    async def worker(s: State) -> None:
        await trio.to_thread.run_sync(lambda: asyncio.run(both(lose)(s)))

    assert explore(worker, check=is_(2), backend="trio").failed


def test_those_of_a_pool_are_in_one_schedule() -> None:
    def worker(s: State) -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: asyncio.run(lose(s)), range(2)))

    assert explore(worker, check=is_(2)).failed


@pytest.mark.parametrize("start", [asyncio.run, lambda main: trio.run(lambda: main)])
def test_one_in_another_process_is_refused(start: Any) -> None:
    def worker(s: State) -> None:
        fork = multiprocessing.get_context("fork")
        process = fork.Process(target=lambda: start(asyncio.sleep(0)))
        process.start()
        process.join()

    found = explore(worker, schedules=3)
    assert found.verdict == "unfinished"
    assert "a loop in another process is not under control" in found.ways[0].message
    assert not multiprocessing.active_children()


# --- what is not under control ---------------------------------------------------------------
class Foreign(asyncio.AbstractEventLoop):
    """Like that of uvloop, which has nothing of asyncio's own."""

    def run_until_complete(self, future: Any) -> Any:
        future.close()

    def run_forever(self) -> None:
        pass


@pytest.mark.parametrize("way", ["until", "forever"])
def test_a_loop_that_is_none_of_asyncio_is_refused_by_name(way: str) -> None:
    def worker(s: State) -> None:
        if way == "until":
            Foreign().run_until_complete(add(s))
        Foreign().run_forever()

    found = explore(worker, schedules=3)
    assert found.verdict == "unfinished"
    assert f"the loop {HERE}.Foreign is not under control" in found.ways[0].message


def waits_for_a_signal(s: State) -> None:
    async def main() -> None:
        event = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, event.set)
        await event.wait()

    asyncio.run(main())


def waits_for_a_signal_in_trio(s: State) -> None:
    async def main() -> None:
        with trio.open_signal_receiver(signal.SIGTERM) as signals:
            async for _ in signals:
                break

    trio.run(main)


@pytest.mark.parametrize("worker", [waits_for_a_signal, waits_for_a_signal_in_trio])
def test_a_wait_for_a_signal_is_no_deadlock(worker: Any) -> None:
    found = explore(worker, schedules=3)
    assert found.verdict == "unfinished"
    assert "only a signal, or nothing at all, is left to wait for" in found.ways[0].message


def test_real_input_is_named() -> None:
    server = socket.create_server(("127.0.0.1", 0))  # which no worker has made

    def worker(s: State) -> None:
        async def main() -> None:
            reader, writer = await asyncio.open_connection(*server.getsockname())
            with contextlib.closing(writer):
                await reader.read(1)

        asyncio.run(main())

    with server:
        found = explore(worker, schedules=3)
        assert found.verdict == "unfinished"
        assert "which no worker of the run serves" in found.ways[0].message
        found = explore(worker, schedules=1, outside="real")
    assert found.verdict == "unfinished"
    assert "nothing came from 127.0.0.1" in found.ways[0].message


@pytest.mark.parametrize("sleep", [asyncio.sleep, trio.sleep])
def test_an_endless_turn_is_a_livelock(sleep: Any) -> None:
    async def spins() -> None:
        while True:
            await sleep(0)

    run = asyncio.run if sleep is asyncio.sleep else lambda coro: trio.run(lambda: coro)
    found = explore(lambda s: run(spins()), schedules=2, limits=tracelock.RunLimits(steps=600))
    assert found.verdict == "unfinished"
    assert "a livelock" in found.ways[0].message


LATE = """
import sys
import anyio
import tracelock

async def update(s):
    n = s[0]
    await anyio.sleep(0)
    s[0] = n + 1

async def main(s):
    async with anyio.create_task_group() as group:
        group.start_soon(update, s)
        group.start_soon(update, s)

assert "trio" not in sys.modules
found = tracelock.explore(
    setup=lambda: [0], workers=[lambda s: anyio.run(main, s, backend="trio")],
    check=lambda s: s == [2], instrument=["__main__"], schedules=20,
)
import trio
assert "tracelock" not in trio.run.__code__.co_filename
print(found.verdict, found.confirmed)
"""


def test_trio_is_under_control_where_it_is_imported_late() -> None:
    # what it takes to compile trio, where that is not kept, is no part of this
    subprocess.run([sys.executable, "-c", "import trio"], check=True, timeout=60)
    done = subprocess.run(
        [sys.executable, "-c", LATE], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "failed {'threading': '3/3'}"


def test_nothing_is_proved_where_a_thread_uses_what_is_the_loops() -> None:
    """What an event is made of is no step, so that a thread does not come in between."""

    async def main(s: State) -> None:
        event = asyncio.Event()
        task = asyncio.get_running_loop().run_in_executor(None, event.set)
        await event.wait()
        await task

    found = explore(main, backend="asyncio", strategy="dpor")
    assert found.verdict == "passed"
    assert "what main/executor does to Event of asyncio" in found.account.unseen


def test_the_first_steps_of_tasks_are_in_the_order_of_their_creation() -> None:
    seen = set()

    async def main(s: list[int]) -> None:
        async def log(n: int) -> None:
            s.append(n)
            await asyncio.sleep(0)
            s.append(-n)

        await asyncio.gather(log(1), log(2), log(3))

    def check(s: list[int]) -> None:
        assert [n for n in s if n > 0] == [1, 2, 3]
        seen.add(tuple(n for n in s if n < 0))

    found = explore(
        main, setup=list, backend="asyncio", strategy="dpor", schedules=200, check=check
    )
    assert found.verdict == "verified"
    assert len(seen) == 6  # the second ones in any order


async def two_of(s: State, first: int, second: int) -> None:
    async def adds(turns: int, what: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        s.n = s.n * 10 + what

    await asyncio.gather(adds(first, 1), adds(second, 2))


def runs_in_turn(s: State) -> None:
    asyncio.run(two_of(s, 1, 3))


def runs_out_of_turn(s: State) -> None:
    asyncio.run(two_of(s, 3, 1))


async def in_trio(s: State) -> None:
    async def adds(what: int) -> None:
        await trio.sleep(0)
        s.n = s.n * 10 + what

    async with trio.open_nursery() as nursery:
        nursery.start_soon(adds, 1)
        nursery.start_soon(adds, 2)


def runs_trio(s: State) -> None:
    trio.run(in_trio, s)


@pytest.mark.parametrize("isolation", ["never", "always"])
def test_whether_the_loop_reaches_it_by_itself_is_told(isolation: str) -> None:
    found = explore(runs_in_turn, check=is_(12), isolation=isolation)
    assert found.failed and any("first served) does not reach this" in one for one in found.notes)
    found = explore(runs_out_of_turn, check=is_(12), isolation=isolation)
    assert found.failed and any("first served) reaches this too" in one for one in found.notes)
    found = explore(runs_trio, check=is_(12), isolation=isolation)
    assert found.failed and any("trio's own order" in one for one in found.notes)
    assert any("reaches this too" in one for one in found.notes)
    # there are orders that threads have, of which a loop knows nothing
    found = explore(runs_in_turn, lambda s: s.queue.put(1), check=is_(12), isolation=isolation)
    assert found.failed and not any("reach" in one for one in found.notes)
