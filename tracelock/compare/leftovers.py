"""What is left when a worker ends, is cancelled or dies with a lock in its hands.

Each case is a small scenario of its own, every schedule of which is tried on the models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from tracelock.errors import UnsupportedError
from tracelock.session.exploring import Exploration
from tracelock.session.plan import Plan

KINDS: Final = ("lock", "rlock", "semaphore", "condition")
#: How the holder goes -> (what that is, who can do it).
WAYS: Final = {
    "ends": "returns without releasing it",
    "cancelled": "is cancelled between acquire and release",
    "cancelled in with": "is cancelled inside `with`",
    "dies in with": "is killed inside `with`",
}


def leftovers(
    backends: Sequence[str], kinds: Sequence[str] = KINDS,
    expired: Callable[[], bool] = lambda: False,
) -> list[dict[str, Any]]:  # fmt: skip
    """One row for each kind of lock and way to go: ``{"kind", "way", "what", "cells"}``, a cell
    being ``{"left", "text"}``: left is ``held``, ``free``, ``error`` or ``refused``."""
    rows: list[dict[str, Any]] = []
    for way, what in WAYS.items():
        for kind in kinds:
            if expired():
                return rows
            cells = {backend: _left(kind, way, backend) for backend in backends}
            rows.append({"kind": kind, "way": way, "what": what, "cells": cells})
    return rows


def _scenario(kind: str, way: str) -> dict[str, Any]:
    leave: dict[str, list[Any]] = {
        "ends": ["stop"],
        "cancelled": [{"sleep": 10}],
        "cancelled in with": [{"sleep": 10}],
        "dies in with": ["crash"],
    }
    inside = [{"set": "taken"}, *leave[way]]
    if way.endswith("in with"):
        holder: list[Any] = [{"with": "guard", "do": inside}]
    else:
        holder = [{"acquire": "guard"}, *inside]
        if way == "cancelled":
            holder.append({"release": "guard"})
    other: list[Any] = [{"wait": "taken"}]
    if way.startswith("cancelled"):
        other.append({"cancel": "holder"})
    elif way == "ends":
        other.append({"join": "holder"})
    other += [{"acquire": "guard"}, {"write": "got", "value": True}, {"release": "guard"}]
    return {
        "format": "tracelock-scenario/1", "name": "left", "shared": {"got": False},
        "objects": {"guard": kind, "taken": "event"},
        "workers": {"holder": {"steps": holder}, "other": {"steps": other}},
    }  # fmt: skip


def _left(kind: str, way: str, backend: str) -> dict[str, str]:
    from tracelock.scenario.loading import scenario_from_data

    scenario = scenario_from_data(_scenario(kind, way))
    try:
        plan = Plan(backend, "dpor", seconds=5.0, every=True, shrink=False, confirm=0)
        with Exploration(scenario, plan) as exploration:
            found = exploration.search(None)
    except UnsupportedError as error:
        reason = error.problems[0].message.partition(": ")[2].partition(" (")[0]
        return {"left": "refused", "text": reason}
    ends = list(found.outcomes.values())
    stuck = [
        one for one in ends
        if one.kind in ("deadlock", "crashed") and one.state.get("got") is not True
    ]  # fmt: skip
    if stuck:
        return {"left": "held", "text": "held for ever: the next one waits in vain"}
    failed = [one for one in ends if one.kind == "failed"]
    if failed:
        name = failed[0].message.partition(":")[0]
        return {"left": "error", "text": f"the next one gets {name}"}
    if found.exhaustive:
        return {"left": "free", "text": "free: it was released on the way out"}
    return {"left": "unknown", "text": "not searched to the end"}
