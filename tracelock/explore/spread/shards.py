"""One shard of a search: a piece of work that can be done anywhere, and what comes back.

A shard is plain data, so that any ``concurrent.futures.Executor`` can take it to another process or
another machine: the scenario as text, the name of the rules, and which schedules to run. Back come
counts and, for each distinct outcome, the picks of a schedule that has it; to see
it, these are run again.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

from tracelock.engine.limits import INTERRUPTED, RunLimits
from tracelock.errors import InternalError
from tracelock.explore.running import Executed, Runner
from tracelock.explore.search import Budget, Key, Progress, search
from tracelock.schedulers.base import Choice, Scheduler, Wrapper
from tracelock.schedulers.bounded import BoundedScheduler, Children
from tracelock.schedulers.dpor.step_part import StepPart, StepPartScheduler
from tracelock.schedulers.dpor.subtree import Subtree, SubtreeScheduler
from tracelock.schedulers.dpor.wakeup import Step
from tracelock.schedulers.pct import Drawn
from tracelock.schedulers.sampling import mix
from tracelock.schedulers.strategies import (
    DEPTH,
    LEVELS,
    NUMBERED,
    SEEDED,
    TREE,
    Parameters,
    Strategy,
    strategy_named,
)

if TYPE_CHECKING:
    from tracelock.ops import Value
    from tracelock.trace import Verdict

#: Schedules of one shard of a sampler. A sampler that learns starts anew with each.
CHUNK: Final = 512

#: Children of a bounded search: places, sizes, costs, then where the cursor stands.
Cursor = tuple[bytes, bytes, bytes, int, int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Job:
    """What all shards of a search have in common. ``scenario``: as JSON; ``rules``: the backend
    whose rules hold; ``watched``: see ``DporScheduler``; ``prefix``: picks that every schedule
    begins with; ``depth``: of pct. ``chunk``: schedules of one shard of a sampler. ``code``: of
    real code the program and its settings (see ``session.elsewhere``), instead of ``scenario``."""

    scenario: str
    rules: str
    strategy: str
    seed: int = 0
    clock: str = "virtual"
    limits: RunLimits = field(default_factory=RunLimits)
    allow_call: bool = False
    every: bool = False
    watched: tuple[tuple[int, ...], ...] = ()
    prefix: tuple[int, ...] = ()
    floor: int = 0
    depth: int | None = None
    chunk: int = CHUNK
    code: Any = None


@dataclass(slots=True)
class Shard:
    """Samplers: ``count`` schedules of chunk ``number`` after the first ``skip``. DPOR: ``part``.
    Bounded searches: ``children`` (None: from the start) of cost ``bound``.

    ``seconds``: after that long the shard is returned with what is left of it. ``known``: what is
    known of real code, which is run with that and nothing else; ``told``: outcomes of it of which
    the one that asks has a trace.
    """

    job: Job
    number: int = 0
    skip: int = 0
    count: int | None = None
    seconds: float | None = None
    part: Subtree | StepPart | None = None
    bound: int = 0
    children: list[Cursor] | None = None
    known: bytes = b""
    told: frozenset[Key] = frozenset()


@dataclass(slots=True)
class Seen:
    """One outcome of a shard. ``executed``: the schedule itself, only where it was run here.
    ``verdict``: of real code, how it ended; ``trace``: what went wrong as the text of a trace."""

    key: Key
    picks: list[int]
    count: int
    schedule: int
    executed: Executed | None = None
    trace: str | None = None
    verdict: Verdict | None = None


@dataclass(slots=True)
class CodeResult:
    """What a shard of real code tells besides: what is ``known`` of the program now, None where
    that is what it was; what was ``noticed`` (see ``session.elsewhere``), and its ``notes``.
    ``lost``, ``missed``, ``beyond``: see ``Relearning``. ``seconds``: how long it took."""

    known: bytes | None
    noticed: Any
    notes: list[str]
    lost: bool = False
    missed: bool = False
    beyond: bool = False
    seconds: float = 0.0


@dataclass(slots=True)
class ShardResult:
    """``stopped`` and ``drawn`` as of ``Searched``; ``bounded``: schedules that a limit of the run
    ended.

    DPOR: ``left``, ``outside`` and ``head`` of its scheduler (see ``subtree``). Bounded searches:
    ``children`` left of this bound and, by cost, those of the ``dearer`` ones.
    """

    number: int
    schedules: int
    redundant: int
    bounded: int
    stopped: str
    failed: bool
    seen: list[Seen]
    left: Subtree | StepPart | None = None
    outside: list[tuple[int, tuple[Step, ...]]] = field(default_factory=list)
    head: tuple[list[Step], list[list[Step]]] = field(default_factory=lambda: ([], []))
    children: list[Cursor] = field(default_factory=list)
    dearer: list[tuple[int, list[Cursor]]] = field(default_factory=list)
    drawn: Drawn | None = None
    code: CodeResult | None = None


class Flag(Protocol):
    """An event that can be looked at: of threads or of processes."""

    def is_set(self) -> bool: ...


#: Set in a worker process by its parent: the search is over.
_over: Flag | None = None


def run_shard(shard: Shard) -> ShardResult:
    """Run a shard in this process, whichever it is. What an executor is given."""
    result = run_on(runner_of(shard.job), shard)
    for seen in result.seen:
        seen.executed = None  # picks say it all, and travel lighter
    return result


def run_on(
    runner: Runner,
    shard: Shard,
    progress: Callable[[Progress], None] | None = None,
    made: Scheduler | None = None,
) -> ShardResult:
    """Run a shard with a runner that is at hand. ``made``: its scheduler, if that is another one.

    Where Ctrl-C comes in the middle of a schedule, that one is not counted.
    """
    job = shard.job
    scheduler = made or scheduler_of(shard)
    inner = innermost(scheduler)
    if job.prefix and not isinstance(inner, SubtreeScheduler):
        scheduler = Prefixed(job.prefix, inner)
    if shard.skip and strategy_named(job.strategy).shards == SEEDED:
        _skip(runner, scheduler, shard.skip)
    stop = _over

    def look(at: Progress) -> None:
        if progress is not None:
            progress(at)
        if stop is not None and stop.is_set():
            raise _Stop

    budget = Budget(shard.count, shard.seconds)
    found = search(runner, scheduler, budget, every=job.every, progress=look)
    seen: list[Seen] = []
    schedules = found.schedules
    for key, one in found.outcomes.items():
        if one.first.verdict.message == INTERRUPTED:
            schedules -= one.count
        else:
            seen.append(Seen(key, one.first.picks, one.count, one.schedule, one.first))
    if isinstance(inner, BoundedScheduler) and found.stopped == "interrupted":
        raise KeyboardInterrupt  # what has been walked over cannot be told any more
    result = ShardResult(
        shard.number, schedules, found.redundant, inner.bounded, found.stopped,
        bool(found.failures()), seen, drawn=found.drawn,
    )  # fmt: skip
    if isinstance(inner, (SubtreeScheduler, StepPartScheduler)):
        result.left, result.outside, result.head = inner.rest(), [*inner.outside], inner.head()
    elif isinstance(inner, BoundedScheduler):
        result.children = [_packed(one) for one in inner.present()]
        result.dearer = [(cost, [_packed(c) for c in of]) for cost, of in inner.later().items()]
    return result


def innermost(scheduler: Scheduler) -> Scheduler:
    """What the wrappers around a scheduler lead to."""
    while isinstance(scheduler, Wrapper):
        scheduler = scheduler.inner
    return scheduler


class UntilOver(Wrapper):
    """Any scheduler, which begins no schedule when the search is over."""

    def begin(self) -> bool:
        return not (_over is not None and _over.is_set()) and self.inner.begin()


class _Stop(Exception):
    """The search is over: what this shard finds is not needed any more."""


@lru_cache(maxsize=4)
def runner_of(job: Job) -> Runner:
    """A runner for a job that came from elsewhere. The scenario was checked there."""
    from tracelock.backends.calls import find_call
    from tracelock.backends.rules import RULES
    from tracelock.scenario.loading import scenario_from_data
    from tracelock.scenario.program import Program

    def call(name: str, arguments: list[Value]) -> Value:
        return find_call(name)(*arguments)

    program = Program(scenario_from_data(json.loads(job.scenario)))
    return Runner(
        program, RULES[job.rules], clock=job.clock,
        limits=job.limits, call=call if job.allow_call else None,
    )  # fmt: skip


def _skip(runner: Runner, scheduler: Scheduler, count: int) -> None:
    """Run schedules that were counted before, for what the sampler learns from them."""
    ran = 0

    def done(controller: Any) -> bool:
        nonlocal ran
        ran += 1
        return ran == count

    controller = runner.run(scheduler, done)
    if controller.limit == INTERRUPTED:
        raise KeyboardInterrupt


def scheduler_of(shard: Shard) -> Scheduler:
    """The scheduler of a shard."""
    job = shard.job
    strategy = strategy_named(job.strategy)
    make = _SCHEDULERS.get(strategy.shards)
    if make is None:
        raise InternalError(f"the {job.strategy} strategy cannot be split into shards")
    return make(job, shard, strategy)


def _scheduler_of(job: Job, strategy: Strategy, **given: Any) -> Scheduler:
    assert strategy.make is not None
    return strategy.make(Parameters(depth=job.depth or DEPTH, **given))


def _subtree(job: Job, shard: Shard, strategy: Strategy) -> Scheduler:
    if isinstance(shard.part, StepPart):
        return StepPartScheduler(shard.part)
    part = shard.part if shard.part is not None else Subtree.whole()
    return SubtreeScheduler(part, job.watched, job.floor)


def _level(job: Job, shard: Shard, strategy: Strategy) -> Scheduler:
    bounded = _scheduler_of(job, strategy, bound=shard.bound)
    assert isinstance(bounded, BoundedScheduler)
    if shard.children is not None:
        bounded.go_on(shard.bound, [_unpacked(one) for one in shard.children])
    return bounded


def _numbered(job: Job, shard: Shard, strategy: Strategy) -> Scheduler:
    return _scheduler_of(job, strategy, seed=job.seed, first=shard.number * job.chunk + shard.skip)


def _seeded(job: Job, shard: Shard, strategy: Strategy) -> Scheduler:
    return _scheduler_of(job, strategy, seed=seed_of(job, shard))


def seed_of(job: Job, shard: Shard) -> int:
    """The seed of a sampler that learns, which begins anew with each shard."""
    return job.seed if shard.number == 0 else mix(mix(job.seed & (1 << 64) - 1) ^ shard.number)


#: How the scheduler of a shard is made, by how its strategy is split.
_SCHEDULERS: Final[dict[str, Callable[[Job, Shard, Strategy], Scheduler]]] = {
    TREE: _subtree, LEVELS: _level, NUMBERED: _numbered, SEEDED: _seeded,
}  # fmt: skip


def _packed(one: Children) -> Cursor:
    places, sizes, costs = one.run
    return (
        places.tobytes(), sizes.tobytes(), costs.tobytes(),
        one.start, one.cost, one.lowest, one.highest, one.at, one.place,
    )  # fmt: skip


def _unpacked(cursor: Cursor) -> Children:
    places, sizes, costs, start, cost, lowest, highest, at, place = cursor
    run = (array("H", places), array("H", sizes), array("H", costs))
    one = Children(run, start, cost, lowest, highest)
    one.at, one.place = at, place
    return one


class Prefixed(Wrapper):
    """Every schedule begins with the same picks; then ``inner`` decides."""

    def __init__(self, picks: Sequence[int], inner: Scheduler) -> None:
        super().__init__(inner)
        self.picks = picks
        self._count = 0

    def begin(self) -> bool:
        self._count = 0
        return self.inner.begin()

    def pick(self, choice: Choice) -> int:
        count = self._count
        if count < len(self.picks):
            self._count = count + 1
            return self.picks[count]
        return self.inner.pick(choice)
