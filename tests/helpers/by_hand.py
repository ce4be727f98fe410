"""Small programs of two tasks, each of whose awaits is cancelled by hand on asyncio's own loop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple

#: Turns of the loop after which a program of these has ended, or waits for ever.
TURNS = 100


class Shared:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.lock = asyncio.Lock()
        self.queue: asyncio.Queue[str] = asyncio.Queue()
        self.holder = ""  # of the lock, for the programs that are not careful

    def end(self) -> Any:
        return tuple(self.log), self.lock.locked(), self.queue.qsize()


async def _sleeps(s: Shared, name: str) -> None:
    await asyncio.sleep(0)
    s.log.append(name)


async def _cleans(s: Shared, name: str) -> None:
    try:
        await asyncio.sleep(0)
    finally:
        s.log.append(f"{name} cleans")
        await asyncio.sleep(0)
        s.log.append(f"{name} cleaned")


async def _catches(s: Shared, name: str) -> None:
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        s.log.append(f"{name} goes on")


async def _locks(s: Shared, name: str) -> None:
    async with s.lock:
        s.log.append(f"{name} has it")
        await asyncio.sleep(0)


async def _leaks(s: Shared, name: str) -> None:
    await s.lock.acquire()
    s.holder = name
    await asyncio.sleep(0)
    s.lock.release()


async def _puts(s: Shared, name: str) -> None:
    await s.queue.put(name)


async def _gets(s: Shared, name: str) -> None:
    s.log.append(f"{name} got {await s.queue.get()}")


def _worker(steps: list[Any], name: str) -> Any:
    async def work(s: Shared) -> None:
        for step in steps:
            await step(s, name)

    work.careless = _leaks in steps  # type: ignore[attr-defined]
    return work


def program(draws: random.Random, names: str) -> list[Any]:
    """Two workers of two steps each; the second one gets as many items as the first one puts."""
    common = [_sleeps, _cleans, _catches, _locks, _leaks]
    first, second = ([draws.choice(common) for _ in range(2)] for _ in range(2))
    if draws.random() < 0.5:
        first[draws.randrange(2)], second[draws.randrange(2)] = _puts, _gets
    return [_worker(first, names[0]), _worker(second, names[1])]


class Outcome(NamedTuple):
    """``end``: of what the two share; ``waiting``: somebody waits for ever; ``lost``: for the lock,
    which somebody has who has ended."""

    end: Any
    waiting: bool
    lost: bool


class _Counted:
    """Awaits ``coro``, and cancels the task at its ``at``-th suspension."""

    def __init__(self, coro: Any, at: int) -> None:
        self.coro, self.left = coro, at

    def __await__(self) -> Generator[Any, Any, Any]:
        send: Callable[[], Any] = lambda: self.coro.send(None)  # noqa: E731
        while True:
            try:
                waits = send()
            except StopIteration as end:
                return end.value
            self.left -= 1
            if not self.left:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            try:
                got = yield waits
            except BaseException as error:
                send = lambda error=error: self.coro.throw(error)  # noqa: E731
            else:
                send = lambda got=got: self.coro.send(got)  # noqa: E731


async def _run(coro: Any, at: int) -> Any:
    return await _Counted(coro, at)


def outcomes(workers: list[Any]) -> Iterator[Outcome]:
    """Of running them with no cancellation, and with one at each await of each."""
    for victim in range(len(workers)):
        at = 0
        while True:
            found, struck = _outcome(workers, victim, at)
            if at and not struck:
                break
            yield found
            at += 1


def _outcome(workers: list[Any], victim: int, at: int) -> tuple[Outcome, bool]:
    loop = asyncio.new_event_loop()
    try:
        shared = Shared()
        runs = [
            _run(work(shared), at if number == victim else 0) for number, work in enumerate(workers)
        ]
        tasks = [loop.create_task(run) for run in runs]
        for _ in range(TURNS):
            loop.call_soon(loop.stop)
            loop.run_forever()
        end = shared.end()
        waiting = [task for task in tasks if not task.done()]
        struck = tasks[victim].cancelling() > 0
        waiters: Any = shared.lock._waiters  # type: ignore[attr-defined]
        lost = bool(waiters) and not _alive(shared.holder, tasks)
        for task in waiting:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        return Outcome(end, bool(waiting), lost), struck
    finally:
        loop.close()


def _alive(holder: str, tasks: list[Any]) -> bool:
    """Whether the one that has taken the lock last without care can still give it back."""
    return not holder or not tasks["ab".index(holder)].done()
