"""What an unfinished search by dpor says of how much it has seen, beside the truth.

    python tests/bench/bench_estimate.py [--seeds N] [--probes N] [--real]

All programs with published numbers of inequivalent interleavings (``tests/data/oracles``, from 24
on), stopped at 10, 33 and 66 percent: for each the median of the estimates over so many seeds, the
root of the mean square of their relative errors, the largest of these, and how often the truth lay
between ``low`` and ``high``. Beside it what the part explored so far would say (Knuth 1975: each
branch of a point like those that are done), which takes no probes. ``--real``: Python code on
threads and asyncio too, whose true number is found by the whole search. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from math import sqrt
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import tracelock
from tracelock.backends.base import Options
from tracelock.backends.rules import THREADING_RULES
from tracelock.backends.simulated import SimulatedBackend
from tracelock.engine.controller import Controller
from tracelock.explore.estimate import SeenClasses, seen_classes
from tracelock.scenario.loading import load_scenario
from tracelock.scenario.program import Program
from tracelock.schedulers.base import Scheduler
from tracelock.schedulers.dpor.parsimonious import ParsimoniousScheduler
from tracelock.schedulers.dpor.probing import probes_of

DATA = Path(__file__).resolve().parents[1] / "data" / "oracles"
SHARES = (0.1, 1 / 3, 2 / 3)


def run(made: Program, scheduler: Scheduler, over: Callable[[], bool]) -> None:
    controller = Controller(made.layout, THREADING_RULES, scheduler)
    with SimulatedBackend(made, Options(), THREADING_RULES) as backend:
        backend.controlled(controller, lambda _: over())


def published(seeds: int, count: int) -> None:
    entries = json.loads((DATA / "traces.json").read_text(encoding="utf-8"))
    for entry in entries:
        true = entry["executions"]
        if true < 24:
            continue
        made = Program(load_scenario(DATA / entry["scenario"]))
        for share in SHARES:
            found, cost, searching = [], 0.0, 0.0
            for seed in range(seeds):
                dpor, most = ParsimoniousScheduler(), max(1, round(share * true))
                begun = process_time()
                run(made, dpor, lambda dpor=dpor, most=most: dpor.executions >= most)  # type: ignore[misc]
                searching += process_time() - begun
                partly = dpor.estimate()
                probes = probes_of(dpor, seed)
                assert probes is not None
                begun = process_time()
                run(made, probes, lambda probes=probes: len(probes.probes) >= count)  # type: ignore[misc]
                cost += process_time() - begun
                found.append(seen_classes(probes, dpor.executions))
            explored = most / partly if partly else 0.0
            row(Path(entry["scenario"]).stem, true, share, found, explored, cost / seeds / count)


def row(
    name: str, true: int, share: float, found: Sequence[SeenClasses | None], explored: float,
    cost: float,
) -> None:  # fmt: skip
    told = [one for one in found if one is not None]
    if not told:
        print(f"{name:20} {true:6,} {share:4.0%}  too few probes")
        return
    errors = [one.of / true - 1 for one in told]
    square = sqrt(sum(error * error for error in errors) / len(errors))
    inside = sum(one.low <= true <= one.high for one in told)
    print(
        f"{name:20} {true:6,} {share:4.0%}  estimate {median(one.of for one in told):9,.0f}  "
        f"error {square:4.0%}, at most {max(map(abs, errors)):4.0%}  "
        f"in range {inside:2}/{len(told):<2}  by the part explored {explored:9,.0f}  "
        f"{cost * 1e6:5,.0f} us a probe",
        flush=True,
    )


# --- real code -----------------------------------------------------------------------------------
class Cell:
    def __init__(self) -> None:
        self.x = 0
        self.lock = threading.Lock()


class Async:
    def __init__(self) -> None:
        self.x = self.y = 0
        self.lock = asyncio.Lock()


def locked(s: Cell) -> None:
    for _ in range(3):
        with s.lock:
            s.x += 1


def increment(s: Cell) -> None:
    s.x += 1


async def lost(s: Async) -> None:
    x = s.x
    await asyncio.sleep(0)
    s.x = x + 1
    await asyncio.sleep(0)
    s.y += 1


async def guarded(s: Async) -> None:
    async with s.lock:
        s.x += 1
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    async with s.lock:
        s.y += 1


def real(seeds: int) -> None:
    programs: list[tuple[str, Any, list[Any]]] = [
        ("threads, locked", Cell, [locked] * 3),
        ("threads, +=", Cell, [increment] * 3),
        ("asyncio, lost", Async, [lost] * 3),
        ("asyncio, lock", Async, [guarded] * 3),
    ]
    for name, setup, workers in programs:
        options: dict[str, Any] = {"setup": setup, "workers": workers, "strategy": "dpor"}
        whole = tracelock.explore(schedules=10**6, seconds=300, **options)
        if not whole.exhaustive and not whole.whole:
            print(f"{name:20} the whole search did not end: {whole.summary}")
            continue
        true = whole.executions
        for share in SHARES:
            budget = max(1, round(share * true))
            found = []
            for seed in range(seeds):
                part = tracelock.explore(schedules=budget, seed=seed, **options).estimate
                found.append(part.classes if part is not None else None)
            row(name, true, share, found, 0.0, 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--probes", type=int, default=1000)
    parser.add_argument("--real", action="store_true")
    options = parser.parse_args()
    published(options.seeds, options.probes)
    if options.real:
        real(min(options.seeds, 5))


if __name__ == "__main__":
    main()
