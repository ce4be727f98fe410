"""``tracelock replay --pdb`` and ``--dap``: a replay that stops where it is looked at."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tracelock.errors import UsageError

if TYPE_CHECKING:
    from tracelock.cli.output import Output
    from tracelock.trace import Trace


def debugging(options: argparse.Namespace) -> bool:
    """Whether the replay is to be debugged. Raises UsageError for what does not go with it."""
    wanted = bool(options.pdb) or options.dap is not None
    if options.at is not None and not wanted:
        raise UsageError("--at is for --pdb and --dap: where they stop first")
    if wanted:
        for name in ("json", "bisect", "backend"):
            if getattr(options, name):
                raise UsageError(f"--{name} does not go with --pdb and --dap")
    return wanted


def debugger_options(options: argparse.Namespace) -> list[str]:
    """What pytest gets, whose plugin replays the trace of a test."""
    if not debugging(options):
        return []
    how = "pdb" if options.pdb else f"dap:{options.dap}"
    return [
        "--tracelock-debug",
        how,
        *([] if options.at is None else ["--tracelock-at", options.at]),
    ]


def debug_trace(trace: Trace, options: argparse.Namespace, out: Output) -> int:
    """Debug the replay of a trace until the user has enough; 0."""
    from tracelock.session.targets import target_of

    target = target_of(trace, allow_call=options.allow_call)
    out.flush()
    if options.pdb:
        from tracelock.debugger.console import debug

        debug(target, trace, options.at)
    else:
        from tracelock.debugger.dap.serving import serve

        serve(target, trace, options.dap, options.at, out.note)
    return 0


@contextmanager
def interrupts_for_the_child(wanted: bool) -> Iterator[None]:
    """While this is entered, Ctrl-C is for the child process that debugs, and nothing to this."""
    if not wanted:
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
