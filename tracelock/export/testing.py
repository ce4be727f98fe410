"""A scenario as a regression test that searches its schedules with tracelock."""

from __future__ import annotations

from typing import Final

from tracelock.export.naming import plain_name
from tracelock.scenario.language.models import Scenario

_TEXT: Final = '''"""{title}

The scenario stands below; the test searches every schedule of it that the budget allows, fails
with the smallest bad interleaving, and needs tracelock.{origin}
"""

import tracelock

SCENARIO = """
{yaml}"""


def test_{name}():
    scenario = tracelock.load_scenario_text(SCENARIO, "{file}", "yaml")
    explored = tracelock.explore(scenario, backend="{backend}", seconds=60)
    explored.raise_for_failure()
    assert explored.verdict != "unfinished", explored.summary
'''


def searching_test(scenario: Scenario, backend: str, origin: str | None = None) -> str:
    """The source of a pytest module that explores ``scenario`` on the rules of ``backend``."""
    name = plain_name(scenario.name)
    title = "".join(c if c.isprintable() else " " for c in scenario.name)
    title = title.replace("\\", "\\\\").replace('"', "'") + "."
    yaml = scenario.to_yaml().rstrip("\n") + "\n"
    if "\\" in yaml or '"""' in yaml:
        yaml = yaml.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    written_by = f"\n\nWritten by: {origin}" if origin else ""
    return _TEXT.format(
        title=title,
        yaml=yaml,
        name=name,
        file=f"{name}.yaml",
        backend=backend,
        origin=written_by,
    )
