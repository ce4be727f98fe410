"""How fast real Python code is explored: schedules a second, and what recording accesses costs.

    python tests/bench/bench_python.py [--schedules N] [--peer]

Each program runs on real threads under a random walk that never fails, so that all schedules count.
The same program as a scenario, simulated, is the measure of the same run. ``--peer`` runs the same
programs under ``frontrun`` (``pip install frontrun``), with its own random strategy and its
exhaustive one; it wants to be the one that starts the interpreter (``frontrun python
tests/bench/bench_python.py --peer``). Nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import tracelock  # noqa: E402


class Counter:
    """What the workers share."""

    def __init__(self) -> None:
        self.value = 0
        self.lock = threading.Lock()

    def unlocked(self) -> None:
        self.value += 1

    def locked(self) -> None:
        with self.lock:
            self.value += 1

    def five(self) -> None:
        for _ in range(5):
            with self.lock:
                self.value += 1


PROGRAMS: dict[str, tuple[Callable[[Counter], None], int]] = {
    "self.value += 1": (Counter.unlocked, 1),
    "the same under a lock": (Counter.locked, 1),
    "five times under a lock": (Counter.five, 5),
}


def scenario(times: int, locked: bool) -> Any:
    step: dict[str, Any] = {"write": "n", "value": "n + 1"}
    body: list[Any] = [{"with": "lock", "do": [step]}] if locked else [step]
    return tracelock.scenario_from_data({
        "format": "tracelock-scenario/1", "name": "counter", "shared": {"n": 0},
        "objects": {"lock": "lock"},
        "workers": {"w": {"count": 2, "steps": [{"repeat": times, "do": body}]}},
    })  # fmt: skip


def ours(work: Callable[[Counter], None], strategy: str, schedules: int) -> tuple[int, float]:
    found = tracelock.explore(
        setup=Counter, workers=[work, work], strategy=strategy, schedules=schedules,
        seconds=None, instrument=["__main__"],
    )  # fmt: skip
    return found.schedules, found.seconds


def simulated(times: int, locked: bool, schedules: int) -> float:
    found = tracelock.explore(
        scenario(times, locked), strategy="random", schedules=schedules, seconds=None, every=True,
        shrink=False, confirm=0,
    )  # fmt: skip
    return found.schedules / found.seconds


def peer(work: Callable[[Counter], None], strategy: str, schedules: int) -> tuple[int, float]:
    import frontrun  # type: ignore[import-not-found]

    bound = {"max_executions": schedules} if strategy == "dpor" else {"max_attempts": schedules}
    begun = time.perf_counter()
    result = frontrun.explore(
        setup=Counter, workers=work, count=2, invariant=lambda c: True, strategy=strategy, **bound
    )
    return result.num_explored, time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schedules", type=int, default=5_000)
    parser.add_argument("--peer", action="store_true")
    chosen = parser.parse_args()
    print(f"Python {platform.python_version()} on {platform.machine()}, {os.cpu_count()} cores")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for name, (work, times) in PROGRAMS.items():
        base = simulated(times, "lock" in name, chosen.schedules)
        count, seconds = ours(work, "random", chosen.schedules)
        rate = count / seconds
        print(f"{name:24} {rate:10,.0f}/s on threads   {rate / base:5.3f} of simulated")
        count, seconds = ours(work, "dpor", chosen.schedules)
        print(f"{'':24} dpor: {count:,} executions and warm-up in {seconds:.3f} s")
        if chosen.peer:
            for strategy in ("random", "dpor"):
                count, seconds = peer(work, strategy, min(chosen.schedules, 500))
                theirs = count / seconds
                print(
                    f"{'':24} frontrun {strategy}: {count:,} in {seconds:.2f} s, {theirs:,.0f}/s"
                    f" (ours {rate / theirs:.1f} times as many)"
                )


if __name__ == "__main__":
    main()
