"""What an invariant, and a choice of a value, cost in a schedule of real code.

    python -m tests.bench.bench_invariants

Prints milliseconds of processor time of a schedule of three threads with twenty increments each:
plain, with an invariant that is evaluated after each of sixty writes, with one that reads what
nobody writes, and with a choice of a value before each increment.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import process_time
from typing import Any

import tracelock

SCHEDULES = 300
TIMES = 5


class Counter:
    def __init__(self) -> None:
        self.value = 0
        self.limit = 1_000


def counts(counter: Counter) -> None:
    for _ in range(20):
        counter.value = counter.value + 1


def counts_by(counter: Counter) -> None:
    for _ in range(20):
        counter.value = counter.value + tracelock.integers(1, 3)


def positive(counter: Counter) -> bool:
    return counter.value >= 0


def limited(counter: Counter) -> bool:
    return counter.limit == 1_000


def milliseconds(work: Callable[[Counter], None], strategy: str, **more: Any) -> float:
    """Of one schedule, the best of some explorations."""
    best = float("inf")
    for _ in range(TIMES):
        begun = process_time()
        found = tracelock.explore(
            setup=Counter, workers=[work] * 3, strategy=strategy, schedules=SCHEDULES,
            seconds=None, **more,
        )  # fmt: skip
        best = min(best, (process_time() - begun) / max(1, found.schedules))
    return best * 1e3


def main() -> None:
    print(f"load {os.getloadavg()[0]:.1f}; milliseconds of a schedule, best of {TIMES}")
    for strategy in ("random", "dpor"):
        print(
            f"{strategy}: plain {milliseconds(counts, strategy):.2f}, "
            f"evaluated {milliseconds(counts, strategy, always=positive):.2f}, "
            f"not touched {milliseconds(counts, strategy, always=limited):.2f}, "
            f"choices {milliseconds(counts_by, strategy):.2f}"
        )


if __name__ == "__main__":
    main()
