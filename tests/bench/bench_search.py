"""How fast ``explore`` searches: schedules a second by strategy, and time to the first bug.

    python tests/bench/bench_search.py [--seconds S] [--library]

The rates are of simulated search on one core, with all that ``explore`` does for each schedule,
and are set against the random walk of the same run. ``--library`` times the whole command, from
typing it to the confirmed trace, for every file in ``scenarios/`` that can fail. Nothing is
asserted.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.make_traces import SCENARIOS, failing_backend  # noqa: E402
from tracelock.explore.running import Runner  # noqa: E402
from tracelock.explore.search import Budget, search  # noqa: E402
from tracelock.scenario.loading import load_scenario  # noqa: E402
from tracelock.scenario.program import Program  # noqa: E402
from tracelock.schedulers.dpor.scheduler import DporScheduler  # noqa: E402
from tracelock.session import make_scheduler, rules_of  # noqa: E402

GOALS = {"random": 60_000, "pct": 30_000, "pos": 30_000, "surw": 30_000}
DATA = ROOT / "tests" / "data"


def program(path: Path) -> Program:
    return Program(load_scenario(path))


def samplers(seconds: float) -> None:
    print("schedules per second, locked_counter")
    made = program(DATA / "examples" / "locked_counter.yaml")
    base = 0.0
    for name, goal in GOALS.items():
        runner = Runner(made, rules_of("threading"))
        search(runner, make_scheduler(name, 1), Budget(200, None), every=True)
        found = search(runner, make_scheduler(name, 1), Budget(None, seconds), every=True)
        rate = found.schedules / found.seconds
        base = base or rate
        print(f"  {name:8} {rate:10,.0f}/s   {rate / base:6.3f} of random   goal {goal:,}")


def dpor(seconds: float) -> None:
    print("executions per second of dpor (goal 15,000 on locked_counter), repeated from the start")
    for path in (
        DATA / "examples" / "locked_counter.yaml",
        *(DATA / "oracles" / f"{name}.json" for name in ("lockinc-5", "reorder-3", "inc-3")),
    ):
        made = program(path)
        runner = Runner(made, rules_of("threading"))
        done, begun = 0, time.perf_counter()
        while time.perf_counter() - begun < seconds:
            done += search(runner, DporScheduler(), Budget(), every=True).schedules
        print(f"  {path.stem:16} {done / (time.perf_counter() - begun):10,.0f}/s")


def timed() -> Iterator[tuple[str, float, Any]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for path in SCENARIOS:
        backend = failing_backend(path)
        if backend is None:
            continue
        begun = time.perf_counter()
        status = subprocess.run(
            [sys.executable, "-m", "tracelock", "explore", str(path), "--backend", backend,
             "--no-trace"],
            capture_output=True, env=environment, timeout=120,
        ).returncode  # fmt: skip
        yield path.stem, time.perf_counter() - begun, status


def library() -> None:
    print("from typing the command to the confirmed minimal trace (goal: found within 1 s)")
    for name, seconds, status in timed():
        print(f"  {name:32} {seconds:6.2f} s   exit {status}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each rate")
    parser.add_argument("--library", action="store_true", help="time the command on scenarios/")
    chosen = parser.parse_args()
    print(f"Python {platform.python_version()} on {platform.machine()}, {os.cpu_count()} cores")
    if chosen.library:
        library()
        return
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    samplers(chosen.seconds)
    dpor(chosen.seconds)


if __name__ == "__main__":
    main()
