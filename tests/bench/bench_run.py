"""How fast tracelock runs: controlled schedules, recording, start-up. Prints ratios.

    python tests/bench/bench_run.py [--seconds S] [--only NAME ...]

Everything is measured in one process on one core (start-up aside), one thing after another, and
each controlled figure is set against the simulated one of the same run, so that the ratios hold
where the absolute times do not. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tracelock.scenario.loading import load_scenario  # noqa: E402
from tracelock.session import Session, Settings  # noqa: E402

GOALS = {
    "simulated": 60_000, "threading": 8_000, "asyncio": 4_000, "trio": 1_500,
    "multiprocessing": 1_500,
}  # fmt: skip
EXAMPLES = ROOT / "tests" / "data" / "examples"


def rate(backend: str, seconds: float) -> float:
    """Controlled random schedules of the locked counter in a second."""
    scenario = load_scenario(EXAMPLES / "locked_counter.yaml")
    with Session(scenario, Settings(backend, "random", 1)) as session:
        controller = session.controller(session.scheduler())
        count, start, stop = 0, 0.0, 0.0

        def done(_: Any) -> bool:
            nonlocal count, start, stop
            count += 1
            now = time.perf_counter()
            if count == 20:  # warm: the pool stands, the caches are filled
                start, stop = now, now + seconds
            return count > 20 and now > stop

        session.backend.controlled(controller, done)
        return (count - 20) / (time.perf_counter() - start)


def controlled(seconds: float) -> None:
    print("controlled schedules per second, locked_counter (2 workers x 1 increment)")
    base = 0.0
    for backend, goal in GOALS.items():
        got = rate(backend, seconds)
        base = base or got
        print(f"  {backend:16} {got:10,.0f}/s   {got / base:7.3f} of simulated   goal {goal:,}")


def recording() -> None:
    print("a free run of 2 x 100,000 locked increments on threads (800,000 events)")
    scenario = load_scenario(EXAMPLES / "counter_100k.yaml")
    with Session(scenario, Settings()) as session:
        plain, kept = [], []
        events = 0
        for _ in range(3):
            for record, into in ((False, plain), (True, kept)):
                start = time.perf_counter()
                outcome = next(iter(session.each(1, record)))
                into.append(time.perf_counter() - start)
                events = max(events, outcome.events)
                del outcome
    without, with_ = statistics.median(plain), statistics.median(kept)
    print(f"  without a record {without:.3f} s, with {with_:.3f} s: ratio {with_ / without:.2f},")
    print(
        f"  {(with_ - without) / events * 1e6:.2f} us an event for recording and putting in order"
    )
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from tracelock.scenario.loading import load_scenario\n"
        "from tracelock.session import Session, Settings\n"
        "s = Session(load_scenario(sys.argv[2]), Settings())\n"
        "record = sys.argv[3] == 'yes'\n"
        "o = next(iter(s.each(1, record)))\n"
        "rows = dict(line.split(':', 1) for line in open('/proc/self/status'))\n"
        "print(int(rows['VmHWM'].split()[0]) * 1024)\n"
    )
    peak = [
        int(subprocess.run(
            [sys.executable, "-c", code, str(ROOT), str(EXAMPLES / "counter_100k.yaml"), answer],
            capture_output=True, text=True, check=True,
        ).stdout)
        for answer in ("no", "yes")
    ]  # fmt: skip
    print(f"  peak memory {(peak[1] - peak[0]) / events:.0f} bytes an event over the run without")


def start_up() -> None:
    print("start-up, medians of 11")
    scenario = EXAMPLES / "locked_counter.yaml"
    with tempfile.TemporaryDirectory() as folder:
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "tracelock --help": [sys.executable, "-m", "tracelock", "--help"],
            "tracelock run": [sys.executable, "-m", "tracelock", "run", str(scenario)],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        for _ in range(11):
            for name, command in commands.items():
                start = time.perf_counter()
                subprocess.run(
                    command, capture_output=True, cwd=folder, env=environment, check=True
                )
                times[name].append(time.perf_counter() - start)
    bare = statistics.median(times["python -c pass"])
    for name, taken in times.items():
        median = statistics.median(taken)
        over = (median - bare) * 1e3
        print(f"  {name:18} {median * 1e3:6.0f} ms   {over:+6.0f} ms over bare Python")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each controlled figure")
    parser.add_argument("--only", nargs="*", choices=("controlled", "recording", "start"))
    chosen = parser.parse_args()
    only = chosen.only or ("controlled", "recording", "start")
    print(f"Python {platform.python_version()} on {platform.machine()}, {os.cpu_count()} cores")
    if "recording" in only:
        recording()
    if "start" in only:
        start_up()
    if "controlled" in only:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        controlled(chosen.seconds)


if __name__ == "__main__":
    main()
