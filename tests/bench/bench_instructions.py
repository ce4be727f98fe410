"""How many machine instructions one schedule of real Python code takes, counted by valgrind.

    python tests/bench/bench_instructions.py [--other CHECKOUT] [--schedules N]

Times on a machine that others use vary by half; this count varies by one in a hundred. What the
operating system does (handing over between threads) is not in it. Each program of
``bench_python.py`` is run for two numbers of schedules, and the difference divided by that of the
numbers, so that neither the start nor the time to take control counts. ``--other``: a checkout of
another version, for a ratio. Needs ``valgrind``. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import platform
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
sys.path[:0] = [sys.argv[1], sys.argv[2]]
import tracelock
import bench_python
work = list(bench_python.PROGRAMS.values())[int(sys.argv[3])][0]
tracelock.explore(setup=bench_python.Counter, workers=[work, work], strategy="random",
                  schedules=int(sys.argv[4]), seconds=None, instrument=["bench_python"])
"""
#: Of fewer schedules some are the first ones, which are recorded.
FEWEST = 150


def instructions(checkout: Path, program: int, schedules: int) -> int:
    """Of a whole process that explores so many schedules."""
    done = subprocess.run(
        [
            "valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null",
            sys.executable, "-c", PROGRAM, str(checkout), str(Path(__file__).parent), str(program),
            str(schedules),
        ],
        capture_output=True, text=True, check=True, timeout=1_000, cwd=checkout,
    )  # fmt: skip
    found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    assert found is not None, done.stderr
    return int(found[1].replace(",", ""))


def of_one(checkout: Path, program: int, schedules: int) -> float:
    few, many = (instructions(checkout, program, n) for n in (FEWEST, FEWEST + schedules))
    return (many - few) / schedules


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--other", type=Path, help="the checkout of another version")
    parser.add_argument("--schedules", type=int, default=300)
    asked = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent))
    import bench_python

    print(f"Python {platform.python_version()}, {platform.machine()}")
    for number, name in enumerate(bench_python.PROGRAMS):
        ours = of_one(ROOT, number, asked.schedules)
        line = f"{name:26} {ours:12,.0f} instructions a schedule"
        if asked.other:
            other = of_one(asked.other.resolve(), number, asked.schedules)
            line += f", {other:12,.0f} in the other: {other / ours:.2f} times as fast"
        print(line, flush=True)


if __name__ == "__main__":
    main()
