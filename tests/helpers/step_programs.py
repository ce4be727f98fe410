"""Random programs of asyncio tasks: locks, events, queues, futures, timers, cancellations, groups,
callbacks, in every combination, small enough that every order of their steps can be tried."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

#: An operation, and what is done within it.
Operation = tuple[Any, ...]


class State:
    def __init__(self) -> None:
        self.n = 0
        self.m = 0
        self.log: list[str] = []
        self.names: dict[str, int] = {}
        self.lock = asyncio.Lock()
        self.semaphore = asyncio.Semaphore(2)
        self.event = asyncio.Event()
        self.condition = asyncio.Condition()
        self.queue: asyncio.Queue[str] = asyncio.Queue()
        self.small: asyncio.Queue[str] = asyncio.Queue(1)
        self.future: Any = None
        self.tasks: list[Any] = []


def seen(s: State) -> Any:
    """What the end of a schedule is known by."""
    return s.n, s.m, tuple(s.log), tuple(sorted(s.names.items())), s.queue.qsize(), s.small.qsize()


async def update(s: State, name: str, inner: list[Operation]) -> None:
    n = s.n
    await asyncio.sleep(0)
    s.n = n + 1


async def other(s: State, name: str, inner: list[Operation]) -> None:
    s.m += 1
    await asyncio.sleep(0)


async def log(s: State, name: str, inner: list[Operation]) -> None:
    s.log.append(name)


async def note(s: State, name: str, inner: list[Operation]) -> None:
    s.names[name] = s.m


async def rest(s: State, name: str, inner: list[Operation]) -> None:
    await asyncio.sleep(0)


async def hold(s: State, name: str, inner: list[Operation]) -> None:
    async with s.lock:
        await perform(s, inner, name + "l")


async def permit(s: State, name: str, inner: list[Operation]) -> None:
    async with s.semaphore:
        await perform(s, inner, name + "s")


async def hurry(s: State, name: str, inner: list[Operation]) -> None:
    try:
        async with asyncio.timeout(0.01 * (1 + len(name) % 2)):
            await perform(s, inner, name + "t")
    except TimeoutError:
        s.log.append(name + "T")


async def patience(s: State, name: str, inner: list[Operation]) -> None:
    try:
        await asyncio.wait_for(perform(s, inner, name + "w"), 0.01)
    except TimeoutError:
        s.log.append(name + "W")


async def set_it(s: State, name: str, inner: list[Operation]) -> None:
    s.event.set()


async def clear_it(s: State, name: str, inner: list[Operation]) -> None:
    s.event.clear()


async def wait_for_it(s: State, name: str, inner: list[Operation]) -> None:
    await s.event.wait()


async def put(s: State, name: str, inner: list[Operation]) -> None:
    await s.queue.put(name)


async def get(s: State, name: str, inner: list[Operation]) -> None:
    s.log.append(await s.queue.get())
    s.queue.task_done()


async def join(s: State, name: str, inner: list[Operation]) -> None:
    await s.queue.join()
    s.log.append(name + "j")


async def put_small(s: State, name: str, inner: list[Operation]) -> None:
    await s.small.put(name)


async def get_small(s: State, name: str, inner: list[Operation]) -> None:
    s.log.append(await s.small.get())


async def try_small(s: State, name: str, inner: list[Operation]) -> None:
    if not s.small.full():
        s.small.put_nowait(name)


async def start(s: State, name: str, inner: list[Operation]) -> None:
    s.tasks.append(asyncio.create_task(perform(s, inner, name + "c")))


async def cancel(s: State, name: str, inner: list[Operation]) -> None:
    for task in s.tasks[-1:]:
        task.cancel()


async def await_it(s: State, name: str, inner: list[Operation]) -> None:
    for task in s.tasks[-1:]:
        if task is not asyncio.current_task():
            try:
                await task
            except asyncio.CancelledError:
                s.log.append(name + "X")


async def look_at_it(s: State, name: str, inner: list[Operation]) -> None:
    for task in s.tasks[-1:]:
        s.log.append(f"{name}{task.done()}")


async def call_when_done(s: State, name: str, inner: list[Operation]) -> None:
    for task in s.tasks[-1:]:
        task.add_done_callback(lambda _: s.log.append(f"{name}d{s.n}"))


async def call_soon(s: State, name: str, inner: list[Operation]) -> None:
    asyncio.get_running_loop().call_soon(lambda: s.log.append(f"{name}k{s.n}"))


async def call_later(s: State, name: str, inner: list[Operation]) -> None:
    asyncio.get_running_loop().call_later(0.01, lambda: s.log.append(f"{name}K{s.n}"))


async def sleep(s: State, name: str, inner: list[Operation]) -> None:
    await asyncio.sleep(0.01)


async def notify(s: State, name: str, inner: list[Operation]) -> None:
    async with s.condition:
        s.n += 1
        s.condition.notify()


async def wait_if(s: State, name: str, inner: list[Operation]) -> None:
    async with s.condition:
        if not s.n:
            await s.condition.wait()


async def promise(s: State, name: str, inner: list[Operation]) -> None:
    if s.future is None:
        s.future = asyncio.get_running_loop().create_future()
        try:
            await s.future
        except asyncio.CancelledError:
            s.log.append(name + "F")
    elif len(name) % 2:
        s.future.cancel()
    elif not s.future.done():
        s.future.set_result(1)


async def shield(s: State, name: str, inner: list[Operation]) -> None:
    await asyncio.shield(perform(s, inner, name + "h"))


async def gather(s: State, name: str, inner: list[Operation]) -> None:
    await asyncio.gather(*(perform(s, [one], f"{name}g{k}") for k, one in enumerate(inner)))


async def group(s: State, name: str, inner: list[Operation]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for k, one in enumerate(inner):
            tasks.create_task(perform(s, [one], f"{name}p{k}"))


async def first(s: State, name: str, inner: list[Operation]) -> None:
    made = [asyncio.create_task(perform(s, [one], f"{name}f{k}")) for k, one in enumerate(inner)]
    done, _ = await asyncio.wait(made, return_when=asyncio.FIRST_COMPLETED)
    s.log.append(f"{name}{len(done)}")


async def local(s: State, name: str, inner: list[Operation]) -> None:
    mine: list[int] = []
    mine.append(1)
    await asyncio.sleep(0)
    mine.append(2)


async def hand_over(s: State, name: str, inner: list[Operation]) -> None:
    """A container that is not touched before somebody else has it."""
    found = s.names.get("box")
    if found is None:
        s.names["box"] = 1
        s.tasks_box = [[]]  # type: ignore[attr-defined]
    else:
        s.tasks_box[0].append(name)  # type: ignore[attr-defined]
        s.log.append(f"{name}{len(s.tasks_box[0])}")  # type: ignore[attr-defined]


Work = Callable[[State, str, list[Operation]], Any]
PLAIN: tuple[Work, ...] = (
    update, update, other, log, log, note, rest, rest, set_it, clear_it, wait_for_it, put, get,
    join, put_small, get_small, try_small, cancel, await_it, look_at_it, call_when_done, call_soon,
    call_later, sleep, notify, wait_if, promise, local, hand_over,
)  # fmt: skip
NESTED: tuple[Work, ...] = (
    hold,
    hold,
    permit,
    hurry,
    patience,
    start,
    start,
    shield,
    gather,
    group,
    first,
)


async def perform(s: State, operations: list[Operation], name: str) -> None:
    for work, inner in operations:
        await work(s, name, inner)


def operations(draw: random.Random, most: int, depth: int = 0) -> list[Operation]:
    found: list[Operation] = []
    for _ in range(most):
        if depth < 2 and draw.random() < 0.3:
            found.append((draw.choice(NESTED), operations(draw, 2, depth + 1)))
        else:
            found.append((draw.choice(PLAIN), []))
    return found


def _workers(seed: int) -> list[list[Operation]]:
    """What each worker of program number ``seed`` does, two or three of them."""
    draw = random.Random(seed)
    return [operations(draw, draw.randrange(2, 4)) for _ in range(draw.choice([2, 2, 3]))]


def program(seed: int) -> list[Any]:
    """The workers of program number ``seed``."""
    return [worker(given, name) for given, name in zip(_workers(seed), "abc", strict=False)]


def worker(given: list[Operation], name: str) -> Any:
    async def work(s: State) -> None:
        await perform(s, given, name)

    return work


def shown(seed: int) -> str:
    """The same as a text."""
    return repr(list(map(_told, _workers(seed))))


def _told(given: list[Operation]) -> Any:
    return [work.__name__ if not inner else (work.__name__, _told(inner)) for work, inner in given]
