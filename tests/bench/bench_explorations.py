"""Many explorations in one process, half of them ending badly: what is left, and the time of each.

    python tests/bench/bench_explorations.py [--explorations N]

Tells of every hundred the memory, threads, files and child processes, and in the end how the
processor time of each kind, that of its child processes included, in the last fifty compares with
that in the first fifty: how long they take depends on who else is there. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.helpers.many import KINDS, explore, left, resident  # noqa: E402

EDGE = 50


def spent() -> float:
    """The processor time so far, that of child processes included, in seconds."""
    return sum(os.times()[:4])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--explorations", type=int, default=500)
    options = parser.parse_args()
    times: list[tuple[str, float]] = []
    print(f"{'explorations':>12} {'MB':>8}  left")
    for number, kind in enumerate(itertools.islice(itertools.cycle(KINDS), options.explorations)):
        if number % 100 == 0 or number == EDGE:
            print(f"{number:12} {resident() / 1024:8.1f}  {left()}", flush=True)
        begun = spent()
        verdict = explore(kind)
        times.append((kind, spent() - begun))
        if verdict != KINDS[kind][2]:
            print(f"{number}: {kind} ended {verdict}")
    print(f"{len(times):12} {resident() / 1024:8.1f}  {left()}")
    print(f"\n{'':24}{'first ms':>10}{'last ms':>10}{'ratio':>8}")
    for kind in KINDS:
        first, last = (
            statistics.median(took for one, took in part if one == kind)
            for part in (times[:EDGE], times[-EDGE:])
        )
        print(f"{kind:24}{first * 1000:10.1f}{last * 1000:10.1f}{last / max(first, 0.01):8.2f}")
    first, last = (sum(took for _, took in part) for part in (times[:EDGE], times[-EDGE:]))
    print(f"{'all':24}{first * 1000:10.0f}{last * 1000:10.0f}{last / first:8.2f}")


if __name__ == "__main__":
    main()
