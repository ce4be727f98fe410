"""What a run made of its locks: who took each when, how long for, and who waited meanwhile.

An acquisition is recorded when it succeeds. Since when its worker had wanted it is told by the
``request`` before it (tasks), by the time it waited (free runs), or by the first choice at which
the worker could not go (controlled runs).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, Final, NamedTuple

from tracelock.analysis.derived.locksets import Locksets
from tracelock.analysis.derived.steps import Steps, failed
from tracelock.ops import ACQUIRE, RELEASE, REQUEST, TIMEOUT

__all__ = ["LockUse", "Spread", "LockTurn", "Usage"]

#: Choices looked at in all to find out since when workers waited: a bound for long traces.
BUDGET: Final = 3_000_000


@dataclass(frozen=True, slots=True)
class Spread:
    """How some durations are spread, in nanoseconds: ``p50`` is the median, and so on.

    Percentiles are the nearest rank: the smallest duration that at least so many do not exceed.
    All are 0 where there is none.
    """

    count: int
    total: int
    p50: int
    p90: int
    p99: int
    max: int

    @classmethod
    def of(cls, durations: Sequence[int]) -> Spread:
        """The spread of some durations."""
        if not durations:
            return cls(0, 0, 0, 0, 0, 0)
        ranks = sorted(durations)
        count = len(ranks)
        p50, p90, p99 = (ranks[-(-count * percent // 100) - 1] for percent in (50, 90, 99))
        return cls(count, sum(ranks), p50, p90, p99, ranks[-1])

    def to_data(self) -> dict[str, int]:
        """The same as JSON data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class LockUse:
    """What a run made of one lock or semaphore.

    ``taken``: how often it was had; ``waited``: how often its taker had to wait; ``failed``: tries
    and timed waits that ended without it; ``again``: how often the worker that had it last took it
    again; ``passed_over``: how often it went to somebody who had asked later than another who
    still waited. ``wait``: times of those who waited, ``held``: times between taking it and giving
    it up. The times are those of the trace: real in a free run, virtual in a controlled one.
    """

    name: str
    type: str
    workers: tuple[int, ...]
    taken: int
    waited: int
    failed: int
    again: int
    passed_over: int
    wait: Spread
    held: Spread

    def to_data(self) -> dict[str, Any]:
        """The same as JSON data."""
        return {**asdict(self), "workers": list(self.workers)}


class LockTurn(NamedTuple):
    """``worker`` took a lock with event ``got`` and gave it up with ``given`` (-1: it did not).

    ``asked``: the first event at or after which it waited for it (-1: it did not have to).
    """

    worker: int
    asked: int
    got: int
    given: int


class Usage:
    """``turns``: by lock, in their order. ``tries``: by lock, the events that ended without it.

    ``waiting``: by lock, (worker, since which event) of those who wait for it at the end.
    """

    def __init__(self, steps: Steps, locks: Locksets) -> None:
        self._steps = steps
        self.turns: dict[str, list[LockTurn]] = {}
        self.tries: dict[str, list[int]] = defaultdict(list)
        self.waiting: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._budget = BUDGET
        self._times: Sequence[int] = steps.events.times
        if any(b < a for a, b in zip(self._times, self._times[1:], strict=False)):
            self._times = array("q", accumulate(self._times, max))
        self._chosen = [
            None if one is None else frozenset(one) for one in steps.events.choice_table
        ]
        first = set(locks.taken)  # of a re-entrant lock the outermost level alone is a turn
        turns: dict[str, list[LockTurn]] = defaultdict(list)
        for seq, kind in enumerate(steps.kinds):
            if kind != ACQUIRE or (target := steps.targets[seq]) is None:
                continue
            result = steps.results[seq]
            lock = steps.lock_of(target)
            if result is False:
                self.tries[lock].append(seq)
            elif not failed(result) and (seq in first or lock not in locks.locks):
                given = locks.releases.get(seq, -1)
                turns[lock].append(LockTurn(steps.workers[seq], self._asked(seq), seq, given))
        self.turns = dict(turns)
        self._at_the_end()
        self._over: dict[str, list[tuple[LockTurn, int, int]]] = {}

    def after(self, lock: str, seq: int) -> LockTurn | None:
        """The first turn at ``lock`` that begins after event ``seq``."""
        turns = self.turns.get(lock, [])
        place = bisect_right(turns, seq, key=lambda turn: turn.got)
        return turns[place] if place < len(turns) else None

    def waited(self, turn: LockTurn) -> int:
        """How long one waited for its turn, in nanoseconds: as recorded, else by the clock."""
        waits, times = self._steps.events.waits, self._steps.events.times
        recorded = -1 if waits is None else waits[turn.got]
        return recorded if recorded >= 0 else times[turn.got] - times[turn.asked]

    def _asked(self, seq: int) -> int:
        """Since when the worker of an acquisition had waited; -1: it did not wait."""
        steps = self._steps
        events = steps.events
        before = steps.before(seq)
        if before >= 0 and steps.kinds[before] == REQUEST:
            same = steps.targets[before] == steps.targets[seq]
            return before if same and seq > before + 1 else -1
        if events.choices is not None:
            return self._stopped(steps.workers[seq], before, seq)
        if events.waits is not None and events.waits[seq] > 0:
            asked = bisect_left(self._times, events.times[seq] - events.waits[seq])
            return max(before + 1, min(asked, seq))
        return -1

    def _stopped(self, worker: int, before: int, end: int) -> int:
        """The first event after ``before`` at which ``worker`` could not have gone instead."""
        steps = self._steps
        choices = steps.events.choices
        if choices is None:
            return -1
        for seq in range(before + 1, end):
            self._budget -= 1
            if self._budget < 0:
                return -1
            chosen = self._chosen[choices[seq]]
            if chosen is not None and worker not in chosen:
                return seq
        return -1

    def _at_the_end(self) -> None:
        """Who waits for a lock after the last event, in a verdict's words."""
        steps = self._steps
        for one in steps.trace.verdict.blocked:
            worker = steps.number(one.worker)
            if worker is None or one.op != "acquire":
                continue
            asked = before = steps.last(worker)
            if before < 0 or steps.kinds[before] not in (REQUEST, TIMEOUT):
                asked = self._stopped(worker, before, len(steps))
                if steps.events.choices is None:  # a free run: it asked soon after its last event
                    asked = before + 1
            if asked >= 0:
                self.waiting[steps.lock_of(one.target)].append((worker, asked))
        if not steps.trace.verdict.blocked and steps.trace.verdict.kind == "failed":
            self._let_go()

    def _let_go(self) -> None:
        """Who could go on again after a lock was released, and did not before the run failed.

        A controlled run that fails ends at once and lists nobody; but whom a release enables had
        waited for just that.
        """
        steps = self._steps
        choices = steps.events.choices
        for worker in range(len(steps.names)):
            asked = self._stopped(worker, steps.last(worker), len(steps))
            if asked < 0 or choices is None:
                continue
            for seq in range(asked + 1, len(steps)):
                chosen = self._chosen[choices[seq]]
                if chosen is not None and worker in chosen:
                    target = steps.targets[seq - 1]
                    if steps.kinds[seq - 1] == RELEASE and target is not None:
                        self.waiting[target].append((worker, asked))
                    break

    @cached_property
    def summary(self) -> tuple[LockUse, ...]:
        """The use of every lock and semaphore, those most waited for first, then by name."""
        steps = self._steps
        times = steps.events.times
        found = []
        for lock in sorted({*self.turns, *self.tries}):
            turns = self.turns.get(lock, [])
            waited = [max(0, self.waited(turn)) for turn in turns if turn.asked >= 0]
            held = [max(0, times[one.given] - times[one.got]) for one in turns if one.given >= 0]
            again = sum(a.worker == b.worker for a, b in pairwise(turns))
            users = {turn.worker for turn in turns}
            users |= {steps.workers[seq] for seq in self.tries.get(lock, ())}
            found.append(
                LockUse(
                    lock, steps.type_of(lock) or "lock", tuple(sorted(users)),
                    len(turns), len(waited), len(self.tries.get(lock, ())), again,
                    sum(1 for _ in self.passed_over(lock)), Spread.of(waited), Spread.of(held),
                )
            )  # fmt: skip
        found.sort(key=lambda use: (-use.wait.total, -use.waited, use.name))
        return tuple(found)

    def passed_over(self, lock: str) -> list[tuple[LockTurn, int, int]]:
        """(turn, worker, since when) for each turn that went past a worker who had asked before.

        One entry for each turn, with the worker that had waited longest.
        """
        if lock in self._over:
            return self._over[lock]
        turns = self.turns.get(lock, [])
        end = len(self._steps)
        # (asked, got, worker) of all who ever waited, in the order in which they asked
        queue = sorted(
            [(turn.asked, turn.got, turn.worker) for turn in turns if turn.asked >= 0]
            + [(asked, end, worker) for worker, asked in self.waiting.get(lock, ())]
        )
        found = self._over[lock] = []
        place = 0
        inside: list[tuple[int, int, int]] = []
        for turn in turns:
            # who asks at the very event that gives the lock away comes in time for the next one
            mine = turn.asked if turn.asked >= 0 else turn.got
            while place < len(queue) and queue[place][0] < turn.got:
                inside.append(queue[place])
                place += 1
            inside = [one for one in inside if one[1] > turn.got]
            for asked, _, worker in inside:
                if worker != turn.worker and asked < mine:
                    found.append((turn, worker, asked))
                    break
        return found
