"""Many explorations in one process, one after the other: does anything pile up?

    python tests/bench/bench_many.py [--explorations N]

Of four one passes, one ends in a deadlock on locks of a module, one fails by an exception in a
background thread, and one gets stuck in a loop. Every fifty there is a line: seconds for each
exploration that passes, threads, objects, and the most memory so far. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import gc
import resource
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import tracelock  # noqa: E402

LOCK = threading.Lock
FIRST = threading.Lock()
SECOND = threading.RLock()


def first_then_second() -> None:
    with FIRST, SECOND:
        pass


def second_then_first() -> None:
    with SECOND, FIRST:
        pass


def breaks() -> None:
    thread = threading.Thread(target=[].pop, daemon=True)
    thread.start()
    thread.join()


def spins() -> None:
    while True:
        pass


CASES = (
    ("verified", [first_then_second, first_then_second]),
    ("failed", [first_then_second, second_then_first]),
    ("failed", [breaks]),
    ("unfinished", [spins]),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--explorations", type=int, default=500)
    total = parser.parse_args().explorations
    limits = tracelock.RunLimits(stall=0.25)
    print("explorations  s each  threads  objects  MiB")
    spent: list[float] = []
    for number in range(1, total + 1):
        expected, workers = CASES[number % 4]
        begun = time.perf_counter()
        explored = tracelock.explore(workers=workers, instrument=[], limits=limits)
        if expected == "verified":
            spent.append(time.perf_counter() - begun)
        if explored.verdict != expected:
            print(f"{number}: {explored.summary}, {expected} was expected")
        if number % 50 == 0:
            gc.collect()
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
            print(
                f"{number:12}  {sum(spent) / len(spent):.4f}  {threading.active_count():7}  "
                f"{len(gc.get_objects()):7}  {memory:3}", flush=True,
            )  # fmt: skip
            spent.clear()
    print(f"threading.Lock is the original: {threading.Lock is LOCK}")


if __name__ == "__main__":
    main()
