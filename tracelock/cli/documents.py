"""``tracelock validate`` and ``tracelock schema``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from tracelock.cli.inputs import mistaken
from tracelock.cli.options import READ_SCENARIO
from tracelock.cli.output import Output
from tracelock.errors import Problem, ScenarioError
from tracelock.report.wording import clean
from tracelock.scenario.checks.purpose import unchecked
from tracelock.scenario.loading import load_scenario


def validate_command(options: argparse.Namespace, out: Output) -> int:
    """Check every scenario; a line for each that is sound, all problems of all others."""
    status = 0
    files: list[dict[str, Any]] = []
    found: list[Problem] = []
    for name in options.scenarios:
        problems, note = _checked(name)
        if problems:
            status = ScenarioError.exit_status
        if options.json:
            files.append({"file": name, "valid": not problems, "note": note or None})
            found += problems
        elif problems:
            out.flush()  # the two streams keep the files' order where both go to one place
            out.problem("\n".join(map(str, problems)))
        else:
            out.line(f"{clean(name)}: OK" + (f" ({note})" if note else ""))
    if options.json:
        out.json({"valid": not found, "files": files, "problems": list(map(problem_object, found))})
    return status


def _checked(name: str) -> tuple[list[Problem], str]:
    """All that is wrong with a file, and what is to be said of one that is sound."""
    if said := mistaken(name, READ_SCENARIO, "validate"):
        return [Problem(name, 0, 0, "", said.removeprefix(f"{name}: "))], ""
    try:
        return [], unchecked(load_scenario(name))
    except ScenarioError as error:
        return list(error.problems), ""


def problem_object(problem: Problem) -> dict[str, Any]:
    """A problem as ``--json`` has it; where the line is not known, it and the column are null."""
    return {
        "file": problem.file, "line": problem.line or None, "column": problem.column or None,
        "path": problem.path, "message": problem.message,
    }  # fmt: skip


def schema_command(options: argparse.Namespace, out: Output) -> int:
    """Print the JSON Schema of the scenario language."""
    from tracelock.scenario.language.jsonschema import scenario_schema

    out.line(json.dumps(scenario_schema(), indent=2))
    return 0
