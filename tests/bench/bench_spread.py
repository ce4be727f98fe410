"""What ``--jobs 2`` gives: schedules of one run, alone and shared, one after the other.

    python tests/bench/bench_spread.py [--rounds N]

Two samplers (a scenario, real code on threads) and DPOR of programs with many executions. Start-up
of the processes is part of each time. Ratios of wall time, the median of some rounds in which both
take turns; with the load of the machine, and what the CPU time alone would give: that of the search
alone, divided by the larger of what this process and each of the others has used when it is shared.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.helpers import spread_programs as programs  # noqa: E402
from tracelock.scenario.loading import scenario_from_data  # noqa: E402
from tracelock.session.api import explore  # noqa: E402
from tracelock.session.plan import Spreading  # noqa: E402


def sections(workers: int, rounds: int) -> Any:
    """``workers`` that each take one lock so often."""
    steps = [{"repeat": rounds, "do": [{"with": "m", "do": []}]}]
    return scenario_from_data({
        "format": "tracelock-scenario/1", "name": "sections", "objects": {"m": "lock"},
        "workers": {"worker": {"count": workers, "steps": steps}},
    })  # fmt: skip


def readers(count: int) -> Any:
    """One write that races with ``count`` reads: each part of the tree is planned by another."""
    return scenario_from_data({
        "format": "tracelock-scenario/1", "name": "readers", "shared": {"x": 0},
        "workers": {
            "writer": {"steps": [{"write": "x", "value": 1}]},
            "reader": {"count": count, "steps": [{"read": "x", "into": "r"}]},
        },
    })  # fmt: skip


CODE = {"setup": programs.account, "workers": [programs.deposit] * 3}
CASES: dict[str, Callable[[Spreading], Any]] = {
    "scenario, random, 60,000": lambda how: explore(
        sections(3, 3), strategy="random", schedules=60_000, seconds=None, spreading=how
    ),
    "scenario, random, 240,000": lambda how: explore(
        sections(3, 3), strategy="random", schedules=240_000, seconds=None, spreading=how
    ),
    "scenario, dpor, 184,756 executions": lambda how: explore(
        sections(2, 10), strategy="dpor", seconds=None, spreading=how
    ),
    "scenario, dpor, readers, 16,384 executions": lambda how: explore(
        readers(14), strategy="dpor", seconds=None, spreading=how
    ),
    "threads, random, 20,000": lambda how: explore(
        **CODE, strategy="random", schedules=20_000, seconds=None, spreading=how
    ),
    "threads, dpor, 2 x 6 sections": lambda how: explore(
        setup=programs.account, workers=[programs.six] * 2, strategy="dpor", seconds=None,
        schedules=1_000_000, spreading=how,
    ),
}  # fmt: skip


def used() -> tuple[float, float]:
    own = resource.getrusage(resource.RUSAGE_SELF)
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime, others.ru_utime + others.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    if sys.dont_write_bytecode:  # each process would compile all of the package
        folder = tempfile.TemporaryDirectory(prefix="tracelock-bench-", ignore_cleanup_errors=True)
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = folder.name
        sys.dont_write_bytecode = False
        explore(sections(2, 2), strategy="random", schedules=1000, spreading=Spreading(jobs=2))
    print(f"{sys.version.split()[0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for name, run in CASES.items():
        if options.only not in name:
            continue
        walls: dict[int, list[float]] = {1: [], 2: []}
        ideal = []
        counts = set()
        for _ in range(options.rounds):
            spent: dict[int, tuple[float, float]] = {}
            for jobs in (1, 2):
                before, begun = used(), time.monotonic()
                found = run(Spreading(jobs=jobs))
                walls[jobs].append(time.monotonic() - begun)
                after = used()
                spent[jobs] = after[0] - before[0], after[1] - before[1]
                counts.add((found.verdict, found.executions or found.schedules))
            ideal.append(sum(spent[1]) / max(spent[2][0], spent[2][1] / 2))
        alone, shared = (statistics.median(walls[jobs]) for jobs in (1, 2))
        print(
            f"{name}: alone {alone:.2f} s, two {shared:.2f} s, {alone / shared:.2f} times; by CPU "
            f"time {statistics.median(ideal):.2f}; load {os.getloadavg()[0]:.1f}; {sorted(counts)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
