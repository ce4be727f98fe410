"""The edges of happens-before that synchronisation made in a run.

A lock was taken after it had been released, a wait ended after a set, a worker began after its
spawn. All of them together are the *observed* edges, which give the classic happens-before of this
very run; ``must`` says which of them hold in other schedules too.

This is another relation than ``ops.conflicts``. That one is symmetric and asks of two *operations*
whether their order may matter, so it holds for two acquires; an edge is directed and says of two
*events* that one enabled the other, so it leads from a release to the acquire that it let in.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from tracelock.analysis.derived.objects import BYTES, ObjectInfo, by_kind
from tracelock.analysis.derived.state import place_of
from tracelock.analysis.derived.steps import INDIVISIBLE, Steps, failed
from tracelock.ops import (
    ACQUIRE,
    ATOMIC,
    CANCEL,
    CANCELLED,
    CLEAR,
    GET,
    JOIN,
    NOTIFY,
    ON_VARIABLE,
    PUT,
    RELEASE,
    SET,
    SPAWN,
    WAIT,
    WAKE,
)
from tracelock.trace import MISSING

__all__ = ["Edge", "observed_edges"]

#: Events looked at for who waited for whose end: a bound against traces from strangers.
BUDGET: Final = 2_000_000
#: Whether an event takes a unit of what others give.
Takes = Callable[[int], bool]


class Edge(NamedTuple):
    """``source`` happens before ``dest`` (both ``seq``, source < dest); ``why`` in a word."""

    source: int
    dest: int
    why: str


def _edges(steps: Steps, why: str, dest: int, *sources: int) -> list[Edge]:
    """The edges to an event; none from nowhere (-1), nor from the same worker."""
    worker = steps.workers[dest]
    return [Edge(one, dest, why) for one in sources if one >= 0 and steps.workers[one] != worker]


# --- edges that are both -------------------------------------------------------------------------
def lives(steps: Steps) -> list[Edge]:
    """Spawn to a worker's first event, its last to a join; a cancel to where it arrives."""
    edges: list[Edge] = []
    struck: dict[int, int] = {}
    for seq, kind in enumerate(steps.kinds):
        if kind < SPAWN:
            continue
        if kind == CANCELLED:
            edges += _edges(steps, "cancel", seq, struck.get(steps.workers[seq], -1))
        if kind not in (SPAWN, JOIN, CANCEL):
            continue
        other = steps.number(steps.targets[seq])
        if other is None or other == steps.workers[seq]:
            continue
        if kind == CANCEL:
            struck[other] = seq
            continue
        seqs = steps.by_worker[other]
        if not seqs:
            continue
        if kind == SPAWN and not failed(steps.results[seq]) and seqs[0] > seq:
            edges.append(Edge(seq, seqs[0], "spawn"))
        elif kind == JOIN and steps.results[seq] is True and seqs[-1] < seq:
            edges.append(Edge(seqs[-1], seq, "join"))
    return edges + _awaited(steps)


def _awaited(steps: Steps) -> list[Edge]:
    """The same for tasks of real code, of which no event says who awaits whom: from the end of a
    task to where the one that had started it goes on, if that could not go on before."""
    choices = steps.events.choices
    if choices is None or not steps.cooperative or "python" not in steps.trace.scenario:
        return []
    able = [frozenset(one or ()) for one in steps.events.choice_table]
    edges: list[Edge] = []
    budget = BUDGET
    for seq, kind in enumerate(steps.kinds):
        task, parent = steps.number(steps.targets[seq]), steps.workers[seq]
        last = steps.last(task) if kind == SPAWN and task is not None else -1
        if last <= seq:
            continue
        budget -= last - seq
        if budget < 0:
            break
        own = steps.by_worker[parent]
        place = bisect_right(own, last)
        if place in (0, len(own)) or any(
            parent in able[choices[one]] for one in range(own[place - 1] + 1, last + 1)
        ):
            continue
        edges.append(Edge(last, own[place], "join"))
    return edges


def barrier(steps: Steps, info: ObjectInfo, events: Sequence[int]) -> list[Edge]:
    """From each arrival at a barrier to where each of the others goes on behind it.

    The last to arrive has no event of its own for that, so it is its next one, whatever that is.
    """
    edges: list[Edge] = []
    arrived: list[int] = []
    through: dict[int, list[int]] = {}  # worker -> the arrivals that let it through
    for seq in events:
        result, worker = steps.results[seq], steps.workers[seq]
        if steps.kinds[seq] == WAIT and (result is MISSING or result is True):
            arrived.append(seq)
            if result is True or len(arrived) == info.parties:
                through.update((steps.workers[one], arrived) for one in arrived)
                arrived = []
            if result is True:
                own = steps.by_worker[worker]
                number = steps.locals[seq]  # from 1: that of the next event, from 0
                if number < len(own):
                    edges += _edges(steps, "barrier", own[number], *through[worker])
        elif steps.kinds[seq] == WAKE:
            if result is True:
                edges += [
                    e for one in through.pop(worker, []) for e in _edges(steps, "barrier", seq, one)
                ]
            else:  # timed out or broken: it does not count any more
                arrived = [one for one in arrived if steps.workers[one] != worker]
    return edges


def items(steps: Steps, info: ObjectInfo, events: Sequence[int]) -> list[Edge]:
    """From each put to the get that got its item."""
    if info.order == BYTES:
        return received(steps, events)
    edges = []
    puts: list[int] = []
    inside: list[Any] = []
    for seq in events:
        result = steps.results[seq]
        if steps.kinds[seq] == PUT and result is True:
            puts.append(seq)
            inside.append(steps.events.values[seq])
        elif steps.kinds[seq] == GET and inside and not failed(result):
            place = place_of(inside, result, info.order)
            edges.append(Edge(puts.pop(place), seq, "item"))
            del inside[place]
    return edges


def received(steps: Steps, events: Sequence[int]) -> list[Edge]:
    """In one direction of a connection, from what sent a byte to what got it: of each ``get`` the
    ``put`` with the last of its bytes, before which all others of them were sent."""
    edges: list[Edge] = []
    sent: list[tuple[int, int]] = []  # up to which byte, and by which event
    total = read = 0
    for seq in events:
        result, value = steps.results[seq], steps.events.values[seq]
        if steps.kinds[seq] == PUT and result is True and type(value) is int:
            total += value
            sent.append((total, seq))
        elif steps.kinds[seq] == GET and type(result) is int and result > 0:
            read += result
            source = next((put for end, put in sent if end >= read), None)
            if source is not None:
                edges.append(Edge(source, seq, "item"))
                sent = [one for one in sent if one[0] >= read]
    return edges


def reads_from(steps: Steps, variables: frozenset[str] | None = None) -> list[Edge]:
    """On a variable that is changed indivisibly, from each change to who sees it.

    Such a variable is there to synchronise (a spin lock, a ticket): to follow a change of it is
    as good as to take a lock, as with the atomics of other languages. ``variables``: those in
    place of the ones that are changed indivisibly.
    """
    edges: list[Edge] = []
    wanted = steps.atomics if variables is None else variables
    if not wanted:
        return edges
    changed: dict[str, int] = {}
    for seq, kind in enumerate(steps.kinds):
        if kind > ATOMIC:
            continue
        target = steps.targets[seq]
        if kind != ATOMIC and target not in wanted:
            continue
        if kind in INDIVISIBLE or kind in ON_VARIABLE:
            for name in steps.read(seq):
                edges += _edges(steps, "value", seq, changed.get(name, -1))
            for name in steps.written(seq):
                changed[name] = seq
    return edges


# --- observed ------------------------------------------------------------------------------------
def observed_edges(steps: Steps) -> list[Edge]:
    """All edges that synchronisation made in this run."""
    edges = lives(steps) + reads_from(steps)
    for name, events in steps.by_object.items():
        info = steps.objects[name]
        for edges_of in _OBSERVED[info.type]:
            edges += edges_of(steps, info, events)
    return edges


def got(steps: Steps, seq: int) -> bool:
    kind, result = steps.kinds[seq], steps.results[seq]
    return (kind == ACQUIRE and (result is True or result is MISSING)) or kind == WAKE


def _lock(steps: Steps, info: ObjectInfo, events: Sequence[int]) -> list[Edge]:
    edges: list[Edge] = []
    released = -1
    for seq in events:
        kind = steps.kinds[seq]
        gives = kind == RELEASE and not failed(steps.results[seq])
        if gives or (kind == WAIT and steps.results[seq] is MISSING):
            released = seq
        elif got(steps, seq):
            edges += _edges(steps, "lock", seq, released)
    return edges


def _notified(steps: Steps, info: ObjectInfo, events: Sequence[int]) -> list[Edge]:
    edges: list[Edge] = []
    woken: dict[int, int] = {}
    last = -1
    for seq in events:
        if steps.targets[seq] != info.name:
            continue  # of another condition that shares this lock
        kind, result = steps.kinds[seq], steps.results[seq]
        if kind == NOTIFY and not failed(result):
            last = seq
            if isinstance(result, list):
                woken.update((worker, seq) for worker in result if type(worker) is int)
        elif kind == WAKE and result is True:
            edges += _edges(steps, "notify", seq, woken.pop(steps.workers[seq], last))
    return edges


def units(steps: Steps, seq: int) -> int:
    """How many an event gives of what others take: permits, items, room."""
    result = steps.results[seq]
    if failed(result) or (steps.kinds[seq] == PUT and result is not True):
        return 0
    n = steps.events.table[steps.shapes[seq]].n
    return n if steps.kinds[seq] == RELEASE and type(n) is int else 1


def _in_turn(
    steps: Steps, events: Sequence[int], at_first: int, give: int, takes: Takes, why: str
) -> list[Edge]:
    """From what gave each unit to what took it, first given first taken; ``at_first``: units
    that are there from the start."""
    edges: list[Edge] = []
    free: deque[int] = deque([-1] * at_first)
    for seq in events:
        if steps.kinds[seq] == give:
            free.extend([seq] * units(steps, seq))
        elif free and takes(seq):
            edges += _edges(steps, why, seq, free.popleft())
    return edges


def permits(steps: Steps, info: ObjectInfo, events: Sequence[int]) -> list[Edge]:
    """From the release that made the permit to the acquire that took it."""
    at_first = max(0, info.value)
    return _in_turn(steps, events, at_first, RELEASE, lambda seq: got(steps, seq), "permit")


def _room(steps: Steps, info: ObjectInfo, events: Sequence[int]) -> list[Edge]:
    """From the get that made room in a bounded queue to the put that took it."""
    if info.maxsize <= 0:
        return []

    def takes(seq: int) -> bool:
        return steps.kinds[seq] == PUT and steps.results[seq] is True

    return _in_turn(steps, events, info.maxsize, GET, takes, "room")


def _flag(steps: Steps, info: ObjectInfo, events: Sequence[int]) -> list[Edge]:
    """From the set that raised the flag to each wait that it ended."""
    edges: list[Edge] = []
    raised = -1
    waiting: set[int] = set()
    woken: dict[int, int] = {}
    for seq in events:
        kind, result, worker = steps.kinds[seq], steps.results[seq], steps.workers[seq]
        if kind == SET:
            if raised < 0:
                raised = seq
            woken.update((one, raised) for one in waiting)
            waiting.clear()
        elif kind == CLEAR:
            raised = -1
        elif kind == WAIT and result is MISSING:
            waiting.add(worker)
        elif kind in (WAIT, WAKE):
            waiting.discard(worker)
            if result is True:
                edges += _edges(steps, "set", seq, woken.pop(worker, raised))
    return edges


#: For each kind of object what makes edges on it.
_OBSERVED: Final = by_kind(
    lock=(_lock,), rlock=(_lock,), condition=(_lock, _notified), semaphore=(permits,),
    bounded_semaphore=(permits,), event=(_flag,), barrier=(barrier,), queue=(items, _room),
)  # fmt: skip
