"""The best schedule of a shrink so far, and the gate to a better one: what the passes work with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import monotonic

from tracelock.explore.running import Runner, same_failure
from tracelock.explore.shrink.known import KnownSchedules
from tracelock.explore.shrink.trials import Block, BlockPlan, Extra, Trials, Tried
from tracelock.trace import Verdict

Key = tuple[int, int, int, int, list[int]]


def sort_key(tried: Tried) -> Key:
    """What makes one failing schedule smaller than another, the most important first.

    1. Preemptive switches: who takes the turn from a worker that could have gone on is what a
       reader has to understand. A program without a race fails without any.
    2. Events: with as many switches, less to read is better. A run counts up to its failure.
    3. Switches of any kind: longer stretches of one worker read as one thought.
    4. Unusual choices: a timer that fires though it need not, a waiter that was not the first in
       line, a value that was not the first of those to choose among, each asks for a reason that
       the reader would look for in vain.
    5. The picks, as numbers: of equals the one in which workers go in the order of their names, and
       with the values that come first.
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


class Spent(Exception):
    """The effort is spent."""


class Shrinking:
    """One shrink: its best schedule, the gate, and what it cost."""

    def __init__(
        self,
        runner: Runner,
        first: Tried,
        target: Verdict,
        effort: Effort,
        anywhere: bool,
        known: KnownSchedules[Tried] | None = None,
    ) -> None:
        self.runner = runner
        self.layout = runner.program.layout
        self.target = target
        self.anywhere = anywhere
        self.effort = effort
        self.trials = Trials(runner, known=known)
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
        plan = BlockPlan(tuple(blocks), self.best.plan.extra if extra is None else extra)
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

    def passes(self, passes: Iterable[Callable[[Shrinking], None]]) -> None:
        """These passes, again and again until none of them finds anything."""
        while True:
            before = self.key
            for one in passes:
                self.name = one.__name__
                one(self)
            if self.key == before:
                return
