"""A scenario as a regression test that searches its schedules with tracelock."""

from __future__ import annotations

import json
from typing import Final

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
    scenario = tracelock.load_scenario_text(SCENARIO, {file}, {form})
    explored = tracelock.explore(scenario, backend={backend}, seconds=60)
    explored.raise_for_failure()
    assert explored.verdict != "unfinished", explored.summary
"""


def searching_test(scenario: Scenario, backend: str, origin: str | None = None) -> str:
    """The source of a pytest module that explores ``scenario`` on the rules of ``backend``."""
    name = plain_name(scenario.name)
    about = [scenario.name + ".", "", *_ABOUT]
    if origin:
        about += ["", f"Written by: {origin}"]
    form, text = "yaml", scenario.to_yaml()
    data = json.dumps(scenario.to_data(), indent=2, ensure_ascii=False)
    if any("\ud800" <= char <= "\udfff" for char in data):  # half a character: YAML has no way
        form, text = "json", data
    return _TEXT.format(
        about="\n".join(docstring(about)),
        scenario=lined(text.rstrip("\n") + "\n"),
        name=name,
        file=quoted(f"{name}.{form}"),
        form=quoted(form),
        backend=quoted(backend),
    )
