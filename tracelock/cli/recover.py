"""``tracelock recover``: save what is whole in a damaged trace."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from tracelock.cli.keeping import save_new
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
    path = options.output
    if path is None:
        path = save_new(found.trace, _names(recovered_name(options.trace)))
    else:
        found.trace.save(path)
    out.line(f"{clean(path)}: {found.events_kept:,} events kept")
    out.line(f"{found.note}; {found.dropped_bytes:,} bytes after the last whole event were dropped")
    return 0


def _names(path: str) -> Iterator[str]:
    """``path``, and the same with numbers."""
    yield path
    stem = path.removesuffix(".json")
    yield from (f"{stem}-{number}.json" for number in range(2, 100_000))
