"""Memory and CPU time of ``dpor`` on real code where one schedule is long.

    python tests/bench/bench_long.py [--rounds N,...]

Two threads that take one lock so often, four steps each time: three schedules, each in a process of
its own. The most memory that the process had, and its CPU time. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tracelock.engine.limits import RunLimits  # noqa: E402
from tracelock.session.api import explore  # noqa: E402


class Box:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.total = 0


def work(box: Box) -> None:
    for _ in range(rounds):
        with box.lock:
            box.total += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", default="10,1250,12500")
    for each in parser.parse_args().rounds.split(","):
        subprocess.run([sys.executable, __file__, "one", each], check=True)


def one() -> None:
    found = explore(
        setup=Box, workers=[work] * 2, strategy="dpor", schedules=3, seconds=None, shrink=False,
        confirm=0, limits=RunLimits(steps=10**9, seconds=3600.0),
    )  # fmt: skip
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{8 * rounds:9,} steps: {most:6.0f} MB, {time.process_time():5.1f} s, {found.verdict}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["one"]:
        rounds = int(sys.argv[2])
        one()
    else:
        main()
