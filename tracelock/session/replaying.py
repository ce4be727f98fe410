"""Replay: a trace executed again, event by event, on its own backend or another one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tracelock.engine.limits import RunLimits
from tracelock.errors import Divergence
from tracelock.session.running import Session
from tracelock.session.settings import Settings

if TYPE_CHECKING:
    from tracelock.trace import Trace, Verdict


@dataclass(slots=True)
class ReplayResult:
    """What a replay came to.

    ``reproduced``: it followed the trace to its end and ended with the same verdict.
    ``diverged``: the :class:`~tracelock.errors.Divergence` that stopped it, or None.
    ``verdict``: how the replay itself ended (``unfinished`` where it diverged). ``trace``: the
    trace of the replay, as far as it came. ``notes``: what else there is to say of it.
    """

    reproduced: bool
    diverged: Divergence | None
    verdict: Verdict
    trace: Trace
    notes: list[str] = field(default_factory=list)


def replay(
    trace: Trace,
    *,
    backend: str | None = None,
    allow_call: bool = False,
    start_method: str | None = None,
    limits: RunLimits | None = None,
) -> ReplayResult:
    """Execute a trace again, event by event, on its own backend or another one.

    Every event's worker, op, target and result are compared with the trace; the first that
    differs ends the replay (``diverged``). Raises what :func:`run` raises, and TraceError where
    the scenario inside the trace does not go with its workers.
    """
    from tracelock.engine.replaying import EndOfTrace, Replay
    from tracelock.engine.verdicts import verdict_of
    from tracelock.errors import TraceError
    from tracelock.scenario.loading import scenario_from_data
    from tracelock.trace import Verdict

    where = backend or trace.backend
    scenario = scenario_from_data(trace.scenario, "the trace's scenario")
    method = start_method
    if method is None and where == "multiprocessing":
        method = trace.environment.get("start_method")
        if method not in ("fork", "spawn", "forkserver"):
            method = None
    # A timer of a recorded run fired when it fired; the events say when.
    clock = trace.clock if trace.clock == "virtual" and where == trace.backend else "adversarial"
    rules = _family(trace.backend) if where == "simulated" else "threading"
    settings = Settings(
        where, "round-robin", 0, clock, method, allow_call, limits or RunLimits(), rules
    )
    with Session(scenario, settings) as session:
        layout = session.program.layout
        names = [worker.name for worker in layout.workers]
        if names != list(trace.workers):
            raise TraceError(
                f"the trace's workers ({', '.join(trace.workers)}) are not those of its scenario "
                f"({', '.join(names)})"
            )
        foreign = where != "simulated" and _family(where) != _family(trace.backend)
        follower = Replay(trace.events, trace.verdict, layout, session.rules, foreign=foreign)
        controller = session.controller(follower)
        follower.follow(controller)
        diverged: Divergence | None = None
        try:
            session.backend.controlled(controller, lambda _: True)
            follower.check_end()
        except EndOfTrace:
            if controller.failure is None and not controller.crashed:
                controller.limit = "the trace ends here"
        except Divergence as error:
            diverged = error
        if diverged is not None:
            verdict = Verdict("unfinished", None, f"the replay diverged: {diverged}")
            reproduced = False
        else:
            verdict = verdict_of(controller, session.program.finally_)
            reproduced = same_ending(verdict, trace.verdict)
        record = session.trace(controller.log, follower.describe(), verdict)
        return ReplayResult(reproduced, diverged, verdict, record)


def _family(backend: str) -> str:
    """Backends whose traces have the same kinds of events in the same places."""
    return "threading" if backend == "simulated" else backend


def same_ending(a: Verdict, b: Verdict) -> bool:
    """Whether two verdicts say the same: kind, failure, final state and who is blocked where."""
    from tracelock.trace import frozen

    if (a.kind, a.failure) != (b.kind, b.failure) or frozen(a.state) != frozen(b.state):
        return False
    return a.kind != "deadlock" or _waits(a) == _waits(b)


def _waits(verdict: Verdict) -> list[tuple[str, str, str, str]]:
    return sorted((one.worker, one.op, one.target, one.at) for one in verdict.blocked)
