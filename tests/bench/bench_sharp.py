"""How sharp the samplers are: mean number of schedules to the first failure, beside the goals.

    python tests/bench/bench_sharp.py [--seeds N] [--first S] [--only NAME ...]

The programs are those of ``tests/data/oracles/sctbench``. Start model: all workers are ready at
the start; no main worker starts them one by one. Goals: random, pct (depth 3) and pos are
measured against figures of the same start model (the exact probability; means of 20,000 seeds),
surw against its published mean, whose start model is the harder one, each times 1.25; ``auto``
against the best published mean of any tool. Seeds ``S .. S+N-1``. The exit status is 1 if a goal
is missed.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tracelock.backends.rules import THREADING_RULES  # noqa: E402
from tracelock.engine.controller import Controller  # noqa: E402
from tracelock.explore.running import Runner  # noqa: E402
from tracelock.scenario.loading import load_scenario  # noqa: E402
from tracelock.scenario.program import Program  # noqa: E402
from tracelock.session import make_scheduler  # noqa: E402

DATA = ROOT / "tests" / "data"
SAMPLERS = ("random", "pct", "pos", "surw", "directed", "auto")
SLACK = 1.25
MOST = 100_000  # schedules after which a search is given up


def runner_of(path: Path) -> Runner:
    return Runner(Program(load_scenario(path)), THREADING_RULES)


def first_failure(runner: Runner, strategy: str, seed: int, most: int = MOST) -> int:
    """How many schedules it takes, the failing one included; ``most`` if it is not found."""
    count = 0

    def done(controller: Controller) -> bool:
        nonlocal count
        count += 1
        return count == most or runner.verdict(controller).kind != "passed"

    runner.run(make_scheduler(strategy, seed), done)
    return count


def goal_of(program: dict[str, Any], strategy: str) -> float | None:
    if strategy == "random":
        return SLACK / float(program["random_exact"])
    if strategy in ("pct", "pos"):
        return SLACK * float(program["pct3_mean" if strategy == "pct" else "pos_mean"])
    if strategy == "surw":
        published = program["published"].get("surw")
        return None if published is None else SLACK * float(published)
    if strategy == "auto" and program["best_published"] is not None:
        return float(program["best_published"])
    return None


def speeds(strategies: list[str], seconds: float) -> None:
    """Schedules of the locked counter in a second, on one core."""
    runner = runner_of(DATA / "examples" / "locked_counter.yaml")
    print("schedules per second, locked_counter (2 workers x 1 increment), simulated")
    for strategy in strategies:
        count = 0
        start = time.perf_counter()
        stop = start + seconds

        def done(_: Controller, stop: float = stop) -> bool:
            nonlocal count
            count += 1
            return not count & 127 and time.perf_counter() > stop

        runner.run(make_scheduler(strategy, 1), done)
        print(f"  {strategy:10} {count / (time.perf_counter() - start):10,.0f}/s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--only", nargs="*", default=[], help="samplers or programs")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each speed, 0 for none")
    chosen = parser.parse_args()
    strategies = [name for name in SAMPLERS if name in chosen.only] or list(SAMPLERS)
    oracle = json.loads((DATA / "oracles" / "sctbench.json").read_text())
    stems = [Path(program["scenario"]).stem for program in oracle["programs"]]
    wanted = [stem for stem in stems if stem in chosen.only] or stems
    print(f"Python {platform.python_version()} on {platform.machine()}")
    if chosen.seconds:
        speeds(strategies, chosen.seconds)
    last = chosen.first + chosen.seeds - 1
    print(f"mean schedules to the first failure, seeds {chosen.first} to {last}, all workers ready")
    print(f"{'program':15} {'sampler':9} {'mean':>7} {'+-':>5} {'goal':>7} {'ratio':>6}")
    missed = 0
    logs: dict[str, list[float]] = {}
    for program in oracle["programs"]:
        stem = Path(program["scenario"]).stem
        if stem not in wanted:
            continue
        runner = runner_of(DATA / "oracles" / "sctbench" / program["scenario"])
        for strategy in strategies:
            seeds = range(chosen.first, chosen.first + chosen.seeds)
            counts = [first_failure(runner, strategy, seed) for seed in seeds]
            mean = sum(counts) / len(counts)
            logs.setdefault(strategy, []).append(math.log(mean))
            spread = sum((count - mean) ** 2 for count in counts) / max(1, len(counts) - 1)
            error = math.sqrt(spread / len(counts))
            goal = goal_of(program, strategy)
            line = f"{stem:15} {strategy:9} {mean:7.2f} {error:5.2f}"
            if goal is not None:
                line += f" {goal:7.2f} {mean / goal:6.2f}"
                if mean > goal:
                    line += "  MISSED"
                    missed += 1
            print(line)
    for strategy, values in logs.items():
        print(f"{'geometric mean':15} {strategy:9} {math.exp(sum(values) / len(values)):7.2f}")
    print("all goals met" if not missed else f"{missed} goals missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
