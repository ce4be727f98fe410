"""dpor of asyncio tasks by what their steps touch: executions, and executions a CPU second.

    python tests/bench/bench_task_steps.py [--most N] [--whole]

Of each program: how many executions were made until all were tried (at most N), how many were begun
and cut since they repeat others, and how many a second of processor time. ``--whole``: the same by
the loop as a whole, for which every order of all steps is another execution. One process, one core
is enough; nothing is asserted.
"""

from __future__ import annotations

import argparse
import asyncio
import math
from collections.abc import Callable
from time import process_time
from typing import Any

import tracelock
from tracelock.instrument.loops.asyncio_backend import AsyncioLoopBackend


class State:
    def __init__(self) -> None:
        self.x = 0
        self.cells = {name: Cell() for name in "abcd"}
        self.lock = asyncio.Lock()
        self.queue: asyncio.Queue[int] = asyncio.Queue()


class Cell:
    """A variable of its own."""

    def __init__(self) -> None:
        self.n = 0


def alone(name: str, rounds: int) -> Any:
    async def work(s: State) -> None:
        cell = s.cells[name]
        for _ in range(rounds):
            cell.n += 1
            await asyncio.sleep(0)

    return work


async def increment(s: State) -> None:
    x = s.x
    await asyncio.sleep(0)
    s.x = x + 1


async def locked(s: State) -> None:
    await asyncio.sleep(0)
    async with s.lock:
        s.x += 1
        await asyncio.sleep(0)


async def locked_five_times(s: State) -> None:
    for _ in range(5):
        async with s.lock:
            x = s.x
            await asyncio.sleep(0)
            s.x = x + 1


async def produce(s: State) -> None:
    for n in range(2):
        await s.queue.put(n)
        await asyncio.sleep(0)


async def consume(s: State) -> None:
    for _ in range(2):
        await s.queue.get()


def orders(*steps: int) -> str:
    """In how many orders so many steps of each task can come."""
    count = math.factorial(sum(steps))
    for each in steps:
        count //= math.factorial(each)
    return f"{count:,}"


PROGRAMS: dict[str, tuple[list[Callable[..., Any]], str]] = {
    "3 tasks that share nothing, 4 steps each": ([alone(n, 3) for n in "abc"], orders(4, 4, 4)),
    "4 tasks that share nothing, 6 steps each": ([alone(n, 5) for n in "abcd"], orders(6, 6, 6, 6)),
    "4 unlocked updates": ([increment] * 4, orders(2, 2, 2, 2)),
    "5 unlocked updates": ([increment] * 5, orders(2, 2, 2, 2, 2)),
    "2 of them beside 2 that share nothing": (
        [increment, increment, alone("a", 3), alone("b", 3)], orders(2, 2, 4, 4),
    ),
    "3 under a lock": ([locked] * 3, "?"),
    "3 five times under a lock": ([locked_five_times] * 3, "?"),
    "2 producers, 2 consumers": ([produce, produce, consume, consume], "?"),
}  # fmt: skip


def measured(workers: list[Callable[..., Any]], most: int) -> str:
    begun = process_time()
    found = tracelock.explore(
        workers=workers, setup=State, backend="asyncio", strategy="dpor", schedules=most
    )
    seconds = process_time() - begun
    made = found.executions or found.schedules
    return f"{made:>9,} {found.redundant:>6,} {made / seconds:>8,.0f}  {found.verdict}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--most", type=int, default=5_000, help="executions at most")
    parser.add_argument("--whole", action="store_true", help="by the loop as a whole")
    options = parser.parse_args()
    if options.whole:
        AsyncioLoopBackend.tells_steps = lambda self: False  # type: ignore[method-assign]
    measured([increment] * 2, 50)  # what is imported at first use is there
    print(f"{'':44}{'orders':>14} {'made':>9} {'cut':>6} {'a CPU s':>8}")
    for name, (workers, count) in PROGRAMS.items():
        print(f"{name:44}{count:>14} {measured(workers, options.most)}", flush=True)


if __name__ == "__main__":
    main()
