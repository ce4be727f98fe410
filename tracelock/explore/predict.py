"""Prediction: from a run that passed to the failures next to it, each tried before it is event.

The analyses say what another schedule could do: a deadlock by lock order, a data race, a lost
update, a stale check. Each says which order of events would show it. That order is brought about
in a few directed schedules; a failure in one of them is the proof, and comes with its picks. What
no run has shown is never called confirmed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from time import monotonic
from typing import Final

from tracelock.analysis.derived.facts import Facts
from tracelock.analysis.finders.atomicity import atomicity
from tracelock.analysis.finders.lock_order import lock_order
from tracelock.analysis.finders.races import races
from tracelock.analysis.finders.reversible import reversible
from tracelock.analysis.findings import NOTE, Finding, Pairs
from tracelock.explore.running import Executed, Runner, same_failure
from tracelock.explore.search import FAILED, Budget
from tracelock.ops import KIND_OF, ON_WORKER
from tracelock.schedulers.ordered import AFTERWARDS, EventPlace, OrderedScheduler, Wish
from tracelock.trace import Trace

CONFIRMED: Final = "confirmed"
POSSIBLE: Final = "possible, not confirmed"
DEFAULT: Final = Budget(schedules=500, seconds=10.0)
#: Races that are tried two at a time.
PAIRED: Final = 8


@dataclass(slots=True)
class Prediction:
    """What could go wrong next to a run, and what came of trying it.

    ``status``: ``CONFIRMED`` where ``executed`` is a run that failed, else ``POSSIBLE``.
    ``reached``: whether some run had the order that was predicted; if it is not confirmed, that
    run passed, and the finding may well be harmless. ``attempts``: runs made for it (0: the budget
    was spent).
    """

    finding: Finding
    status: str
    executed: Executed | None
    reached: bool
    attempts: int

    @property
    def confirmed(self) -> bool:
        return self.status == CONFIRMED

    def describe(self) -> str:
        """The outcome in one sentence."""
        if self.executed is not None:
            verdict = self.executed.verdict
            return f"confirmed: {verdict.failure or verdict.kind}: {verdict.message}"
        if self.reached:
            return f"{POSSIBLE}: the order was brought about, and the run passed"
        if self.attempts:
            return f"{POSSIBLE}: no schedule tried had this order"
        return f"{POSSIBLE}: not tried"


def predict(
    runner: Runner,
    trace: Trace,
    budget: Budget | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> list[Prediction]:
    """What could go wrong in schedules close to ``trace``, confirmed ones first.

    ``trace`` may come from any backend, recorded or controlled; the schedules tried are those of
    ``runner``. ``budget``: schedules in all and seconds (default: 500 and 10). ``progress`` is
    called with the findings tried so far and their number. Raises TraceError where the trace's
    workers are not those of the runner's program.
    """
    trace.check_workers([worker.name for worker in runner.program.layout.workers])
    facts = Facts(trace)
    findings = [*lock_order(facts), *atomicity(facts), *races(facts), *reversible(facts)]
    # what is only worth a note is tried last, and told if it proves to be more than that
    findings.sort(key=lambda finding: finding.severity == NOTE)
    trials = _Trials(runner, facts, budget or DEFAULT)
    tried: list[Prediction] = []
    proved: set[Hashable] = set()
    for number, finding in enumerate(findings):
        if progress is not None:
            progress(number, len(findings))
        confirmed = [one for one in tried if one.confirmed]
        if facts.alike(finding) in proved or _covered(facts, finding, confirmed):
            continue
        prediction = trials.of(finding)
        if prediction.executed is None:
            tried.append(prediction)
        elif finding.kind != "order" or not _known(prediction.executed, confirmed):
            # another order that merely leads to a failure we know is no news
            tried.append(prediction)
            proved.add(facts.alike(finding))
    trials.together([one for one in tried if _is_race(one.finding) and not one.confirmed])
    return _reported(runner, facts, tried)


def _reported(runner: Runner, facts: Facts, tried: list[Prediction]) -> list[Prediction]:
    """What is worth a report, confirmed ones first, one of each set that is alike."""
    if runner.rules.cooperative and not facts.steps.cooperative:
        # the trace is of threads and the schedules are of tasks, which switch far less
        tried = [one for one in tried if one.confirmed]
    reported: dict[Hashable, Prediction] = {}
    for one in sorted(tried, key=lambda one: not one.confirmed):
        if one.confirmed or (
            one.finding.severity != NOTE and not _covered(facts, one.finding, tried)
        ):
            reported.setdefault(facts.alike(one.finding), one)
    return list(reported.values())


def _is_race(finding: Finding) -> bool:
    return finding.kind == "data-race"


def _known(executed: Executed, predictions: Iterable[Prediction]) -> bool:
    return any(
        one.executed is not None and same_failure(one.executed.verdict, executed.verdict)
        for one in predictions
    )


def _covered(facts: Facts, race: Finding, predictions: Iterable[Prediction]) -> bool:
    """Whether ``race`` is a data race whose steps one of ``predictions`` tells of as well.

    A lost update is three races at least, which need not be told besides.
    """
    if not _is_race(race):
        return False
    sites = {facts.steps.at(seq) for seq in race.events}
    return any(
        one.finding.kind in ("lost-update", "check-then-act")
        and sites <= {facts.steps.at(seq) for seq in one.finding.events}
        and race.targets == one.finding.targets
        for one in predictions
    )


def _back(order: Pairs) -> Pairs:
    """The other order: that of the trace."""
    return tuple((then, first) for first, then in order)


class _Trials:
    """Runs directed schedules within a budget."""

    def __init__(self, runner: Runner, facts: Facts, budget: Budget) -> None:
        self.facts = facts
        self.left = budget.schedules
        self.end = None if budget.seconds is None else monotonic() + budget.seconds
        self.trail = list(facts.steps.workers)
        # a directed run is about as long as the trace; one that is far longer spins
        self.patience = 2 * len(self.trail) + 200
        limits = runner.limits
        steps = min(limits.steps, 4 * len(self.trail) + 2_000)
        self.runner = runner.with_limits(replace(limits, steps=steps))
        layout = runner.program.layout
        # a condition's own lock has its name too: it comes first, and an acquire is about it
        self._of_locks: dict[str, int] = {}
        self._of_things: dict[str, int] = {}
        for number, name in enumerate(layout.names):
            self._of_locks.setdefault(name, number)
            self._of_things[name] = number
        self._of_workers = {worker.name: number for number, worker in enumerate(layout.workers)}

    def of(self, finding: Finding) -> Prediction:
        """Try one finding until a run fails, or every way of trying it has been."""
        prediction = Prediction(finding, POSSIBLE, None, False, 0)
        for order in finding.shows:
            if not prediction.confirmed:
                self._try(prediction, order)
        return prediction

    def together(self, races: Sequence[Prediction]) -> None:
        """Try two races at a time: what neither shows alone the two may show together.

        Workers that tell each other things through several plain variables (Peterson's lock) race
        on each; only when two of them come in an unusual order does something go wrong.
        """
        for one, other in combinations(races[:PAIRED], 2):
            turned, also = one.finding.shows[0], other.finding.shows[0]
            for first, second in ((turned, also), (turned, _back(also)), (_back(turned), also)):
                proved = one if first is turned else other
                if not one.confirmed and not other.confirmed:
                    self._try(proved, (*first, *second), (True,))

    def _try(
        self,
        prediction: Prediction,
        order: Pairs,
        follows: Sequence[bool] = (True, False),
    ) -> None:
        wishes = [wish for first, then in order if (wish := self._wish(first, then)) is not None]
        if not wishes:
            return
        for follow in follows:
            for afterwards in AFTERWARDS:
                if self._spent():
                    return
                scheduler = OrderedScheduler(
                    wishes, self.trail, follow=follow, afterwards=afterwards,
                    patience=self.patience,
                )  # fmt: skip
                executed = self._run(scheduler)
                prediction.attempts += 1
                prediction.reached = prediction.reached or scheduler.fulfilled
                if executed.verdict.kind in FAILED:
                    prediction.status, prediction.executed = CONFIRMED, executed
                    return
                if not scheduler.fulfilled:
                    break  # what comes after the wishes makes no difference where they are lost

    def _spent(self) -> bool:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                return True
        return self.end is not None and monotonic() > self.end

    def _run(self, scheduler: OrderedScheduler) -> Executed:
        controller = self.runner.run(scheduler, lambda _: True)
        return self.runner.executed(controller, scheduler.picks)

    def _wish(self, first: int, then: int) -> Wish | None:
        a, b = self._place(first), self._place(then)
        return None if a is None or b is None else Wish(a, b)

    def _place(self, seq: int) -> EventPlace | None:
        """The event ``seq`` of the trace, as the scheduler recognises it."""
        steps = self.facts.steps
        worker, shape = steps.workers[seq], steps.shapes[seq]
        event = steps.events.table[shape]
        kind = KIND_OF[event.op]
        target = -1
        if event.target is not None:
            numbers = self._of_workers
            if kind not in ON_WORKER:
                on_lock = event.op in ("acquire", "release", "request")
                numbers = self._of_locks if on_lock else self._of_things
            if event.target not in numbers:
                return None
            target = numbers[event.target]
        seqs = steps.by_worker[worker][: steps.locals[seq] - 1]
        return EventPlace(
            worker, kind, target, event.at, sum(steps.shapes[s] == shape for s in seqs)
        )
