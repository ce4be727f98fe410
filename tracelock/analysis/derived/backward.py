"""The walk back from a failure: what it depends on, and how directly.

A dynamic slice (Korel and Laski, 1988; of concurrent runs, Cheng 1993) as far as a trace has it: a
read depends on the write that it saw, a change on what it changed, what is done at a connection on
what the network did to it, a step on what let its worker go on (a release, a notify, a spawn) and
on the earlier steps of its worker, for what these do with their locals is not recorded. Every edge
has a length, so that an event has a distance: the shorter, the more directly the failure hangs on
it.
"""

from __future__ import annotations

from collections import defaultdict
from heapq import heappop, heappush
from typing import Final

from tracelock.analysis.derived.ending import pending
from tracelock.analysis.derived.facts import Facts
from tracelock.ops import CLEAR, CRASH, SET

__all__ = ["distances", "failure_events"]

#: The length of an edge: to the worker's step before, to a write, to what let it go on.
STEP: Final = 1
DATA: Final = 1
SYNC: Final = 2
#: Events that are walked to.
MOST: Final = 20_000


def distances(facts: Facts, start: dict[int, int]) -> dict[int, int]:
    """The distance of every event from the failure that it is needed for: by ``seq``.

    ``start``: the events with which the failure itself was, with their distance.
    """
    steps = facts.steps
    into: dict[int, list[int]] = defaultdict(list)
    for source, dest, _ in facts.observed_edges:
        into[dest].append(source)
    saw = _saw(facts)
    best = dict(start)
    heap = [(cost, seq) for seq, cost in start.items()]
    heap.sort()
    done: dict[int, int] = {}
    while heap and len(done) < MOST:
        cost, seq = heappop(heap)
        if seq in done:
            continue
        done[seq] = cost
        nearer = [(steps.before(seq), STEP), *((one, DATA) for one in saw.get(seq, ()))]
        nearer += [(one, SYNC) for one in into.get(seq, ())]
        for other, length in nearer:
            total = cost + length
            if other >= 0 and total < best.get(other, 1 << 60):
                best[other] = total
                heappush(heap, (total, other))
    return done


def _saw(facts: Facts) -> dict[int, list[int]]:
    """For each access the last change of its variable by another worker before it, if that is the
    last change at all."""
    steps = facts.steps
    changed: dict[str, int] = {}
    found: dict[int, list[int]] = {}
    hit = _by_the_network(facts)
    for seq in range(len(steps)):
        written = steps.written(seq)
        sources = [
            changed[name] for name in dict.fromkeys((*steps.read(seq), *written)) if name in changed
        ]
        sources += hit.get(seq, ())
        if sources:
            found[seq] = sources
        for name in written:
            changed[name] = seq
    return found


def _by_the_network(facts: Facts) -> dict[int, list[int]]:
    """For each step at a connection, or at a link between hosts, the last one before it in which
    the network did something to that: a partition began or ended, what was sent was held back."""
    steps, told = facts.steps, facts.trace.events.extras
    done: dict[str, int] = {}
    found: dict[int, list[int]] = {}
    for seq, target in enumerate(steps.targets) if told else ():
        if target in done:
            found[seq] = [done[target]]
        if target is not None and "to" in told.get(seq, ()) and steps.kinds[seq] in (SET, CLEAR):
            done[target] = seq
    return found


def failure_events(facts: Facts, names: frozenset[str]) -> dict[int, int]:
    """The events with which the run failed, with a distance: the failing worker's last step; what
    was waited for, by whom; or where a check at the end failed, the last change of what it mentions
    (``names``) and, farther, the last step of everybody."""
    verdict, steps = facts.trace.verdict, facts.steps
    found: dict[int, int] = {}
    if verdict.kind == "failed" and verdict.worker is not None:
        own = steps.by_worker[verdict.worker] if verdict.worker < len(steps.names) else ()
        at = [seq for seq in own[-8:] if steps.at(seq) == verdict.at]
        for seq in at[-1:] or own[-1:]:
            found[seq] = 0
        return found
    for one in pending(facts):
        if one.since >= 0:
            found[one.since] = 0
    for seq, kind in enumerate(steps.kinds):
        if kind == CRASH or (names and not names.isdisjoint(steps.written(seq))):
            found[seq] = 0
    for worker in range(len(steps.names)):
        last = steps.last(worker)
        if last >= 0:
            found.setdefault(last, 3 if names or found else 0)
    return found
