"""Runs: free ones and controlled ones, each with its verdict and its trace."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager
from time import monotonic
from typing import TYPE_CHECKING

from tracelock.engine.controller import Controller
from tracelock.engine.limits import INTERRUPTED, seconds_reached
from tracelock.errors import UsageError
from tracelock.scenario.compile.rounds import rounds_until
from tracelock.schedulers.base import Scheduler
from tracelock.session.host import Opened, RunOutcome
from tracelock.session.plan import Settings, make_scheduler
from tracelock.session.target import Target
from tracelock.session.targets import target_for
from tracelock.trace import Trace, Verdict

if TYPE_CHECKING:
    from tracelock.explore.running import ScheduleDriver
    from tracelock.scenario.language.models import Scenario
    from tracelock.trace.rescue import Rescue


class Session(Opened):
    """One target (or scenario) on one backend, run as often as wanted. A context manager.

    ``settings``: completed ones. Raises what :func:`run_target` raises, when it is made.
    """

    def __init__(self, target: Target | Scenario, settings: Settings) -> None:
        self.target = target_for(target, allow_call=settings.allow_call)
        self.settings = settings.completed(self.target)
        self.host = self.target.open(self.settings)

    @property
    def backend(self) -> ScheduleDriver:
        """What makes the controlled runs."""
        return self.host.runner.backend

    def controller(self, scheduler: Scheduler) -> Controller:
        """A controller for this target under the backend's rules."""
        return self.host.runner.controller(scheduler)

    def scheduler(self) -> Scheduler:
        """A new scheduler, as the settings say. Only for a controlled session."""
        strategy, seed = self.settings.strategy, self.settings.seed
        assert strategy is not None and seed is not None
        return self.host.injecting(make_scheduler(strategy, seed), seed)

    def each(
        self, runs: int, record: bool = True, rescue: Rescue | None = None
    ) -> Generator[RunOutcome]:
        """Run ``runs`` times and give each outcome as it comes. Before the first controlled run of
        real code unreported schedules are run, from which it is learnt what is shared.

        A generator: closing it ends the runs. An outcome's ``trace()`` may only be asked for
        before the next one is. ``rescue`` keeps what is recorded of the first if this process
        should be killed.
        """
        if self.settings.strategy is None:
            for _ in range(runs):
                with self._rounds():
                    outcome = self.host.free_run(record, rescue)
                yield outcome
                if outcome.verdict.message == INTERRUPTED:
                    return
        else:
            yield from self._controlled(runs, rescue)

    def _rounds(self, runs: int = 1) -> AbstractContextManager[None]:
        seconds = self.host.settings.bounds(self.target).seconds
        return rounds_until(monotonic() + runs * seconds, seconds_reached(seconds))

    def _controlled(self, runs: int, rescue: Rescue | None) -> Iterator[RunOutcome]:
        host = self.host
        host.warm_up(every=False)
        host.settle()
        scheduler = self.scheduler()
        controller = self.controller(scheduler)
        verdict_of, trace_of = host.runner.verdict, host.trace
        if rescue is not None:
            rescue.watch(
                lambda: len(getattr(controller, "log", ())),
                lambda: trace_of(controller.log, scheduler.describe(), Verdict("unfinished")),
            )
        left = runs
        while left > 0:
            # A backend runs whole batches, outcomes are wanted one at a time: batches of one
            # when few are wanted, so that the first is there at once, larger ones when many.
            batch = 1 if runs < 50 else min(left, host.batch)
            outcomes: list[RunOutcome] = []

            def done(
                controller: Controller, outcomes: list[RunOutcome] = outcomes, batch: int = batch
            ) -> bool:
                verdict = verdict_of(controller)
                log, strategy = controller.log, scheduler.describe()
                outcomes.append(
                    RunOutcome(verdict, len(log), lambda: trace_of(log, strategy, verdict), log)
                )
                return len(outcomes) >= batch

            with self._rounds(batch):
                self.backend.controlled(controller, done)
            left -= len(outcomes)
            yield from outcomes
            if len(outcomes) < batch or controller.limit == INTERRUPTED or host.stuck:
                return


def run_target(target: Target | Scenario, settings: Settings) -> Trace:
    """Run a target once and return its trace.

    Raises ScenarioError for an unsound scenario, UnsupportedError where the backend cannot do a
    step, UsageError for settings that make no sense, InternalError (ModelMismatch) where
    tracelock contradicts itself.
    """
    with Session(target, settings) as session:
        for outcome in session.each(1):
            return outcome.trace()
    raise UsageError("the strategy has no schedule to run")
