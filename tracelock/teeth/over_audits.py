"""Locks that a test does not miss, looked at once more: does an audit of their class miss them?"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from tracelock.teeth.mutations import REMOVED
from tracelock.teeth.processes import TrialProcesses
from tracelock.teeth.results import VERIFIED, MutantResult, Teeth

#: What one audit gets at least, in seconds.
_LEAST: Final = 1.0


def audit_survivors(
    teeth: Teeth, folder: str, request: dict[str, Any], left: Callable[[], float]
) -> None:
    """Audit the class of each lock whose removal was verified to be harmless to the test: the class
    as it is, once, and without the lock. ``request``: ``path`` and ``options`` of the processes;
    ``left``: the seconds that there are."""
    waiting = [one for one in teeth.mutants if one.kind == REMOVED and one.verdict == VERIFIED]
    audits: dict[str, TrialProcesses | None] = {}
    for done, mutant in enumerate(waiting):
        name = f"{mutant.module}:{mutant.owner}"
        if not mutant.owner:
            continue
        seconds = max(_LEAST, left() / (len(waiting) - done))
        if left() <= 0:
            teeth.notes.append(f"{name} was not audited: the time was up")
            break
        if name not in audits:
            audits[name] = _original(teeth, name, folder, request, seconds / 2)
        trials = audits[name]
        if trials is not None:
            _audit(mutant, trials, seconds / 2)


def _original(
    teeth: Teeth, name: str, folder: str, request: dict[str, Any], seconds: float
) -> TrialProcesses | None:
    """The audit of a class as it is; None, with a note, where it says nothing of its locks."""
    place = os.path.join(folder, f"audit-{name.replace(':', '-')}")
    os.makedirs(place, exist_ok=True)
    trials = TrialProcesses(place, "call", {**request, "subject": name})
    answer = trials.run(seconds, None, [name.partition(":")[0]])
    if answer["verdict"] in ("verified", "passed"):
        trials.request["misuse"] = answer.get("misuse", False)
        return trials
    teeth.notes.append(f"an audit of {name} says nothing of its locks: {answer['summary']}")
    return None


def _audit(mutant: MutantResult, trials: TrialProcesses, seconds: float) -> None:
    change = {"file": mutant.path, "place": mutant.place}
    answer = trials.run(seconds, change, [mutant.module])
    mutant.useless = answer["verdict"] == "verified" and bool(answer.get("reached"))
