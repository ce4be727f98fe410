"""Scenarios as targets: their workers are machines, which every backend runs."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from tracelock.backends.base import Options
from tracelock.backends.rules import rules_name
from tracelock.engine.limits import RunLimits
from tracelock.engine.recording import record_log
from tracelock.engine.verdicts import verdict_of
from tracelock.errors import Divergence, InternalError, ScenarioError
from tracelock.ops import Value
from tracelock.scenario.language.expressions import parse
from tracelock.schedulers.base import Scheduler
from tracelock.session.backends import check_supported, make_backend, rules_of
from tracelock.session.host import Host, OnProgress, RunOutcome
from tracelock.session.plan import Plan, Settings, make_scheduler
from tracelock.session.target import Capability, Target
from tracelock.trace import Events, Trace, Verdict, environment
from tracelock.trace.reading import collector_paused

if TYPE_CHECKING:
    from tracelock.backends.base import FreeRecord
    from tracelock.engine.linearise.history import FreeRun
    from tracelock.engine.replaying import Replay
    from tracelock.explore.running import Executed, Runner
    from tracelock.explore.search import Budget, Searched
    from tracelock.explore.shrink.scenario import Reduced
    from tracelock.explore.spread.shards import Job
    from tracelock.explore.states.search import StatesProgress
    from tracelock.scenario.language.models import Scenario
    from tracelock.scenario.program import Program
    from tracelock.trace.rescue import Rescue

#: Events of one schedule of a search: a spin loop under an unfair schedule ends there.
SEARCH_STEPS: Final = 5_000


def compile_program(scenario: Scenario) -> Program:
    """The worker programs of a scenario. Raises ScenarioError where it is not sound."""
    from tracelock.scenario.checks.scenario import check_scenario
    from tracelock.scenario.program import Program

    problems = check_scenario(scenario)
    if problems:
        raise ScenarioError(problems)
    return Program(scenario)


class ScenarioTarget(Target):
    """A scenario whose workers are steps of the scenario language."""

    noun = "scenario"
    schedules = None
    engine = "simulated"
    run_limits = RunLimits()
    search_limits = RunLimits(steps=SEARCH_STEPS)
    lacks: Mapping[Capability, str] = {
        Capability.INJECTIONS:
            "--cancellations, --faults, --gc and --instrument are for scenarios of Python code",
        Capability.INTERPRETER:
            "of the steps of a scenario each may be followed by any other worker's, whatever the "
            "interpreter: interpreter= is for Python code",
        Capability.ISOLATION: "--isolation is for scenarios of Python code",
    }  # fmt: skip

    def __init__(self, steps: Scenario) -> None:
        from tracelock.scenario.checks.purpose import unchecked

        self.steps = steps
        self.name = steps.name
        self.unchecked = unchecked(steps)

    @cached_property
    def program(self) -> Program:
        """The machines of the workers. Raises ScenarioError where the scenario is not sound."""
        return compile_program(self.steps)

    @cached_property
    def data(self) -> dict[str, Any]:
        """The scenario as plain data, as a trace holds it."""
        return self.steps.to_data()

    @property
    def workers(self) -> list[str]:
        return [worker.name for worker in self.program.layout.workers]

    def scenario(self) -> Scenario:
        return self.steps

    def natural_backend(self) -> str:
        return "threading"

    def open(self, settings: Settings) -> ScenarioHost:
        return ScenarioHost(self, settings)

    def replaying(self, trace: Trace, settings: Settings) -> AbstractContextManager[Host]:
        where = settings.backend or trace.backend
        method = settings.start_method
        if method is None and where == "multiprocessing":
            method = trace.environment.get("start_method")
            if method not in ("fork", "spawn", "forkserver"):
                method = None
        # A timer of a recorded run fired when it fired; the events say when.
        clock = trace.clock if trace.clock == "virtual" and where == trace.backend else ""
        rules = rules_name(trace.backend) if where == "simulated" else "threading"
        completed = replace(
            settings, backend=where, strategy="round-robin", seed=0, start_method=method,
            clock=clock or "adversarial", rules=rules,
        ).completed(self)  # fmt: skip
        trace.check_workers(self.workers)
        return self.open(completed)

    def places(self, verdict: Verdict) -> dict[str, str]:
        places = {}
        for path in {verdict.at, *(one.at for one in verdict.blocked)}:
            if path is None:
                continue
            name, line, _ = self.steps.place_of(path)
            if line:
                places[path] = f"{name}:{line}"
        return places

    def reduced(self, trace: Trace, host: Host) -> tuple[Target, Reduced]:
        from tracelock.explore.shrink.scenario import reduce_scenario, same_trouble

        clock = host.settings.clock
        gate = same_trouble(self.steps, host.runner.rules, trace.verdict, clock=clock)
        reduced = reduce_scenario(self.steps.to_data(), gate)
        return ScenarioTarget(reduced.scenario), reduced


class ScenarioHost(Host):
    """A scenario on one backend. ``backend``: the real one, whatever drives the searches."""

    target: ScenarioTarget

    def __init__(self, target: ScenarioTarget, settings: Settings) -> None:
        super().__init__()
        self.target = target
        self.settings = settings
        self.program = program = target.program
        named = settings.rules if settings.backend == "simulated" else settings.backend
        check_supported(target.steps, named, allow_call=settings.allow_call)
        self.rules = rules_of(named)
        self.limits = settings.bounds(target)
        options = Options(self.limits, settings.start_method, settings.allow_call)
        self.backend = make_backend(settings.backend, program, options, self.rules)

    @cached_property
    def runner(self) -> Runner:  # type: ignore[override]
        from tracelock.explore.running import Runner

        settings = self.settings
        real = settings.engine == "real"
        calls = settings.backend == "simulated" if real else settings.allow_call
        return Runner(
            self.program, self.rules, clock=settings.clock, limits=self.limits,
            backend=self.backend if real else None, call=simulated_call if calls else None,
        )  # fmt: skip

    @cached_property
    def models(self) -> Runner:  # type: ignore[override]
        from tracelock.explore.running import Runner

        if self.settings.engine == "simulated":
            return self.runner
        return Runner(
            self.program, self.rules, clock=self.settings.clock, limits=self.limits
        )  # fmt: skip

    @property
    def workers(self) -> list[str]:
        return self.target.workers

    def close(self) -> None:
        self.backend.close()

    # --- traces ------------------------------------------------------------------------------
    def trace(self, log: Any, strategy: dict[str, Any] | None, verdict: Verdict) -> Trace:
        return Trace(
            self.target.data, self.settings.backend, "controlled", strategy, self.settings.clock,
            environment(self._method()), self.workers, record_log(self.program.layout, log),
            verdict,
        )  # fmt: skip

    def _method(self) -> str | None:
        if self.settings.backend != "multiprocessing":
            return None
        return self.settings.start_method or getattr(self.backend, "start_method", None)

    def follower(self, trace: Trace) -> Replay:
        from tracelock.engine.replaying import Replay

        where = self.settings.backend
        foreign = where != "simulated" and rules_name(where) != rules_name(trace.backend)
        return Replay(
            trace.events, trace.verdict, self.program.layout, self.rules, foreign=foreign
        )  # fmt: skip

    def retrace(self, trace: Trace) -> Executed | None:
        from tracelock.explore.shrink.trials import follow_trace

        _, picks, _ = follow_trace(self.runner, trace)
        return self.runner.execute(picks)

    def shrinkable(self, trace: Trace) -> Executed | Trace:
        trace.check_workers(self.workers)
        return trace

    def confirming(self, trace: Trace) -> AbstractContextManager[Host]:
        settings = Settings(
            allow_call=self.settings.allow_call, start_method=self.settings.start_method
        )
        return self.target.replaying(trace, settings)

    def not_confirmed(self, why: str, number: int, times: int) -> str:
        raise InternalError(
            f"a failure that the models show was not confirmed on {self.settings.backend} "
            f"(replay {number} of {times}): {why}"
        )

    # --- searches ----------------------------------------------------------------------------
    def scheduler(self, strategy: str | Scheduler, seed: int, depth: int | None) -> Scheduler:
        return make_scheduler(strategy, seed, depth=depth, watched=watched(self.program))

    def search_states(self, budget: Budget, every: bool, progress: OnProgress | None) -> Searched:
        from tracelock.explore.search import Outcome, Progress, Searched
        from tracelock.explore.states.search import StateSearch

        def tell(at: StatesProgress) -> None:
            if progress is not None:
                progress(Progress(at.states, at.seconds, at.failures, None))

        search = StateSearch(
            self.program, self.rules, clock=self.settings.clock, limits=self.limits, every=every
        )
        states = search.run(budget, tell)
        found = Searched("states", states.outcomes)
        found.seconds = states.seconds
        # what a bound has cut (on rounds without a step) was not seen to its end
        cut = any(one.kind == "unfinished" for one in states.outcomes.values())
        found.exhaustive = states.exhaustive and not cut
        found.stopped = states.stopped
        self.states += states.states
        self.notes += states.notes
        for livelock in states.livelocks:
            verdict = replace(livelock.executed.verdict, message=livelock.message)
            executed = replace(livelock.executed, verdict=verdict)
            found.outcomes["livelock", len(livelock.picks)] = Outcome(
                "livelock", None, None, livelock.message, verdict.state, 1, executed, 1
            )
        return found

    def job(self, plan: Plan, strategy: str) -> Job:
        from tracelock.explore.spread.shards import Job

        groups = tuple(tuple(group) for group in watched(self.program))
        return Job(
            json.dumps(self.target.data), self.rules.backend, strategy, plan.seed or 0,
            plan.clock, self.limits, plan.allow_call, plan.every, groups, depth=plan.depth,
        )  # fmt: skip

    def identity(self) -> dict[str, Any]:
        from tracelock.explore.spread.checkpoint import digest, rules_digest

        return {
            "scenario": digest(self.target.data), "name": self.target.name,
            "backend": self.settings.backend, "rules": rules_digest(self.rules),
            "clock": self.settings.clock, "steps": self.limits.steps,
            "engine": self.settings.engine,
        }  # fmt: skip

    # --- free runs ---------------------------------------------------------------------------
    def free_run(self, record: bool, rescue: Rescue | None = None) -> RunOutcome:
        # the record is a million objects and no cycle: a collection costs several recordings
        with collector_paused():
            return self._free_run(record or bool(self.program.always), rescue)

    def _free_run(self, recording: bool, rescue: Rescue | None) -> RunOutcome:
        from tracelock.engine.linearise.free import events_so_far, finish_free_run

        program = self.program

        def begun(run: FreeRecord) -> None:
            if rescue is not None:
                rescue.watch(run.recorded, lambda: traced(
                    events_so_far(program.layout, self.rules, run.so_far()), Verdict("unfinished")
                ), files=run.in_files)  # fmt: skip

        def traced(events: Events, verdict: Verdict) -> Trace:
            return Trace(
                self.target.data, self.settings.backend, "recorded", None, "real",
                environment(self._method()), self.workers, events, verdict,
            )  # fmt: skip

        free: FreeRun = self.backend.free(recording, begun)
        if rescue is not None:
            rescue.hold()
        events, verdict = finish_free_run(
            program.layout, self.rules, program.always, program.finally_, free, self._follow
        )
        count = len(events) if events is not None else sum(map(len, free.logs))
        recorded = events if events is not None else Events()
        return RunOutcome(verdict, count, lambda: traced(recorded, verdict))

    def _follow(self, events: Events, verdict: Verdict) -> Verdict:
        """Execute the events of a free run on the models, and say how it ends there."""
        from tracelock.backends.simulated import SimulatedBackend
        from tracelock.engine.replaying import EndOfTrace, Replay

        program = self.program
        follower = Replay(events, verdict, program.layout, self.rules)
        controller = self.runner.with_clock("adversarial").controller(follower)
        follower.follow(controller)
        simulated = SimulatedBackend(program, Options(self.limits), self.rules)
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


def simulated_call(name: str, arguments: list[Value]) -> Value:
    """A ``call`` step where no backend does it."""
    from tracelock.backends.calls import find_call

    return find_call(name)(*arguments)


def watched(program: Program) -> list[list[int]]:
    """The variables of each ``always`` expression: writes of them may not be commuted."""
    layout = program.layout
    groups = []
    for check in program.always:
        numbers: set[int] = set()
        for node in ast.walk(parse(check.text)):
            if isinstance(node, ast.Name) and node.id in layout.arrays:
                start, length = layout.arrays[node.id]
                numbers.update(range(start, start + (1 if length is None else length)))
        groups.append(sorted(numbers))
    return groups
