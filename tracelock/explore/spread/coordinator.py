"""A search in shards: hands them out, and adds up what comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import replace
from time import monotonic
from typing import Any, Final

from tracelock.errors import InternalError, LimitReached
from tracelock.explore.running import Runner
from tracelock.explore.search import Budget, Outcome, Progress, Searched, outcome_key
from tracelock.explore.spread.relearning import Relearning
from tracelock.explore.spread.shards import Seen, Shard, ShardResult
from tracelock.explore.spread.sources import Chunks, SharedSearch, Tree

Submit = Callable[[Shard], "Future[ShardResult]"]

#: Seconds of a search that this process makes alone, before it has others start.
ALONE: Final = 0.3
#: Seconds after the end in which shards that are out may still come back.
OVERDUE: Final = 30.0
#: Seconds of a part that this process makes while others start.
MEANWHILE: Final = 0.1


def given_up() -> None:
    """A worker has died, and there is no way to have a new one."""
    raise LimitReached("a process that ran a part of the search died (killed, or out of memory)")


def spread(
    source: SharedSearch,
    found: Searched,
    runner: Runner,
    submit: Submit,
    budget: Budget,
    *,
    width: int,
    every: bool = False,
    progress: Callable[[Progress], None] | None = None,
    keep: Callable[[], None] | None = None,
    renew: Callable[[], None] = given_up,
    local: Callable[[Shard], ShardResult] | None = None,
    add: Callable[[ShardResult, Seen], None] | None = None,
    hear: Callable[[ShardResult], None] | None = None,
) -> None:
    """Run the shards of ``source`` on ``width`` workers, adding to ``found``.

    ``submit`` hands one out; ``local`` runs one in this process, which is done as long as others
    have not started, and where there is nothing that two could do. ``keep`` is called whenever
    ``found`` and ``source`` agree. ``renew`` makes new workers where one died: the shards that were
    out are then handed out again. ``add`` takes in an outcome that is new (None: its picks are run
    again); ``hear`` is told of each shard that counts. Whatever ends it, shards may still be
    running; Ctrl-C too ends it as ``found.stopped``.
    """
    begun = monotonic()
    end = None if budget.seconds is None else begun + budget.seconds
    flying: dict[Future[ShardResult], Shard] = {}
    lost: list[Shard] = []
    started = local is None  # the others have
    most = 1 if width == 1 else 2 * width
    if isinstance(source, Relearning):  # what is only planned is begun by others too, at once
        most = width
    found.stopped = ""

    def take(shard: Shard, result: ShardResult) -> None:
        hungry = len(flying) < width and width > 1
        _count(found, runner, source.take(shard, result, hungry), every, add, hear)

    def tell() -> None:
        if progress is not None:
            seconds = found.seconds + monotonic() - begun
            progress(Progress(found.schedules, seconds, len(found.failures()), None))
        if keep is not None:
            keep()

    def near(shard: Shard | None, seconds: float | None = None) -> bool:
        """Run a shard here, if there is one."""
        if local is None or shard is None:
            return False
        bounds = [shard.seconds] if seconds is None or shard.seconds is None else [seconds]
        bounds += [] if end is None else [max(0.001, end - monotonic())]
        bound = min((one for one in bounds if one is not None), default=None)
        take(shard, local(replace(shard, seconds=bound)))
        return True

    try:
        while not found.stopped:
            left = None if end is None else max(0.0, end - monotonic())
            ready, lost = lost, []  # what is to be handed out before anything new
            if local is not None and left != 0.0 and not (flying or ready):
                first, early = source.next(True), monotonic() < begun + ALONE
                second = None if early else source.next(False)
                if second is None and near(first, MEANWHILE if early else None):
                    tell()
                    continue
                ready = [one for one in (first, second) if one is not None]
            while left != 0.0 and len(flying) < most:
                shard = ready.pop(0) if ready else source.next(not flying)
                if shard is None:
                    break
                if left is not None and (shard.seconds is None or shard.seconds > left):
                    shard = replace(shard, seconds=max(left, 0.001))
                try:
                    flying[submit(shard)] = shard
                except BrokenExecutor:
                    ready = [*flying.values(), shard, *ready]
                    flying.clear()
                    renew()
            lost = ready
            if isinstance(source, (Tree, Relearning)):
                _count(found, runner, source.run_here(), every, add, hear)
                if found.stopped:
                    break
            if not flying:
                if left == 0.0 and (lost or not source.finished):
                    found.stopped = "seconds"
                elif not source.finished or isinstance(source, Chunks):
                    found.stopped = "schedules"
                break
            if end is not None and monotonic() > end + OVERDUE:
                found.stopped = "seconds"  # what somebody is stuck with is nobody's any more
                break
            more = None if started or left == 0.0 else source.next(False)
            pause = 0.0 if near(more, MEANWHILE) else 0.1
            done, _ = wait(flying, timeout=pause, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=lambda one: flying[one].number):
                started = True
                shard = flying.pop(future)
                try:
                    result = future.result()
                except BrokenExecutor:  # the others of it are no better
                    lost = [shard, *flying.values(), *lost]
                    flying.clear()
                    renew()
                    break
                take(shard, result)
            if isinstance(source, Relearning) and source.over:
                found.stopped = source.over
            tell()
    except KeyboardInterrupt:
        found.stopped = "interrupted"
    finally:
        if isinstance(source, (Tree, Relearning)):
            stopped = found.stopped
            _count(found, runner, source.run_here(), every, add, hear)
            found.stopped = stopped or found.stopped
        for future in flying:
            future.cancel()
        found.seconds += monotonic() - begun
    found.exhaustive = not found.stopped and source.exhaustive


def _count(
    found: Searched,
    runner: Runner,
    results: Sequence[ShardResult],
    every: bool,
    add: Callable[[ShardResult, Seen], None] | None,
    hear: Callable[[ShardResult], None] | None,
) -> None:
    for result in results:
        if hear is not None:
            hear(result)
        for seen in result.seen:
            known = found.outcomes.get(seen.key)
            if known is not None:
                known.count += seen.count
                continue
            if add is not None:
                add(result, seen)
                continue
            add_seen(found, runner, seen.picks, seen.count, found.schedules + seen.schedule,
                     seen.executed)  # fmt: skip
        found.schedules += result.schedules
        found.redundant += result.redundant
        found.draw(result.drawn)
        if result.stopped in ("interrupted", "killed"):
            found.stopped = result.stopped
        elif result.code is not None and result.code.noticed.stuck:
            found.stopped = "stuck"
        elif result.failed and not every and not found.stopped:
            found.stopped = "failure"


def add_seen(
    found: Searched, runner: Runner, picks: Sequence[int], count: int, schedule: int,
    executed: Any = None,
) -> None:  # fmt: skip
    """Add an outcome that is known by the picks of a schedule, which is run again.

    Raises InternalError where it does not end in the same way here.
    """
    executed = executed or runner.execute(picks)
    if executed is None:
        raise InternalError("a schedule that was found elsewhere cannot be had here")
    found.outcomes[outcome_key(executed.verdict)] = Outcome.of(executed, count, schedule)
