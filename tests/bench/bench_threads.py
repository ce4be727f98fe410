"""What a search of threads costs: schedules a second of processor time, this tree and another.

    python tests/bench/bench_threads.py [--rounds N] [--schedules N] [--against DIRECTORY]

Two threads that add to a value, the same five times under a lock, and a thousand accesses to what
each has for itself; of ``cachetools`` a cache of two entries, where that is installed. Processes of
both trees take turns, of which the median counts; threads of Python alone, which no one controls,
are the measure beside them. One core; the load of the machine is told, nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class Shared:
    """What the workers share."""

    def __init__(self) -> None:
        self.value = 0
        self.lock = threading.Lock()
        self.cache = _cache()


class Own:
    """What one worker has for itself."""

    def __init__(self) -> None:
        self.value = 0


def _cache() -> Any:
    try:
        import cachetools  # type: ignore[import-untyped]
    except ImportError:
        return None
    return cachetools.LRUCache(2)


def adds(shared: Shared) -> None:
    shared.value += 1


def five(shared: Shared) -> None:
    for _ in range(5):
        with shared.lock:
            shared.value += 1


def own(shared: Shared) -> None:
    mine = Own()
    for _ in range(500):
        mine.value += 1


def cached(shared: Shared) -> None:
    for number in range(3):
        with shared.lock:
            shared.cache[number] = number


PROGRAMS: dict[str, tuple[Callable[[Shared], None], list[str], int]] = {
    "value += 1": (adds, ["only", "__main__"], 1),
    "five times under a lock": (five, ["only", "__main__"], 1),
    "1,000 accesses to one's own": (own, ["only", "__main__"], 8),
    "cachetools": (cached, ["only", "__main__", "cachetools"], 4),
}


def plain(work: Callable[[Shared], None], runs: int) -> float:
    """Runs a second of processor time without control, with a new thread for each worker."""
    begun = process_time()
    for _ in range(runs):
        shared = Shared()
        threads = [threading.Thread(target=work, args=(shared,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return runs / (process_time() - begun)


def one_process(schedules: int) -> None:
    """Explore in this process; the rates go to the output, as JSON."""
    import tracelock

    def explore(work: Callable[[Shared], None], names: list[str], count: int) -> float:
        begun = process_time()
        found = tracelock.explore(
            setup=Shared, workers=[work, work], strategy="random", schedules=count, seconds=None,
            instrument=names,
        )  # fmt: skip
        if found.verdict != "passed":
            raise SystemExit(found.summary)
        return process_time() - begun

    told: dict[str, tuple[float, float]] = {}
    for name, (work, names, heavier) in PROGRAMS.items():
        if work is cached and _cache() is None:
            continue
        count = max(120, schedules // heavier)
        explore(work, names, 40)  # what is imported and rewritten once
        fixed = explore(work, names, 40)  # what an exploration costs besides, and its first ones
        told[name] = (
            (count - 40) / (explore(work, names, count) - fixed), plain(work, 20 + count // 4)
        )  # fmt: skip
    print(json.dumps(told))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--schedules", type=int, default=2_000)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one_process(options.schedules)
        return
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    trees = {"this": ROOT}
    if options.against is not None:
        trees["against"] = options.against.resolve()
    also = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in trees}
    for _ in range(options.rounds):
        for name, tree in trees.items():
            done = subprocess.run(
                [sys.executable, __file__, "--one", "--schedules", str(options.schedules)],
                env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tree), *also])}, check=True,
                timeout=600, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores; schedules a CPU second")
    print(f"{'':30}" + "".join(f"{name:>12}" for name in trees) + f"{'plain':>12}")
    for program in PROGRAMS:
        if program in found["this"][0]:
            rates = [
                statistics.median(one[program][0] for one in found[name]) for name in trees
            ]  # fmt: skip
            alone = statistics.median(one[program][1] for one in found["this"])
            print(f"{program:30}" + "".join(f"{rate:12,.0f}" for rate in (*rates, alone)))


if __name__ == "__main__":
    main()
