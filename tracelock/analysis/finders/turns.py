"""Whose turn it is: contention, hand-overs past those who waited, and who never got a turn."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

from tracelock.analysis.derived.facts import Facts
from tracelock.analysis.derived.usage import LockTurn, LockUse
from tracelock.analysis.findings import ERROR, NOTE, Finding

__all__ = ["contention", "duration", "starvation", "unfair"]

#: Times that a waiter is passed over in one wait before it counts as starved.
PATIENCE: Final = 5
#: Tries in vain, with no success, that count as starvation.
TRIES: Final = 2


def contention(facts: Facts) -> Iterator[Finding]:
    """A note for each lock that somebody had to wait for, with its times."""
    steps = facts.steps
    for use in facts.usage.summary:
        if not use.waited:
            continue
        turns = [turn for turn in facts.usage.turns[use.name] if turn.asked >= 0]
        longest = max(turns, key=lambda one: (facts.usage.waited(one), one.got - one.asked))
        share = 100 * use.waited / use.taken
        yield facts.finding(
            "contention", NOTE,
            f"Contention on {use.name}: {use.waited} of {use.taken} had to wait",
            f"{use.name} was taken {use.taken} times and {use.waited} of them ({share:.0f}%) "
            f"had to wait for it. {_times(facts, use)} The longest wait was that of "
            f"{steps.names[longest.worker]} {facts.cite(longest.got)}. Where that matters do "
            "less with the lock held, or use one lock for each thing that it guards.",
            _proof(facts, use.name, longest), (use.name,), sorted({turn.worker for turn in turns}),
        )  # fmt: skip


def _proof(facts: Facts, lock: str, turn: LockTurn) -> tuple[int, ...]:
    """The turn before, for which one had to wait, and the one for which it did."""
    before = [one.got for one in facts.usage.turns[lock] if one.got < turn.got]
    return (*before[-1:], turn.got)


def _own(facts: Facts, worker: int, asked: int) -> int:
    """The last event of a worker before it could not go on; -1: none."""
    own = facts.steps.by_worker[worker]
    place = bisect_right(own, asked) - 1
    return own[place] if place >= 0 else -1


def _times(facts: Facts, use: LockUse) -> str:
    if not use.wait.total and not use.held.total:
        return "How long that takes this run does not tell: its clock is virtual."
    wait, held = use.wait, use.held
    clock = "" if facts.trace.clock == "real" else " (virtual time)"
    return (
        f"Waiting{clock}: p50 {duration(wait.p50)}, p90 {duration(wait.p90)}, "
        f"p99 {duration(wait.p99)}, at most {duration(wait.max)}, {duration(wait.total)} in all; "
        f"held: p50 {duration(held.p50)}, p90 {duration(held.p90)}, p99 {duration(held.p99)}, "
        f"at most {duration(held.max)}."
    )


def duration(ns: int) -> str:
    """Nanoseconds as people say them: ``850 ns``, ``12.3 us``, ``4.0 ms``, ``2.5 s``."""
    for unit, size in (("s", 10**9), ("ms", 10**6), ("us", 10**3)):
        if ns >= size:
            return f"{ns / size:.1f} {unit}"
    return f"{ns} ns"


def unfair(facts: Facts) -> Iterator[Finding]:
    """A finding (``unfair-handover``) for each lock that went past somebody who waited for it.

    An error where the run failed, else a note: few locks promise an order.
    """
    steps, usage = facts.steps, facts.usage
    severity = ERROR if facts.trace.verdict.kind == "failed" else NOTE
    for lock in usage.turns:
        over = usage.passed_over(lock)
        if not over:
            continue
        before = {b.got: a for a, b in zip(usage.turns[lock], usage.turns[lock][1:], strict=False)}
        back = [
            one for one in over
            if one[0].got in before and before[one[0].got].worker == one[0].worker
        ]  # fmt: skip
        turn, worker, asked = (back or over)[0]
        last = before.get(turn.got)
        released = last.given if last is not None else -1
        name, other = steps.names[worker], steps.names[turn.worker]
        times = "" if len(over) == 1 else f" This happens {len(over)} times in the trace."
        again = (
            f"{other} releases it {facts.cite(released)} and takes it again"
            if back and released >= 0
            else f"{other}, who asked later, takes it"
        )
        yield facts.finding(
            "unfair-handover", severity,
            f"Unfair hand-over of {lock}: {other} takes it past {name}",
            f"{name} already waits for {lock} at event {asked}; {again} "
            f"{facts.cite(turn.got)}.{times} A lock of threading or multiprocessing is free "
            "for anybody who comes, one of asyncio or trio goes to the first in line. Do not "
            "rely on an order: hand the turn over by an event, a semaphore or a queue.",
            (_own(facts, worker, asked), released, turn.got), (lock,), (worker, turn.worker),
        )  # fmt: skip


def starvation(facts: Facts) -> Iterator[Finding]:
    """A finding (``starvation``) for each worker that others kept from a lock again and again.

    Either all its tries were in vain while others had their turns, or it was passed over many
    times in one wait. An error where the run failed, else a note.
    """
    steps, usage = facts.steps, facts.usage
    severity = ERROR if facts.trace.verdict.kind == "failed" else NOTE
    for lock in {**usage.turns, **usage.tries}:
        turns = usage.turns.get(lock, [])
        had = Counter(turn.worker for turn in turns)
        for worker in dict.fromkeys(steps.workers[seq] for seq in usage.tries.get(lock, ())):
            tries = [seq for seq in usage.tries[lock] if steps.workers[seq] == worker]
            others = len(turns) - had[worker]
            if had[worker] or len(tries) < TRIES or not others:
                continue
            name = steps.names[worker]
            winners = [turn for turn in turns if turn.worker != worker]
            yield facts.finding(
                "starvation", severity, f"Starvation: {name} never gets {lock}",
                f"{name} tries to take {lock} {len(tries)} times, first {facts.cite(tries[0])}"
                f", last {facts.cite(tries[-1])}, and never gets it; others took it {others} "
                f"times, first {facts.cite(winners[0].got)}. A lock keeps others out, it does "
                "not promise anybody a turn. Wait for it instead of trying, or hand the turn "
                "over by a queue or a fair lock.",
                (*tries[:4], *(turn.got for turn in winners[:4])), (lock,),
                (worker, *(turn.worker for turn in winners)),
            )  # fmt: skip
        passed: dict[tuple[int, int], list[LockTurn]] = defaultdict(list)
        for turn, worker, asked in usage.passed_over(lock):
            passed[worker, asked].append(turn)
        for (worker, asked), over in passed.items():
            times = len(over)
            if times < PATIENCE:
                continue
            name, own = steps.names[worker], _own(facts, worker, asked)
            yield facts.finding(
                "starvation", severity,
                f"Starvation: {name} is passed over {times} times for {lock}",
                f"{name} already waits for {lock} at event {asked}, and {times} times it "
                f"goes to one who asked later, first {facts.cite(over[0].got)}, last "
                f"{facts.cite(over[-1].got)}. Let the others do more outside of the lock, or "
                "hand the turn over by a queue or a fair lock.",
                (own, over[0].got, over[-1].got), (lock,),
                (worker, *(turn.worker for turn in over)),
            )  # fmt: skip
