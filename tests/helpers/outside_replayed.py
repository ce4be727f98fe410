"""Replays traces of ``outside_programs``: a process of its own, in which nothing outside is there.

Its arguments: the port, the file, the tool, and then a name of a program and its trace, each. It
prints a line for each: whether it was reproduced, and how it ended.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import tests.helpers.outside_programs as programs
import tracelock


def refuse(*args: Any, **more: Any) -> Any:
    """There is no program that could be started."""
    raise AssertionError("a real process was started")


def main(port: str, file: str, tool: str, *traces: str) -> None:
    programs.PORT, programs.FILE, programs.TOOL = int(port), file, tool
    subprocess.Popen._execute_child = refuse  # type: ignore[attr-defined]
    for name, path in zip(traces[::2], traces[1::2], strict=True):
        given = {**programs.PROGRAMS[name]}
        given.pop("backend", None)
        result = tracelock.replay(tracelock.load_trace(path), **given)
        told = str(result.diverged or result.verdict.message)
        print(json.dumps([name, result.reproduced, told]))


if __name__ == "__main__":
    main(*sys.argv[1:])
