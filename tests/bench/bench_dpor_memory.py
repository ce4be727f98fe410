"""Memory and speed of ``dpor`` where one write races with many reads, and on the oracles.

    python tests/bench/bench_dpor_memory.py [--readers N,...] [--seconds S]

For each program the number of executions, executions a second of CPU time, and the most memory of
Python objects while it was searched (``tracemalloc``, in a search of its own), of the search by
wakeup trees and of the parsimonious one. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tracelock.explore.running import Runner  # noqa: E402
from tracelock.explore.search import Budget, search  # noqa: E402
from tracelock.scenario.loading import load_scenario, scenario_from_data  # noqa: E402
from tracelock.scenario.program import Program  # noqa: E402
from tracelock.schedulers.dpor.parsimonious import ParsimoniousScheduler  # noqa: E402
from tracelock.schedulers.dpor.scheduler import DporScheduler  # noqa: E402
from tracelock.session import rules_of  # noqa: E402

KINDS = {"trees": DporScheduler, "parsimonious": ParsimoniousScheduler}
ORACLES = (
    "inc-3", "lockinc-5", "reorder-3", "lastzero-6", "wcas-7", "philosophers-5",
    "philosophers-ordered-4", "sections-3x2", "writers-reader-4", "bluetooth",
)  # fmt: skip


def readers(count: int, writers: int, variables: int) -> Program:
    """``writers`` workers write ``variables`` variables, ``count`` read one of them each."""
    workers: dict[str, Any] = {}
    for number in range(writers):
        writes = [{"write": f"x{v}", "value": number + 1} for v in range(variables)]
        workers[f"writer{number}"] = {"steps": writes}
    for number in range(count):
        steps = [{"read": f"x{number % variables}", "into": "r"}]
        workers[f"reader{number}"] = {"steps": steps}
    return Program(
        scenario_from_data(
            {
                "format": "tracelock-scenario/1",
                "name": f"readers-{count}",
                "shared": {f"x{v}": 0 for v in range(variables)},
                "workers": workers,
            }
        )
    )


def measured(made: Program, kind: type[DporScheduler], seconds: float) -> str:
    runner = Runner(made, rules_of("threading"))
    done, begun = 0, time.process_time()
    while not done or time.process_time() - begun < seconds:
        done += search(runner, kind(), Budget(), every=True).schedules
    rate = done / (time.process_time() - begun)
    tracemalloc.start()
    count = search(runner, kind(), Budget(), every=True).schedules
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return f"{count:9,} {rate:9,.0f}/s {most / 1024:9,.0f} kB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", default="4,8,10,12")
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    programs = {
        f"readers-{count}, {writers} x {variables}": readers(count, writers, variables)
        for count in map(int, options.readers.split(","))
        for writers, variables in ((1, 1), (2, 1), (1, 4))
        if writers == 1 or count <= 8
    }
    for name in ORACLES:
        programs[name] = Program(
            load_scenario(ROOT / "tests" / "data" / "oracles" / f"{name}.json")
        )
    print(f"{'':26}" + "".join(f"{kind:^36}" for kind in KINDS))
    for name, made in programs.items():
        print(
            f"{name:26}"
            + "   ".join(measured(made, one, options.seconds) for one in KINDS.values())
        )


if __name__ == "__main__":
    main()
