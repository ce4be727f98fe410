"""``tracelock scenarios``: the scenarios that come with the package, and the text of one."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from tracelock.cli.learning.shipped import MARK, file_of, first_sentence, names
from tracelock.cli.output import Output, is_terminal
from tracelock.errors import UsageError
from tracelock.scenario.documents.reading import read_text
from tracelock.scenario.language.models import Scenario
from tracelock.scenario.loading import load_scenario


def scenarios_command(options: argparse.Namespace, out: Output) -> int:
    """List all, or print one as it stands in its file."""
    if options.name is not None:
        path = file_of(options.name)
        if options.json:
            out.json(scenario_object(path.stem, load_scenario(path), str(path)))
        else:
            out.text(read_text(str(path)).rstrip("\n") + "\n")
        return 0
    known = names()
    if not known:
        raise UsageError("this installation of tracelock has no scenarios in it")
    found = {name: load_scenario(file_of(name)) for name in known}
    if options.json:
        rows = [scenario_object(name, one, str(file_of(name))) for name, one in found.items()]
        out.json({"scenarios": rows})
        return 0
    column = max(map(len, known)) + len(MARK) + 2
    # what reads a pipe finds whole sentences, a terminal has a line for each
    width = out.style.width if is_terminal(sys.stdout) else None
    for name, scenario in found.items():
        out.line(_cut(f"{MARK + name:{column}}{first_sentence(scenario)}", width, out))
    out.line()
    out.line("tracelock scenarios NAME   prints one")
    out.line(f"tracelock explore {MARK}NAME    looks for a run of it that goes wrong")
    out.line("tracelock tour             shows what they teach")
    return 0


def scenario_object(name: str, scenario: Scenario, path: str) -> dict[str, Any]:
    """``{"name", "path", "description", "expect"}``: ``expect`` has a verdict by backend."""
    return {
        "name": name, "path": path, "description": scenario.description,
        "expect": {backend: one.verdict for backend, one in scenario.expect.items()},
    }  # fmt: skip


def _cut(line: str, width: int | None, out: Output) -> str:
    dots = "\u2026" if out.style.unicode else "..."
    if width is None or len(line) <= width:
        return line
    return line[: width - len(dots)].rstrip() + dots
