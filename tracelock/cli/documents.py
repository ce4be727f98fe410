"""``tracelock validate`` and ``tracelock schema``."""

from __future__ import annotations

import argparse
import json

from tracelock.cli.output import Output
from tracelock.errors import ScenarioError
from tracelock.report.wording import clean
from tracelock.scenario.loading import load_scenario


def validate_command(options: argparse.Namespace, out: Output) -> int:
    """Check every scenario; a line for each that is sound, all problems of all others."""
    status = 0
    for name in options.scenarios:
        try:
            load_scenario(name)
        except ScenarioError as error:
            out.flush()  # the two streams keep the files' order where both go to one place
            out.problem(str(error))
            status = error.exit_status
        else:
            out.line(f"{clean(name)}: OK")
    return status


def schema_command(options: argparse.Namespace, out: Output) -> int:
    """Print the JSON Schema of the scenario language."""
    from tracelock.scenario.language.jsonschema import scenario_schema

    out.line(json.dumps(scenario_schema(), indent=2))
    return 0
