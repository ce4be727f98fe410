"""Microseconds per event to linearise 2 workers x 100,000 x (acquire, read, write, release).

Run: python tests/bench/bench_linearise.py [rounds per worker]
"""

from __future__ import annotations

import random
import sys
import time
import tracemalloc
from typing import Any

from tracelock.engine.linearise.order import linearise
from tracelock.objects import Rules
from tracelock.ops import ACQUIRE, READ, RELEASE, WRITE, Layout, ObjectSpec, Op, WorkerSpec

WORKERS = 2


def history(rounds: int, burst: int) -> tuple[list[list[Any]], list[list[Any]], Layout]:
    """Logs as a recorder leaves them; a worker goes on for about ``burst`` rounds at a time."""
    layout = Layout(
        ("counter", "lock"),
        (0,),
        (ObjectSpec("lock", "lock"),),
        tuple(WorkerSpec(f"w[{i}]", "w", i, WORKERS) for i in range(WORKERS)),
    )
    rng = random.Random(1)
    logs: list[list[Any]] = [[] for _ in range(WORKERS)]
    cell: list[Any] = [(0, -1, -1)]
    left = [rounds] * WORKERS
    now = 10**14
    acquire, read, release = Op(ACQUIRE, 1, "a"), Op(READ, 0, "b"), Op(RELEASE, 1, "d")
    while any(left):
        w = rng.choice([w for w in range(WORKERS) if left[w]])
        log = logs[w]
        for _ in range(min(left[w], rng.randint(1, 2 * burst - 1))):
            left[w] -= 1
            log.append((ACQUIRE, acquire, True, now, 0))
            seen = cell[-1]
            log.append((READ, read, seen, now + 300, 0))
            entry = (seen[0] + 1, w, len(log))
            cell.append(entry)
            log.append((WRITE, Op(WRITE, 0, "c", seen[0] + 1), entry, now + 600, 0))
            log.append((RELEASE, release, None, now + 900, 0))
            now += 1200
    return logs, [cell], layout


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    for burst in (1, 1000):
        logs, cells, layout = history(rounds, burst)
        events = sum(map(len, logs))
        best = 1e9
        for _ in range(3):
            start = time.perf_counter()
            linear = linearise(logs, cells, layout, Rules("threading"))
            best = min(best, time.perf_counter() - start)
        tracemalloc.start()
        again = linearise(logs, cells, layout, Rules("threading"))
        kept, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(again) == len(linear) == events
        print(
            f"{events:,} events, bursts of about {burst}: {best:.3f} s, "
            f"{best / events * 1e6:.3f} us per event; "
            f"{(peak - kept) / events:.0f} transient and {kept / events:.0f} kept bytes per event"
        )


if __name__ == "__main__":
    main()
