"""Save and load a trace of locked increments by two workers: seconds and bytes.

Run as a script: ``python tests/bench/bench_trace.py [--events N] [--gz]``. Each figure is the
best of three. Nothing here is asserted: machines differ.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tracelock.trace import (
    Events,
    Trace,
    Verdict,
    environment,
    load_trace,
    load_trace_text,
    recover,
)


def build(count: int) -> Trace:
    """Two workers that increment a counter under a lock, in turn."""
    events = Events()
    at = "workers.incrementer.steps[0].do[0]"
    acquire = events.shape("acquire", "lock", f"{at}.with")
    read = events.shape("read", "counter", f"{at}.do[0].value")
    write = events.shape("write", "counter", f"{at}.do[0]")
    release = events.shape("release", "lock", f"{at}.with")
    for i in range(count):
        worker, step, counter, t = i // 4 % 2, i % 4, i // 4, 1200 + 437 * i
        if step == 0:
            events.append(worker, acquire, t, result=True, waited=350 + i % 1000)
        elif step == 1:
            events.append(worker, read, t, result=counter)
        elif step == 2:
            events.append(worker, write, t, value=counter + 1)
        else:
            events.append(worker, release, t)
    return Trace(
        {"format": "tracelock-scenario/1", "name": "bench"}, "threading", "recorded", None, "real",
        environment(), ["incrementer[0]", "incrementer[1]"], events,
        Verdict("passed", state={"counter": count // 4}),
    )  # fmt: skip


def best(what: str, count: int, call: Callable[[], Any], times: int = 3) -> None:
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        spent.append(time.perf_counter() - start)
    print(f"{what:34} {min(spent):7.3f} s  {min(spent) / max(count, 1) * 1e6:6.3f} us/event")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--gz", action="store_true", help="also compressed, and the other ways in")
    options = parser.parse_args()
    count = options.events
    print(f"{count} events, Python {sys.version.split()[0]}")
    best("build (append)", count, lambda: build(count), 1)
    trace = build(count)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.json")
        best("save .json", count, lambda: trace.save(path))
        print(f"{'file':34} {path.stat().st_size / count:7.1f} bytes/event")
        best("load .json", count, lambda: load_trace(path))
        best("events.digest()", count, trace.events.digest, 1)
        best("iterate over Event", count, lambda: sum(1 for _ in trace.events), 1)
        if options.gz:
            packed = Path(folder, "run.json.gz")
            best("save .json.gz", count, lambda: trace.save(packed), 1)
            print(f"{'file, compressed':34} {packed.stat().st_size / count:7.1f} bytes/event")
            best("load .json.gz", count, lambda: load_trace(packed))
            best("recover .json", count, lambda: recover(path), 1)
            dense = json.dumps(json.loads(path.read_text("utf-8")))
            best("load, not one event a line", count, lambda: load_trace_text(dense, "x"), 1)
            del dense
        tracemalloc.start()
        loaded = load_trace(path)
        assert len(loaded.events) == count
        kept, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        print(f"{'loaded trace':34} {kept / count:7.1f} bytes/event")
        print(f"{'peak while loading':34} {peak / count:7.1f} bytes/event")
    print(f"{'peak of the process':34} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss} KB")


if __name__ == "__main__":
    main()
