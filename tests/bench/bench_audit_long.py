"""Every interleaving of two workers with three calls each, on the ten right classes of
``tests/helpers/audited.py``: how many there are, and what that takes.

``python -m tests.bench.bench_audit_long [--seconds S] [NAME ...]``. One worker makes the first
three calls of the class, round and round, the other one makes them backwards. Each is searched to
its end or for S seconds (60), and judged by all orders of its six calls.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from itertools import cycle, islice
from time import perf_counter, process_time

from tests.helpers.audited import NAMES, STRATEGIES
from tracelock.audit.bench import Bench
from tracelock.audit.clients import ClientOf, Contracts
from tracelock.audit.judging import Judge
from tracelock.audit.reading import calls_of
from tracelock.audit.source import imported, module_text
from tracelock.audit.subjects import modules_of, strategies_of, subject_of


def searched(name: str, seconds: float) -> str:
    """A row: what a client of a class came to."""
    texts, _ = strategies_of(STRATEGIES.get(name, {}))
    subject = subject_of(f"tests.helpers.audited:{name}Right", f"{name}Right()", {})
    found, _ = calls_of(subject, None, texts)
    listed = [one for calls in found.values() for one in calls if not one.spare and not one.closing]
    three = list(islice(cycle(listed), 3))
    begun, used = perf_counter(), process_time()
    with (
        tempfile.TemporaryDirectory() as place,
        imported(place, "audited_long", module_text(subject, listed)) as module,
        Bench(
            subject.cls, module, listed, 2, ["audited_long", *modules_of(subject), "threading"]
        ) as bench,
    ):  # fmt: skip
        client = ClientOf((), (tuple(three), tuple(reversed(three))))
        judge = Judge(bench, client, Contracts("linearizable"), module.numbered)
        judge.learn()
        result = bench.explore(judge, 1_000_000, seconds)
        judge.settle()
    verdict = "failed" if judge.anomaly else "verified" if result.exhaustive else "not finished"
    return (
        f"{name:10} {verdict:12} {result.schedules:7,} schedules {perf_counter() - begun:6.1f} s "
        f"{process_time() - used:6.1f} s of the processor  {client}"
    )


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("names", nargs="*")
    options.add_argument("--seconds", type=float, default=60.0)
    given = options.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}, {sys.version.split()[0]}")
    for name in given.names or NAMES:
        print(searched(name, given.seconds), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
