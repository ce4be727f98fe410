"""The exploration of one test, of whatever kind it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tracelock.pytest_plugin.given import GivenTest, is_given

if TYPE_CHECKING:
    from tracelock.explore.search import Progress
    from tracelock.pytest_plugin.program import ItemProgram
    from tracelock.session.explored import Explored
    from tracelock.trace import Trace


def explore_item(
    program: ItemProgram, options: dict[str, Any], plan: dict[str, Any], first: Sequence[Trace],
    progress: Callable[[Progress], None] | None = None,
) -> Explored:  # fmt: skip
    """Explore a test; ``options`` make the program, ``plan`` is that of the search."""
    from tracelock.session.exploring import explore_target
    from tracelock.session.plan import Plan

    if is_given(program.item):
        given = GivenTest(program.item, program)
        try:
            return given.explore(options, plan, first, progress)
        finally:
            program.inputs = given.inputs
    target = program.target(options)
    plan = {"schedules": target.schedules, **plan}
    return explore_target(target, Plan(**plan, estimate=False), first, progress)
