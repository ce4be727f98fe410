"""What a search of real code puts around its schedulers, and how two schedules are compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final, Protocol

from tracelock.engine.open_layout import OpenLayout
from tracelock.engine.recording import target_name
from tracelock.explore.running import Runner
from tracelock.explore.search import Budget, Outcome, Searched, search
from tracelock.ops import CHOOSE, NAMES, SPAWN
from tracelock.schedulers.base import Choice, Run, Scheduler, Wrapper
from tracelock.schedulers.once_more import OnceMore

if TYPE_CHECKING:
    from tracelock.instrument.naming import ObjectNames, Variable
    from tracelock.trace import Trace

#: So often a failing schedule is run once more with what the time before has shown to be shared.
TIMES: Final = 4


def of_tasks(
    strategy: str | Scheduler, seed: int, watched: Sequence[Sequence[int]] = ()
) -> Scheduler | None:
    """The scheduler of a strategy where all workers are tasks of one loop, if that is another one
    than for threads."""
    if strategy == "dpor":
        from tracelock.schedulers.dpor.tasks import DporOfTasks

        return DporOfTasks(watched)
    if strategy == "auto":
        from tracelock.schedulers.portfolio import ROUND_OF_TASKS, PortfolioScheduler

        return PortfolioScheduler(seed, "", ROUND_OF_TASKS)
    return None


class Learner(Protocol):
    """Something that schedules teach and that a systematic search has to know from its start."""

    @property
    def pending(self) -> bool: ...

    def apply(self) -> None: ...


class UntilLost(Wrapper):
    """``lost``: a worker that was to go on could not. The program does not depend on the schedule
    alone, and nothing more is asked."""

    def __init__(self, inner: Scheduler) -> None:
        super().__init__(inner)
        self.lost = False

    def pick(self, choice: Choice) -> int:
        if not self.lost:
            picked = self.inner.pick(choice)
            if picked in choice.options:
                return picked
            self.lost = True
        return choice.options[0]

    def end(self, steps: int) -> None:
        if not self.lost:
            self.inner.end(steps)

    @property
    def exhaustive(self) -> bool:
        return not self.lost and self.inner.exhaustive


class Restarting(UntilLost):
    """A systematic search that begins again when something turned out to be shared, or ``learners``
    have found out something else.

    What it has explored before then is explored once more, with the new scheduling points; the
    counts are those of the last time.
    """

    def __init__(
        self, make: Callable[[], Scheduler], names: ObjectNames, *learners: Learner
    ) -> None:
        self.make = make
        self.names = names
        self.learners = learners
        super().__init__(make())
        self._run: Run

    def attach(self, run: Run) -> None:
        self._run = run
        self.inner.attach(run)

    def begin(self) -> bool:
        if self.lost:
            return False
        if self.names.pending or any(one.pending for one in self.learners):
            self.names.apply_pending()
            for one in self.learners:
                one.apply()
            self.inner = self.make()
            self.inner.attach(self._run)
        return self.inner.begin()


def with_accesses(
    part: Searched,
    names: ObjectNames,
    runner: Runner,
    every: bool,
    orders: Iterable[tuple[Scheduler, int]] = (),
) -> Searched:
    """What was found, where its failure came in a schedule that has shown accesses to be shared
    which were no steps of it: with one that has them as steps, for its story.

    That is the same schedule once more, with what is known by then; else whichever of ``orders``
    (each with a number of schedules) fails in the same way. Else it stays as it was, with what was
    known then.
    """
    failures = part.failures()
    if not failures or not names.pending or (every and part.schedules > 1):
        return part  # if all are wanted, it is another schedule than that of the failure
    first, settled = failures[0], names.apply_pending()
    if (outcome := _once_more(first, names, runner, settled)) is not None:
        place = next(key for key, one in part.outcomes.items() if one is first)
        part.outcomes[place] = outcome
        return part
    for scheduler, schedules in orders:
        again = search(runner, scheduler, Budget(schedules), every=every)
        if any((one.kind, one.failure) == (first.kind, first.failure) for one in again.failures()):
            return again
    names.revert(settled)
    return part


def _once_more(
    first: Outcome, names: ObjectNames, runner: Runner, settled: list[Variable]
) -> Outcome | None:
    """The failing schedule with accesses of ``settled`` as steps; and, if that shows still more to
    be shared, with those too. None where it does not fail so again."""
    found = None
    deferring, names.deferring = names.deferring, True
    try:
        for left in reversed(range(TIMES)):
            executed = first.first if found is None else found.first
            order = OnceMore(executed.picks, [one.number for one in settled])
            again = search(runner, order, Budget(1)).failures()
            if not again or (again[0].kind, again[0].failure) != (first.kind, first.failure):
                if found is not None:
                    names.revert(settled)
                break
            found = Outcome.of(again[0].first, first.count, first.schedule)
            if not names.pending or not left:
                break
            settled = names.apply_pending()
    finally:
        names.deferring = deferring
    return found


def steps_of(layout: OpenLayout, log: Any) -> list[tuple[Any, ...]]:
    """What a schedule did, as a trace would record it."""
    return [
        (layout.workers[worker].name, NAMES[kind], target_name(layout, kind, op), op.at, result)
        for worker, kind, op, result, _, _ in log
    ]


def chosen_in(trace: Trace) -> dict[int, list[int]]:
    """Of each worker the numbers of the values that it got, in order."""
    found: dict[int, list[int]] = {}
    for event in trace.events:
        if event.op == NAMES[CHOOSE]:
            found.setdefault(event.worker, []).append(event.result)
    return found


#: What a systematic search has met of such a program.
NOT_AGAIN = "a worker that went on at some point could not do so again after the same steps"
#: What makes a program depend on more than its schedule.
LOOK_FOR = (
    "Look for unseeded random numbers, the wall clock, the order of a set or of ids, or state that "
    "setup does not make anew"
)


def difference(one: list[tuple[Any, ...]], other: list[tuple[Any, ...]]) -> str:
    """Where two runs of one schedule differ, "" where they do not."""

    def told(step: tuple[Any, ...] | None) -> str:
        if step is None:
            return "nothing more"
        worker, op, target, at, result = step
        shown = "" if result is None else f" -> {result!r}"
        return f"{worker} {op} {target or ''}{shown} at {at}"

    for number, (a, b) in enumerate(zip_longest(one, other)):
        if a != b:
            return (
                f"run twice, the same schedule did two things at event {number}: {told(a)}; "
                f"{told(b)}. {LOOK_FOR}"
            )
    return ""


def no_choice(log: Any) -> bool:
    """Whether a schedule could not have gone otherwise: at no step could another worker have gone
    on, none was started, and no value was chosen."""
    return all(
        kind not in (SPAWN, CHOOSE) and (options is None or len(options) < 2)
        for _, kind, _, _, options, _ in log
    )
