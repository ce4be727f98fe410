"""Runs: free ones and controlled ones, each with its verdict and its trace."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tracelock.engine.limits import INTERRUPTED, RunLimits
from tracelock.errors import Divergence, InternalError, StepFailure, UsageError
from tracelock.ops import Value
from tracelock.session.settings import (
    Settings,
    check_supported,
    compile_program,
    make_backend,
    make_scheduler,
    rules_of,
)

if TYPE_CHECKING:
    from tracelock.backends.base import FreeRun
    from tracelock.engine.controller import Controller
    from tracelock.scenario.language.models import Scenario
    from tracelock.schedulers.base import Scheduler
    from tracelock.trace import Events, Trace, Verdict


class Session:
    """One scenario on one backend, run as often as wanted. A context manager.

    Raises what :func:`run` raises, when it is made.
    """

    def __init__(self, scenario: Scenario, settings: Settings) -> None:
        from tracelock.backends.base import Options

        settings.check()
        self.scenario = scenario
        self.settings = settings
        self.program = compile_program(scenario)
        named = settings.rules if settings.backend == "simulated" else settings.backend
        check_supported(scenario, named, allow_call=settings.allow_call)
        self.rules = rules_of(named)
        options = Options(settings.limits, settings.start_method, settings.allow_call)
        self.backend = make_backend(settings.backend, self.program, options, self.rules)
        self._data: dict[str, Any] | None = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc: object) -> None:
        self.backend.close()

    @property
    def data(self) -> dict[str, Any]:
        """The scenario as plain data, as a trace holds it."""
        if self._data is None:
            self._data = self.scenario.to_data()
        return self._data

    def controller(self, scheduler: Scheduler, clock: str | None = None) -> Controller:
        """A controller for this scenario under the backend's rules."""
        from tracelock.engine.controller import Controller

        limits = self.settings.limits
        return Controller(
            self.program.layout,
            self.rules,
            scheduler,
            clock=clock or self.settings.clock,
            max_steps=limits.steps,
            max_seconds=limits.seconds,
            check=self.check(),
            call=simulated_call if self.settings.backend == "simulated" else None,
        )

    def scheduler(self) -> Scheduler:
        """A new scheduler, as the settings say. Only for a controlled session."""
        assert self.settings.strategy is not None and self.settings.seed is not None
        return make_scheduler(self.settings.strategy, self.settings.seed)

    def check(self) -> Callable[[Sequence[Value]], StepFailure | None] | None:
        """What is looked at after each change: the ``always`` part, None where there is none."""
        from tracelock.engine.verdicts import first_failure

        always = self.program.always
        if not always:
            return None
        return lambda values: first_failure(always, "always", values)

    # --- runs --------------------------------------------------------------------------------
    def each(self, runs: int, record: bool = True) -> Iterator[Outcome]:
        """Run ``runs`` times and give each outcome as it comes.

        A generator: closing it ends the runs. An outcome's ``trace()`` may only be asked for
        before the next one is.
        """
        if self.settings.strategy is None:
            for _ in range(runs):
                outcome = self._free(record)
                yield outcome
                if outcome.verdict.message == INTERRUPTED:
                    return
        else:
            yield from self._controlled(runs)

    def _controlled(self, runs: int) -> Iterator[Outcome]:
        from tracelock.engine.verdicts import verdict_of

        scheduler = self.scheduler()
        controller = self.controller(scheduler)
        left = runs
        while left > 0:
            # A backend runs whole batches, outcomes are wanted one at a time: batches of one
            # when few are wanted, so that the first is there at once, larger ones when many.
            batch = 1 if runs < 50 else min(left, 100)
            outcomes: list[Outcome] = []

            def done(
                controller: Controller, outcomes: list[Outcome] = outcomes, batch: int = batch
            ) -> bool:
                verdict = verdict_of(controller, self.program.finally_)
                log, strategy = controller.log, scheduler.describe()
                outcomes.append(
                    Outcome(verdict, len(log), lambda: self.trace(log, strategy, verdict), log)
                )
                return len(outcomes) >= batch

            self.backend.controlled(controller, done)
            left -= len(outcomes)
            yield from outcomes
            if len(outcomes) < batch or controller.limit == INTERRUPTED:
                return

    def trace(self, log: Any, strategy: dict[str, Any] | None, verdict: Verdict) -> Trace:
        """The trace of a controlled run whose log this is."""
        from tracelock.engine.recording import record_log
        from tracelock.trace import Trace, environment

        return Trace(
            self.data, self.settings.backend, "controlled", strategy, self.settings.clock,
            environment(self._method()), [worker.name for worker in self.program.layout.workers],
            record_log(self.program.layout, log), verdict,
        )  # fmt: skip

    def _method(self) -> str | None:
        if self.settings.backend != "multiprocessing":
            return None
        return self.settings.start_method or getattr(self.backend, "start_method", None)

    def _free(self, record: bool) -> Outcome:
        recording = record or bool(self.program.always)
        with no_collections():
            return self._free_run(recording)

    def _free_run(self, recording: bool) -> Outcome:
        from tracelock.engine.linearise.free import finish_free_run

        free: FreeRun = self.backend.free(recording)
        program = self.program
        events, verdict = finish_free_run(
            program.layout, self.rules, program.always, program.finally_, free, self._follow
        )
        count = len(events) if events is not None else sum(map(len, free.logs))

        def trace() -> Trace:
            from tracelock.trace import Events, Trace, environment

            return Trace(
                self.data, self.settings.backend, "recorded", None, "real",
                environment(self._method()),
                [worker.name for worker in self.program.layout.workers],
                events if events is not None else Events(), verdict,
            )  # fmt: skip

        return Outcome(verdict, count, trace)

    def _follow(self, events: Events, verdict: Verdict) -> Verdict:
        """Execute the events of a free run on the models, and say how it ends there."""
        from tracelock.backends.base import Options
        from tracelock.backends.simulated import SimulatedBackend
        from tracelock.engine.replaying import EndOfTrace, Replay
        from tracelock.engine.verdicts import verdict_of

        program = self.program
        follower = Replay(events, verdict, program.layout, self.rules)
        controller = self.controller(follower, "adversarial")
        follower.follow(controller)
        simulated = SimulatedBackend(program, Options(self.settings.limits), self.rules)
        try:
            simulated.controlled(controller, lambda _: True)
            follower.check_end()
        except EndOfTrace:
            pass
        except Divergence as error:
            raise InternalError(
                f"the record of a free run contradicts the models: {error}"
            ) from error
        return verdict_of(controller, program.finally_)


@dataclass(slots=True)
class Outcome:
    """How one run ended: its verdict, the number of its events, and its trace on request."""

    verdict: Verdict
    events: int
    trace: Callable[[], Trace]
    log: Any = None


@contextlib.contextmanager
def no_collections() -> Iterator[None]:
    """Keep the cyclic collector away from a run.

    Its record is a million objects and no cycle, which each full collection would walk again, at
    several times the cost of recording.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def simulated_call(name: str, arguments: list[Value]) -> Value:
    """A ``call`` step where no backend does it."""
    from tracelock.backends.calls import find_call

    return find_call(name)(*arguments)


def run(
    scenario: Scenario,
    *,
    backend: str | None = None,
    strategy: str | None = None,
    seed: int | None = None,
    clock: str = "virtual",
    start_method: str | None = None,
    allow_call: bool = False,
    limits: RunLimits | None = None,
) -> Trace:
    """Run a scenario once and return its trace.

    ``backend``: ``threading`` (the default), ``multiprocessing``, ``asyncio``, ``trio`` or
    ``simulated``.
    ``strategy``: None for a free run, in which the operating system or the event loop chooses;
    ``random`` (with ``seed``) or ``round-robin`` for a controlled one. ``clock``: of a
    controlled run, ``virtual`` or ``adversarial``. ``start_method``: ``fork``, ``spawn`` or
    ``forkserver``, of processes. ``allow_call``: whether ``call`` steps, which run Python code,
    may do so. A scenario of Python code is always run by a strategy (``random`` where none is
    named). A failure of the scenario is a verdict, not an exception.

    Raises ScenarioError for an unsound scenario, UnsupportedError where the backend cannot do a
    step, UsageError for arguments that make no sense, InternalError (ModelMismatch) where
    tracelock contradicts itself.
    """
    if scenario.python is not None:
        from tracelock.session.python_named import program_of
        from tracelock.session.python_running import run_python

        program = program_of(scenario, allow_call=allow_call)
        return run_python(
            program, scenario, backend=backend, strategy=strategy, seed=seed, clock=clock,
            limits=limits,
        )  # fmt: skip
    settings = Settings(
        backend or "threading", strategy, seed, clock, start_method, allow_call,
        limits or RunLimits(),
    )  # fmt: skip
    with Session(scenario, settings) as session:
        for outcome in session.each(1):
            return outcome.trace()
    raise UsageError("the strategy has no schedule to run")
