"""Pairs of operations on one object, or indivisible variable, that could come the other way round.

That is nothing wrong by itself: two workers may take a lock in either order, and should. A search
can use it all the same: a program that works only in the order that it happened to run in (a
notify that comes after the wait, an item that is there before it is looked for) shows that when the
two are exchanged. So these findings are for being tried, not for being told.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from tracelock.analysis.derived.facts import Facts
from tracelock.analysis.findings import NOTE, Finding
from tracelock.ops import (
    ACQUIRE,
    ATOMIC,
    CLEAR,
    COMPARE_EXCHANGE,
    EXCHANGE,
    FETCH_ADD,
    GET,
    NAMES,
    NOTIFY,
    PUT,
    READ,
    RELEASE,
    SET,
    WAIT,
    WRITE,
)

__all__ = ["reversible"]

#: Pairs given for one object.
MOST: Final = 20
#: What may be exchanged with what, by kind; with itself where a set holds the kind.
_WITH: Final = {
    # a compare-and-exchange does not see whether its value was another in the meantime (ABA)
    COMPARE_EXCHANGE: frozenset({COMPARE_EXCHANGE, EXCHANGE, FETCH_ADD, WRITE}),
    EXCHANGE: frozenset({COMPARE_EXCHANGE}),
    FETCH_ADD: frozenset({COMPARE_EXCHANGE}),
    WRITE: frozenset({COMPARE_EXCHANGE}),
    ACQUIRE: frozenset({ACQUIRE, RELEASE, WAIT}),
    WAIT: frozenset({NOTIFY, SET, CLEAR, ACQUIRE}),
    NOTIFY: frozenset({WAIT}),
    SET: frozenset({WAIT, CLEAR}),
    CLEAR: frozenset({WAIT, SET}),
    PUT: frozenset({PUT, GET}),
    GET: frozenset({GET, PUT}),
}
_WRITES: Final = frozenset({WRITE, COMPARE_EXCHANGE, EXCHANGE, FETCH_ADD})
_ACCESSES: Final = _WRITES | {READ}


def reversible(facts: Facts) -> list[Finding]:
    """A finding (``order``) for each such pair that the must order leaves open, latest first."""
    steps = facts.steps
    latest: dict[str, dict[tuple[int, int], int]] = defaultdict(dict)
    done: set[tuple[int, int, int, int]] = set()
    counts: dict[str, int] = defaultdict(int)
    found = []
    for seq, kind in enumerate(steps.kinds):
        target = steps.targets[seq]
        if target is None or (kind not in _WITH and kind not in (READ, RELEASE)):
            continue
        partners = _WITH.get(kind, frozenset())
        if kind <= WRITE and steps.cooperative:
            # tasks have no data races, yet the order of their accesses may matter as much
            partners = _ACCESSES if kind == WRITE else _WRITES
        elif kind <= ATOMIC and target not in steps.atomics:
            continue
        worker, shape = steps.workers[seq], steps.shapes[seq]
        name = steps.lock_of(target)
        known = latest[name]
        for (other, step), before in known.items():
            pair = (other, step, worker, shape)
            if other == worker or steps.kinds[before] not in partners or pair in done:
                continue
            if steps.kinds[before] == RELEASE and not steps.timed(seq):
                continue  # only a try can come before the lock is released
            order = facts.definite if kind <= ATOMIC else facts.must
            if order.before(before, seq):
                continue
            done.add(pair)
            counts[name] += 1
            if counts[name] <= MOST:
                found.append(_finding(facts, name, before, seq))
        known[worker, shape] = seq
    return found


def _finding(facts: Facts, name: str, first: int, second: int) -> Finding:
    steps = facts.steps
    verbs = [NAMES[steps.kinds[seq]] for seq in (first, second)]
    explanation = (
        f"{steps.name(first)} comes to its {verbs[0]} on {name} {facts.cite(first)} before "
        f"{steps.name(second)} to its {verbs[1]} {facts.cite(second)}. Nothing makes sure of that: "
        "in another schedule the second comes first."
    )
    return facts.finding(
        "order", NOTE, f"Order of {verbs[0]} and {verbs[1]} on {name}", explanation,
        (first, second), (name,), shows=(((second, first),),),
    )  # fmt: skip
