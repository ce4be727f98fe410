"""What it costs to keep the record of a run for the case that it is killed. Prints ratios.

    python tests/bench/bench_rescue.py [--rounds N] [--events N]

Free runs of three workers on threads and on asyncio are recorded and saved, in turn with copies of
the process and without; the medians of whole runs are compared. Short ones, which end before the
first copy, and long ones. Then how far apart the copies of the long runs were. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tracelock.scenario.loading import scenario_from_data  # noqa: E402
from tracelock.session import Session, Settings  # noqa: E402
from tracelock.trace import Trace  # noqa: E402
from tracelock.trace.rescue import Rescue  # noqa: E402


class Timed(Rescue):
    """Notes when it copied, and how many events there were."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.made: list[tuple[float, int]] = []
        self.events: Callable[[], int] = int

    def watch(
        self, count: Callable[[], int], so_far: Callable[[], Trace], *, files: bool = False
    ) -> None:
        self.events = count
        super().watch(count, so_far, files=files)

    def _fork(self, so_far: Callable[[], Trace], files: bool) -> int:
        self.made.append((time.monotonic(), self.events()))
        return super()._fork(so_far, files)


def counter(times: int) -> Any:
    """Three workers, ``times`` locked increments each."""
    steps = [{"acquire": "l"}, {"read": "x", "into": "t"}, {"write": "x", "value": "t + 1"},
             {"release": "l"}]  # fmt: skip
    return scenario_from_data({
        "format": "tracelock-scenario/1", "name": "counter", "objects": {"l": "lock"},
        "shared": {"x": 0},
        "workers": {"a": {"count": 3, "steps": [{"repeat": times, "do": steps}]}},
    })  # fmt: skip


def once(backend: str, times: int, path: str, rescue: Timed | None) -> float:
    """The seconds of one run, recorded and saved."""
    with Session(counter(times), Settings(backend)) as session:
        start = time.perf_counter()
        with rescue or nullcontext():
            for outcome in session.each(1, rescue=rescue):
                outcome.trace().save(path)
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--events", type=int, default=720_000)
    options = parser.parse_args()
    print(f"CPython {platform.python_version()}, {platform.platform()}")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "t.json")
        for backend in ("threading", "asyncio"):
            for events in (1_200, options.events):
                taken: dict[bool, list[float]] = {True: [], False: []}
                gaps: list[tuple[float, int]] = []
                for round_ in range(2 * options.rounds):
                    rescue = Timed(path) if round_ % 2 else None
                    taken[bool(rescue)].append(once(backend, events // 12, path, rescue))
                    made = rescue.made if rescue else []
                    # when the run is over there are no new events, only their order to be found
                    gaps += [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(made) if b[1] > a[1]]
                with_, without = (statistics.median(taken[way]) for way in (True, False))
                line = f"{backend}, {events:,} events: {without:.3f} s, with copies "
                line += f"{with_ / without:.2f} of that"
                if gaps:
                    seconds, count = (sorted(column) for column in zip(*gaps, strict=True))
                    middle, last = len(gaps) // 2, -1 - len(gaps) // 20
                    line += f"; between two copies {seconds[middle]:.2f} s and {count[middle]:,} "
                    line += f"events (95 %: {seconds[last]:.2f} s, {count[last]:,})"
                print(line, flush=True)


if __name__ == "__main__":
    main()
