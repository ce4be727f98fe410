"""What the schedules of a campaign's later turns are worth: schedules to the first failure.

    python tests/bench/bench_campaign.py [--seeds N] [--most N] [--only NAME]

The programs are those of ``tests/data/oracles/sctbench``, and some whose failure lies behind
stages, each of which shows in a new pair of steps: ``auto`` (its samplers), and ``mutating``, which
keeps prefixes that showed new pairs of steps, each from an empty corpus. Means of some seeds, and
the geometric mean of the ratios.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench.bench_sharp import DATA, runner_of  # noqa: E402
from tracelock.backends.rules import THREADING_RULES  # noqa: E402
from tracelock.engine.controller import Controller  # noqa: E402
from tracelock.explore.running import Runner  # noqa: E402
from tracelock.scenario.loading import scenario_from_data  # noqa: E402
from tracelock.scenario.program import Program  # noqa: E402
from tracelock.schedulers.base import Scheduler  # noqa: E402
from tracelock.schedulers.mutating import MutatingScheduler  # noqa: E402
from tracelock.session import make_scheduler  # noqa: E402

#: How deep the failures of the staged programs are.
STAGES: Final = (2, 4, 6, 8, 10)


def staged(depth: int) -> Runner:
    """A failure behind ``depth`` stages: the reader goes on to the next one only where it reads
    just what the writer has written for it, which holds for one step of many."""
    steps: list[Any] = [{"assert": "false"}]
    for stage in reversed(range(depth)):
        steps = [{"read": "x", "into": "r"}, {"if": f"r == {stage + 1}", "then": steps}]
    writes = [{"write": "x", "value": value} for value in (*range(1, depth + 1), 0)]
    return Runner(Program(scenario_from_data({
        "format": "tracelock-scenario/1", "name": f"staged_{depth}", "shared": {"x": 0},
        "workers": {"writer": {"steps": writes}, "reader": {"steps": steps}},
    })), THREADING_RULES)  # fmt: skip


def first_failure(runner: Runner, scheduler: Scheduler, most: int) -> int:
    """How many schedules it takes, the failing one included; ``most`` if it is not found."""
    count = 0

    def done(controller: Controller) -> bool:
        nonlocal count
        count += 1
        return count == most or runner.verdict(controller).kind != "passed"

    runner.run(scheduler, done)
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--most", type=int, default=5_000)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    print(f"{sys.version.split()[0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    ratios = []
    published = sorted((DATA / "oracles" / "sctbench").glob("*.json"))
    programs = {path.stem: partial(runner_of, path) for path in published}
    for depth in STAGES:
        programs[f"staged_{depth}"] = partial(staged, depth)
    for name, make_runner in programs.items():
        if options.only not in name:
            continue
        runner = make_runner()
        means = []
        for make in (lambda seed: make_scheduler("auto", seed), MutatingScheduler):
            counts = [
                first_failure(runner, make(seed), options.most) for seed in range(options.seeds)
            ]
            means.append(statistics.mean(counts))
        auto, mutating = means
        if not name.startswith("staged"):
            ratios.append(auto / mutating)
        print(f"{name:28} auto {auto:10.1f}   mutating {mutating:10.1f}", flush=True)
    if ratios:
        mean = math.exp(statistics.mean(map(math.log, ratios)))
        print(
            f"mutating needs {1 / mean:.2f} times as many schedules as auto (geometric mean "
            "without the staged ones)"
        )


if __name__ == "__main__":
    main()
