"""Shrinking a failing schedule: an order, passes, and one gate.

First the events are put into another order without running anything (independent ones commute),
then edited schedules are run, each by a pass that has its own idea of what could be left out; the
gate takes a schedule if it fails in the same way and is smaller. Last comes a search through all
schedules that are smaller still, where there are not too many, since passes can get stuck: three
philosophers need one preemptive switch, and no small edit of a schedule with two finds it.

After Jalbert and Sen, *A trace simplification technique for effective debugging of concurrent
programs* (FSE 2010), and the shape of Hypothesis' shrinker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic

from tracelock.engine.limits import Interrupted, TimeUp
from tracelock.errors import InternalError, UsageError
from tracelock.explore.running import Executed, Runner, same_failure
from tracelock.explore.shrink.best import Effort, Improvement, Shrinking, Spent
from tracelock.explore.shrink.fewest import Fewest, fewest
from tracelock.explore.shrink.known import KnownSchedules
from tracelock.explore.shrink.passes import ALL_PASSES, COARSE
from tracelock.explore.shrink.trials import Trials, Tried, follow_trace
from tracelock.trace import Trace, Verdict
from tracelock.trace.verdict import FAILED


@dataclass(slots=True)
class Shrunk:
    """The smallest schedule that was found.

    ``executed``: it, cut right after its failure (running its picks goes on beyond that).
    ``certified``: no single switch can be removed (1-minimal): for each, letting the running
    worker go on and bringing the other's events later or earlier was tried. ``minimum``: ``proved``
    where every schedule with fewer preemptive switches was tried, else ``1-minimal``, or
    ``unfinished`` where the effort was spent before. ``fewest``: no schedule with fewer preemptive
    switches than this fails so. ``clock``: the one it was run with. ``runs``, ``states``: the
    effort. ``history``: each improvement, the start first.
    """

    executed: Executed
    runs: int
    certified: bool
    minimum: str
    fewest: int
    clock: str
    states: int
    history: list[Improvement] = field(default_factory=list)


def shrink(
    runner: Runner,
    start: Executed | Trace | Sequence[int],
    target: Verdict | None = None,
    effort: Effort | None = None,
    *,
    anywhere: bool = False,
    known: KnownSchedules[Tried] | None = None,
) -> Shrunk:
    """The smallest schedule that fails as ``start`` does, see ``sort_key``.

    ``start``: a schedule that was run, its picks, or a trace of any backend, a free run's too.
    ``target``: the failure to keep, by default that of ``start``; kept is its kind and where it
    was (``same_failure``), with ``anywhere`` only its kind. ``known``: schedules of ``runner`` that
    need not be run, to which those are added that were. The same arguments give the same
    result as long as ``effort.seconds`` is not reached.

    Raises UsageError where ``start`` does not fail so, or is no schedule of this program;
    Divergence where a trace cannot be followed under the runner's rules.
    """
    effort = effort or Effort()
    if isinstance(start, Trace):
        plain = runner
        runner, picks, verdict = follow_trace(runner, start)
        if runner is not plain:
            known = None
        if not same_failure(verdict, start.verdict):
            raise UsageError(
                f"the trace does not end here as it says: {verdict.kind}, not {start.verdict.kind}"
            )
    else:
        picks = list(start.picks if isinstance(start, Executed) else start)
    known = known or KnownSchedules()
    first = Trials(runner, known=known).play(picks)
    if first is None:
        raise UsageError("these picks are not those of a schedule of this program")
    found = first.executed.verdict
    if found.kind not in FAILED:
        raise UsageError(f"there is no failure to shrink: the run's verdict is {found.kind}")
    shrinking = Shrinking(runner, first, target or found, effort, anywhere, known)
    if not shrinking.same(found):
        raise UsageError(f"the schedule does not fail as it should: {found.message}")
    return _shrink(shrinking)


def _shrink(shrinking: Shrinking) -> Shrunk:
    search = Fewest(None, 0, False, 0)
    certified = False
    try:
        shrinking.passes(COARSE)
        search = _search(shrinking)
        shrinking.passes(ALL_PASSES)
        certified = True
    except (Spent, TimeUp, Interrupted):
        pass
    executed = shrinking.best.executed
    proved = search.switches >= executed.switches
    minimum = "proved" if proved else "1-minimal" if certified else "unfinished"
    return Shrunk(
        executed, shrinking.trials.runs, certified or proved, minimum, search.switches,
        shrinking.runner.clock, search.states, shrinking.history,
    )  # fmt: skip


def _search(shrinking: Shrinking) -> Fewest:
    """Look through all schedules that are smaller than the best one, as far as the effort goes."""
    executed = shrinking.best.executed
    search = fewest(
        shrinking.runner,
        shrinking.same,
        below=(executed.switches, len(executed.log)),
        states=shrinking.effort.states,
        seconds=None if shrinking.end is None else max(0.0, shrinking.end - monotonic()),
    )
    if search.picks is not None:
        shrinking.name = "fewest"
        better = shrinking.trials.play(search.picks)
        if better is None or not shrinking.admit(better):
            raise InternalError("a schedule that the search found is not what it said")
    return search
