"""The exploration of a test that is not marked, and what may be believed of it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest

import tracelock.pytest_plugin.kept as kept
from tracelock.errors import InternalError, TracelockError
from tracelock.pytest_plugin import results
from tracelock.pytest_plugin.failure_text import failure_text
from tracelock.pytest_plugin.fixtures import FixturesAnew
from tracelock.pytest_plugin.network_faults import with_faults
from tracelock.pytest_plugin.output import ItemOutput
from tracelock.pytest_plugin.program import ItemProgram
from tracelock.pytest_plugin.searching import explore_item

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracelock.session.explored import Explored
    from tracelock.trace import Trace

#: Schedules, and seconds, in which one has to pass for a failure to depend on the schedule.
_OTHERS: Final = (30, 2.0)


#: What an exploration takes of our own.
_NEEDED: Final = (
    "explore.shrink.schedule", "explore.shrink.twin", "instrument.loops.asyncio_backend",
    "instrument.threads.backend", "report.terminal", "schedulers.dpor", "schedulers.portfolio",
    "session.code", "session.exploring", "session.python", "session.story",
)  # fmt: skip


def load_all() -> None:
    """Import what an exploration takes, once, before a process is forked for each."""
    for name in _NEEDED:
        importlib.import_module(f"tracelock.{name}")
    from tracelock.instrument.patches import table

    table()


@dataclass(slots=True)
class Found:
    """What an exploration came to: ``result`` as it is told at the end; of a failure the text, the
    trace, and what the test has written."""

    result: dict[str, Any]
    text: str = ""
    trace: Trace | None = None
    output: ItemOutput = field(default_factory=ItemOutput)


class Unmarked:
    """One test. ``alone``: whether it passes by itself."""

    def __init__(
        self, item: pytest.Function, schedules: int, seconds: float, *, alone: bool
    ) -> None:
        self.item = item
        self.schedules = schedules
        self.seconds = seconds
        self.alone = alone
        self.options = with_faults(item.config, {})
        self.fixtures = FixturesAnew(item)
        self.program = ItemProgram(item, self.fixtures)

    def explore(self, tell: Callable[[int], None]) -> Found:
        """Explore it; ``tell`` is called with the number of schedules so far."""
        try:
            plan = {
                "backend": self.program.backend(),
                "schedules": self.schedules,
                "seconds": self.seconds,
            }
            first = kept.earlier(kept.path_for(self.item))
            explored = explore_item(
                self.program, self.options, plan, first, lambda progress: tell(progress.schedules)
            )
            return self._judged(explored)
        except InternalError as error:
            why = f"tracelock contradicts itself ({str(error).splitlines()[0]})"
            return Found(results.left(why))
        except TracelockError as error:
            return Found(results.left(str(error).splitlines()[0]))

    def _judged(self, explored: Explored) -> Found:
        if explored.failed:
            doubt = self._doubt(explored)
            if doubt:
                return Found(results.left(doubt))
            return Found(
                results.result_of(explored, self.program.inputs),
                failure_text(explored),
                explored.trace,
            )
        if self.program.otherwise is not None and not explored.schedules > 1:
            return Found(results.left("it is skipped under control"))
        account = explored.account
        if account is not None and account.recorded and account.workers < 2:
            return Found({"verdict": results.ALONE})
        whole = sum(way.count for way in explored.ways if way.kind == "passed")
        if explored.stopped == "stuck" or not whole:
            notes = [way.message for way in explored.ways if way.kind == "unfinished"]
            if explored.stopped == "seconds":
                notes = []  # it says nothing else
            why = (explored.summary.removeprefix("unfinished: "), *notes)
            return Found(results.left(": ".join(one.splitlines()[0] for one in why if one)))
        return Found(results.result_of(explored, self.program.inputs))

    def _doubt(self, explored: Explored) -> str:
        """Why a failure is not to be believed, "" if it is."""
        trace = explored.trace
        what = "" if trace is None else trace.verdict.message.split("\n")[0]
        what = what or ("" if trace is None else str(trace.verdict.kind))
        for score in explored.confirmed.values():
            times, _, all_ = score.partition("/")
            if times != all_:
                return f"it is not deterministic: {what}"
        if self.alone and not self._passes_somewhere(explored):
            return f"it passes by itself, and fails in every schedule under control: {what}"
        return ""

    def _passes_somewhere(self, explored: Explored) -> bool:
        from tracelock.explore.shrink.twin import Twin
        from tracelock.session.exploring import explore_target
        from tracelock.session.plan import Plan

        if isinstance(explored.twin, Twin) or any(way.kind == "passed" for way in explored.ways):
            return True
        schedules, seconds = _OTHERS
        others = explore_target(
            self.program.target(self.options),
            Plan(
                self.program.backend(), "random", schedules=schedules, seconds=seconds,
                every=True, shrink=False, confirm=0,
            ),
        )  # fmt: skip
        return any(way.kind == "passed" for way in others.ways)
