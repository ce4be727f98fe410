"""The ``states`` strategy: every reachable state once, however many schedules lead there.

Breadth-first explicit-state search, as in SPIN (Holzmann 1997) or TLC, over the states of a
scenario's machines and objects. What it finds is reached in as few steps as possible, and comes as
the picks that lead there, so that it can be run again. A search that finishes has seen every
state: then nothing can fail, wait for ever or go round for ever, in any schedule of any length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from time import monotonic
from typing import Final

from tracelock.engine.limits import TIME_UP, RunLimits
from tracelock.errors import InternalError
from tracelock.explore.running import Executed, Runner
from tracelock.explore.search import FAILED, Budget, Key, Outcome, outcome_key
from tracelock.explore.states.cycles import Component, cycle_text, find_cycles, members_of, tour
from tracelock.explore.states.space import StateSpace
from tracelock.explore.states.sweep import Sweep
from tracelock.objects import Rules
from tracelock.scenario.compile.rounds import rounds_until, seconds_left
from tracelock.scenario.program import Program

#: States to look at for an end of the run after a failure.
_BEYOND: Final = 20_000
#: Seconds that the schedules of the outcomes may take at least, of each loop without an end.
AFTERWARDS: Final = 1.5
#: Outcomes that are run and kept.
_OUTCOMES: Final = 1_000
#: Bytes that a state takes in the search for cycles: measured.
_NUMBERED: Final = 150


@dataclass(slots=True)
class StatesProgress:
    """Where a search stands: ``depth`` in steps from the start, ``frontier`` states to expand.
    ``cycles``: all states are known, and it looks for those from which nothing ends."""

    states: int
    seconds: float
    rate: float  # states/s
    depth: int
    frontier: int
    failures: int
    cycles: bool = False


@dataclass(slots=True)
class Livelock:
    """A trap: from its states no end can be reached, whatever is scheduled.

    ``picks`` lead into it, ``cycle`` (picks too) once round it; ``executed`` is that, twice
    round. ``steps``: events of one round. ``states``: how many there are in it. ``workers``: who
    goes round.
    """

    picks: list[int]
    cycle: list[int]
    executed: Executed
    steps: int
    states: int
    workers: tuple[str, ...]
    message: str


@dataclass(slots=True)
class StatesFound:
    """What a search found.

    ``outcomes``: by what the run comes to, each with a shortest schedule (``count``: in how
    many final states). ``exhaustive``: every reachable state was seen, cycles included.
    ``stopped``: what ended it before: "failure", "states", "bytes", "seconds", "interrupted",
    "" if nothing. ``notes``: sentences about what is no failure but worth knowing.
    """

    strategy: str = "states"
    outcomes: dict[Key, Outcome] = field(default_factory=dict)
    livelocks: list[Livelock] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    states: int = 0
    transitions: int = 0
    depth: int = 0
    seconds: float = 0.0
    exhaustive: bool = False
    stopped: str = ""

    def failures(self) -> list[Outcome]:
        """The outcomes that are failures, nearest first; livelocks are in ``livelocks``."""
        found = [one for one in self.outcomes.values() if one.kind in FAILED]
        return sorted(found, key=lambda one: len(one.first.log))

    @property
    def verdict(self) -> str:
        """``failed``, ``verified`` (nothing was left out) or ``unfinished``."""
        if self.livelocks or self.failures():
            return "failed"
        whole = self.exhaustive and all(o.kind == "passed" for o in self.outcomes.values())
        return "verified" if whole else "unfinished"


class _Inexact(Exception):
    """A schedule that was found cannot be run: two deadlines differ after all."""


class StateSearch:
    """One search of ``program`` under ``rules``.

    ``clock``: as for the controller. ``limits``: of the runs that reproduce what was found.
    ``every``: do not stop at the first failure; list every outcome, each failure run to its end.
    ``max_states``, ``max_bytes`` (of memory, estimated): bounds; a search that comes to one is
    unfinished. ``tables``: False has the controller make every single step (slow; for tests).

    ``run`` raises UsageError for a program with ``call`` steps, which cannot be taken back.
    """

    def __init__(
        self,
        program: Program,
        rules: Rules,
        *,
        clock: str = "virtual",
        limits: RunLimits | None = None,
        every: bool = False,
        max_states: int = 5_000_000,
        max_bytes: int = 1 << 30,
        tables: bool = True,
    ) -> None:
        self.program = program
        self.rules = rules
        self.clock = clock
        self.limits = limits or RunLimits()
        self.every = every
        self.max_states = max_states
        self.max_bytes = max_bytes
        self.tables = tables

    def run(
        self,
        budget: Budget | None = None,
        progress: Callable[[StatesProgress], None] | None = None,
    ) -> StatesFound:
        """Search, for ``budget.seconds`` at most. ``progress`` is called ten times a second."""
        begun = self._begun = self._shown_at = monotonic()
        seconds = None if budget is None else budget.seconds
        self._until = None if seconds is None else begun + seconds
        self._progress = progress
        self._seconds = seconds
        try:
            found = self._search(False)
        except _Inexact:
            # deadlines to the nanosecond were too coarse: again, with the very sums
            found = self._search(True)
        found.seconds = monotonic() - begun
        return found

    def _search(self, exact: bool) -> StatesFound:
        space = self._space = StateSpace(
            self.program, self.rules, self.clock, exact=exact, tables=self.tables
        )
        sweep = self._sweep = Sweep(space, self.program, self.every)
        try:
            with rounds_until(self._until, TIME_UP):
                sweep.run(self._look)
        except KeyboardInterrupt:
            sweep.stopped = "interrupted"
        found = StatesFound(states=len(sweep.order), transitions=sweep.edges, depth=sweep.depth)
        # What took its time in the search takes it once more: a step that was whole is to be whole.
        after = None if self._seconds is None else monotonic() + max(AFTERWARDS, self._seconds)
        with rounds_until(after, TIME_UP):
            self._outcomes(found)
        if not sweep.stopped:
            try:
                with rounds_until(self._until, TIME_UP):
                    self._cycles(found)
            except KeyboardInterrupt:
                sweep.stopped = "interrupted"
        found.stopped = sweep.stopped
        return found

    # --- bounds and progress -----------------------------------------------------------------
    def _look(self) -> None:
        sweep = self._sweep
        if len(sweep.order) > self.max_states:
            sweep.stopped = "states"
        elif sweep.bytes() > self.max_bytes:
            sweep.stopped = "bytes"
        else:
            self._tick(False)

    def _tick(self, cycles: bool) -> None:
        sweep = self._sweep
        now = monotonic()
        if self._until is not None and now > self._until:
            sweep.stopped = "seconds"
        if self._progress is not None and now - self._shown_at >= 0.1:
            self._shown_at = now
            states, spent = len(sweep.order), now - self._begun
            self._progress(
                StatesProgress(
                    states, spent, states / spent, sweep.depth, states - sweep.at,
                    sweep.ends.failures(), cycles,
                )
            )  # fmt: skip

    # --- the report --------------------------------------------------------------------------
    def _outcomes(self, found: StatesFound) -> None:
        sweep, space = self._sweep, self._space
        ended = set()
        ends = sweep.ends.all()
        for end in ends[:_OUTCOMES]:
            path = sweep.path(end.place)
            ended.add(space.failure.of(path[-1]))
            self._outcome(found, path, len(path), end.kind, end.failure, end.count)
        if len(ends) > _OUTCOMES:
            found.notes.append(
                f"{len(ends):,} different ends; a schedule is kept for the nearest {_OUTCOMES:,}"
            )
        for number in list(sweep.failed):
            if number in ended:
                continue
            reason = space.failure.values[number]
            if isinstance(reason, str) and reason.endswith(TIME_UP):
                sweep.stopped = sweep.stopped or "seconds"  # where it was cut says nothing
                continue
            path, steps = sweep.path_to_failure(number, _BEYOND)
            # a run that has no end near is cut right after its failure
            steps = steps if len(path) == steps + 1 else len(path)
            if isinstance(reason, str):
                self._outcome(found, path, steps, "unfinished", None, 1)
            else:
                self._outcome(found, path, steps, "failed", reason[1].failure, 1)

    def _outcome(
        self,
        found: StatesFound,
        path: list[int],
        steps: int,
        kind: str,
        failure: str | None,
        count: int,
    ) -> None:
        try:
            executed = self._execute(self._picks(path), steps)
            verdict = executed.verdict
            if (verdict.kind, verdict.failure) != (kind, failure):
                raise self._wrong(f"ends as {verdict.kind}, not as {kind}")
        except InternalError:
            if seconds_left():
                raise
            found.notes.append(f"there was no time to run a schedule again that ends as {kind}")
            self._sweep.stopped = self._sweep.stopped or "seconds"
            return
        key = outcome_key(verdict)
        known = found.outcomes.get(key)
        if known is not None:
            known.count += count
            return
        found.outcomes[key] = Outcome.of(executed, count, len(found.outcomes) + 1)

    def _picks(self, path: list[int]) -> list[int]:
        """What a scheduler has to pick to go along ``path``."""
        return [pick for a, b in pairwise(path) for pick in self._space.picks(a, b)]

    def _execute(self, picks: list[int], steps: int) -> Executed:
        """Run ``picks``, and no more than ``steps`` events."""
        limits = RunLimits(min(steps, self.limits.steps), self.limits.seconds, self.limits.stall)
        runner = Runner(self.program, self.rules, clock=self.clock, limits=limits)
        executed = runner.execute(picks)
        if executed is None or len(executed.picks) != len(picks):
            raise self._wrong("does not run")
        return executed

    def _wrong(self, why: str) -> Exception:
        timed = self.clock == "virtual" and len(self._space.time.values) > 1
        if self._space.stepper.exact or not timed:
            return InternalError(f"a schedule that the search of states found {why}")
        return _Inexact()

    # --- livelocks ---------------------------------------------------------------------------
    def _cycles(self, found: StatesFound) -> None:
        """Every state is known: what is left is to see whether an end can be reached from each."""
        sweep = self._sweep
        if not self._space.cyclic():
            found.exhaustive = True
            return

        def stop(count: int) -> bool:
            self._tick(True)
            if sweep.bytes() + count * _NUMBERED > self.max_bytes:
                sweep.stopped = "bytes"
            return bool(sweep.stopped)

        cycles = find_cycles(self._space, sweep.order[0], sweep.successors, stop)
        found.exhaustive = cycles.complete
        if not cycles.complete:
            found.notes.append("all states were seen, but not searched for livelocks to the end")
        for trap in cycles.traps:
            self._trap(found, trap, cycles.trapped)
        if cycles.fair:
            largest = max(cycles.fair, key=lambda component: component.size)
            found.notes.append(
                "a fair schedule need not end, though from everywhere an end can be reached: "
                + cycle_text(self._space, largest.state, largest.workers)
            )

    def _trap(self, found: StatesFound, trap: Component, trapped: bool) -> None:
        story = cycle_text(self._space, trap.state, trap.workers)
        if trap.frozen and self.clock == "virtual":
            # no failure of the program: to the virtual clock no time passes while anybody can go on
            found.exhaustive = False
            found.notes.append(
                f"{story}, while a timer waits that the virtual clock lets fire only when nobody "
                "can go on: use the adversarial clock"
            )
            return
        if trap.working and trapped:
            found.notes.append(f"the scenario never ends, by design it seems: {story}")
            return
        sweep = self._sweep
        members = members_of(trap.state, sweep.successors)
        place = next(place for place, state in enumerate(sweep.order) if state in members)
        path = sweep.path(place)
        around = tour(path[-1], trap.workers, sweep.successors)
        picks, cycle = self._picks(path), self._picks([path[-1], *around])
        executed = self._execute(picks + cycle * 2, len(path) - 1 + 2 * len(around))
        if executed.verdict.kind != "unfinished":
            raise self._wrong(f"ends as {executed.verdict.kind}, not going round for ever")
        names = tuple(self._space.layout.workers[worker].name for worker in sorted(trap.workers))
        found.livelocks.append(
            Livelock(
                picks, cycle, executed, len(around), len(members), names,
                f"{story}: from here no schedule ends",
            )
        )  # fmt: skip
