"""Failures with which the order of steps has nothing to do: they are shown as pytest shows them.

It is said only where it is certain. The failing run has to be whole (each thread that it started
was seen to end before the check failed, and no timer was set), and an exhaustive search has to find
that all schedules of it are equivalent: then none can end in another way. Where that is not known
nothing is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from tracelock.pytest_plugin.given import is_given

if TYPE_CHECKING:
    from tracelock.pytest_plugin.program import ItemProgram
    from tracelock.session.explored import Explored
    from tracelock.trace import Trace

#: What the search may cost that shows it.
_SCHEDULES: Final = 20
_SECONDS: Final = 2.0
#: Operations after which a schedule may depend on more than the order of steps.
_TIMED: Final = frozenset({"sleep", "timeout", "cancel", "cancelled", "crash"})

LINE: Final = (
    "tracelock: the order of steps has nothing to do with this: all schedules of the test are "
    "equivalent, and they fail"
)


def is_ordinary(program: ItemProgram, options: dict[str, Any], explored: Explored) -> bool:
    """Whether it is certain that a test fails so in each of its schedules. ``options``: of the
    program."""
    from tracelock.pytest_plugin.program import INJECTING
    from tracelock.session.exploring import explore_target
    from tracelock.session.plan import Plan

    item, trace = program.item, explored.trace
    if trace is None or explored.switches or program.asynchronous or is_given(item):
        return False
    if program.isolated or type(item).__name__ == "TestCaseFunction":
        return False  # unittest keeps what its tests raise to itself
    injects = any(options.get(one) for one in INJECTING)
    if injects or not whole(trace):
        return False
    plan = Plan(
        program.backend(), "dpor", schedules=_SCHEDULES, seconds=_SECONDS, every=True,
        shrink=False, confirm=0,
    )  # fmt: skip
    found = explore_target(program.target(options), plan)
    ways = found.ways
    return (
        not found.stopped
        and found.executions == 1
        and len(ways) == 1
        and found.account is not None
        and found.account.clean
        and not found.withheld
        and (ways[0].kind, ways[0].failure) == (trace.verdict.kind, trace.verdict.failure)
        and whole(ways[0].trace())
    )


def whole(trace: Trace) -> bool:
    """Whether a run failed in its first worker after all others that it had started were seen to
    have ended, so that nothing of it was cut off by the failure."""
    verdict = trace.verdict
    if verdict.kind != "failed" or verdict.failure not in ("assert", "error"):
        return False
    if verdict.worker != 0 or verdict.blocked:
        return False
    started: set[str | None] = set()
    ended: set[str | None] = set()
    for event in trace.events:
        if event.op in _TIMED or isinstance(event.timeout, int | float):
            return False
        if event.op == "spawn":
            started.add(event.target)
        elif event.op == "join" and event.result is True:
            ended.add(event.target)
    return started <= ended


def run_plainly(item: pytest.Function, program: ItemProgram) -> None:
    """Run the test once more as pytest does, without control; raises what it raises, with a line
    that says that order has nothing to do with it. Returns where it passes."""
    fixtures = program.fixtures
    try:
        if fixtures.needed:
            fixtures.setup()
        type(item).runtest(item)
    except Exception as error:
        error.add_note(LINE)
        raise
    if fixtures.needed:
        fixtures.teardown()
