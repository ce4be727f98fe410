"""``python tests/fuzz/run.py --inputs 1000000 [--jobs N] [--seconds S] [--only TARGET]``.

The inputs are tried in pieces, in processes of their own (``pieces.py``). At the end, and with
``--every S`` also in between, stands a table; the status is 1 if anything crashed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.fuzz.pieces import Came, Piece, load, run_pieces
from tests.fuzz.targets import TARGETS

PIECE = 500  # inputs of one process, at most


def pieces_of(inputs: int, names: Sequence[str], start: int = 0) -> Iterator[Piece]:
    """All inputs in pieces, each target with its share of them, all targets side by side."""
    shares = {target.name: target.share for target in TARGETS if target.name in names}
    each = {name: -(-inputs * share // sum(shares.values())) for name, share in shares.items()}
    steps = max(1, -(-max(each.values()) // PIECE))
    for step in range(steps):
        for name, all_of in each.items():
            first, beyond = all_of * step // steps, all_of * (step + 1) // steps
            if beyond > first:
                yield Piece(name, start + first, beyond - first)


def table(came: dict[str, Came], seconds: float) -> str:
    """What was tried, and the worst of each target with the number of its input."""
    heads = ("inputs", "good", "worst time", "of input", "memory", "of input", "crashes")
    row = "{:14} {:>9} {:>8} {:>10} {:>9} {:>9} {:>9} {:>8}"
    lines = [row.format("target", *heads)]
    total = Came()
    for one in came.values():
        total.add(one)
    for name, one in [*came.items(), ("all", total)]:
        time_and_memory = f"{one.worst:.2f} s", one.slowest, f"{one.peak:.0f} MB", one.largest
        counts = f"{one.done:,}", f"{one.taken:,}"
        lines.append(row.format(name, *counts, *time_and_memory, len(one.wrong)))
    lines.append(f"{seconds:.0f} s, {total.done / seconds:.0f} inputs a second")
    return "\n".join(lines)


def main() -> int:
    """Try the inputs and print the table."""
    parser = argparse.ArgumentParser(description="Fuzz every reader of tracelock.")
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=1e9, help="end after so many")
    parser.add_argument("--limit", type=float, default=20.0, help="seconds of one input")
    parser.add_argument("--start", type=int, default=0, help="the number of the first input")
    parser.add_argument("--every", type=float, default=1e9, help="print the table so often, too")
    parser.add_argument("--only", choices=[target.name for target in TARGETS])
    options = parser.parse_args()
    names = [options.only] if options.only else [target.name for target in TARGETS]
    begun = told = time.time()
    load()
    all_came = {name: Came() for name in names}
    pieces = pieces_of(options.inputs, names, options.start)
    for name, came in run_pieces(pieces, options.jobs, options.limit, begun + options.seconds):
        all_came[name].add(came)
        for number, text in came.wrong:
            print(f"--- {name} {number} (--only '{name}' --start {number} --inputs 1)\n{text}\n",
                  flush=True)  # fmt: skip
        if time.time() > told + options.every:
            told = time.time()
            print(table(all_came, told - begun), flush=True)
    print(table(all_came, time.time() - begun))
    return int(any(came.wrong for came in all_came.values()))


if __name__ == "__main__":
    sys.exit(main())
