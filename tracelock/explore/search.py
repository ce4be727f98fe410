"""The search: schedules of one program under one strategy until something fails, or none is left.

It tells outcomes apart (a failure by its kind and place, a pass by its final state), counts them,
and keeps for each the picks of the first schedule that had it: enough to run it again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from tracelock.engine.controller import Controller
from tracelock.engine.limits import INTERRUPTED, TIME_UP, Interrupted, TimeUp
from tracelock.engine.verdicts import first_failure
from tracelock.explore.running import Executed, Runner, Tape, preemptions
from tracelock.scenario.compile.rounds import rounds_until
from tracelock.schedulers.base import Scheduler
from tracelock.schedulers.pct import Drawn
from tracelock.schedulers.thinking import thinking_until
from tracelock.trace import Verdict, frozen

Key = tuple[Any, ...]


@dataclass(slots=True)
class Budget:
    """How long to search: ``schedules`` at most (None: no bound), ``seconds`` at most."""

    schedules: int | None = None
    seconds: float | None = None


@dataclass(slots=True)
class Outcome:
    """One way in which schedules end: how often it was seen, and the first schedule that did."""

    kind: str
    failure: str | None
    at: str | None
    message: str
    state: dict[str, Any]
    count: int
    first: Executed
    schedule: int  # number of the first schedule that had it, from 1

    @classmethod
    def of(cls, first: Executed, count: int, schedule: int) -> Outcome:
        """The outcome of ``first``."""
        end = first.verdict
        return cls(
            end.kind, end.failure, end.at, end.message, end.state, count, first, schedule
        )  # fmt: skip


@dataclass(slots=True)
class Progress:
    """Where a search stands, for a progress bar."""

    schedules: int
    seconds: float
    failures: int
    share: float | None  # of a systematic search: how much of it is done, estimated


@dataclass(slots=True)
class Searched:
    """What a search found.

    ``exhaustive``: nothing is left to try under the strategy's own terms. ``redundant``: schedules
    of a systematic search that were cut because they repeat others. ``stopped``: what ended it
    before: "failure", "schedules", "seconds", "interrupted", "killed" (the process of a worker, by
    something outside), or "". ``drawn``: see ``Scheduler.drawn``.
    """

    strategy: str
    outcomes: dict[Key, Outcome] = field(default_factory=dict)
    schedules: int = 0
    redundant: int = 0
    seconds: float = 0.0
    exhaustive: bool = False
    stopped: str = ""
    drawn: Drawn | None = None

    def failures(self) -> list[Outcome]:
        """The outcomes that are failures, first found first."""
        found = [one for one in self.outcomes.values() if one.kind in FAILED]
        return sorted(found, key=lambda one: one.schedule)

    def merge(self, other: Searched) -> None:
        """Add what another part of the same search found after this one."""
        for key, outcome in other.outcomes.items():
            known = self.outcomes.get(key)
            if known is None:
                outcome.schedule += self.schedules
                self.outcomes[key] = outcome
            else:
                known.count += outcome.count
        self.schedules += other.schedules
        self.redundant += other.redundant
        self.seconds += other.seconds
        self.stopped = other.stopped
        self.exhaustive = self.exhaustive or other.exhaustive
        self.draw(other.drawn)

    def draw(self, drawn: Drawn | None) -> None:
        """Count what other schedules of the same search were drawn for."""
        if drawn is not None:
            self.drawn = self.drawn or Drawn()
            self.drawn.add(drawn)


FAILED = frozenset({"failed", "deadlock", "crashed", "livelock"})


def outcome_key(verdict: Verdict) -> Key:
    """What makes two ends of a run the same outcome."""
    if verdict.kind == "deadlock":
        places: Any = frozenset((one.worker, one.at) for one in verdict.blocked)
    else:
        places = verdict.at
    return (verdict.kind, verdict.failure, places, frozen(verdict.state))


def search(
    runner: Runner,
    scheduler: Scheduler,
    budget: Budget,
    *,
    every: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Searched:
    """Run schedules of ``scheduler`` until one fails (all of them if ``every``).

    ``progress`` is called about ten times a second.
    """
    tape = Tape(scheduler)
    found = Searched(scheduler.describe()["name"])
    begun = monotonic()
    finally_ = runner.program.finally_
    passes: dict[tuple[Any, ...], Outcome] = {}
    limit = budget.schedules
    if limit is not None and limit <= 0:
        found.stopped = "schedules"
        return found
    end = None if budget.seconds is None else begun + budget.seconds
    look = 0

    def done(controller: Controller) -> bool:
        nonlocal look
        if scheduler.cut and controller.limit not in (INTERRUPTED, TIME_UP):
            # a systematic search noticed that this repeats another: no schedule
            return end is not None and late(controller)
        found.schedules += 1
        if controller.killed:  # by nothing that the scenario says: an end of it is another one
            verdict = Verdict("unfinished", message=controller.killed)
            add_outcome(found, Executed(tape.picks, controller.log, verdict, 0))
            found.stopped = "killed"
            return True
        passed = (
            controller.failure is None
            and not controller.active
            and not controller.crashed
            and controller.limit is None
            and first_failure(finally_, "finally", controller.values) is None
        )
        if passed:
            values = controller.values
            # the types too: to Python 1 and True are one key
            key: tuple[Any, ...] = (tuple(values), tuple(map(type, values)))
            known = passes.get(key)
            if known is not None:
                known.count += 1
            else:
                passes[key] = remember(controller)
        else:
            outcome = remember(controller)
            if controller.limit is INTERRUPTED:
                found.stopped = "interrupted"
                return True
            if controller.limit is TIME_UP:
                found.stopped = "seconds"
                return True
            if outcome.kind in FAILED and not every:
                found.stopped = "failure"
                return True
        if limit is not None and found.schedules >= limit:
            found.stopped = "schedules"
            return True
        look += 1
        if look >= 64 and progress is not None:
            look = 0
            failures = len(found.failures())
            seconds = monotonic() - begun
            progress(Progress(found.schedules, seconds, failures, scheduler.estimate()))
        return end is not None and late(controller)

    def late(controller: Controller) -> bool:
        if end is not None and monotonic() > end:
            found.stopped = "seconds"
        return found.stopped == "seconds"

    def remember(controller: Controller) -> Outcome:
        verdict = runner.verdict(controller)
        known = found.outcomes.get(outcome_key(verdict))
        if known is not None:
            known.count += 1
            return known
        log = controller.log
        return add_outcome(found, Executed(tape.picks, log, verdict, preemptions(log)))

    try:
        with rounds_until(end, TIME_UP), thinking_until(end):
            ended = runner.run(tape, done)
        ended.scheduler = Scheduler()  # it leads back to the controller, and there is no more
    except Interrupted:
        found.stopped = "interrupted"
    except TimeUp:
        found.stopped = "seconds"
    found.seconds = monotonic() - begun
    found.redundant = scheduler.redundant
    found.exhaustive = not found.stopped and scheduler.exhaustive
    found.draw(scheduler.drawn())
    return found


def add_outcome(found: Searched, executed: Executed) -> Outcome:
    """Count a schedule that was run by itself."""
    key = outcome_key(executed.verdict)
    outcome = found.outcomes.get(key)
    if outcome is None:
        outcome = found.outcomes[key] = Outcome.of(executed, 0, found.schedules)
    outcome.count += 1
    return outcome
