"""Schedules a second of real code beside other tools, and the cost of an exploration itself.

    python tests/bench/bench_peers.py [--schedules N] [--rounds N]

Rows of asyncio: two tasks with an ``await`` between read and write; two tasks that take a lock five
times. Rows of threads: ``self.value += 1``; the same five times under a lock. Each under a random
walk, so that all schedules count, by this tool, by ``detangle`` and ``interleave-test`` where they
are installed, and the loop or the threads alone. Time is that of the process; of the rounds, which
go through all rows in turn, the fastest counts. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import platform
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import tracelock


class TaskState:
    """What the tasks share."""

    def __init__(self) -> None:
        self.value = 0
        self.lock = asyncio.Lock()


async def once(s: TaskState) -> None:
    value = s.value
    await asyncio.sleep(0)
    s.value = value + 1


async def five_times(s: TaskState) -> None:
    for _ in range(5):
        async with s.lock:
            value = s.value
            await asyncio.sleep(0)
            s.value = value + 1


class ThreadState:
    """What the threads share."""

    def __init__(self) -> None:
        self.value = 0
        self.lock = threading.Lock()


def add(s: ThreadState) -> None:
    s.value += 1


def add_five(s: ThreadState) -> None:
    for _ in range(5):
        with s.lock:
            s.value += 1


Run = Callable[[int], object]


def ours(setup: Callable[[], Any], work: Callable[[Any], Any], backend: str) -> Run:
    return lambda count: tracelock.explore(
        setup=setup, workers=[work, work], backend=backend, strategy="random", schedules=count,
        interpreter="any" if backend == "threading" else None,
    )  # fmt: skip


def tasks_of(work: Callable[[TaskState], Any]) -> Callable[[], Any]:
    async def main() -> None:
        s = TaskState()
        await asyncio.gather(work(s), work(s))

    return main


def loop_alone(work: Callable[[TaskState], Any]) -> Run:
    main = tasks_of(work)

    def run(count: int) -> None:
        for _ in range(count):
            asyncio.run(main())

    return run


def threads_alone(work: Callable[[ThreadState], Any]) -> Run:
    def run(count: int) -> None:
        for _ in range(count):
            s = ThreadState()
            threads = [threading.Thread(target=work, args=(s,)) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    return run


def detangle(work: Callable[[TaskState], Any]) -> Run:
    import detangle as peer

    return lambda count: peer.explore(tasks_of(work), runs=count, strategy="random")


def interleave(work: Callable[[ThreadState], Any]) -> Run:
    import interleave_test as peer

    def model() -> None:
        s = ThreadState()
        threads = [peer.spawn(lambda: work(s)) for _ in range(2)]
        for thread in threads:
            thread.join()

    return lambda count: peer.explore(model, iterations=count, seed=1)


def has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def rows() -> list[tuple[str, str, Run, int]]:
    """Program, tool, what runs so many schedules, and of how many schedules one part is done."""
    found: list[tuple[str, str, Run, int]] = []
    for name, work in (("asyncio, sleep(0)", once), ("asyncio, 2 x 5 locked", five_times)):
        found.append((name, "tracelock", ours(TaskState, work, "asyncio"), 1))
        if has("detangle"):
            found.append((name, "detangle", detangle(work), 1))
        found.append((name, "asyncio.run", loop_alone(work), 1))
    for name, plain in (("threads, value += 1", add), ("threads, 2 x 5 locked", add_five)):
        found.append((name, "tracelock", ours(ThreadState, plain, "threading"), 1))
        if has("interleave_test"):
            found.append((name, "interleave-test", interleave(plain), 5))
        found.append((name, "threads alone", threads_alone(plain), 1))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schedules", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(f"CPython {platform.python_version()}, {platform.machine()}")
    table = rows()
    best: dict[tuple[str, str], float] = {}
    fixed: dict[tuple[str, str], float] = {}
    for _ in range(options.rounds):
        for name, tool, run, part in table:
            count = options.schedules // part
            for many, into in ((1, fixed), (count, best)):
                begun = time.process_time()
                try:
                    run(many)
                except Exception as error:  # a peer that finds the race stops there
                    print(f"{name}, {tool}: {type(error).__name__}", file=sys.stderr)
                    continue
                each = (time.process_time() - begun) / many
                into[name, tool] = min(into.get((name, tool), each), each)
    print(f"{'program':24}{'tool':18}{'schedules/s':>12}{'one search (ms)':>18}")
    for name, tool, _, _ in table:
        if (name, tool) in best:
            rate = 1 / best[name, tool]
            print(f"{name:24}{tool:18}{rate:>12,.0f}{1000 * fixed[name, tool]:>18.1f}")


if __name__ == "__main__":
    main()
