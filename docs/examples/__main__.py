"""Explore the examples: what is wrong with the buggy program, and what is claimed of the fixed one.

    python -m docs.examples [NAME ...] [--write]

Of all, or of those whose names begin so (``stale_read``, ``stale_read/on_trio``). ``--write``: keep
the failing schedule beside the program, where the one that is kept does not replay as it says.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import tracelock
from docs.examples.listing import HERE, load, names


def replays(path: Path) -> bool:
    """Whether the trace that is kept leads to its failure, line for line."""
    if not path.exists():
        return False
    again = tracelock.replay(tracelock.load_trace(path), allow_call=True)
    return again.reproduced and not again.notes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    for name in names(tuple(options.names) or ("",)):
        module = load(name)
        found = tracelock.explore(**module.BUGGY)
        if found.trace is None:
            raise SystemExit(f"{name}: nothing was found: {found.summary}")
        print(f"--- {name}: found after {found.schedules} schedules\n{found.story()}\n")
        path = HERE / f"{name}.json"
        if options.write and not replays(path):
            found.trace.save(path)
        fixed = tracelock.explore(**module.FIXED, schedules=200)
        print(f"fixed: {fixed.summary}\n")
        if fixed.failed:
            raise SystemExit(f"{name}: the fixed program fails:\n{fixed.story()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
