"""Shrink a failing trace; predict failures from a passing one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tracelock.backends.rules import rules_name
from tracelock.errors import InternalError, UsageError
from tracelock.explore.running import Executed
from tracelock.scenario.language.models import Scenario
from tracelock.session.exploring import Exploration
from tracelock.session.plan import Plan
from tracelock.session.target import Capability, require
from tracelock.session.targets import target_of
from tracelock.trace import Trace
from tracelock.trace.verdict import FAILED

if TYPE_CHECKING:
    from tracelock.explore.predict import Prediction
    from tracelock.explore.shrink.scenario import Reduced
    from tracelock.explore.shrink.schedule import Shrunk
    from tracelock.explore.shrink.twin import NoTwin, Twin


@dataclass(slots=True)
class ShrunkTrace:
    """A failing trace made small.

    ``trace``: the small one; ``shrunk``: how it was got and what is certified of it; ``twin``: the
    nearest passing schedule, whose trace ``trace_of`` gives; ``confirmed``: by backend, replays
    that reproduced it of those made; ``reduced``: the smaller scenario, where that was asked
    for (``trace`` is of it then).
    """

    trace: Trace
    shrunk: Shrunk
    twin: Twin | NoTwin
    trace_of: Callable[[Executed], Trace]
    confirmed: dict[str, str] = field(default_factory=dict)
    reduced: Reduced | None = None


def shrink(
    trace: Trace,
    *,
    reduce: bool = False,
    confirm: int = 3,
    allow_call: bool = False,
    start_method: str | None = None,
    isolation: str = "auto",
) -> ShrunkTrace:
    """The smallest schedule that fails as ``trace`` does, a free run's trace too.

    ``reduce``: make the scenario itself smaller first. ``confirm``: how often the result is
    replayed on the trace's own backend. Raises UsageError for a trace that does not fail,
    Divergence where it cannot be followed any more, InternalError where the result cannot be
    confirmed.
    """
    from tracelock.explore.shrink.schedule import shrink as shrink_schedule

    if trace.verdict.kind not in FAILED:
        raise UsageError(f"the trace ended {trace.verdict.kind}: there is no failure to shrink")
    target = target_of(trace, allow_call=allow_call)
    if reduce:
        require(target, Capability.REDUCE)
    plan = plan_for(trace, confirm, allow_call, start_method)
    plan.isolation = isolation
    with Exploration(target, plan) as exploration:
        host = exploration.host
        start = host.shrinkable(trace)
        with host.held():
            shrunk = shrink_schedule(host.models, start)
            if not reduce:
                return _finished(exploration, shrunk)
            smaller, reduced = target.reduced(trace, host)
    plan.clock = shrunk.clock
    with Exploration(smaller, plan) as exploration:
        picks = _fewest(exploration, trace, target.scenario(), reduced)
        result = _finished(exploration, shrink_schedule(exploration.host.models, picks))
        result.reduced = reduced
        return result


def plan_for(trace: Trace, confirm: int, allow_call: bool, start_method: str | None) -> Plan:
    """The plan under which a trace is worked on: its own backend's rules and its clock."""
    backend = rules_name(trace.backend)
    clock = "virtual" if trace.clock == "virtual" else "adversarial"
    return Plan(
        backend, clock=clock, confirm=confirm, allow_call=allow_call, start_method=start_method
    )


def _fewest(
    exploration: Exploration, trace: Trace, scenario: Scenario, reduced: Reduced
) -> list[int]:
    """The picks of a schedule of the reduced scenario that fails as ``trace`` of the whole."""
    from tracelock.explore.shrink.fewest import fewest
    from tracelock.explore.shrink.scenario import signature

    wanted = signature(scenario, trace.verdict)
    found = fewest(
        exploration.runner, lambda verdict: signature(reduced.scenario, verdict) == wanted
    )
    if found.picks is None:
        raise InternalError("the reduced scenario does not fail any more")
    return found.picks


def _finished(exploration: Exploration, shrunk: Shrunk) -> ShrunkTrace:
    """The small trace, its twin, and how often it was confirmed."""
    from tracelock.explore.shrink.best import Effort
    from tracelock.explore.shrink.twin import passing_twin

    executed = shrunk.executed
    small = exploration.host.trace(executed.log, {"name": "shrink"}, executed.verdict)
    small.clock = shrunk.clock
    twin = passing_twin(exploration.host.models, executed, seconds=Effort().seconds)
    result = ShrunkTrace(small, shrunk, twin, exploration.trace_of)
    if exploration.plan.confirm:
        result.confirmed[exploration.plan.backend] = exploration.confirm(small)
    return result


def predict(
    trace: Trace,
    *,
    allow_call: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[tuple[Prediction, Trace | None]]:
    """What could go wrong in schedules close to a passing trace, each prediction tried.

    A confirmed one comes with the trace of a run that failed; one that is not is possible, no
    more. Raises what ``explore`` raises.
    """
    from tracelock.explore.predict import predict as predict_from

    target = target_of(trace, allow_call=allow_call)
    require(target, Capability.PREDICT)
    with Exploration(target, plan_for(trace, 3, allow_call, None)) as exploration:
        found = predict_from(exploration.runner, trace, progress=progress)
        return [
            (one, exploration.trace_of(one.executed) if one.executed is not None else None)
            for one in found
        ]
