"""How many states a second the search of states goes through, and how much memory a state takes.

    python tests/bench/bench_states.py [--seconds S] [--only NAME ...]

Seconds are those of the processor, so that it matters little what else runs. Everything runs on
one core, each search for the given time (of the clock) at most. The first line is how fast a plain
loop of look-ups in a set is, to compare machines by. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tracelock.explore.search import Budget  # noqa: E402
from tracelock.explore.states.search import StateSearch  # noqa: E402
from tracelock.scenario.loading import load_scenario, scenario_from_data  # noqa: E402
from tracelock.scenario.program import Program  # noqa: E402
from tracelock.session import rules_of  # noqa: E402

GOALS = {"philosophers-8": 100_000}


def changed(path: str, *changes: tuple[str, str]) -> Program:
    """A scenario file with parts of its text replaced."""
    text = json.dumps(load_scenario(ROOT / path).to_data())
    for old, new in changes:
        if old not in text:
            raise ValueError(f"{path} has no {old!r}")
        text = text.replace(old, new)
    return Program(scenario_from_data(json.loads(text)))


def philosophers(count: int) -> Program:
    return changed(
        "tests/data/oracles/philosophers-3.json", ("% 3", f"% {count}"),
        ('"count": 3', f'"count": {count}'),
    )  # fmt: skip


def peterson(rounds: int) -> Program:
    """Peterson's lock again and again: its loops are cycles of states."""
    data: dict[str, Any] = load_scenario(ROOT / "scenarios" / "peterson.yaml").to_data()
    worker = data["workers"]["process"]
    worker["steps"] = [{"repeat": rounds, "do": worker["steps"]}]
    return Program(scenario_from_data(data))


def buffer(items: int) -> Program:
    """The bounded buffer of the library with more to carry, on two conditions."""
    data: dict[str, Any] = load_scenario(ROOT / "scenarios" / "bounded_buffer.yaml").to_data()
    data["workers"]["producer"]["steps"][0]["repeat"] = items
    data["workers"]["consumer"]["steps"][0]["repeat"] = 2 * items
    data["finally"] = [f"taken == {2 * items}"]
    return Program(scenario_from_data(data))


PROGRAMS = {
    "philosophers-8": (lambda: philosophers(8), "threading", True),
    "philosophers-8-asyncio": (lambda: philosophers(8), "asyncio", True),
    "philosophers-10": (lambda: philosophers(10), "threading", True),
    "peterson-100": (lambda: peterson(100), "threading", False),
    "bounded_buffer-80": (lambda: buffer(80), "threading", False),
    "bounded_buffer-80-trio": (lambda: buffer(80), "trio", False),
}


def plain() -> float:
    """Look-ups a second in a set of numbers of the size that states have."""
    numbers = [n * 0x9E3779B97F4A7C15 & (1 << 60) - 1 for n in range(200_000)]
    begun = time.perf_counter()
    seen: set[int] = set()
    for number in numbers:
        if number not in seen:
            seen.add(number)
    return len(numbers) / (time.perf_counter() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--only", nargs="*", choices=list(PROGRAMS), default=list(PROGRAMS))
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(f"Python {platform.python_version()}, one core, a set: {plain():,.0f} look-ups/s")
    print(f"{'program':24}{'states':>12}{'edges':>12}{'seconds':>9}{'states/s':>11}{'goal':>9}")
    for name in options.only:
        make, backend, every = PROGRAMS[name]
        search = StateSearch(make(), rules_of(backend), every=every)
        begun = time.process_time()
        found = search.run(Budget(seconds=options.seconds))
        spent = time.process_time() - begun
        goal = GOALS.get(name)
        rate = found.states / spent
        print(
            f"{name:24}{found.states:12,}{found.transitions:12,}{spent:9.2f}{rate:11,.0f}"
            f"{f'{goal:,}' if goal else '-':>9}  {found.verdict}"
            f"{f' ({found.stopped})' if found.stopped else ''}"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak memory {peak / 1024:,.0f} MiB")


if __name__ == "__main__":
    main()
