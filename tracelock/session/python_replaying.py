"""Replay of a trace of Python code: within an exploration, or by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracelock.engine.limits import RunLimits
from tracelock.engine.verdicts import verdict_of
from tracelock.errors import Divergence, TraceError
from tracelock.instrument.program import PythonProgram
from tracelock.session.exploring import Plan
from tracelock.session.replaying import ReplayResult, same_ending

if TYPE_CHECKING:
    from tracelock.session.python import PythonExploration
    from tracelock.trace import Trace


def follow(exploration: PythonExploration, trace: Trace) -> ReplayResult:
    """Execute a trace of this program again, event by event, within an exploration."""
    from tracelock.engine.replaying import EndOfTrace
    from tracelock.instrument.following import PythonReplay
    from tracelock.trace import Verdict

    python = trace.scenario.get("python", {})
    layout = exploration.python.layout
    follower = PythonReplay(
        trace.events, trace.verdict, layout, exploration.runner.rules,
        changed=exploration.sources.changed(python.get("sources", {})),
        places=python.get("places", {}), function=exploration.sources.function,
    )  # fmt: skip
    controller = exploration.runner.with_clock(trace.clock).controller(follower)
    follower.follow(controller)
    diverged: Divergence | None = None
    try:
        exploration.backend.controlled(controller, lambda _: True)
        follower.check_end()
    except EndOfTrace:
        if controller.failure is None:
            controller.limit = controller.limit or "the trace ends here"
    except Divergence as error:
        diverged = error
    if diverged is not None:
        verdict = Verdict("unfinished", None, f"the replay diverged: {diverged}")
        reproduced = False
    else:
        verdict = verdict_of(controller, exploration.python.finally_)
        if follower.changed:
            reproduced = (verdict.kind, verdict.failure) == (
                trace.verdict.kind, trace.verdict.failure,
            )  # fmt: skip
        else:
            reproduced = same_ending(verdict, trace.verdict)
    record = exploration.session.trace(controller.log, follower.describe(), verdict)
    result = ReplayResult(reproduced, diverged, verdict, record)
    if follower.changed:
        result.notes.append(
            f"changed since the recording: {', '.join(sorted(follower.changed))}; "
            f"{follower.passed} new steps were passed over, {len(follower.skipped)} are gone"
        )
    return result


def replay_python(trace: Trace, program: PythonProgram, limits: RunLimits) -> ReplayResult:
    """Execute a trace of real code again, in this process.

    Raises TraceError where its workers are not those of ``program``.
    """
    layout = program.layout
    given = layout.known()
    for place, name in enumerate(trace.workers):
        if place < len(program.workers) and given[place] != name:
            raise TraceError(
                f"worker {place} of the trace is {name}, the one given is {given[place]}"
            )
        layout.worker(name)
    from tracelock.session.python import PythonExploration

    plan = Plan(
        backend=trace.backend, strategy="random", clock=trace.clock, limits=limits, shrink=False,
    )  # fmt: skip
    with PythonExploration(program, plan) as exploration:
        targets = {event.target for event in trace.events if event.op in ("read", "write")}
        for event in trace.events:
            if event.op == "atomic":  # one operation on several files
                targets.update(*(part for part in (event.value, event.result) if part))
        exploration.names.preset(sorted(target for target in targets if target is not None))
        exploration.warm()
        return follow(exploration, trace)
