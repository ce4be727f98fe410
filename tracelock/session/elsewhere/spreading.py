"""Searches of real code that other processes share, or that are kept in a file.

The process that asked runs the first schedules, which show most of what there is to learn of the
program. Then it lets go of it, so that its own threads are its own again, while others run chunks
of schedules, each with what was known by then; at the end it takes the program under control again,
with what is known now, and follows the traces of what went wrong.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from tracelock.engine.limits import INTERRUPTED, Interrupted, TimeUp
from tracelock.errors import TraceError, UsageError
from tracelock.explore.running import Executed
from tracelock.explore.search import FAILED, Budget, Key, Outcome, Progress, Searched, outcome_key
from tracelock.explore.spread.checkpoint import DAMAGED, digest, rules_digest
from tracelock.explore.spread.coordinator import spread
from tracelock.explore.spread.shards import Job, Seen, ShardResult
from tracelock.explore.spread.sources import LearningChunks
from tracelock.instrument.account.account import Account
from tracelock.schedulers.strategies import NUMBERED, SEEDED, strategy_named
from tracelock.session.elsewhere.knowledge import Noticed, add_noticed, known_to, noticed_by
from tracelock.session.elsewhere.programs import as_bytes
from tracelock.session.elsewhere.running import CodeJob, opened, run_code_shard, run_part
from tracelock.session.plan import Plan, Settings
from tracelock.session.python_schedulers import LOOK_FOR
from tracelock.session.spreading import Spreader, copied
from tracelock.trace import Verdict
from tracelock.trace.reading import load_trace_text

if TYPE_CHECKING:
    from tracelock.session.python_host import PythonHost

#: Schedules of one part.
CHUNK: Final = 64
#: Seconds of a search that this process makes alone, before it has others start.
ALONE: Final = 1.0


class CodeSpreader(Spreader):
    """The searches of one exploration of real code, stage by stage."""

    host: PythonHost
    run = staticmethod(run_code_shard)

    def __init__(self, host: PythonHost, plan: Plan) -> None:
        self._chance = random.getstate()
        self._traces: dict[Key, str] = {}  # one of each way to end
        self._followed: set[Key] = set()  # those that this process has run itself
        self._noticed: Noticed | None = None  # in all
        self._kept: dict[str, tuple[LearningChunks, Searched]] = {}
        super().__init__(host, plan)

    def executions(self, strategy: str) -> int:
        if strategy in self._kept:
            return self._kept[strategy][1].schedules
        return self.host.executions

    def search(
        self, strategy: str, budget: Budget, progress: Callable[[Progress], None] | None
    ) -> Searched:
        plan, host = self.plan, self.host
        if strategy_named(strategy).shards not in (NUMBERED, SEEDED):
            if self.how.checkpoint is not None and plan.strategy != "auto":
                raise UsageError(
                    f"what {strategy} has left to do of real code cannot be written down: a "
                    "checkpoint is for strategies that draw schedules (auto, random, pct, pos, "
                    "surw)"
                )
            host.notes.append(
                f"{strategy} searched in this process alone: what it has left of real code cannot "
                "be given to others"
            )
            return host.search(strategy, plan.seed or 0, plan.depth, budget, plan.every, progress)
        host.settle()
        host.program.aim.apply()
        found = Searched(strategy)
        end = None if budget.seconds is None else monotonic() + budget.seconds
        limit = budget.schedules
        if strategy not in self._kept:
            source = LearningChunks(self._job(strategy), None, known_to(host))
            total = Searched(strategy)
            if self._resume(strategy, source, found):
                self._go_on(source, found)
                if found.failures() and not plan.every:
                    found.stopped = "failure"
        else:
            source, total = self._kept[strategy]
            source.known = known_to(host)
            limit = None if limit is None else limit + source.done
        self._kept[strategy] = source, total
        source.limit = limit

        def keep(*, now: bool = False) -> None:
            if self.checkpoint is not None and (now or self.checkpoint.due):
                whole = copied(total)
                whole.merge(copied(found))
                self._keep(strategy, source, whole)

        try:
            if not found.stopped:
                self._begin(source, found, limit, end, progress, keep)
            if not found.stopped:
                self._share(source, found, end, progress, keep)
        finally:
            keep(now=True)
            whole = copied(total)
            whole.merge(copied(found))
            self._kept[strategy] = source, whole
        self._follow(found)
        return found

    def _job(self, strategy: str) -> Job:
        host, plan = self.host, self.plan
        limits = host.settings.bounds(host.target)
        settings = Settings(
            host.settings.backend, strategy, plan.seed, host.settings.clock, limits=limits,
            isolation=host.settings.isolation, interpreter=host.settings.interpreter,
        )  # fmt: skip
        code = CodeJob(
            as_bytes(host.program, host.sources.digests), settings, self._chance, self.how.jobs > 1
        )
        return Job(
            "", host.backend.rules.backend, strategy, plan.seed or 0, host.settings.clock, limits,
            every=plan.every, depth=plan.depth, chunk=CHUNK, code=code,
        )  # fmt: skip

    def _begin(
        self, source: LearningChunks, found: Searched, limit: int | None, end: float | None,
        progress: Callable[[Progress], None] | None, keep: Callable[[], None],
    ) -> None:  # fmt: skip
        """The first chunks, in this process."""
        host, begun = self.host, monotonic()
        alone = ALONE if self.how.jobs > 1 else 0.0 if self.how.spread else float("inf")

        def tell(at: Progress) -> None:
            if progress is not None:
                count = found.schedules + at.schedules
                progress(replace(at, schedules=count, seconds=monotonic() - begun))

        while not found.stopped and monotonic() < begun + alone:
            if limit is not None and source.done >= limit:
                found.stopped = "schedules"
                return
            shard = source.next(True)
            if shard is None:
                return
            if end is not None:
                shard = replace(shard, seconds=max(0.001, end - monotonic()))
            result = run_part(host, shard, host.isolation.here(tell))
            for one in source.take(shard, result, False):
                self._count(found, one)
            keep()

    def _count(self, found: Searched, result: ShardResult) -> None:
        """Take in what came of a chunk that this process has run."""
        assert result.code is not None
        self._hear(result)
        self._sum(result)
        for seen in result.seen:
            known = found.outcomes.get(seen.key)
            if known is not None:
                known.count += seen.count
                continue
            assert seen.executed is not None
            place = found.schedules + seen.schedule
            found.outcomes[seen.key] = Outcome.of(seen.executed, seen.count, place)
            self._followed.add(seen.key)
            if seen.trace is not None:
                self._traces.setdefault(seen.key, seen.trace)
        found.schedules += result.schedules
        if result.stopped not in ("", "schedules"):
            found.stopped = result.stopped
        if result.code.noticed.stuck:
            found.stopped = "stuck"

    def _share(
        self, source: LearningChunks, found: Searched, end: float | None,
        progress: Callable[[Progress], None] | None, keep: Callable[[], None],
    ) -> None:  # fmt: skip
        """The other chunks, in other processes."""
        heard: list[ShardResult] = []

        def hear(result: ShardResult) -> None:
            heard.append(result)
            self._sum(result)

        def add(result: ShardResult, seen: Seen) -> None:
            verdict = seen.verdict
            assert verdict is not None
            executed = seen.executed or Executed(seen.picks, [], verdict, 0)
            if seen.trace is not None:
                self._traces.setdefault(seen.key, seen.trace)
            place = found.schedules + seen.schedule
            found.outcomes[seen.key] = Outcome.of(executed, seen.count, place)

        budget = Budget(None, None if end is None else max(0.001, end - monotonic()))
        with self._elsewhere(source), self._workers(found, progress, False) as (
            submit, width, renew,
        ):  # fmt: skip
            spread(
                source, found, self.host.runner, submit, budget, width=width,
                every=self.plan.every, progress=progress, renew=renew, add=add, hear=hear,
                keep=keep,
            )  # fmt: skip
        for result in heard:
            self._hear(result)

    def _hear(self, result: ShardResult | None) -> None:
        """Take in what was noticed of the program besides, with this process in control of it; None
        for all that a checkpoint says."""
        if result is None:
            if self._noticed is not None:
                add_noticed(self.host, self._noticed)
            return
        assert result.code is not None
        add_noticed(self.host, result.code.noticed)
        notes = self.host.notes
        notes += [note for note in result.code.notes if note not in notes]

    def _sum(self, result: ShardResult) -> None:
        """Keep what was noticed, for a checkpoint."""
        assert result.code is not None
        if self._noticed is None:
            self._noticed = Noticed(Account(result.code.noticed.account.noun))
        self._noticed.add(result.code.noticed)

    @contextmanager
    def _elsewhere(self, source: LearningChunks) -> Iterator[None]:
        """While this is entered the program is not under control here. Afterwards there is another
        ``host``, which knows what is known by then."""
        before = self.host
        noticed = noticed_by(before)
        before.close()
        try:
            yield
        finally:
            self.host = host = opened(before.target, before.settings, source.known)
            bounds = before.backend.bounds
            host.backend.bounds.deadline = bounds.deadline
            if bounds.why(0.0) == INTERRUPTED:
                host.backend.bounds.interrupted()
            host.notes = before.notes
            host.executions = before.executions
            add_noticed(host, noticed)

    def _follow(self, found: Searched) -> None:
        """Run here what others have found."""
        host = self.host
        for key, outcome in found.outcomes.items():
            text = self._traces.get(key)
            if text is None or key in self._followed:
                continue
            self._followed.add(key)
            try:
                executed = host.retrace(load_trace_text(text, "the trace of another process"))
            except (Interrupted, TimeUp):
                continue
            if executed is not None and outcome_key(executed.verdict) == key:
                outcome.first = executed
            elif outcome.kind in FAILED:
                host.notes.append(
                    "the program is not deterministic: what went wrong in another process did not "
                    f"do so here. {LOOK_FOR}"
                )

    def _go_on(self, source: LearningChunks, found: Searched) -> None:
        """Have the program under control with what a checkpoint says is known of it."""
        assert self.checkpoint is not None
        try:
            with self._elsewhere(source):
                pass
            self._hear(None)
        except DAMAGED as error:
            raise self.checkpoint.damaged(error) from error
        self._follow(found)

    # --- kept in a file ----------------------------------------------------------------------
    def identity(self) -> dict[str, Any]:
        host = self.host
        settings = host.settings
        data = host.program.to_data(dict(host.sources.digests), {})
        return {
            "scenario": digest([data, settings.isolation, settings.interpreter]),
            "name": host.target.name, "backend": settings.backend,
            "rules": rules_digest(host.backend.rules), "clock": settings.clock,
            "steps": settings.bounds(host.target).steps, "engine": "real",
        }  # fmt: skip

    def _keep(self, strategy: str, source: LearningChunks, found: Searched) -> None:
        assert self.checkpoint is not None
        self.checkpoint.put(strategy, {
            "schedules": found.schedules, "done": source.done, "known": json.loads(source.known),
            "outcomes": [
                [self._traces.get(key), one.kind, one.message, one.count, one.schedule]
                for key, one in found.outcomes.items()
            ],
            "noticed": None if self._noticed is None else self._noticed.to_data(),
        })  # fmt: skip

    def _resume(self, strategy: str, source: LearningChunks, found: Searched) -> bool:
        """Go on where the checkpoint says, if it says anything."""
        checkpoint = self.checkpoint
        kept = None if checkpoint is None else checkpoint.stages.get(strategy)
        if checkpoint is None or kept is None:
            return False
        try:
            for text, kind, message, count, schedule in kept["outcomes"]:
                verdict = Verdict(str(kind), message=str(message))
                if text is not None:
                    verdict = load_trace_text(text, checkpoint.path).verdict
                    self._traces[outcome_key(verdict)] = text
                executed, key = Executed([], [], verdict, 0), outcome_key(verdict)
                found.outcomes[key] = Outcome.of(executed, int(count), int(schedule))
            found.schedules = source.done = source._next = int(kept["done"])
            source.known = json.dumps(kept["known"]).encode()
            if kept["noticed"] is not None:
                self._noticed = Noticed.from_data(kept["noticed"])
        except (*DAMAGED, TraceError) as error:
            raise checkpoint.damaged(error) from error
        self.resumed = True
        return True
