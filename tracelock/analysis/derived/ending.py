"""How a trace ends: who still waits, for what, since when, and who has ended.

The verdict lists the workers that wait. A trace that was cut off has no such list; there it is read
from the last events, as far as those tell (a wait or a request that nothing followed).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tracelock.analysis.derived.facts import Facts
from tracelock.ops import CANCELLED, CRASH, KIND_OF, REQUEST, WAIT
from tracelock.trace import MISSING

__all__ = ["Pending", "last_words", "pending"]

#: Verdicts after which nothing goes on: who waits then waits for ever.
FINAL: Final = frozenset({"deadlock", "crashed", "failed"})


@dataclass(frozen=True, slots=True)
class Pending:
    """``worker`` waits to do ``op`` (a number of ``ops``) on ``target`` at the end of the trace.

    ``since``: the event with which it began to wait, or else its last event (-1: it has none).
    ``holders``: workers that have what it waits for, itself perhaps.
    """

    worker: int
    op: int
    target: str
    at: str
    since: int
    holders: tuple[int, ...]


def pending(facts: Facts) -> list[Pending]:
    """Everybody who waits at the end, in the verdict's order."""
    steps = facts.steps
    found = []
    for one in facts.trace.verdict.blocked:
        worker = steps.number(one.worker)
        kind = KIND_OF.get(one.op)
        if worker is None or kind is None:
            continue
        known = (other for name in one.holder if (other := steps.number(name)) is not None)
        holders = tuple(dict.fromkeys(known))
        found.append(Pending(worker, kind, one.target, one.at, steps.last(worker), holders))
    if found or facts.trace.verdict.kind != "unfinished":
        return found
    return _cut_off(facts)


def _cut_off(facts: Facts) -> list[Pending]:
    steps = facts.steps
    holders: dict[str, list[int]] = {}
    for worker, holds in enumerate(facts.locks.ends):
        for hold in holds:
            holders.setdefault(hold.lock, []).append(worker)
    found = []
    for worker in range(len(steps.names)):
        seq = steps.last(worker)
        if seq < 0:
            continue
        kind, target = steps.kinds[seq], steps.targets[seq]
        parked = kind == WAIT and steps.results[seq] is MISSING
        if target is None or steps.timed(seq) or not (parked or kind == REQUEST):
            continue
        of_lock = kind == REQUEST and steps.type_of(target) != "queue"
        owners = tuple(holders.get(steps.lock_of(target), ())) if of_lock else ()
        op = KIND_OF["acquire"] if of_lock else kind
        found.append(Pending(worker, op, target, steps.at(seq), seq, owners))
    return found


def last_words(facts: Facts, worker: int) -> tuple[int, str]:
    """The last event of a worker that does not wait (-1: none), and how it ended."""
    steps = facts.steps
    seq = steps.last(worker)
    if seq >= 0 and steps.kinds[seq] == CRASH:
        return seq, "died"
    if any(steps.kinds[one] == CANCELLED for one in steps.by_worker[worker][-20:]):
        return seq, "was cancelled"
    if facts.trace.verdict.worker == worker:
        return seq, "failed"
    return seq, "ended"
