"""The edges of happens-before that no other schedule with the same steps can turn round.

A child begins after its spawn, whatever the schedule; but two workers may well have one lock in the
other order. Races and deadlocks of *other* schedules are judged by these edges and by locksets,
after O'Callahan and Choi, *Hybrid dynamic data race detection* (PPoPP 2003): must edges for what
cannot be reversed, locksets for what can.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Final

from tracelock.analysis.derived.edges import (
    Edge,
    Takes,
    barrier,
    got,
    items,
    lives,
    permits,
    reads_from,
    units,
)
from tracelock.analysis.derived.objects import BYTES, SEMAPHORES, ObjectInfo, by_kind
from tracelock.analysis.derived.steps import Steps, failed
from tracelock.ops import ACQUIRE, GET, NOTIFY, PUT, RELEASE, SET, WAIT, WAKE
from tracelock.trace import MISSING, frozen

__all__ = ["exclusive", "must_edges"]


def must_edges(steps: Steps, *, values: bool = True) -> list[Edge]:
    """The edges that no schedule with the same steps can turn round.

    Where something is needed that several could give (a permit, a set, a notify) an edge comes
    only from a worker without whom there is not enough: if it takes n of them and the others make
    r in the whole trace, then n - r of its own come first. This reads the trace as all that ever
    happens; a schedule in which a worker takes another branch may know better.
    ``values``: with the edges through variables that are changed indivisibly.

    Two kinds are a convention, not a proof, as with any happens-before detector: who follows a
    value of such a variable, or gets the one permit of a semaphore that another gave back, is taken
    to have waited for just that.
    """
    edges = lives(steps)
    if values:
        edges += reads_from(steps)
    for name, events in steps.by_object.items():
        info = steps.objects[name]
        own = [seq for seq in events if steps.targets[seq] == name]
        edges += _MUST[info.type](steps, info, own)
    return edges


def exclusive(steps: Steps, name: str, events: Sequence[int]) -> bool:
    """Whether an object keeps workers apart here: whoever releases it has taken it before."""
    info = steps.objects[name]
    if info.type in SEMAPHORES and info.value != 1:
        return False
    held: dict[int, int] = defaultdict(int)
    for seq in events:
        worker = steps.workers[seq]
        if steps.kinds[seq] == ACQUIRE and got(steps, seq):
            held[worker] += 1
        elif steps.kinds[seq] == RELEASE and not failed(steps.results[seq]):
            held[worker] -= 1
            if held[worker] < 0:
                return False
    return True


def _signalled(give: int, why: str) -> Callable[[Steps, ObjectInfo, Sequence[int]], list[Edge]]:
    """Each wait that came to its good end needs one signal, which is there to stay."""

    def edges(steps: Steps, info: ObjectInfo, events: Sequence[int]) -> list[Edge]:
        def takes(seq: int) -> bool:
            return steps.kinds[seq] in (WAIT, WAKE) and steps.results[seq] is True

        return _shares(steps, events, give, takes, lambda taken: 1, why)

    return edges


def _counted(
    steps: Steps, events: Sequence[int], give: int, take: int, at_first: int, why: str
) -> list[Edge]:
    """Each take uses one up; ``at_first`` are there from the start."""

    def takes(seq: int) -> bool:
        result = steps.results[seq]
        if steps.kinds[seq] != take or failed(result):
            return False
        return take == GET or result is True or result is MISSING

    return _shares(steps, events, give, takes, lambda taken: taken + 1 - at_first, why)


def _shares(
    steps: Steps,
    events: Sequence[int],
    give: int,
    takes: Takes,
    need: Callable[[int], int],
    why: str,
) -> list[Edge]:
    """``takes(seq)``: whether an event takes; ``need(k)``: how many must have been given before a
    worker's take number k (from 0)."""
    given: dict[int, list[int]] = defaultdict(list)  # by worker, a seq for each one given
    most: dict[int, int] = defaultdict(int)  # the same with tries, which may succeed elsewhere
    for seq in events:
        if steps.kinds[seq] == give:
            worker, count = steps.workers[seq], units(steps, seq)
            given[worker] += [seq] * count
            most[worker] += count or give in (PUT, GET)
    total = sum(most.values())
    edges = []
    taken: dict[int, int] = defaultdict(int)
    own: dict[int, int] = defaultdict(int)  # given so far by this worker itself
    for seq in events:
        worker = steps.workers[seq]
        if steps.kinds[seq] == give:
            own[worker] += units(steps, seq)
        if not takes(seq):
            continue
        n = need(taken[worker])
        taken[worker] += 1
        if n <= 0:
            continue
        # what this worker gives only later cannot be what it takes now
        available = total - most.get(worker, 0) + own[worker]
        for other, seqs in given.items():
            share = n - (available - most[other])
            if other != worker and 0 < share <= len(seqs) and seqs[share - 1] < seq:
                edges.append(Edge(seqs[share - 1], seq, why))
    return edges


# --- by the kind of object -----------------------------------------------------------------------
def _mutex(steps: Steps, info: ObjectInfo, events: Sequence[int]) -> list[Edge]:
    # taken by one worker and released by another it is a signal, not a lock
    return [] if exclusive(steps, info.name, events) else permits(steps, info, events)


def _semaphore(steps: Steps, info: ObjectInfo, events: Sequence[int]) -> list[Edge]:
    if info.value == 1:
        return _mutex(steps, info, events)
    return _counted(steps, events, RELEASE, ACQUIRE, info.value, "permit")


def _barrier(steps: Steps, info: ObjectInfo, events: Sequence[int]) -> list[Edge]:
    all_come = len({steps.workers[seq] for seq in events}) == info.parties
    return barrier(steps, info, events) if all_come else []


def _queue(steps: Steps, info: ObjectInfo, events: Sequence[int]) -> list[Edge]:
    if info.order == BYTES:  # which bytes a later one gets may be another in another schedule
        return items(steps, info, events)[:1]
    # who got this very item got it from this very put, in any schedule; equal ones may swap
    put = Counter(frozen(steps.events.values[seq]) for seq in events if steps.kinds[seq] == PUT)
    edges = [
        edge
        for edge in items(steps, info, events)
        if put[frozen(steps.events.values[edge.source])] == 1
    ]
    edges += _counted(steps, events, PUT, GET, 0, "item")
    if info.maxsize > 0:
        edges += _counted(steps, events, GET, PUT, info.maxsize, "room")
    return edges


_MUST: Final = by_kind(
    lock=_mutex, rlock=_mutex, condition=_signalled(NOTIFY, "notify"), semaphore=_semaphore,
    bounded_semaphore=_semaphore, event=_signalled(SET, "set"), barrier=_barrier, queue=_queue,
)  # fmt: skip
