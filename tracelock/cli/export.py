"""``tracelock export``: a scenario or trace as plain Python."""

from __future__ import annotations

import argparse
import os
import shlex

from tracelock.cli.output import Output
from tracelock.errors import UsageError
from tracelock.session.exporting import export
from tracelock.trace.files import write_whole


def export_command(options: argparse.Namespace, out: Output) -> int:
    """Write the program to standard output, or to the file that ``-o`` names."""
    check_writable(options.output)
    words = ["tracelock", "export", os.path.basename(options.source), "--as", options.target]
    if options.backend is not None:
        words += ["--backend", options.backend]
    text = export(
        options.source, options.target, backend=options.backend, origin=shlex.join(words),
        allow_call=options.allow_call,
    )  # fmt: skip
    if options.output is None:
        for line in text.rstrip("\n").split("\n"):
            out.line(line)
        return 0
    write_whole(options.output, [text])
    run = "python -m pytest" if options.target == "pytest" else "python"
    out.line(f"written: {options.output}\nrun it: {run} {shlex.quote(options.output)}")
    return 0


def check_writable(path: str | None) -> None:
    """Raises UsageError, before anything is run, where a file cannot be written."""
    if path is None:
        return
    folder = os.path.dirname(path) or "."
    if path == "" or os.path.isdir(path):
        raise UsageError(f"cannot write {path or 'a file without a name'}: it is a folder")
    if not os.path.isdir(folder):
        raise UsageError(f"cannot write {path}: {folder} is not a folder")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"cannot write {path}: no permission to write in {folder}")
