"""``tracelock export``: a scenario or trace as plain Python."""

from __future__ import annotations

import argparse
import os
import shlex

from tracelock.cli.output import Output
from tracelock.cli.outputs import is_standard
from tracelock.cli.run import find_modules
from tracelock.report.wording import clean
from tracelock.session.exporting import export, forced, read_source
from tracelock.session.targets import python_of
from tracelock.trace import Trace
from tracelock.trace.outputs import write_whole


def export_command(options: argparse.Namespace, out: Output) -> int:
    """Write the program to standard output, or to the file that ``-o`` names."""
    words = ["tracelock", "export", os.path.basename(options.source), "--as", options.target]
    if options.backend is not None:
        words += ["--backend", options.backend]
    origin, source = shlex.join(words), read_source(options.source)
    if isinstance(source, Trace) and python_of(source) is not None:
        find_modules(options)
        made = forced(source, options.target, options.backend, origin, options.allow_call)
        text = made.source
        told = (
            f"it was run {made.tried} times, and failed each time" if made.tried else
            "it was not run: with --allow-call it is written only where it fails every time"
        )  # fmt: skip
        out.note(f"note: {told}")
    else:
        text = export(
            source, options.target, backend=options.backend, origin=origin,
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
