"""``tracelock teeth`` on the ten programs of ``tests/helpers/teeth_programs.py``, each mutant in a
process of its own: whether what became of it is what is written down there, and what it cost.

``python -m tests.bench.bench_teeth [MODULE:FUNCTION | TEST ...]``: of these instead.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import tracelock
from tests.helpers.teeth_programs import PROGRAMS


def main(given: list[str]) -> int:
    print(
        f"load {os.getloadavg()[0]:.1f}; program, mutants, score, schedules, s, s of processor "
        "(all processes), s of processor for each that was run"
    )
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        sys.path.insert(0, folder)
        for program in PROGRAMS:
            Path(folder, f"bench_{program.name}.py").write_text(program.source, encoding="utf-8")
        named = {f"bench_{one.name}:prog": one for one in PROGRAMS}
        for name in given or named:
            begun, used = perf_counter(), sum(os.times()[2:4])
            found = tracelock.teeth(name, seconds=600)
            spent = sum(os.times()[2:4]) - used
            run = 1 + sum(one.seconds > 0 for one in found.mutants)
            schedules = sum(one.schedules for one in found.mutants)
            score = "none" if found.score is None else f"{found.score:.0%}"
            print(
                f"{name:24} {len(found.mutants):3} {score:>5} {schedules:6,} "
                f"{perf_counter() - begun:6.1f} {spent:6.1f} {spent / run:5.2f}"
            )
            if name in named:
                expected = [one.verdict for one in named[name].mutants]
                differ = [one.verdict for one in found.mutants] != expected
                wrong += differ
                if differ:
                    print(f"  expected {expected}, found {[one.verdict for one in found.mutants]}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
