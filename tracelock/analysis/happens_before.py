"""Which event of a trace comes before which, for a reason: happens-before, as vector clocks.

The order is program order and a set of *edges* between events of different workers, closed under
transitivity (Lamport 1978; Fidge and Mattern 1988). There are two sets. The *observed* edges are
all that synchronisation made in this run: a lock was taken after it had been released. The *must*
edges are those of them that no other schedule with the same steps can turn round: a child begins
after its spawn, but two workers may well have one lock in the other order. Races and deadlocks of
*other* schedules are judged by the second (after O'Callahan and Choi, *Hybrid dynamic data race
detection*, PPoPP 2003: must edges for what cannot be reversed, locksets for what can).
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from tracelock.analysis.steps import INDIVISIBLE, Steps, Thing, failed
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
from tracelock.trace import MISSING, frozen

__all__ = ["Edge", "Order", "must_edges", "observed_edges"]


class Edge(NamedTuple):
    """``source`` happens before ``dest`` (both ``seq``, source < dest); ``why`` in a word."""

    source: int
    dest: int
    why: str


#: Clocks of no event at all, by number of workers.
_Clock = tuple[int, ...]


class Order:
    """The order that program order and ``edges`` make: ``before`` in constant time.

    ``past[seq]``: for each worker the number of its first events that come before ``seq`` (its own
    entry is not kept up to date: ``locals`` is). Clocks are shared between events, so a worker
    without edges costs nothing.
    """

    __slots__ = ("_locals", "_workers", "past")

    def __init__(
        self,
        workers: Sequence[int],
        numbers: Sequence[int],
        edges: Iterable[Edge],
        count: int,
    ) -> None:
        """``workers`` and ``numbers`` (from 1, within the worker): of each event."""
        self._workers = workers
        self._locals = numbers
        into: dict[int, list[int]] = defaultdict(list)
        for source, dest, _ in edges:
            into[dest].append(source)
        clocks: list[_Clock] = [(0,) * count] * count
        past: list[_Clock] = []
        self.past = past
        for seq, worker in enumerate(workers):
            if seq in into:
                clock = list(clocks[worker])
                for source in into[seq]:
                    other = workers[source]
                    clock = list(map(max, clock, past[source]))
                    if clock[other] < numbers[source]:
                        clock[other] = numbers[source]
                clocks[worker] = tuple(clock)
            past.append(clocks[worker])

    def before(self, a: int, b: int) -> bool:
        """Whether event ``a`` happens before event ``b``."""
        worker = self._workers[a]
        if worker == self._workers[b]:
            return self._locals[a] < self._locals[b]
        return self.past[b][worker] >= self._locals[a]

    def concurrent(self, a: int, b: int) -> bool:
        """Whether neither of two events happens before the other."""
        return a != b and not self.before(a, b) and not self.before(b, a)


def order_of(steps: Steps, edges: Iterable[Edge]) -> Order:
    """The order of a trace under these edges."""
    return Order(steps.workers, steps.locals, edges, len(steps.names))


# --- edges that are both -------------------------------------------------------------------------
def _lives(steps: Steps) -> list[Edge]:
    """Spawn to a worker's first event, its last to a join; a cancel to where it arrives."""
    number = {name: worker for worker, name in enumerate(steps.names)}
    edges = []
    struck: dict[int, int] = {}
    for seq, kind in enumerate(steps.kinds):
        if kind < SPAWN:
            continue
        if kind == CANCELLED:
            source = struck.get(steps.workers[seq])
            if source is not None and steps.workers[source] != steps.workers[seq]:
                edges.append(Edge(source, seq, "cancel"))
            continue
        if kind not in (SPAWN, JOIN, CANCEL):
            continue
        other = number.get(steps.targets[seq] or "")
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
    return edges


def _barrier(steps: Steps, events: Sequence[int], parties: int) -> list[Edge]:
    edges = []
    arrived: list[int] = []
    closed: dict[int, int] = {}  # worker -> the arrival that let it through
    for seq in events:
        result = steps.results[seq]
        worker = steps.workers[seq]
        if steps.kinds[seq] == WAIT and (result is MISSING or result is True):
            arrived.append(seq)
            closed.pop(worker, None)
            if result is True or len(arrived) == parties:
                edges += [Edge(one, seq, "barrier") for one in arrived if one != seq]
                for one in arrived:
                    if one != seq:
                        closed[steps.workers[one]] = seq
                arrived = []
        elif steps.kinds[seq] == WAKE:
            if result is True and worker in closed:
                edges.append(Edge(closed.pop(worker), seq, "barrier"))
            else:  # timed out or broken: it does not count any more
                arrived = [one for one in arrived if steps.workers[one] != worker]
    return edges


def _items(steps: Steps, events: Sequence[int], order: str) -> list[Edge]:
    """From each put to the get that got its item."""
    edges = []
    inside: deque[tuple[int, Any]] = deque()
    for seq in events:
        result = steps.results[seq]
        if steps.kinds[seq] == PUT and result is True:
            inside.append((seq, frozen(steps.events.values[seq])))
        elif steps.kinds[seq] == GET and inside and not failed(result):
            wanted = frozen(result)
            place = len(inside) - 1 if order == "lifo" else 0
            if order == "priority" or inside[place][1] != wanted:
                place = next((i for i, item in enumerate(inside) if item[1] == wanted), 0)
            edges.append(Edge(inside[place][0], seq, "item"))
            del inside[place]
    return edges


def _reads_from(steps: Steps) -> list[Edge]:
    """On a variable that is changed indivisibly, from each change to who sees it.

    Such a variable is there to synchronise (a spin lock, a ticket): to follow a change of it is
    as good as to take a lock, as with the atomics of other languages.
    """
    edges: list[Edge] = []
    atomics = steps.atomics
    if not atomics:
        return edges
    changed: dict[str, int] = {}
    for seq, kind in enumerate(steps.kinds):
        if kind > ATOMIC:
            continue
        target = steps.targets[seq]
        if kind != ATOMIC and target not in atomics:
            continue
        if kind in INDIVISIBLE or kind in ON_VARIABLE:
            for name in steps.read(seq):
                source = changed.get(name)
                if source is not None and steps.workers[source] != steps.workers[seq]:
                    edges.append(Edge(source, seq, "value"))
            for name in steps.written(seq):
                changed[name] = seq
    return edges


def _by_thing(steps: Steps) -> dict[str, list[int]]:
    """The events of each object in their order; those of a condition count for its lock too."""
    found: dict[str, list[int]] = defaultdict(list)
    for seq, kind in enumerate(steps.kinds):
        target = steps.targets[seq]
        if ACQUIRE <= kind <= GET and target is not None:
            found[target].append(seq)
            lock = steps.lock_of(target)
            if lock != target:
                found[lock].append(seq)
    return found


# --- observed ------------------------------------------------------------------------------------
def observed_edges(steps: Steps) -> list[Edge]:
    """All edges that synchronisation made in this run."""
    edges = _lives(steps) + _reads_from(steps)
    for name, events in _by_thing(steps).items():
        thing = steps.things[name]
        if thing.type in ("lock", "rlock", "condition"):
            edges += _lock(steps, events)
        if thing.type == "condition":
            edges += _notified(steps, [s for s in events if steps.targets[s] == name])
        elif thing.type in ("semaphore", "bounded_semaphore"):
            edges += _tokens(steps, events, thing.value)
        elif thing.type == "event":
            edges += _flag(steps, events)
        elif thing.type == "barrier":
            edges += _barrier(steps, events, thing.parties)
        elif thing.type == "queue":
            edges += _items(steps, events, thing.order)
            if thing.maxsize > 0:
                edges += _places(steps, events, thing.maxsize)
    return edges


def _got(steps: Steps, seq: int) -> bool:
    kind, result = steps.kinds[seq], steps.results[seq]
    return (kind == ACQUIRE and (result is True or result is MISSING)) or kind == WAKE


def _lock(steps: Steps, events: Sequence[int]) -> list[Edge]:
    edges = []
    released = -1
    for seq in events:
        kind = steps.kinds[seq]
        if kind == RELEASE and not failed(steps.results[seq]):
            released = seq
        elif kind == WAIT and steps.results[seq] is MISSING:
            released = seq
        elif released >= 0 and _got(steps, seq) and steps.workers[released] != steps.workers[seq]:
            edges.append(Edge(released, seq, "lock"))
    return edges


def _notified(steps: Steps, events: Sequence[int]) -> list[Edge]:
    edges = []
    woken: dict[int, int] = {}
    last = -1
    for seq in events:
        kind, result = steps.kinds[seq], steps.results[seq]
        if kind == NOTIFY and not failed(result):
            last = seq
            if isinstance(result, list):
                woken.update((worker, seq) for worker in result if type(worker) is int)
        elif kind == WAKE and result is True:
            source = woken.pop(steps.workers[seq], last)
            if source >= 0 and steps.workers[source] != steps.workers[seq]:
                edges.append(Edge(source, seq, "notify"))
    return edges


def _tokens(steps: Steps, events: Sequence[int], value: int) -> list[Edge]:
    """From the release that made the permit to the acquire that took it, first made first taken."""
    edges = []
    permits: deque[int] = deque([-1] * max(0, value))
    for seq in events:
        kind = steps.kinds[seq]
        if kind == RELEASE and not failed(steps.results[seq]):
            n = steps.events.table[steps.shapes[seq]].n
            permits.extend([seq] * (n if type(n) is int else 1))
        elif _got(steps, seq) and permits:
            source = permits.popleft()
            if source >= 0 and steps.workers[source] != steps.workers[seq]:
                edges.append(Edge(source, seq, "permit"))
    return edges


def _places(steps: Steps, events: Sequence[int], maxsize: int) -> list[Edge]:
    """From the get that made room in a bounded queue to the put that took it."""
    edges = []
    free: deque[int] = deque([-1] * maxsize)
    for seq in events:
        if steps.kinds[seq] == GET and not failed(steps.results[seq]):
            free.append(seq)
        elif steps.kinds[seq] == PUT and steps.results[seq] is True and free:
            source = free.popleft()
            if source >= 0 and steps.workers[source] != steps.workers[seq]:
                edges.append(Edge(source, seq, "room"))
    return edges


def _flag(steps: Steps, events: Sequence[int]) -> list[Edge]:
    """From the set that raised the flag to each wait that it ended."""
    edges = []
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
            source = woken.pop(worker, raised) if result is True else -1
            if source >= 0 and steps.workers[source] != worker:
                edges.append(Edge(source, seq, "set"))
    return edges


# --- must ----------------------------------------------------------------------------------------
def must_edges(steps: Steps, *, values: bool = True) -> list[Edge]:
    """The edges that no schedule with the same steps can turn round.

    Where something is needed that several could give (a permit, a set, a notify) an edge comes
    only from a worker without whom there is not enough: if it takes n of them and the others make
    r in the whole trace, then n - r of its own come first. This reads the trace as all that ever
    happens; a schedule in which a worker takes another branch may know better.
    ``values``: with the edges through variables that are changed indivisibly.
    """
    edges = _lives(steps)
    if values:
        edges += _reads_from(steps)
    for name, events in _by_thing(steps).items():
        thing = steps.things[name]
        own = [seq for seq in events if steps.targets[seq] == name]
        if thing.type == "condition":
            edges += _needed(steps, own, NOTIFY, WAKE, 1, "notify")
        elif thing.type in ("lock", "rlock"):
            if not exclusive(steps, thing, own):
                edges += _tokens(steps, own, 1)
        elif thing.type in ("semaphore", "bounded_semaphore"):
            if thing.value != 1:
                edges += _counted(steps, own, RELEASE, ACQUIRE, thing.value, "permit")
            elif not exclusive(steps, thing, own):
                # taken by one and given back by another: it says something, it is no lock
                edges += _tokens(steps, own, 1)
        elif thing.type == "event":
            edges += _needed(steps, own, SET, WAKE, 1, "set")
        elif thing.type == "barrier":
            if len({steps.workers[seq] for seq in own}) == thing.parties:
                edges += _barrier(steps, own, thing.parties)
        elif thing.type == "queue":
            # who got this very item got it from this very put, in any schedule
            edges += _items(steps, own, thing.order)
            edges += _counted(steps, own, PUT, GET, 0, "item")
            if thing.maxsize > 0:
                edges += _counted(steps, own, GET, PUT, thing.maxsize, "room")
    return edges


def exclusive(steps: Steps, thing: Thing, events: Sequence[int]) -> bool:
    """Whether an object keeps workers apart here: whoever releases it has taken it before."""
    if thing.type in ("semaphore", "bounded_semaphore") and thing.value != 1:
        return False
    held: dict[int, int] = defaultdict(int)
    for seq in events:
        worker = steps.workers[seq]
        if steps.kinds[seq] == ACQUIRE and _got(steps, seq):
            held[worker] += 1
        elif steps.kinds[seq] == RELEASE and not failed(steps.results[seq]):
            held[worker] -= 1
            if held[worker] < 0:
                return False
    return True


def _made(steps: Steps, seq: int) -> int:
    """How many an event makes of what others need."""
    result = steps.results[seq]
    if failed(result) or (steps.kinds[seq] == PUT and result is not True):
        return 0
    if steps.kinds[seq] == RELEASE:
        n = steps.events.table[steps.shapes[seq]].n
        return n if type(n) is int else 1
    return 1


def _needed(
    steps: Steps, events: Sequence[int], give: int, take: int, n: int, why: str
) -> list[Edge]:
    """Each wait that came to its good end takes ``n``, which are there to stay."""
    return _shares(
        steps, events, give, lambda seq: steps.kinds[seq] in (WAIT, take)
        and steps.results[seq] is True, lambda taken: n, why,
    )  # fmt: skip


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
    steps: Steps, events: Sequence[int], give: int, takes: Any, need: Any, why: str
) -> list[Edge]:
    """``takes(seq)``: whether an event takes; ``need(k)``: how many must have been given before a
    worker's take number k (from 0)."""
    given: dict[int, list[int]] = defaultdict(list)  # by worker, a seq for each one given
    for seq in events:
        if steps.kinds[seq] == give:
            given[steps.workers[seq]] += [seq] * _made(steps, seq)
    total = sum(map(len, given.values()))
    edges = []
    taken: dict[int, int] = defaultdict(int)
    own: dict[int, int] = defaultdict(int)  # given so far by this worker itself
    for seq in events:
        worker = steps.workers[seq]
        if steps.kinds[seq] == give:
            own[worker] += _made(steps, seq)
        if not takes(seq):
            continue
        n = need(taken[worker])
        taken[worker] += 1
        if n <= 0:
            continue
        # what this worker gives only later cannot be what it takes now
        available = total - len(given.get(worker, ())) + own[worker]
        for other, seqs in given.items():
            share = n - (available - len(seqs))
            if other != worker and 0 < share <= len(seqs) and seqs[share - 1] < seq:
                edges.append(Edge(seqs[share - 1], seq, why))
    return edges
