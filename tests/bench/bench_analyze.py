"""How long ``analyze`` takes on long traces: a hundred thousand events shall take under 3 s.

    python -m tests.bench.bench_analyze [--events N]

The traces are made here, without running anything, and written to a file first, so that loading is
part of what is measured (in processor time: other processes do not count). Each is the worst for
some analysis: many locks and nestings, one contended lock, many workers that race, conditions with
time-outs, each free and controlled, where every event names the workers that could have gone.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tracelock.analysis.analyze import analyze
from tracelock.trace import MISSING, Events, Trace, Verdict, load_trace

GOAL = 3.0  # seconds, for 100,000 events
Step = tuple[int, str, str | None, object, object]  # worker, op, target, value, result


def locked(rng: random.Random) -> Iterator[Step]:
    """Eight workers that add to a hundred counters, each under its own lock, nested at times."""
    while True:
        worker, first = rng.randrange(8), rng.randrange(100)
        yield worker, "acquire", f"lock[{first}]", MISSING, True
        second = first + 1 + rng.randrange(5)
        nested = second < 100 and rng.random() < 0.3
        if nested:
            yield worker, "acquire", f"lock[{second}]", MISSING, True
        yield worker, "read", f"x[{first}]", MISSING, 0
        yield worker, "write", f"x[{first}]", 1, MISSING
        if nested:
            yield worker, "release", f"lock[{second}]", MISSING, MISSING
        yield worker, "release", f"lock[{first}]", MISSING, MISSING


def contended(rng: random.Random) -> Iterator[Step]:
    """Twenty workers and one lock."""
    while True:
        worker = rng.randrange(20)
        yield worker, "acquire", "guard", MISSING, True
        yield worker, "read", "x", MISSING, 0
        yield worker, "write", "x", 1, MISSING
        yield worker, "release", "guard", MISSING, MISSING


def racing(rng: random.Random) -> Iterator[Step]:
    """Sixty workers that read and write a thousand variables without any lock."""
    while True:
        worker, name = rng.randrange(60), f"x[{rng.randrange(1000)}]"
        yield worker, "read", name, MISSING, 0
        yield worker, "write", name, 1, MISSING


def waiting(rng: random.Random) -> Iterator[Step]:
    """Waits at conditions that run out of time, and notifies that nobody hears."""
    while True:
        worker, news = rng.randrange(6), f"news[{rng.randrange(3)}]"
        yield worker, "acquire", news, MISSING, True
        if rng.random() < 0.5:
            yield worker, "write", "ready", True, MISSING
            yield worker, "notify", news, MISSING, []
        else:
            yield worker, "read", "ready", MISSING, False
            yield worker, "wait", news, MISSING, MISSING
            yield worker, "wake", news, MISSING, False
        yield worker, "release", news, MISSING, MISSING


SORTS: dict[str, Callable[[random.Random], Iterator[Step]]] = {
    "locked": locked, "contended": contended, "racing": racing, "waiting": waiting,
}  # fmt: skip


def make(
    sort: str, count: int, controlled: bool, seed: int = 0, verdict: Verdict | None = None
) -> Trace:
    """A trace of ``count`` events of one sort."""
    rng = random.Random(seed)
    events = Events()
    workers = 0
    for worker, op, target, value, result in SORTS[sort](rng):
        if len(events) >= count:
            break
        workers = max(workers, worker + 1)
        timeout = 0.1 if op in ("wait", "wake") else MISSING
        shape = events.shape(op, target, f"app.py:{worker % 7}{len(op)}", timeout)
        waits = rng.randrange(5000) if op == "acquire" and rng.random() < 0.3 else -1
        events.append(
            worker, shape, len(events) * 1000, value, result, waited=waits,
            enabled=[one for one in range(workers) if one % 3 != len(events) % 5]
            if controlled
            else None,
        )  # fmt: skip
    return Trace(
        {"name": sort}, "threading", "controlled" if controlled else "recorded",
        {"name": "random"} if controlled else None, "virtual" if controlled else "real", {},
        [f"w[{i}]" for i in range(workers)], events, verdict or Verdict("passed"),
    )  # fmt: skip


def measure(sort: str, count: int, controlled: bool, verdict: Verdict) -> tuple[float, float, int]:
    """Seconds to load and to analyse, and how many findings."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        make(sort, count, controlled, verdict=verdict).save(path)
        start = time.process_time()
        trace = load_trace(path)
        loaded = time.process_time()
        found = len(analyze(trace))
        return loaded - start, time.process_time() - loaded, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    count = parser.parse_args().events
    print(f"{count:,} events; the goal is {GOAL:g} s for 100,000, with loading")
    ends = (Verdict("passed"), Verdict("failed", "finally", "x == 1 is false: x is 2"))
    for controlled, verdict in ((way, end) for end in ends for way in (False, True)):
        for sort in SORTS:
            load, work, found = measure(sort, count, controlled, verdict)
            how = "controlled" if controlled else "free"
            print(
                f"{sort:<10} {how:<10} {verdict.kind:<6} load {load:5.2f} s  analyse {work:5.2f} s"
                f"  together {load + work:5.2f} s  ({found} findings)"
            )


if __name__ == "__main__":
    main()
