"""What was noticed in the schedules of a Python program, in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tracelock.instrument.account.account import Account, listed
from tracelock.trace import environment
from tracelock.trace.hashing import DRAWN, hash_remark, seed_here

if TYPE_CHECKING:
    from tracelock.instrument.backend import PythonBackend


def chance_of(backend: PythonBackend, notes: Sequence[str]) -> set[str]:
    """What differs from run to run, of what is noticed in the end."""
    found = {"random"} if backend.afresh.drew else set()  # one sequence of numbers was tried
    if any("not deterministic" in note for note in notes):
        found.add("what it does twice in one schedule")
    return found


def unlike(told: str, chancy: bool) -> str:
    """That a schedule did two things when it was run twice. ``chancy``: calls to the outside are
    real, so that this was to be expected."""
    if not chancy:
        return f"the program is not deterministic: {told}"
    return (
        "what is outside does not answer alike each time: schedules are sampled, and each trace "
        "has the answers that it got"
    )


def environment_of(account: Account) -> dict[str, Any]:
    """Where a schedule was recorded, for the header of its trace."""
    return {**environment(None), **({"hash_seed": seed_here()} if account.hashed else {})}


def hashed_of(account: Account) -> list[str]:
    """That a failure which was found may not be reproduced elsewhere."""
    return hash_remark({"hash_seed": DRAWN}) if account.hashed and seed_here() == DRAWN else []


def remarks_of(backend: PythonBackend) -> list[str]:
    """Of all schedules so far, those of a warm-up and those that were cut among them."""
    schedules = backend.ran
    remarks = [
        f"in {count} of {schedules} schedules: {told}"
        for told, count in sorted(backend.heard.items())
    ]
    if lasting := list(backend.kept.lasting):
        shown = ", ".join(lasting[:5])
        more = f" and {len(lasting) - 5} more" if len(lasting) > 5 else ""
        remarks.append(f"state that lives on from schedule to schedule: {shown}{more}")
    if backend.starved:
        remarks.append(
            f"in {backend.starved} of {schedules} schedules others waited for what a "
            "cancelled one would have given, and were cancelled too: that is no failure"
        )
    for (worker, at), count in sorted(backend.ended_by_timeout.items()):
        remarks.append(
            f"in {count} of {schedules} schedules {worker} got on at {at} only "
            "because its wait timed out: nobody was left to wake it, so that without the "
            "timeout it would hang (a lost wake-up that the timeout hides?)"
        )
    if passed := list(backend.hub.onlooker.passed_over):
        more = f" and {len(passed) - 1} more" if len(passed) > 1 else ""
        remarks.append(
            f"breakpoint() at {passed[0]}{more} was passed over: a search stops nowhere, a replay "
            "on a terminal does (tracelock replay TRACE)"
        )
    if lost := list(backend.kept.callers.lost):
        remarks.append(
            "isolation: what schedules did to the caller's own objects was lost with their "
            f'processes (isolation="never" runs them here): {listed(lost)}'
        )
    return remarks


def withheld_of(backend: PythonBackend) -> list[str]:
    """Why it is not claimed that all schedules were looked at, though what was seen of them was."""
    found = ["where collections come in"] if backend.program.collections else []
    if backend.hub.invariants.any and backend.hub.invariants.untold:
        found.append("states in between that a scheduler of your own may take for the same")
    if backend.own_loops:
        found.append("some orders of loops that the code starts itself")
    return found
