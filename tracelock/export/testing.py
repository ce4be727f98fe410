"""A scenario as a regression test that searches its schedules with tracelock."""

from __future__ import annotations

import json
from typing import Final

from tracelock.errors import UsageError
from tracelock.export.naming import plain_name
from tracelock.export.writing import docstring, lined, quoted
from tracelock.scenario.language.models import Scenario

_ABOUT: Final = (
    "The scenario stands below; the test searches every schedule of it that the budget allows,",
    "fails with the smallest bad interleaving, and needs tracelock.",
)
#: What is in braces is source: a name, or a literal.
_TEXT: Final = """{about}

import tracelock

SCENARIO = {scenario}


def test_{name}():
    scenario = tracelock.load_scenario_text(SCENARIO, {file}, "yaml")
    explored = tracelock.explore(scenario, backend={backend}, seconds=60)
    explored.raise_for_failure()
    assert explored.verdict != "unfinished", explored.summary
"""


def searching_test(scenario: Scenario, backend: str, origin: str | None = None) -> str:
    """The source of a pytest module that explores ``scenario`` on the rules of ``backend``.

    Raises UsageError for a scenario that no file could hold.
    """
    name, data = plain_name(scenario.name), scenario.to_data()
    about = [scenario.name + ".", "", *_ABOUT]
    if origin:
        about += ["", f"Written by: {origin}"]
    if any("\ud800" <= char <= "\udfff" for char in json.dumps(data, ensure_ascii=False)):
        raise UsageError("a text of the scenario holds half a character: no file can say that")
    return _TEXT.format(
        about="\n".join(docstring(about)),
        scenario=lined(scenario.to_yaml().rstrip("\n") + "\n"),
        name=name,
        file=quoted(f"{name}.yaml"),
        backend=quoted(backend),
    )
