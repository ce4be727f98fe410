"""Runs the programs of ``interpreter_cases`` on the interpreter alone, which switches threads as
often as it can: ``python -m tests.conformance.interpreter_stress SECONDS``, in its own process.

Prints for each program how many of its runs went wrong. A right program has none; that a wrong one
has none says nothing, since not every schedule is likely, or possible, on each version of Python.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time

from tests.conformance.interpreter_cases import CASES, Case
from tests.conformance.interpreter_twins import runs


def failures(case: Case, seconds: float) -> int:
    """How many of the runs in this time went wrong; it ends at the first that is stuck."""
    found, end = 0, time.monotonic() + seconds
    order = tuple(range(len(case.workers)))
    while time.monotonic() < end:
        told = runs(case, order, together=True)
        found += bool(told)
        if told == "stuck":
            break
    return found


def main(seconds: float) -> None:
    threading.excepthook = sys.unraisablehook = lambda *_: None
    sys.setswitchinterval(1e-6)
    told = {}
    for case in CASES:
        hook = threading.excepthook
        told[case.name] = failures(case, seconds)
        threading.excepthook = hook
    print(json.dumps(told), flush=True)
    os._exit(0)  # what is stuck stays so


if __name__ == "__main__":
    main(float(sys.argv[1]))
