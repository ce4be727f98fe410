"""Whether a scenario says what must hold."""

from __future__ import annotations

from typing import Any

import pytest

from tracelock.scenario.checks.purpose import unchecked
from tracelock.scenario.language.verbs import VERBS
from tracelock.scenario.loading import scenario_from_data
from tracelock.session.targets import target_for

NOTHING = "there is nothing to check in it: it has no assert, always or finally"
LITTLE = "it has no assert, always or finally: only deadlocks and errors of its workers"


def told(*steps: Any, **more: Any) -> str:
    """What is said of a scenario, and of the target that it becomes."""
    scenario = scenario_from_data({
        "format": "tracelock-scenario/1", "name": "s", "shared": {"n": 0},
        "objects": {"m": "lock", "e": "event", "q": "queue"},
        "workers": {"w": {"count": 2, "steps": list(steps)}}, **more,
    })  # fmt: skip
    said = unchecked(scenario)
    if scenario.python is None:
        assert target_for(scenario).unchecked == said
    return said


WRITE = {"write": "n", "value": "n + 1"}


@pytest.mark.parametrize("steps", [
    [], [WRITE], ["checkpoint", {"sleep": 1}], [{"while": "n < 2", "do": [WRITE]}],
    [{"atomic": [WRITE]}], [{"set": "e"}, {"clear": "e"}], [{"fetch_add": "n", "by": 1}],
])  # fmt: skip
def test_nothing(steps: list[Any]) -> None:
    assert told(*steps).startswith(NOTHING)


@pytest.mark.parametrize("steps", [
    [{"acquire": "m"}], [{"release": "m"}], [{"with": "m", "do": [WRITE]}], [{"wait": "e"}],
    [{"get": "q"}], [{"if": "n == 0", "then": [{"repeat": 2, "do": [{"put": "q", "value": 1}]}]}],
])  # fmt: skip
def test_little(steps: list[Any]) -> None:
    assert told(WRITE, *steps).startswith(LITTLE)


@pytest.mark.parametrize("steps", [
    [{"assert": "n < 3"}], [{"if": "n > 2", "then": [{"fail": "too many"}]}],
    [{"with": "m", "do": [{"assert": "n == 0"}]}], [{"atomic": [{"assert": "n == 0"}]}],
    [{"call": "os:getpid"}],
])  # fmt: skip
def test_a_step_that_checks(steps: list[Any]) -> None:
    assert told(WRITE, *steps) == ""


@pytest.mark.parametrize("more", [{"always": ["n < 3"]}, {"finally": ["n == 2"]}])
def test_a_condition(more: dict[str, Any]) -> None:
    assert told(WRITE, {"acquire": "m"}, **more) == ""


def test_every_verb_is_thought_of() -> None:
    """Of a new verb somebody has to say whether it can fail: this list is of those that cannot."""
    from tracelock.scenario.checks import purpose

    harmless = {
        "read", "write", "let", "atomic", "compare_exchange", "exchange", "fetch_add", "set",
        "clear", "sleep", "checkpoint", "work", "if", "while", "repeat", "break", "continue",
        "stop", "try",
    }  # fmt: skip
    assert harmless | purpose._CHECKS | purpose._MAY_FAIL == VERBS.keys()
