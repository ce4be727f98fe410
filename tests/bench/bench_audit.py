"""Audits of the ten right classes of ``tests/helpers/audited.py`` and of their ten bugs: the
verdict, and what it cost in clients, schedules, seconds and seconds of the processor.

``python -m tests.bench.bench_audit [MODULE:CLASS ...]``: of these classes instead.
"""

from __future__ import annotations

import os
import sys
from time import perf_counter, process_time

from tests.helpers.audited import NAMES, STRATEGIES
from tracelock.audit import audit


def main(given: list[str]) -> int:
    home = "tests.helpers.audited"
    names = given or [f"{home}:{name}{end}" for end in ("Right", "Wrong") for name in NAMES]
    print(f"load {os.getloadavg()[0]:.1f}; class, verdict, clients, schedules, s, s of processor")
    unexpected = 0
    for name in names:
        bare = name.rpartition(":")[2].removesuffix("Right").removesuffix("Wrong")
        begun, used = perf_counter(), process_time()
        found = audit(name, calls=1, strategies=STRATEGIES.get(bare, {}), instrument=["threading"])
        kinds = sorted({cell.kind for cell in found.anomalies})
        print(
            f"{name.rpartition(':')[2]:16} {found.verdict:10} {found.clients:4} "
            f"{found.schedules:6,} {perf_counter() - begun:6.1f} {process_time() - used:6.1f}  "
            f"{', '.join(kinds)}"
        )
        if not given:
            wanted = "verified" if name.endswith("Right") else "failed"
            unexpected += found.verdict != wanted
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
