"""After the fix: the old trace, its neighbours, and the whole search on the mended scenario."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from tracelock.errors import UsageError
from tracelock.explore.running import Tape
from tracelock.explore.search import FAILED, Progress, Searched, add_outcome
from tracelock.scenario.language.models import Scenario
from tracelock.session.explored import Explored
from tracelock.session.exploring import Exploration
from tracelock.session.plan import Plan, Settings
from tracelock.session.replaying import replay_target
from tracelock.session.target import Target
from tracelock.session.targets import python_of, target_for
from tracelock.trace import Trace

NEIGHBOURS: Final = 500


@dataclass(slots=True)
class Checked:
    """What became of an old failure on a mended scenario.

    ``followed``: how many of the ``events`` of the old trace still happen in their order;
    ``old``: how that schedule ends now (``passed``, ``deadlock``, ...). ``neighbours``: schedules
    tried that leave the old one somewhere. ``explored``: the verdict of all of it together.
    """

    followed: int
    events: int
    old: str
    neighbours: int
    explored: Explored


def check_fix(
    trace: Trace,
    scenario: Scenario | Target,
    *,
    plan: Plan | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Checked:
    """Try an old failing trace on the scenario that is said to be mended.

    First the old schedule itself, as far as it can be followed; then schedules that follow it for
    a while and go on at random, since a fix that only moves the bug leaves it nearby; then the
    whole search that ``plan`` says. Of real code, which cannot be told to go on elsewhere in the
    middle of a schedule, the old schedule as far as the changed code follows it, and then the whole
    search, which begins with it. Raises what ``explore`` and ``replay`` raise.
    """
    from tracelock.explore.neighbours import IntentScheduler, cut_points
    from tracelock.schedulers.simple import RandomScheduler

    target = target_for(scenario)
    if python_of(trace) is not None or target.noun != "scenario":
        return _check_code(trace, target, plan, progress)
    plan = plan or Plan(backend=trace.backend if trace.backend != "simulated" else "threading")
    begun = monotonic()
    with Exploration(target, plan) as exploration:
        runner = exploration.runner
        layout = runner.program.layout
        plan = exploration.plan
        seed = plan.seed or 0
        found = Searched("check")

        def attempt(intent: IntentScheduler) -> str:
            tape = Tape(intent)
            executed = runner.executed(runner.run(tape, lambda _: True), tape.picks)
            found.schedules += 1
            add_outcome(found, executed)
            return executed.verdict.kind

        events = list(trace.events)
        first = IntentScheduler(events, layout)
        old = attempt(first)
        neighbours = 0
        if old not in FAILED or plan.every:
            for number, cut in enumerate(cut_points(len(events), NEIGHBOURS, seed)):
                then = RandomScheduler(seed, number)
                kind = attempt(IntentScheduler(events, layout, until=cut, then=then))
                neighbours += 1
                if kind in FAILED and not plan.every:
                    break
        if not found.failures():
            found.merge(exploration.search(progress))
            found.strategy = f"check, then {plan.strategy_name}"
        else:
            found.stopped = "failure"
        explored = exploration.finish(found, monotonic() - begun)
        return Checked(first.followed, len(first.events), old, neighbours, explored)


def _check_code(
    trace: Trace, target: Target, plan: Plan | None, progress: Callable[[Progress], None] | None
) -> Checked:
    """The same of real code."""
    from tracelock.explore.shrink.twin import Twin
    from tracelock.session.exploring import explore_target

    if (python_of(trace) is None) != (target.noun == "scenario"):
        raise UsageError("the trace and the scenario are not of the same: one is of Python code")
    plan = plan or Plan(backend=trace.backend)
    replayed = replay_target(target, trace, Settings(isolation=plan.isolation))
    at = replayed.diverged
    old = replayed.verdict.kind if at is None else "otherwise"
    explored = explore_target(target, plan, [trace], progress)
    if isinstance(explored.twin, Twin):  # its steps are those of a host that is closed
        explored.notes.append(explored.twin.explanation)
        explored.twin = None
    followed = len(trace.events) if at is None else at.seq
    return Checked(followed, len(trace.events), old, 0, explored)
