"""``tracelock export``: a scenario or trace as plain Python."""

from __future__ import annotations

import argparse
import os
import shlex

from tracelock.cli.output import Output
from tracelock.cli.outputs import is_standard
from tracelock.report.wording import clean
from tracelock.session.exporting import export
from tracelock.trace.outputs import write_whole


def export_command(options: argparse.Namespace, out: Output) -> int:
    """Write the program to standard output, or to the file that ``-o`` names."""
    words = ["tracelock", "export", os.path.basename(options.source), "--as", options.target]
    if options.backend is not None:
        words += ["--backend", options.backend]
    text = export(
        options.source, options.target, backend=options.backend, origin=shlex.join(words),
        allow_call=options.allow_call,
    )  # fmt: skip
    if options.output is None:
        out.text(text)
        return 0
    write_whole(options.output, [text])
    if not is_standard(options.output):
        run = "python -m pytest" if options.target == "pytest" else "python"
        name = clean(options.output)
        out.line(f"written: {name}\nrun it: {run} {shlex.quote(name)}")
    return 0
