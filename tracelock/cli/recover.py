"""``tracelock recover``: save what is whole in a damaged trace."""

from __future__ import annotations

import argparse
import os

from tracelock.cli.output import Output
from tracelock.report.wording import clean
from tracelock.trace import recover, recovered_name


def recover_command(options: argparse.Namespace, out: Output) -> int:
    """Read what is whole, save it as a trace of its own, say what was dropped."""
    found = recover(options.trace)
    whole = found.note.startswith("the file is whole")
    if whole and options.output is None:
        out.line(f"{clean(options.trace)} is whole: there is nothing to recover")
        return 0
    path = options.output or _free(recovered_name(options.trace))
    found.trace.save(path)
    out.line(f"{clean(path)}: {found.events_kept:,} events kept")
    out.line(f"{found.note}; {found.dropped_bytes:,} bytes after the last whole event were dropped")
    return 0


def _free(path: str) -> str:
    """``path``, or the same with a number where that is taken."""
    stem, number = path.removesuffix(".json"), 1
    while os.path.exists(path):
        number += 1
        path = f"{stem}-{number}.json"
    return path
