"""Audits of the ten right classes of ``tests/helpers/audited.py`` with all clients of two workers
with three calls each: how many there are, how many were verified, and what that takes.

``python -m tests.bench.bench_audit_every [--seconds S] [--calls N] [NAME ...]``: for S seconds of
the wall each (60), of which pairs of calls and what else is asked take a part.
"""

from __future__ import annotations

import argparse
import os
import sys
from time import perf_counter, process_time

from tests.helpers.audited import NAMES, STRATEGIES
from tracelock.audit import audit


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("names", nargs="*")
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--calls", type=int, default=3)
    given = options.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}, {sys.version.split()[0]}")
    for name in given.names or [f"{one}Right" for one in NAMES]:
        bare = name.removesuffix("Right").removesuffix("Wrong")
        begun, used = perf_counter(), process_time()
        found = audit(
            f"tests.helpers.audited:{name}", calls=given.calls, seconds=given.seconds,
            strategies=STRATEGIES.get(bare, {}), instrument=["threading"],
        )  # fmt: skip
        print(
            f"{name:14} {found.verdict:9} {perf_counter() - begun:6.1f} s "
            f"{process_time() - used:6.1f} s of the processor  {found.every_client}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
