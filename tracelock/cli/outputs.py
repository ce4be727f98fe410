"""The files that a command is told to write: what is asked of them before anything is run."""

from __future__ import annotations

import argparse
import os
from typing import Final

from tracelock.cli.options import CHECKPOINT, NEW, READS, TRACE
from tracelock.cli.output import Output
from tracelock.errors import UsageError
from tracelock.trace.outputs import STANDARD_OUTPUT, check_output, descriptor_of

_STANDARD: Final = 1


def is_standard(path: str | None) -> bool:
    """Whether this is standard output: ``-`` (which is replaced here), ``/dev/stdout``."""
    return path is not None and descriptor_of(path) == _STANDARD


def claim_outputs(options: argparse.Namespace, out: Output) -> None:
    """Look at all files that the options name, as ``options.files`` says what is done with them.

    A file that is named is replaced, like that of a ``>`` in a shell, but not if the command reads
    it, and not twice. Where one goes to standard output, what else the command has to say goes to
    standard error. Raises UsageError where a file cannot be written, or must not be.
    """
    files: dict[str, str] = options.files
    read: list[str] = []
    for dest, use in files.items():
        if use in READS and (given := getattr(options, dest)) is not None:
            read += given if isinstance(given, list) else [given]
    taken: list[str] = []
    for dest, use in files.items():
        path = getattr(options, dest)
        if use in READS or path is None:
            continue
        if path == "-":
            path = STANDARD_OUTPUT
            setattr(options, dest, path)
        _check(path, use, dest)
        for other in read:
            if same_file(path, other):
                raise UsageError(f"{path} is what this command reads: it would be overwritten")
        if any(same_file(path, other) for other in taken):
            raise UsageError(f"{path} is named for two outputs")
        taken.append(path)
        if is_standard(path):
            if getattr(options, "json", False):
                raise UsageError(
                    "with --json, standard output has one JSON object and nothing else"
                )
            out.say_beside()


def _check(path: str, use: str, dest: str) -> None:
    if not path:
        raise UsageError(f"--{dest} needs the name of a file")
    check_output(path, make_folder=use in (TRACE, NEW))
    is_file = os.path.isfile(path) and descriptor_of(path) is None
    if use == NEW and is_file:
        raise UsageError(f"{path} is there already: name a new file")
    if use == CHECKPOINT and os.path.exists(path) and not is_file:
        raise UsageError(f"cannot keep a checkpoint in {path}: it is no file")


def same_file(path: str, other: str) -> bool:
    """Whether two names are of one file; a device or a pipe can be read and written."""
    try:
        if os.path.exists(path):
            return os.path.isfile(path) and os.path.samefile(path, other)
        return os.path.realpath(path) == os.path.realpath(other)
    except (OSError, ValueError):
        return False
