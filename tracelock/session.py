"""The only place that wires things together: a scenario, a backend, a scheduler, a trace."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tracelock.engine.limits import INTERRUPTED, RunLimits
from tracelock.errors import (
    Divergence,
    InternalError,
    Problem,
    ScenarioError,
    StepFailure,
    TracelockError,
    UnsupportedError,
    UsageError,
)
from tracelock.ops import Value

if TYPE_CHECKING:
    from tracelock.backends.base import Backend, FreeRun, Options
    from tracelock.engine.controller import Controller
    from tracelock.objects import Rules
    from tracelock.scenario.models import Scenario
    from tracelock.scenario.program import Program
    from tracelock.schedulers.base import Scheduler
    from tracelock.trace import Events, Trace, Verdict

BACKENDS: Final = ("threading", "multiprocessing", "asyncio", "trio", "simulated")
STRATEGIES: Final = ("random", "round-robin")
CLOCKS: Final = ("virtual", "adversarial")


def rules_of(backend: str) -> Rules:
    """The rules of a backend by name; the simulated one follows those of threading.

    Raises UsageError for a name that is not in ``BACKENDS``.
    """
    from tracelock.backends import rules

    if backend not in BACKENDS:
        raise UsageError(f"unknown backend {backend!r}: it is one of {', '.join(BACKENDS)}")
    name = "threading" if backend == "simulated" else backend
    found: Rules = getattr(rules, f"{name.upper()}_RULES")
    return found


def make_backend(backend: str, program: Program, options: Options, rules: Rules) -> Backend:
    """A backend by name, set up for ``program``. Raises UsageError where it is not installed."""
    if backend == "threading":
        from tracelock.backends.threads import ThreadingBackend

        return ThreadingBackend(program, options)
    if backend == "multiprocessing":
        from tracelock.backends.processes import MultiprocessingBackend

        return MultiprocessingBackend(program, options)
    if backend == "asyncio":
        from tracelock.backends.aio import AsyncioBackend

        return AsyncioBackend(program, options)
    if backend == "trio":
        try:
            import trio  # noqa: F401
        except ImportError as error:
            raise UsageError(
                "the trio backend needs trio: pip install 'tracelock[trio]'"
            ) from error
        from tracelock.backends.trio_backend import TrioBackend

        return TrioBackend(program, options)
    from tracelock.backends.simulated import SimulatedBackend

    return SimulatedBackend(program, options, rules)


def check_supported(
    scenario: Scenario, backend: str, *, allow_call: bool = False
) -> None:
    """Refuse, before anything starts, what a backend cannot do.

    Raises UnsupportedError with the place of each step and the backends that can do it, and
    UsageError for a ``call`` step that the user has not allowed.
    """
    from tracelock.scenario.usage import features_of

    refuses = rules_of(backend).refuses
    problems: list[Problem] = []
    for feature, at in features_of(scenario):
        if feature == "call":
            if not allow_call:
                message = "runs Python code, which has to be allowed: --allow-call"
                problems.append(_problem(scenario, at, message))
            continue
        reason = refuses.get(feature)
        if reason is None:
            continue
        able = [name for name in BACKENDS[:4] if feature not in rules_of(name).refuses]
        where = f"can be run on: {', '.join(able)}" if able else "no backend can do this"
        problems.append(_problem(scenario, at, f"{backend}: {reason} ({where})"))
    if problems:
        raise UnsupportedError(problems)


def _problem(scenario: Scenario, at: str, message: str) -> Problem:
    name, line, column = scenario.place_of(at)
    return Problem(name, line, column, at, message)


def make_scheduler(strategy: str, seed: int) -> Scheduler:
    """A scheduler by its name. Raises UsageError for an unknown one."""
    from tracelock.schedulers.simple import RandomScheduler, RoundRobinScheduler

    if strategy == "random":
        return RandomScheduler(seed)
    if strategy == "round-robin":
        return RoundRobinScheduler()
    raise UsageError(f"unknown strategy {strategy!r}: it is one of {', '.join(STRATEGIES)}")


def compile_program(scenario: Scenario) -> Program:
    """The worker programs of a scenario. Raises ScenarioError where it is not sound."""
    from tracelock.scenario.checks import check_scenario
    from tracelock.scenario.program import Program

    problems = check_scenario(scenario)
    if problems:
        raise ScenarioError(problems)
    return Program(scenario)


@dataclass(slots=True)
class Settings:
    """How to run: everything about a run but the scenario. See :func:`run` for the meanings."""

    backend: str = "threading"
    strategy: str | None = None
    seed: int | None = None
    clock: str = "virtual"
    start_method: str | None = None
    allow_call: bool = False
    limits: RunLimits = field(default_factory=RunLimits)
    #: Whose rules the simulated backend follows.
    rules: str = "threading"

    def check(self) -> None:
        """Raises UsageError for a combination that makes no sense."""
        rules_of(self.backend)
        if self.clock not in CLOCKS:
            raise UsageError(f"unknown clock {self.clock!r}: it is one of {', '.join(CLOCKS)}")
        if self.strategy is None and self.backend == "simulated":
            self.strategy = "random"
        if self.seed is not None and self.strategy is None:
            raise UsageError("a seed needs a strategy: in a free run the system chooses")
        if self.strategy is not None:
            if self.seed is None:
                self.seed = int.from_bytes(os.urandom(4), "big")
            make_scheduler(self.strategy, self.seed)
        methods = ("fork", "spawn", "forkserver")
        if self.start_method is not None and self.start_method not in methods:
            raise UsageError(
                f"unknown start method {self.start_method!r}: it is one of {', '.join(methods)}"
            )
        if self.start_method is not None and self.backend != "multiprocessing":
            raise UsageError("a start method is for the multiprocessing backend")


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
            call=_simulated_call if self.settings.backend == "simulated" else None,
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

            def done(controller: Controller, outcomes: list[Outcome] = outcomes, batch: int = batch) -> bool:
                verdict = verdict_of(controller, self.program.finally_)
                log, strategy = controller.log, scheduler.describe()
                outcomes.append(
                    Outcome(
                        verdict, len(log), lambda: self._trace(log, strategy, verdict), log
                    )
                )
                return len(outcomes) >= batch

            self.backend.controlled(controller, done)
            left -= len(outcomes)
            yield from outcomes
            if len(outcomes) < batch:
                return

    def _trace(self, log: Any, strategy: dict[str, Any] | None, verdict: Verdict) -> Trace:
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
        from tracelock.engine.free import finish_free_run

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
        follower.attach(controller)
        simulated = SimulatedBackend(program, Options(self.settings.limits), self.rules)
        try:
            simulated.controlled(controller, lambda _: True)
            follower.check_end()
        except EndOfTrace:
            pass
        except Divergence as error:
            raise InternalError(f"the record of a free run contradicts the models: {error}") from error
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
    """Keep the cyclic collector away from a run: its record is a million tuples and no cycle,

    which each full collection would walk again, at several times the cost of recording."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _simulated_call(name: str, arguments: list[Value]) -> Value:
    from tracelock.backends.calls import find_call

    return find_call(name)(*arguments)


def run(
    scenario: Scenario,
    *,
    backend: str = "threading",
    strategy: str | None = None,
    seed: int | None = None,
    clock: str = "virtual",
    start_method: str | None = None,
    allow_call: bool = False,
    limits: RunLimits | None = None,
) -> Trace:
    """Run a scenario once and return its trace.

    ``backend``: ``threading``, ``multiprocessing``, ``asyncio``, ``trio`` or ``simulated``.
    ``strategy``: None for a free run, in which the operating system or the event loop chooses;
    ``random`` (with ``seed``) or ``round-robin`` for a controlled one. ``clock``: of a
    controlled run, ``virtual`` or ``adversarial``. ``start_method``: ``fork``, ``spawn`` or
    ``forkserver``, of processes. ``allow_call``: whether ``call`` steps, which run Python code,
    may do so. A failure of the scenario is a verdict, not an exception.

    Raises ScenarioError for an unsound scenario, UnsupportedError where the backend cannot do a
    step, UsageError for arguments that make no sense, InternalError (ModelMismatch) where
    tracelock contradicts itself.
    """
    settings = Settings(
        backend, strategy, seed, clock, start_method, allow_call, limits or RunLimits()
    )
    with Session(scenario, settings) as session:
        for outcome in session.each(1):
            return outcome.trace()
    raise UsageError("the strategy has no schedule to run")


@dataclass(slots=True)
class ReplayResult:
    """What a replay came to.

    ``reproduced``: it followed the trace to its end and ended with the same verdict.
    ``diverged``: the :class:`~tracelock.errors.Divergence` that stopped it, or None.
    ``verdict``: how the replay itself ended (``unfinished`` where it diverged). ``trace``: the
    trace of the replay, as far as it came.
    """

    reproduced: bool
    diverged: Divergence | None
    verdict: Verdict
    trace: Trace


def replay(
    trace: Trace,
    *,
    backend: str | None = None,
    allow_call: bool = False,
    start_method: str | None = None,
    limits: RunLimits | None = None,
) -> ReplayResult:
    """Execute a trace again, event by event, on its own backend or another one.

    Every event's worker, op, target and result are compared with the trace; the first that
    differs ends the replay (``diverged``). Raises what :func:`run` raises, and TraceError where
    the scenario inside the trace does not go with its workers.
    """
    from tracelock.engine.replaying import EndOfTrace, Replay
    from tracelock.engine.verdicts import verdict_of
    from tracelock.errors import TraceError
    from tracelock.scenario.loading import scenario_from_data
    from tracelock.trace import Verdict

    where = backend or trace.backend
    scenario = scenario_from_data(trace.scenario, "the trace's scenario")
    method = start_method
    if method is None and where == "multiprocessing":
        method = trace.environment.get("start_method")
        if method not in ("fork", "spawn", "forkserver"):
            method = None
    # A timer of a recorded run fired when it fired; the events say when.
    clock = trace.clock if trace.clock == "virtual" and where == trace.backend else "adversarial"
    rules = _family(trace.backend) if where == "simulated" else "threading"
    settings = Settings(
        where, "round-robin", 0, clock, method, allow_call, limits or RunLimits(), rules
    )
    with Session(scenario, settings) as session:
        layout = session.program.layout
        names = [worker.name for worker in layout.workers]
        if names != list(trace.workers):
            raise TraceError(
                f"the trace's workers ({', '.join(trace.workers)}) are not those of its scenario "
                f"({', '.join(names)})"
            )
        foreign = where != "simulated" and _family(where) != _family(trace.backend)
        follower = Replay(
            trace.events, trace.verdict, layout, session.rules, foreign=foreign
        )
        controller = session.controller(follower)
        follower.attach(controller)
        diverged: Divergence | None = None
        try:
            session.backend.controlled(controller, lambda _: True)
            follower.check_end()
        except EndOfTrace:
            if controller.failure is None and not controller.crashed:
                controller.limit = "the trace ends here"
        except Divergence as error:
            diverged = error
        if diverged is not None:
            verdict = Verdict("unfinished", None, f"the replay diverged: {diverged}")
            reproduced = False
        else:
            verdict = verdict_of(controller, session.program.finally_)
            reproduced = same_ending(verdict, trace.verdict)
        record = session._trace(controller.log, follower.describe(), verdict)
        return ReplayResult(reproduced, diverged, verdict, record)


def _family(backend: str) -> str:
    """Backends whose traces have the same kinds of events in the same places."""
    return "threading" if backend == "simulated" else backend


def same_ending(a: Verdict, b: Verdict) -> bool:
    """Whether two verdicts say the same: kind, failure, final state and who is blocked where."""
    from tracelock.trace import frozen

    if (a.kind, a.failure) != (b.kind, b.failure) or frozen(a.state) != frozen(b.state):
        return False
    key = lambda v: sorted((one.worker, one.op, one.target, one.at) for one in v.blocked)  # noqa: E731
    return a.kind not in ("deadlock",) or key(a) == key(b)


def backends_here() -> list[dict[str, Any]]:
    """What each backend can do on this machine: name, available, refuses, notes."""
    import importlib.util
    import multiprocessing

    rows = []
    for name in BACKENDS:
        available, note = True, ""
        if name == "trio":
            available = importlib.util.find_spec("trio") is not None
            note = "" if available else "not installed: pip install 'tracelock[trio]'"
        if name == "multiprocessing":
            note = "start methods: " + ", ".join(multiprocessing.get_all_start_methods())
        if name == "simulated":
            note = "no concurrency: the models alone, under the rules of threading"
        if name == "threading":
            enabled = getattr(sys, "_is_gil_enabled", lambda: True)()
            note = "with the GIL" if enabled else "free-threaded"
        rows.append(
            {"name": name, "available": available, "note": note,
             "refuses": dict(rules_of(name).refuses)}
        )  # fmt: skip
    return rows


__all__ = [
    "BACKENDS", "CLOCKS", "STRATEGIES", "Outcome", "ReplayResult", "Session", "Settings",
    "TracelockError", "backends_here", "check_supported", "compile_program", "make_backend",
    "make_scheduler", "replay", "rules_of", "run", "same_ending",
]  # fmt: skip
