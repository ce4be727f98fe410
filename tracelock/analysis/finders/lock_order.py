"""Deadlocks that did not happen: circles in the order in which workers take locks.

An edge a -> b of the lock-order graph says that a worker took b while it held a. A circle of edges
of different workers is a possible deadlock, unless a further lock that all of them hold (a *gate*
lock) lets only one of them in at a time, or unless one of them has to be past its place before
another can come to its own. After Havelund, *Using runtime analysis to guide model checking of
Java programs* (Goodlock, SPIN 2000), and Bensalem and Havelund, *Dynamic deadlock analysis of
multi-threaded programs* (HVC 2005), with the order of ``must`` in place of the
segmentation by start and join.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Final

from tracelock.analysis.derived.facts import Facts
from tracelock.analysis.derived.objects import SEMAPHORES
from tracelock.analysis.findings import NOTE, WARNING, Finding
from tracelock.ops import REQUEST, WAKE

__all__ = ["Nesting", "lock_order", "nestings"]

#: Circles reported, and steps of the search for them: a bound against traces from strangers.
MOST: Final = 50
STEPS: Final = 200_000


@dataclass(frozen=True, slots=True)
class Nesting:
    """A worker took ``inner`` (event ``taken``) while it held ``outer`` (event ``held``).

    ``gates``: all that it held then, ``outer`` too. ``woken``: it took it back after a wait.
    """

    worker: int
    outer: str
    inner: str
    held: int
    taken: int
    gates: frozenset[str]
    woken: bool


def nestings(facts: Facts) -> list[Nesting]:
    """The edges of the lock-order graph, those that are alike once or twice.

    A try and a wait with a timeout are none: they end by themselves.
    """
    steps, locks = facts.steps, facts.locks
    found: dict[tuple[int, str, int, frozenset[str]], Nesting] = {}
    last: dict[tuple[int, str, int, frozenset[str]], Nesting] = {}
    for seq in locks.taken:
        holds = locks.holds[seq]
        target = steps.targets[seq]
        woken = steps.kinds[seq] == WAKE
        if not holds or target is None or (steps.timed(seq) and not woken):
            continue
        gates = locks.at(seq)
        for hold in holds:
            key = (steps.workers[seq], hold.lock, steps.shapes[seq], gates)
            nesting = Nesting(
                steps.workers[seq], hold.lock, steps.lock_of(target), hold.taken, seq, gates, woken
            )
            # of a loop's rounds the first may be ruled out by what happens before it, the last
            # by what happens after it
            if key in found:
                last[key] = nesting
            else:
                found[key] = nesting
    return list(found.values()) + list(last.values())


def lock_order(facts: Facts) -> list[Finding]:
    """A finding (``lock-order``) for each circle that nothing rules out."""
    findings: list[Finding] = []
    seen: set[frozenset[tuple[int, int, int]]] = set()
    shapes = facts.steps.shapes
    for circle in _circles(facts, nestings(facts)):
        if not any(_may_wait_between(facts, one) for one in circle):
            continue
        sites = frozenset((one.worker, shapes[one.held], shapes[one.taken]) for one in circle)
        if sites in seen:
            continue
        seen.add(sites)
        findings.append(_finding(facts, circle))
        if len(findings) >= MOST:
            break
    return findings


def _circles(facts: Facts, edges: list[Nesting]) -> Iterator[list[Nesting]]:
    """Simple circles, each begun by the worker of the smallest number, shortest first."""
    leaving: dict[str, list[Nesting]] = defaultdict(list)
    for edge in edges:
        leaving[edge.outer].append(edge)
    budget = STEPS
    paths = [[edge] for edge in edges]
    while paths:
        longer: list[list[Nesting]] = []
        for path in paths:
            for edge in leaving[path[-1].inner]:
                budget -= 1
                if budget < 0:
                    return
                if not _fits(facts, path, edge):
                    continue
                if edge.inner == path[0].outer:
                    yield [*path, edge]
                else:
                    longer.append([*path, edge])
        paths = longer


def _fits(facts: Facts, path: list[Nesting], edge: Nesting) -> bool:
    must = facts.must
    if edge.worker <= path[0].worker:
        return False
    for one in path:
        if one.worker == edge.worker or one.inner == edge.inner or one.gates & edge.gates:
            return False
        if must.before(one.taken, edge.taken) or must.before(edge.taken, one.taken):
            return False
    return True


def _may_wait_between(facts: Facts, nesting: Nesting) -> bool:
    """Whether others can come in after the outer lock was taken and before the inner is asked for.

    Threads can everywhere. Among tasks the first of a circle to wait needs another that holds its
    lock without waiting for the next yet, so at least one must have such a place.
    """
    steps = facts.steps
    asked = nesting.taken
    before = steps.before(asked)
    if steps.kinds[before] == REQUEST and steps.targets[before] == steps.targets[asked]:
        asked = before
    return not steps.together(nesting.held, asked)


def _finding(facts: Facts, circle: list[Nesting]) -> Finding:
    steps = facts.steps
    parts = [
        f"{steps.names[one.worker]} {'takes back' if one.woken else 'takes'} {one.inner} "
        f"{facts.cite(one.taken)} while it holds {one.outer} (since event {one.held})"
        for one in circle
    ]
    locks = [one.outer for one in circle]
    everyone = "both wait" if len(circle) == 2 else f"all {len(circle)} wait"
    explanation = (
        "; ".join(parts) + ". If each gets the lock it takes first before the next one takes it "
        f"second, {everyone} for ever. Take these locks in the same order everywhere."
    )
    pairs = list(permutations(circle, 2))
    meet = tuple((steps.before(one.taken), other.taken) for one, other in pairs)
    # what a worker does before its first lock may need what another already holds there: then all
    # have to be at the first before any of them takes it
    gather = tuple(
        (steps.before(one.held), other.held) for one, other in pairs if steps.locals[one.held] > 1
    )
    return facts.finding(
        "lock-order",
        # a semaphore is often given back by another, or guarded by a count: a weak sign only
        NOTE if any(steps.type_of(lock) in SEMAPHORES for lock in locks) else WARNING,
        f"Lock-order inversion (possible deadlock): {' -> '.join([*locks, locks[0]])}",
        explanation,
        [seq for one in circle for seq in (one.held, one.taken)],
        locks,
        shows=(meet, (*gather, *meet)) if gather else (meet,),
    )
