"""What there is to choose from, and whether a scenario and a choice go together."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tracelock.engine.limits import RunLimits
from tracelock.errors import Problem, ScenarioError, UnsupportedError, UsageError
from tracelock.schedulers import strategies
from tracelock.schedulers.strategies import DEPTH, Parameters, run_names

if TYPE_CHECKING:
    from tracelock.backends.base import Backend, Options
    from tracelock.objects import Rules
    from tracelock.scenario.language.models import Scenario
    from tracelock.scenario.program import Program
    from tracelock.schedulers.base import Scheduler

BACKENDS: Final = ("threading", "multiprocessing", "asyncio", "trio", "simulated")
STRATEGIES: Final = run_names()
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
        from tracelock.backends.threads.backend import ThreadingBackend

        return ThreadingBackend(program, options)
    if backend == "multiprocessing":
        from tracelock.backends.processes.backend import MultiprocessingBackend

        return MultiprocessingBackend(program, options)
    if backend == "asyncio":
        from tracelock.backends.tasks.asyncio_backend import AsyncioBackend

        return AsyncioBackend(program, options)
    if backend == "trio":
        try:
            import trio  # noqa: F401
        except ImportError as error:
            raise UsageError(
                "the trio backend needs trio: pip install 'tracelock[trio]'"
            ) from error
        from tracelock.backends.tasks.trio_backend import TrioBackend

        return TrioBackend(program, options)
    from tracelock.backends.simulated import SimulatedBackend

    return SimulatedBackend(program, options, rules)


def check_supported(scenario: Scenario, backend: str, *, allow_call: bool = False) -> None:
    """Refuse, before anything starts, what a backend cannot do.

    Raises UnsupportedError with the place of each step and the backends that can do it, and
    UsageError for a ``call`` step that the user has not allowed.
    """
    from tracelock.scenario.language.usage import features_of

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


def make_scheduler(
    strategy: str,
    seed: int,
    *,
    depth: int | None = None,
    bound: int | None = None,
    watched: Sequence[Sequence[int]] = (),
) -> Scheduler:
    """A scheduler by its name; see ``Parameters`` for the rest. Raises UsageError for an unknown
    one. ``auto`` is the samplers that a search begins with."""
    return strategies.make_scheduler(
        strategy, Parameters(seed, depth=depth or DEPTH, bound=bound, watched=watched)
    )


def compile_program(scenario: Scenario) -> Program:
    """The worker programs of a scenario. Raises ScenarioError where it is not sound."""
    from tracelock.scenario.checks.scenario import check_scenario
    from tracelock.scenario.program import Program

    if scenario.python is not None:
        raise UsageError("the workers of this scenario are Python code: it can be run and explored")
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
