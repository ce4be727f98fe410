"""Python programs as targets: real code, whose schedules are run under control."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Final

from tracelock.engine.limits import RunLimits
from tracelock.errors import TraceError
from tracelock.instrument.outside.calls import recorded_in
from tracelock.instrument.outside.kinds import REAL, RECORDED
from tracelock.session.host import Host
from tracelock.session.interpreters.which import ANY
from tracelock.session.plan import Plan, Settings
from tracelock.session.python_host import PythonHost
from tracelock.session.target import Capability, Target, require
from tracelock.trace import Trace

if TYPE_CHECKING:
    from tracelock.instrument.program import PythonProgram

#: Schedules that are tried unless told otherwise.
SCHEDULES: Final = 1_000
STEPS: Final = 20_000
STALL: Final = 5.0
_OWN_STEPS: Final = "is for scenarios with steps of their own"


class PythonTarget(Target):
    """A program of real code. ``load`` gives it, or imports it: not before it is needed."""

    noun = "program"
    schedules = SCHEDULES
    engine = "real"
    travels = "names"
    run_limits = search_limits = RunLimits(steps=STEPS, stall=STALL)
    lacks: Mapping[Capability, str] = {
        Capability.FREE_RUNS:
            "a controlled run: of real code there is no free one, which could not be recorded",
        Capability.SIMULATED_BACKEND:
            "the simulated backend has models of objects alone: Python code runs on threading, "
            "multiprocessing, asyncio or trio",
        Capability.SIMULATED_ENGINE: "there is no simulation of Python code: leave --engine away",
        Capability.STATES: "the {strategy} strategy needs a scenario: real code cannot be copied",
        Capability.PREFIX: f"--prefix {_OWN_STEPS}",
        Capability.OTHER_BACKEND:
            "Python code is replayed on the backend that it was recorded on, {backend}",
        Capability.REDUCE: "only a scenario's own steps can be reduced, not Python code",
        Capability.PREDICT:
            "this trace is of Python code: explore the program, which tries it all",
        Capability.STEPS:
            "the workers of this scenario are Python code: it can be run and explored",
    }  # fmt: skip

    def __init__(
        self, load: Callable[[], PythonProgram], name: str, interpreter: str = ANY
    ) -> None:
        self._load = load
        self.name = name
        self.interpreter = interpreter

    @cached_property
    def program(self) -> PythonProgram:
        """The program. Raises what ``load`` raises."""
        return self._load()

    @property
    def workers(self) -> list[str]:
        return list(self.program.names)

    def natural_backend(self) -> str:
        return self.program.natural_backend()

    def open(self, settings: Settings) -> PythonHost:
        host = PythonHost(self, settings)
        host.chancy = self.program.outside == REAL
        return host

    def replaying(self, trace: Trace, settings: Settings) -> AbstractContextManager[Host]:
        if settings.backend not in ("", trace.backend):
            require(self, Capability.OTHER_BACKEND, backend=trace.backend)
        given = self.workers
        for place, name in enumerate(trace.workers[: len(given)]):
            if given[place] != name:
                raise TraceError(
                    f"worker {place} of the trace is {name}, the one given is {given[place]}"
                )
        plan = Plan(
            trace.backend,
            "random",
            clock=trace.clock,
            limits=settings.limits,
            shrink=False,
            isolation=settings.isolation,
        )
        host = self.open(plan.completed(self)).knowing(trace)
        python = trace.scenario.get("python")
        if isinstance(python, Mapping) and python.get("outside"):
            host.program.outside = RECORDED
            host.program.answers = recorded_in(trace.events, trace.workers)
        return host
