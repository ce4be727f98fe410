"""What passes on this interpreter, and breaks where there is no GIL: the forecast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, Final

from tracelock.errors import UsageError
from tracelock.session.explored import Explored
from tracelock.session.exploring import Exploration
from tracelock.session.interpreters.which import ANY, THIS, has_gil
from tracelock.session.target import Target
from tracelock.trace import Trace

if TYPE_CHECKING:
    from tracelock.explore.search import Progress
    from tracelock.session.plan import Plan

#: So many ways to fail are looked for.
MOST: Final = 12


@dataclass(slots=True)
class Breakage:
    """One way to fail that takes a switch which this interpreter never makes.

    ``needs``: that switch in words; ``trace``: a minimal one; ``confirmed``: by backend, how
    many of its replays failed.
    """

    kind: str
    message: str
    needs: str
    trace: Trace
    confirmed: dict[str, str]


def forecast_target(
    target: Target, plan: Plan, first: Sequence[Trace] = (),
    progress: Callable[[Progress], None] | None = None,
) -> Explored:  # fmt: skip
    """Explore a target as this interpreter runs it, then as one without a GIL does; what fails in
    the second alone is in ``forecast``. ``plan.seconds`` are those of all that, of which the first
    takes half at most; its schedules are those of each search.

    Raises UsageError where the running interpreter has no GIL, or ``plan`` names another one.
    """
    if plan.interpreter not in ("", ANY, THIS):
        raise UsageError("a forecast is of this interpreter: leave interpreter= away")
    if not has_gil():
        raise UsageError("a forecast is made on an interpreter with a GIL: this one has none")
    end = None if plan.seconds is None else monotonic() + plan.seconds
    half = None if plan.seconds is None else plan.seconds / 2
    with Exploration(target, replace(plan, interpreter=THIS, seconds=half)) as here:
        explored = here.run(first, progress)
    if explored.failed:
        explored.notes.append("it fails here already: mend that first, nothing was forecast")
    elif explored.stopped == "interrupted":
        explored.notes.append("interrupted: nothing was forecast")
    else:
        _forecast(explored, target, plan, end, progress)
    return explored


def _forecast(
    explored: Explored, target: Target, plan: Plan, end: float | None,
    progress: Callable[[Progress], None] | None,
) -> None:  # fmt: skip
    """One failure after the other: the switches that one needs are none from then on."""
    explored.forecast = []
    with Exploration(target, replace(plan, interpreter=ANY)) as there:
        while len(explored.forecast) < MOST:
            there.host.until(end)
            found = there.search(progress, end)
            failures = found.failures()
            if not failures:
                break
            there.afterwards(end)
            shown = Explored("failed", found.strategy, 1, 0, 0, 0.0, [])
            there.show(shown, failures[0])
            trace = shown.trace
            gaps = [] if trace is None else never(trace)
            if trace is None or not there.host.close_gaps(gaps):
                break
            explored.forecast.append(
                Breakage(
                    trace.verdict.kind, trace.verdict.message, shown.needs, trace, shown.confirmed
                )
            )
    count = len(explored.forecast)
    ways = {0: "nothing was found that fails", 1: "1 way to fail"}.get(
        count, f"{count} ways to fail"
    )
    stopped = found.stopped if found.stopped in ("seconds", "interrupted") else ""
    cut = "; there may be more" if failures or stopped else ""
    explored.summary += f"; forecast: {ways} without the GIL{cut}"


def never(trace: Trace) -> list[tuple[str, str]]:
    """The places of the steps between which it needs a switch that is never made here."""
    from tracelock.analysis.derived.switches import WITHOUT_GIL, switches_of

    return [(one.first, one.then) for one in switches_of(trace) if one.level == WITHOUT_GIL]
