"""What clocks tell of the events of one object: for each, between which moments it happened."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Hashable, Sequence

from tracelock.engine.history import NEVER, Record, stamp_after, stamp_before
from tracelock.objects import Model, frozen
from tracelock.objects.plain import Condition, Event, Semaphore
from tracelock.ops import ACQUIRE, EMPTY, GET, PUT, RELEASE, TIMEOUT, WAIT, WAKE, Raised


class Strand:
    """One worker's events at one object (or at all): places in its log, and for each its bounds.

    ``low``, ``high``: it took effect within. ``chain``: the stamp of the first event from here
    on whose stamp orders it among its like, or NEVER; ``linked`` says whether it is this one.
    ``quiet``: it leaves the object as it is, so it may happen as soon as it can. ``partner``,
    ``soonest``: for a put, the earliest moment at which its item was got, and the earliest by
    which one of the items still to be put had been.
    """

    __slots__ = (
        "chain", "high", "linked", "low", "partner", "places", "quiet", "soonest", "worker",
    )  # fmt: skip

    def __init__(self, worker: int) -> None:
        self.worker = worker
        self.places = array("q")
        self.low = array("q")
        self.high = array("q")
        self.chain = array("q")
        self.linked = bytearray()
        self.quiet = bytearray()
        self.partner = array("q")
        self.soonest = array("q")


def make_strand(
    worker: int,
    log: Sequence[Record],
    models: Sequence[Model | None],
    numbers: Collection[int],
    everything: bool,
    first: int,
    last: int,
) -> Strand:
    """The strand of ``worker`` at the objects ``numbers``; with ``everything`` its whole log.

    ``first``, ``last``: the bounds of its life. An exact stamp bounds its event on one side
    only; on the other the stamp of its neighbour in the log does.
    """
    strand = Strand(worker)
    low = first
    for place, record in enumerate(log):
        kind, op, result, t, t0 = record
        model = models[op.target] if is_on_object(record) else None
        if model is None or op.target not in numbers:
            if not everything:
                continue
            start, end = t0 or stamp_before(log, place, first), t
            linked, quiet = False, True
        else:
            condition = isinstance(model, Condition)
            refused = result is False or result is EMPTY or result.__class__ is Raised
            after = kind == ACQUIRE or (kind == WAKE and condition)
            before = kind == RELEASE or (kind == WAIT and condition)
            if t0:
                start, end = t0, t
            else:
                start = t if before else stamp_before(log, place, first)
                end = t if after else stamp_after(log, place, last)
            linked = not t0 and (after or before) and not isinstance(model, Semaphore)
            linked = linked and (kind == WAKE or not refused)
            if kind == TIMEOUT:
                # one whose time ran out takes no notification, however early it ran out
                quiet = True
            elif kind == WAKE:
                quiet = False
            else:
                # a put that raises has changed a priority queue all the same
                quiet = refused and (kind != PUT or result is False)
                quiet = quiet or (kind == WAIT and result is True and isinstance(model, Event))
        low = max(low, start)
        strand.places.append(place)
        strand.low.append(low)
        strand.high.append(max(end, low))
        strand.chain.append(t if linked else NEVER)
        strand.linked.append(linked)
        strand.quiet.append(quiet)
    for i in range(len(strand.places) - 2, -1, -1):
        strand.high[i] = max(strand.low[i], min(strand.high[i], strand.high[i + 1]))
        if not strand.linked[i]:
            strand.chain[i] = strand.chain[i + 1]
    return strand


def is_on_object(record: Record) -> bool:
    """Whether the event is one of an object: of its model."""
    kind = record[0]
    return ACQUIRE <= kind <= GET or (kind == TIMEOUT and record[1].target >= 0)


def pair_items(logs: Sequence[Sequence[Record]], strands: Sequence[Strand]) -> None:
    """Where all items of a queue differ: when what is put was got, in ``partner`` and ``soonest``."""
    got: dict[Hashable, tuple[int, int]] = {}
    put: set[Hashable] = set()
    distinct = True
    for strand in strands:
        for i, place in enumerate(strand.places):
            kind, op, result, _, _ = logs[strand.worker][place]
            if kind == GET and result is not EMPTY:
                distinct = distinct and frozen(result) not in got
                got[frozen(result)] = (strand.low[i], strand.high[i])
            elif kind == PUT and result is True:
                distinct = distinct and frozen(op.value) not in put
                put.add(frozen(op.value))
    for strand in strands:
        n = len(strand.places)
        strand.partner, strand.soonest = array("q", [-NEVER]) * n, array("q", [NEVER]) * n
        soonest = NEVER
        for i in range(n - 1, -1, -1) if distinct else ():
            kind, op, result, _, _ = logs[strand.worker][strand.places[i]]
            if kind == PUT and result is True:
                strand.partner[i], high = got.get(frozen(op.value), (NEVER, NEVER))
                soonest = min(soonest, high)
            strand.soonest[i] = soonest
