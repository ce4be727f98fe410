"""Parts of a search of real code, run in a process that is there for that.

A process keeps the program under control from one part to the next, as long as it knows of it what
a part is to be run with; else it begins anew with that. A part is plain data, and so is what comes
back: of what went wrong the trace, which the process that asked follows itself.
"""

from __future__ import annotations

import atexit
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from tracelock.errors import InternalError, UsageError
from tracelock.explore.search import FAILED
from tracelock.explore.spread import shards
from tracelock.explore.spread.shards import CodeResult, Job, Shard, ShardResult, UntilOver, run_on
from tracelock.schedulers.base import Scheduler
from tracelock.schedulers.strategies import SEEDED, strategy_named
from tracelock.session.elsewhere.knowledge import (
    known_to,
    make_known,
    noticed_by,
)
from tracelock.session.elsewhere.programs import ProgramAsBytes
from tracelock.session.plan import Settings
from tracelock.session.python_schedulers import UntilLost

if TYPE_CHECKING:
    from tracelock.explore.search import Progress
    from tracelock.session.python import PythonTarget
    from tracelock.session.python_host import PythonHost


#: What ends a schedule that another process can run once more.
FOLLOWED: Final = FAILED | {"passed"}


@dataclass(frozen=True, slots=True)
class CodeJob:
    """What all parts of a search of real code have in common besides the ``Job``: the program, its
    settings, and the state of ``random`` in which each schedule begins. ``keeps``: the process is
    there for that alone, and need not let go of the program after each part."""

    program: ProgramAsBytes
    settings: Settings
    chance: Any
    keeps: bool


class _Kept:
    """The program that this process has under control."""

    def __init__(self) -> None:
        self.host: PythonHost | None = None
        self.of: Job | None = None
        self.known = b""

    def close(self) -> None:
        host, self.host = self.host, None
        if host is not None:
            host.close()


_kept = _Kept()
#: Several threads of a process may be given parts.
_one_at_a_time = threading.Lock()
atexit.register(_kept.close)


def let_go() -> None:
    """Have no program under control in this process any more."""
    with _one_at_a_time:
        _kept.close()


def run_code_shard(shard: Shard) -> ShardResult:
    """Run a part in this process, whichever it is. What an executor is given.

    Raises UsageError where the program cannot be imported here, or is another one here.
    """
    with _one_at_a_time:
        host = _host_for(shard)
        try:
            result = run_part(host, shard)
        except BaseException:
            _kept.close()  # in what state it is nobody knows
            raise
        assert result.code is not None
        if result.code.known is not None:
            _kept.known = result.code.known
        if host.stuck or not shard.job.code.keeps:
            _kept.close()
    for seen in result.seen:
        seen.executed = None
    return result


def _host_for(shard: Shard) -> PythonHost:
    job, kept = shard.job, _kept
    if kept.host is not None and kept.of == job and kept.known == shard.known:
        return kept.host
    kept.close()
    code: CodeJob = job.code
    program = code.program.program()
    from tracelock.session.python import PythonTarget

    random.setstate(code.chance)
    host = opened(PythonTarget(lambda: program, program.name), code.settings, shard.known)
    changed = host.sources.changed(dict(code.program.sources))
    if changed:
        host.close()
        raise UsageError(
            f"the processes that share the search have another source of {', '.join(changed)}"
        )
    kept.host, kept.of, kept.known = host, job, shard.known
    return host


def opened(target: PythonTarget, settings: Settings, known: bytes) -> PythonHost:
    """A program under control, of which this is known and nothing else. What is set up at first
    use is there."""
    host = target.open(settings)
    make_known(host, known)
    try:
        host.__enter__()
        make_known(host, known)
        host.settle_in(used=True)
        make_known(host, known)
        noticed_by(host)
    except BaseException:
        host.close()
        raise
    return host


def run_part(
    host: PythonHost, shard: Shard, progress: Callable[[Progress], None] | None = None
) -> ShardResult:
    """Run a part with a host that knows what the part is to be run with."""
    job = shard.job
    before, begun = known_to(host), monotonic()
    host.settle()
    host.program.aim.apply()
    scheduler = scheduler_of(host, shard)
    bounds = host.backend.bounds
    deadline = bounds.deadline
    if not scheduler.systematic and shard.seconds is not None:
        host.until(monotonic() + shard.seconds)  # of others a slice ends between two schedules
    try:
        host.names.deferring = scheduler.systematic
        with host.backend.searching(scheduler, host.settings.clock, True):
            result = run_on(host.runner, shard, progress, scheduler)
    finally:
        host.names.deferring = False
        bounds.deadline = deadline
    if host.backend.unlike and not result.failed:
        raise InternalError(host.not_confirmed("it went well when it was run again", 1, 1))
    for seen in result.seen:
        executed = seen.executed
        seen.verdict = None if executed is None else executed.verdict
        if seen.key in shard.told:
            continue  # to make one takes as long as some schedules
        if executed is not None and executed.verdict.kind in FOLLOWED:
            strategy = {"name": job.strategy, "seed": job.seed}
            seen.trace = host.trace(executed.log, strategy, executed.verdict).to_text()
    known = known_to(host)
    result.code = CodeResult(known if known != before else None, noticed_by(host), list(host.notes))
    host.notes.clear()
    result.code.seconds = monotonic() - begun
    if isinstance(scheduler, OnePart):
        inner = vars(shards.innermost(scheduler))
        result.code.lost = scheduler.lost or inner.get("strayed", False)
        result.code.missed = bool(inner.get("missed", 0))
        result.code.beyond = bool(inner.get("unknown", False))
    return result


def scheduler_of(host: PythonHost, shard: Shard) -> Scheduler:
    """The scheduler of a part: that of its strategy for this program, with what is injected."""
    job = shard.job
    made = shards.scheduler_of(shard)
    if made.systematic:
        return OnePart(made, host)
    seed = shards.seed_of(job, shard)
    if host.entangled and strategy_named(job.strategy).shards == SEEDED:
        made = host.scheduler(job.strategy, seed, job.depth)
    return UntilOver(host.injecting(made, seed))


class OnePart(UntilLost):
    """A part of a systematic search, which ends as soon as it has taught something that decides
    where schedules have choices."""

    def __init__(self, inner: Scheduler, host: PythonHost) -> None:
        super().__init__(UntilOver(inner))
        self._names, self._aim = host.names, host.program.aim

    def begin(self) -> bool:
        if self.lost or self._names.pending or self._aim.pending:
            return False
        return self.inner.begin()
