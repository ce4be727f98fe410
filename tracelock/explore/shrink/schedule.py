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
from typing import Final

from tracelock.errors import InternalError, UsageError
from tracelock.explore.running import Executed, Runner, same_failure
from tracelock.explore.shrink.fewest import Fewest, fewest
from tracelock.explore.shrink.passes import ALL_PASSES, COARSE, Passes
from tracelock.explore.shrink.trials import Block, Extra, Plan, Trials, Tried, follow_trace
from tracelock.trace import Trace, Verdict

#: The verdicts that can be shrunk.
FAILED: Final = frozenset({"failed", "deadlock", "crashed"})

Key = tuple[int, int, int, int, list[int]]


def sort_key(tried: Tried) -> Key:
    """What makes one failing schedule smaller than another, the most important first.

    1. Preemptive switches: who takes the turn from a worker that could have gone on is what a
       reader has to understand. A program without a race fails without any.
    2. Events: with as many switches, less to read is better. A run counts up to its failure.
    3. Switches of any kind: longer stretches of one worker read as one thought.
    4. Unusual choices: a timer that fires though it need not, a waiter that was not the first in
       line, each asks for a reason that the reader would look for in vain.
    5. The picks, as numbers: of equals the one in which workers go in the order of their names.
       This decides between any two schedules, so that there is exactly one smallest.
    """
    executed, plan = tried.executed, tried.plan
    switches = max(len(plan.blocks) - 1, 0)
    return (executed.switches, len(executed.log), switches, len(plan.extra), executed.picks)


@dataclass(slots=True)
class Effort:
    """How much a shrink may cost: ``runs`` of schedules, ``states`` in the search for the fewest
    switches, and ``seconds`` of real time in all (None: no bound; the only bound that can make two
    shrinks of one schedule differ)."""

    runs: int = 5_000
    states: int = 50_000
    seconds: float | None = 20.0


@dataclass(slots=True)
class Improvement:
    """One step: which pass made it, after how many runs, and what there was then."""

    by: str
    runs: int
    switches: int
    events: int


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


class Spent(Exception):
    """The effort is spent."""


class Shrinking:
    """The best schedule so far and the gate to a better one; what the passes work with."""

    def __init__(
        self, runner: Runner, first: Tried, target: Verdict, effort: Effort, anywhere: bool
    ) -> None:
        self.runner = runner
        self.layout = runner.program.layout
        self.target = target
        self.anywhere = anywhere
        self.effort = effort
        self.trials = Trials(runner)
        self.end = None if effort.seconds is None else monotonic() + effort.seconds
        self.best = first
        self.key = sort_key(first)
        self.history: list[Improvement] = []
        self._seen: set[int] = set()
        self.name = "start"
        self._take(first)

    def same(self, verdict: Verdict) -> bool:
        """Whether this is the failure that is being shrunk."""
        if self.anywhere:
            return (verdict.kind, verdict.failure) == (self.target.kind, self.target.failure)
        return same_failure(verdict, self.target)

    def consider(self, blocks: Sequence[Block], extra: Extra | None = None) -> bool:
        """The gate: run this plan, and keep it if it is smaller and fails in the same way.

        Raises Spent.
        """
        plan = Plan(tuple(blocks), self.best.plan.extra if extra is None else extra)
        # by hash alone: plans of long runs are long, and to miss one in 2**64 costs little
        digest = hash(plan)
        if digest in self._seen or plan == self.best.plan:
            return False
        if self.trials.runs >= self.effort.runs:
            raise Spent
        if self.end is not None and monotonic() > self.end:
            raise Spent
        self._seen.add(digest)
        return self.admit(self.trials.follow(plan))

    def admit(self, tried: Tried) -> bool:
        """Keep what was run, if it is smaller and fails in the same way."""
        if not self.same(tried.executed.verdict):
            return False
        key = sort_key(tried)
        if key >= self.key:
            return False
        self.key = key
        self._take(tried)
        return True

    def _take(self, tried: Tried) -> None:
        self.best = tried
        executed = tried.executed
        # fewer switches may take more events, a worker that spins for ever is another matter
        self.trials.bound(4 * len(executed.log) + 1_000)
        self.history.append(
            Improvement(self.name, self.trials.runs, executed.switches, len(executed.log))
        )

    def passes(self, passes: Passes) -> None:
        """These passes, again and again until none of them finds anything."""
        while True:
            before = self.key
            for one in passes:
                self.name = one.__name__
                one(self)
            if self.key == before:
                return


def shrink(
    runner: Runner,
    start: Executed | Trace | Sequence[int],
    target: Verdict | None = None,
    effort: Effort | None = None,
    *,
    anywhere: bool = False,
) -> Shrunk:
    """The smallest schedule that fails as ``start`` does, see ``sort_key``.

    ``start``: a schedule that was run, its picks, or a trace of any backend, a free run's too.
    ``target``: the failure to keep, by default that of ``start``; kept is its kind and where it
    was (``same_failure``), with ``anywhere`` only its kind. The same arguments give the same
    result as long as ``effort.seconds`` is not reached.

    Raises UsageError where ``start`` does not fail so, or is no schedule of this program;
    Divergence where a trace cannot be followed under the runner's rules.
    """
    effort = effort or Effort()
    if isinstance(start, Trace):
        runner, picks, verdict = follow_trace(runner, start)
        if not same_failure(verdict, start.verdict):
            raise UsageError(
                f"the trace does not end here as it says: {verdict.kind}, not {start.verdict.kind}"
            )
    else:
        picks = list(start.picks if isinstance(start, Executed) else start)
    first = Trials(runner).play(picks)
    if first is None:
        raise UsageError("these picks are not those of a schedule of this program")
    found = first.executed.verdict
    if found.kind not in FAILED:
        raise UsageError(f"there is no failure to shrink: the run's verdict is {found.kind}")
    shrinking = Shrinking(runner, first, target or found, effort, anywhere)
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
    except Spent:
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
