"""Shrink a failing trace; predict failures from a passing one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tracelock.errors import InternalError, UsageError
from tracelock.scenario.loading import scenario_from_data
from tracelock.session.exploring import Exploration, Plan

if TYPE_CHECKING:
    from tracelock.explore.predict import Prediction
    from tracelock.explore.running import Executed
    from tracelock.explore.shrink.scenario import Reduced
    from tracelock.explore.shrink.schedule import Shrunk
    from tracelock.explore.shrink.twin import NoTwin, Twin
    from tracelock.trace import Trace


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
) -> ShrunkTrace:
    """The smallest schedule that fails as ``trace`` does, a free run's trace too.

    ``reduce``: make the scenario itself smaller first. ``confirm``: how often the result is
    replayed on the trace's own backend. Raises UsageError for a trace that does not fail,
    Divergence where it cannot be followed any more, InternalError where the result cannot be
    confirmed.
    """
    from tracelock.explore.shrink.schedule import shrink as shrink_schedule
    from tracelock.explore.shrink.twin import passing_twin

    if trace.verdict.kind not in ("failed", "deadlock", "crashed"):
        raise UsageError(f"the trace ended {trace.verdict.kind}: there is no failure to shrink")
    if trace.scenario.get("python") is not None:
        from tracelock.session.python_named import program_of_trace
        from tracelock.session.python_running import shrink_python

        if reduce:
            raise UsageError("only a scenario's own steps can be reduced, not Python code")
        return shrink_python(trace, program_of_trace(trace, allow_call=allow_call), confirm)
    plan = plan_for(trace, confirm, allow_call, start_method)
    scenario = scenario_from_data(trace.scenario, "the trace's scenario")
    with Exploration(scenario, plan) as exploration:
        shrunk = shrink_schedule(exploration.runner, trace)
        reduced = None
        if reduce:
            reduced = reduced_scenario(exploration, trace)
        if reduced is None:
            return finish(exploration, shrunk, passing_twin, confirm)
    plan.clock = shrunk.clock
    with Exploration(reduced.scenario, plan) as smaller:
        from tracelock.explore.shrink.fewest import fewest
        from tracelock.explore.shrink.scenario import signature

        wanted = signature(scenario, trace.verdict)
        found = fewest(
            smaller.runner, lambda verdict: signature(reduced.scenario, verdict) == wanted
        )
        if found.picks is None:
            raise InternalError("the reduced scenario does not fail any more")
        result = finish(
            smaller, shrink_schedule(smaller.runner, found.picks), passing_twin, confirm
        )
        result.reduced = reduced
        return result


def plan_for(trace: Trace, confirm: int, allow_call: bool, start_method: str | None) -> Plan:
    """The plan under which a trace is worked on: its own backend's rules and its clock."""
    backend = "threading" if trace.backend == "simulated" else trace.backend
    clock = "virtual" if trace.clock == "virtual" else "adversarial"
    return Plan(
        backend=backend, clock=clock, confirm=confirm, allow_call=allow_call,
        start_method=start_method, strategy="auto",
    )  # fmt: skip


def finish(
    exploration: Exploration, shrunk: Shrunk, twin: Callable[..., Any], confirm: int
) -> ShrunkTrace:
    """The small trace, its twin, and how often it was confirmed."""
    small = exploration.session.trace(
        shrunk.executed.log, {"name": "shrink"}, shrunk.executed.verdict
    )
    small.clock = shrunk.clock
    result = ShrunkTrace(
        small, shrunk, twin(exploration.simulated(), shrunk.executed), exploration.trace_of
    )
    if confirm:
        result.confirmed[exploration.plan.backend] = exploration.confirm(small)
    return result


def reduced_scenario(exploration: Exploration, trace: Trace) -> Reduced:
    """The scenario of a failing trace with everything left out that the failure does not need."""
    from tracelock.explore.shrink.scenario import reduce_scenario, same_trouble

    gate = same_trouble(
        exploration.scenario, exploration.session.rules, trace.verdict,
        clock=exploration.plan.clock,
    )  # fmt: skip
    return reduce_scenario(exploration.scenario.to_data(), gate)


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

    if trace.scenario.get("python") is not None:
        raise UsageError("this trace is of Python code: explore the program, which tries it all")
    plan = plan_for(trace, 3, allow_call, None)
    scenario = scenario_from_data(trace.scenario, "the trace's scenario")
    with Exploration(scenario, plan) as exploration:
        found = predict_from(exploration.runner, trace, progress=progress)
        return [
            (one, exploration.trace_of(one.executed) if one.executed is not None else None)
            for one in found
        ]
