"""Whether a scenario says what must hold: of one that does not, that it "passes" says little."""

from __future__ import annotations

from typing import Final

from tracelock.scenario.language.models import Scenario
from tracelock.scenario.language.usage import steps_of

#: Steps that say what must not happen, or run code that may raise.
_CHECKS: Final = frozenset({"assert", "fail", "call"})
#: Steps that may wait for ever, raise where an object is misused, or end as a crash.
_MAY_FAIL: Final = frozenset({
    "acquire", "release", "with", "wait", "notify", "put", "get", "join", "spawn", "cancel",
    "timeout", "crash",
})  # fmt: skip


def unchecked(scenario: Scenario) -> str:
    """What is not checked of a scenario, as the end of a sentence; "" where it says what must hold.

    Expressions without a value (a division by zero) end a worker of any scenario, and loops may
    never end; neither counts as something that it checks."""
    if scenario.always or scenario.finally_ or scenario.python is not None:
        return ""
    verbs = {step.verb for _, step in steps_of(scenario)}
    if verbs & _CHECKS:
        return ""
    if verbs & _MAY_FAIL:
        return (
            "it has no assert, always or finally: only deadlocks and errors of its workers are "
            "failures"
        )
    return (
        "there is nothing to check in it: it has no assert, always or finally, and no worker "
        "waits for another"
    )
