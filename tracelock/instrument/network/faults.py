"""Faults of the network, as choices of the search with a budget.

Where one could come in the search is asked, as for a cancellation, and then which; both are
recorded and replayed, and a failure is made small towards none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from tracelock.instrument.callers import caller
from tracelock.instrument.hub import Phase
from tracelock.instrument.network.table import Network
from tracelock.instrument.worker import Worker
from tracelock.ops import CHOOSE, SET, Alternatives, ObjectSpec, Op
from tracelock.trace.network import BUDGET, FAULT


class Condition(NamedTuple):
    """``looks_at``: the objects whose state says whether a fault can come in; ``holds``: whether it
    can, as they are now."""

    looks_at: Callable[[], tuple[int, ...]]
    holds: Callable[[], bool]


def fault(worker: Worker, *kinds: str, when: Mapping[str, Condition] | None = None) -> str:
    """Which of these faults comes in now; "" for none. ``when``: on what some of them depend: that
    is looked at in the step before the choice, so that who changes it comes before or after."""
    hub = worker.hub
    network, rules = hub.known(Network), hub.program.network
    if not rules.faults or hub.phase is not Phase.RUN or network is None:
        return ""
    offered = [kind for kind in kinds if kind in rules.kinds]
    if not offered:
        return ""
    conditions = {kind: when[kind] for kind in offered if kind in when} if when else {}
    seen = {number for one in conditions.values() for number in one.looks_at()}
    at = caller(worker, 3)
    number = hub.number_for(ObjectSpec(BUDGET, "flag"))
    # what one uses up another has not
    worker.step(Op(SET, number, at, body=tuple(sorted(seen)) or None))
    offered = [kind for kind in offered if kind not in conditions or conditions[kind].holds()]
    if not offered or network.faults >= rules.faults:
        return ""
    if not hub.controller.inject(worker.number, at, -1, number):
        return ""
    network.faults += 1
    op = Op(CHOOSE, -1, at, body=Alternatives(FAULT, len(offered), offered))
    op.remark = offered[0]
    chosen: int = worker.do(op)
    op.remark = offered[chosen]
    return offered[chosen]
