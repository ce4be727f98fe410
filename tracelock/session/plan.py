"""How to run a target, and how to search it: every option, with its meaning, once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Self

from tracelock.backends.calls import check_calls
from tracelock.engine.limits import RunLimits
from tracelock.errors import UsageError, unknown
from tracelock.schedulers import strategies
from tracelock.schedulers.base import Scheduler
from tracelock.schedulers.strategies import (
    DEPTH,
    STRATEGIES,
    WHOLE,
    Parameters,
    explore_names,
    run_names,
    strategy_named,
)
from tracelock.session.interpreters.which import ANY, check_interpreter
from tracelock.session.target import Capability, Target, refusal, require
from tracelock.trace import Trace

if TYPE_CHECKING:
    from concurrent.futures import Executor


CLOCKS: Final = ("virtual", "adversarial")
ISOLATION: Final = ("auto", "always", "never")
START_METHODS: Final = ("fork", "spawn", "forkserver")
ENGINES: Final = ("simulated", "real")
#: How long a search goes on unless told otherwise, in seconds.
SECONDS: Final = 60.0
#: Shards that an executor runs at a time.
WIDTH: Final = 4


@dataclass(slots=True)
class Settings:
    """How to run.

    ``backend``: ``threading``, ``multiprocessing``, ``asyncio``, ``trio`` or ``simulated`` ("": the
    target's natural one). ``strategy``: None for a free run, in which the operating system or the
    event loop chooses; the name of a strategy or a Scheduler for a controlled one. ``seed``: of
    samplers; schedule k of one seed is always the same (None: it is drawn). ``clock``: of a
    controlled run, ``virtual`` (timers fire when nothing else can happen) or ``adversarial`` (at
    any time). ``start_method``: of processes. ``allow_call``: whether Python code that a document
    names may be imported and run. ``limits``: of each run (None: the target's own). ``engine``:
    ``real`` for the backend's own threads, processes or tasks, ``simulated`` for the models of
    their objects ("": the target's own). ``rules``: whose rules the simulated backend follows.
    ``isolation``: of real code, whether its schedules run in forked processes, ``always``,
    ``never`` or where they have to (``auto``). ``interpreter``: of threads of real code, between
    which accesses another may come in: ``any`` two, where ``this`` interpreter lets it, or where
    one with its GIL does (``gil-3.12``); "": what is natural for the target.
    """

    backend: str = ""
    strategy: str | Scheduler | None = None
    seed: int | None = None
    clock: str = "virtual"
    start_method: str | None = None
    allow_call: bool = False
    limits: RunLimits | None = None
    engine: str = "real"
    rules: str = "threading"
    isolation: str = "auto"
    interpreter: str = ""

    def completed(self, target: Target) -> Self:
        """These settings for a target: what was left open is what is natural for it.

        Raises UsageError for what makes no sense, or not for this target.
        """
        made = replace(
            self, backend=self.backend or target.natural_backend(),
            engine=self.engine or target.engine, limits=self.bounds(target),
            interpreter=self.interpreter or target.interpreter,
        )  # fmt: skip
        made.check(target)
        return made

    def bounds(self, target: Target) -> RunLimits:
        """The bounds of each run."""
        return self.limits or target.run_limits

    def check(self, target: Target) -> None:
        """Raises UsageError for a combination that makes no sense, or not for this target."""
        check_calls(self.allow_call)
        if self.backend == "simulated":
            require(target, Capability.SIMULATED_BACKEND)
        if self.clock not in CLOCKS:
            raise unknown("clock", self.clock, CLOCKS)
        if self.isolation not in ISOLATION:
            raise unknown("isolation", self.isolation, ISOLATION)
        if self.isolation == "always":
            require(target, Capability.ISOLATION)
        check_interpreter(self.interpreter)
        if self.interpreter != ANY:
            require(target, Capability.INTERPRETER)
        if self.strategy is None and (
            self.backend == "simulated" or refusal(target, Capability.FREE_RUNS)
        ):
            self.strategy = "random"
        if self.seed is not None and self.strategy is None:
            raise UsageError("a seed needs a strategy: in a free run the system chooses")
        if self.strategy is not None:
            if self.seed is None:
                self.seed = int.from_bytes(os.urandom(4), "big")
            self.check_strategy(target)
        if self.start_method is not None and self.start_method not in START_METHODS:
            raise unknown("start method", self.start_method, START_METHODS)
        if self.start_method is not None and self.backend != "multiprocessing":
            raise UsageError("a start method is for the multiprocessing backend")

    def check_strategy(self, target: Target) -> None:
        """Raises UsageError for a strategy that there is not."""
        if isinstance(self.strategy, str):
            strategy_named(self.strategy, run_names())


@dataclass(frozen=True, slots=True)
class Prefix:
    """Explore only what begins with the first ``events`` of ``trace``; ``name`` is for messages."""

    trace: Trace
    events: int
    name: str = "the trace"


@dataclass(slots=True)
class Spreading:
    """How a search is spread and kept. ``jobs``: processes that share it. ``dask``: the address
    of a cluster that does; ``executor``: an executor that does, with ``width`` shards at a time.
    ``checkpoint``: a file that says what was found and what is left, to go on from. ``prefix``:
    where every schedule begins."""

    jobs: int = 1
    dask: str | None = None
    executor: Executor | None = None
    width: int = WIDTH
    checkpoint: str | None = None
    prefix: Prefix | None = None

    @property
    def used(self) -> bool:
        """Whether there is anything to it."""
        return self.spread or self.checkpoint is not None or self.prefix is not None

    @property
    def partial(self) -> bool:
        """Whether the search is a part of another one: it is to go on, or is confined."""
        return self.checkpoint is not None or self.prefix is not None

    @property
    def spread(self) -> bool:
        """Whether other processes or machines take part."""
        return self.jobs > 1 or self.dask is not None or self.executor is not None

    def check(self, plan: Plan, target: Target) -> None:
        """Raises UsageError for what does not go together."""
        if self.prefix is not None:
            require(target, Capability.PREFIX)
        if self.jobs < 1:
            raise UsageError(f"a search needs at least one job, not {self.jobs}")
        if (self.jobs > 1) + (self.dask is not None) + (self.executor is not None) > 1:
            raise UsageError("jobs, dask and executor are three ways to spread one search: one")
        if self.spread and plan.engine != target.engine:
            raise UsageError("--jobs and --dask spread the simulated engine, not the real one")
        entry = plan.entry
        if entry is not None and entry.shards == WHOLE and self.used:
            raise UsageError(
                f"the {plan.strategy} strategy keeps one set of states: it can be neither spread, "
                "nor kept in a checkpoint, nor begun at a prefix"
            )
        if entry is None and self.used:
            raise UsageError(
                "a scheduler of your own can be neither spread, nor kept in a checkpoint, nor "
                "begun at a prefix: name a strategy"
            )


@dataclass(slots=True)
class Plan(Settings):
    """How to search: what ``Settings`` say of each schedule, and this.

    ``strategy``: ``auto`` (samplers, then exhaustively), another name, or a Scheduler of your own.
    ``schedules``, ``seconds``: the budget (None: unbounded). ``every``: do not stop at the first
    failure. ``shrink``: reduce a failing schedule to the smallest. ``confirm``: how often a failing
    trace is replayed before it is reported (0: not at all). ``depth``: of ``pct``, how many
    orderings a bug needs. ``spreading``: processes, machines or an executor to share the work
    with, a checkpoint file to go on from, a prefix to stay below. ``estimate``: of a search that
    does not finish, say how much it has seen: that may take up to 1.5 seconds and a seventh more.
    """

    strategy: str | Scheduler | None = "auto"
    seed: int | None = 0
    engine: str = ""
    schedules: int | None = None
    seconds: float | None = SECONDS
    every: bool = False
    shrink: bool = True
    confirm: int = 3
    depth: int | None = None
    spreading: Spreading = field(default_factory=Spreading)
    estimate: bool = True

    def bounds(self, target: Target) -> RunLimits:
        return self.limits or target.search_limits

    def check(self, target: Target) -> None:
        super(Plan, self).check(target)  # slots=True makes another class than the one named here
        if self.engine not in ENGINES:
            raise UsageError(f"unknown engine {self.engine!r}: it is simulated or real")
        if self.engine == "simulated":
            require(target, Capability.SIMULATED_ENGINE)
        entry = self.entry
        if entry is not None and entry.machines:
            require(target, Capability.STATES, strategy=self.strategy)
            if self.engine == "real":
                raise UsageError(
                    f"the {self.strategy} strategy needs worker machines: --engine simulated"
                )
        if (self.schedules is not None and self.schedules < 1) or (
            self.seconds is not None and self.seconds <= 0
        ):
            raise UsageError("a budget has to be more than nothing")
        self.spreading.check(self, target)

    def check_strategy(self, target: Target) -> None:
        if isinstance(self.strategy, str) and self.strategy not in STRATEGIES:
            strategy_named(self.strategy, explore_names())

    @property
    def entry(self) -> strategies.Strategy | None:
        """The strategy's entry in the table; None for a Scheduler of the user's own."""
        return STRATEGIES[self.strategy] if isinstance(self.strategy, str) else None

    @property
    def strategy_name(self) -> str:
        """What the strategy is called, a Scheduler by what it says of itself."""
        assert self.strategy is not None
        if isinstance(self.strategy, str):
            return self.strategy
        return str(self.strategy.describe()["name"])


def make_scheduler(
    strategy: str | Scheduler,
    seed: int,
    *,
    depth: int | None = None,
    bound: int | None = None,
    watched: Sequence[Sequence[int]] = (),
) -> Scheduler:
    """A scheduler by its name (one that is a Scheduler is that); see ``Parameters`` for the rest.
    ``auto`` is the samplers that a search begins with. Raises UsageError for an unknown one."""
    if not isinstance(strategy, str):
        return strategy
    given = Parameters(seed, depth=depth or DEPTH, bound=bound, watched=watched)
    return strategies.make_scheduler(strategy, given)
