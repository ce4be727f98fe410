"""Memory and CPU time of searches and replays of real code where one schedule is long.

    python tests/bench/bench_long.py [--rounds N,...] [--only KIND]

Two threads, or tasks of asyncio, that take one lock so often, four steps each time: ``dpor``: three
schedules of it; ``random``: two schedules; ``replay``: a schedule that fails at its end, which is
found, and its trace replayed. Each in a process of its own: the most memory that this had, and its
CPU time. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tracelock.engine.limits import RunLimits  # noqa: E402
from tracelock.session.api import explore, replay  # noqa: E402

KINDS = ("threads dpor", "threads random", "threads replay", "tasks random", "tasks replay")


class Box:
    def __init__(self, lock: Any) -> None:
        self.lock = lock()
        self.total = 0


def threads() -> Box:
    return Box(threading.Lock)


def tasks() -> Box:
    return Box(asyncio.Lock)


def work(box: Box) -> None:
    for _ in range(rounds):
        with box.lock:
            box.total += 1


async def work_of_task(box: Box) -> None:
    for _ in range(rounds):
        async with box.lock:
            seen = box.total
            await asyncio.sleep(0)
            box.total = seen + 1


def fails(box: Box) -> None:
    assert box.total != 2 * rounds, "the end"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", default="10,1250,12500")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    for kind in KINDS:
        if options.only in kind:
            for each in options.rounds.split(","):
                subprocess.run([sys.executable, __file__, "one", kind, each], check=True)


def one(kind: str) -> None:
    of, what = kind.split()
    code: dict[str, Any] = {
        "setup": threads if of == "threads" else tasks,
        "workers": [work if of == "threads" else work_of_task] * 2,
        "limits": RunLimits(steps=10**9, seconds=3600.0),
    }
    if what == "replay":
        code["check"] = fails
    begun = time.process_time()
    found = explore(
        **code, strategy="dpor" if what == "dpor" else "random", seconds=None, shrink=False,
        confirm=0, schedules=3 if what == "dpor" else 2 if what == "random" else 1,
    )  # fmt: skip
    searched = time.process_time() - begun
    told = f"{found.schedules} schedules {searched:6.1f} s, {found.verdict}"
    if what == "replay":
        assert found.trace is not None
        begun = time.process_time()
        again = replay(found.trace, **code)
        steps = len(found.trace.events)
        told += f"; replay of {steps:,} events {time.process_time() - begun:6.1f} s, "
        told += "diverged" if again.diverged else "the same"
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{kind:15} {rounds:7,} rounds: {most:6.0f} MB, {told}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["one"]:
        rounds = int(sys.argv[3])
        one(sys.argv[2])
    else:
        main()
