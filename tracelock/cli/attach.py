"""``tracelock attach``: what to paste into an issue."""

from __future__ import annotations

import argparse

from tracelock.cli.output import Output
from tracelock.cli.report import subject_of
from tracelock.report.attach import attachment
from tracelock.trace import load_trace


def attach_command(options: argparse.Namespace, out: Output) -> int:
    """Print the Markdown report, with the trace folded in if it is small."""
    out.text(attachment(subject_of(options, load_trace(options.trace))))
    return 0
