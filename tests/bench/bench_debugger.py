"""How long the debugger takes to go back: the replay of a trace of about 1,000 events, afresh.

    python tests/bench/bench_debugger.py [events] [moves]

Prints, for threads, asyncio and trio, the median and the 95th percentile of ``goto`` to places
drawn with a fixed seed, of ``back``, and how long the first stop takes, which opens the program.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

import tracelock
from tracelock.debugger.reversible import Reversible
from tracelock.session.code import PythonCode
from tracelock.session.targets import target_for

WORKERS = 4
ROUNDS = 125


class Shared:
    def __init__(self) -> None:
        self.n = 0


def add(shared: Shared) -> None:
    for _ in range(ROUNDS):
        shared.n = shared.n + 1


async def add_task(shared: Shared) -> None:
    for _ in range(ROUNDS * 2 // 3):
        mine = shared.n
        await asyncio.sleep(0)
        shared.n = mine + 1


async def add_trio(shared: Shared) -> None:
    import trio

    for _ in range(ROUNDS * 2 // 3):
        mine = shared.n
        await trio.sleep(0)
        shared.n = mine + 1


def check(shared: Shared) -> None:
    assert shared.n == -1


def measured(backend: str, work: Callable[..., Any], moves: int) -> None:
    code = PythonCode([work] * WORKERS, Shared, check)
    explored = tracelock.explore(
        setup=Shared, workers=[work] * WORKERS, check=check, backend=backend, strategy="random",
        schedules=1, shrink=False, confirm=0,
    )  # fmt: skip
    trace = explored.trace
    assert trace is not None
    draw = random.Random(1)
    taken: dict[str, list[float]] = {"goto": [], "back": []}
    with Reversible(target_for(code=code), trace) as replay:
        begun = perf_counter()
        replay.start("start")
        first = perf_counter() - begun
        for _ in range(moves):
            replay.goto(replay.last)
            begun = perf_counter()
            replay.goto(draw.randrange(replay.last))
            taken["goto"].append(perf_counter() - begun)
        replay.goto(replay.last)
        for _ in range(moves):
            begun = perf_counter()
            replay.back()
            taken["back"].append(perf_counter() - begun)
    print(f"{backend:10} {len(trace.events):5} events   first stop {first * 1e3:5.0f} ms", end="")
    for name, times in taken.items():
        p95 = statistics.quantiles(times, n=20)[-1]
        print(f"   {name}: {statistics.median(times) * 1e3:5.1f} ms, p95 {p95 * 1e3:5.1f}", end="")
    print()


def main() -> None:
    moves = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    if len(sys.argv) > 1:
        global ROUNDS
        ROUNDS = int(sys.argv[1]) // 8
    measured("threading", add, moves)
    measured("asyncio", add_task, moves)
    measured("trio", add_trio, moves)


if __name__ == "__main__":
    main()
