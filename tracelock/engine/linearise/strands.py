"""What clocks tell of the events of one object: for each, between which moments it happened."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterable, Sequence
from typing import Final

from tracelock.engine.linearise.history import NEVER, Record, stamp_after, stamp_before
from tracelock.objects import Model, frozen
from tracelock.objects.locks import ConditionModel, SemaphoreModel
from tracelock.objects.waits import EventModel
from tracelock.ops import ACQUIRE, EMPTY, GET, PUT, RELEASE, TIMEOUT, WAIT, WAKE, Raised


class Strand:
    """One worker's events at one object (or at all): places in its log, and for each its bounds.

    ``low``, ``high``: it took effect within. ``chain``: the stamp of the first event from here
    on whose stamp orders it among its like, or NEVER; ``linked`` says whether it is this one.
    ``quiet``: it leaves the object as it is, so it may happen as soon as it can. Of a queue:
    ``out_low``, ``out_high``: between when the item that it puts was got (NEVER: it was not);
    ``soonest``: the earliest ``out_high`` of this and the puts after it.
    """

    __slots__ = (
        "chain", "high", "linked", "low", "out_high", "out_low", "places", "quiet", "soonest",
        "worker",
    )  # fmt: skip

    def __init__(self, worker: int) -> None:
        self.worker = worker
        self.places = array("q")
        self.low = array("q")
        self.high = array("q")
        self.chain = array("q")
        self.linked = bytearray()
        self.quiet = bytearray()
        self.out_low = array("q")
        self.out_high = array("q")
        self.soonest = array("q")


def make_strand(
    worker: int,
    log: Sequence[Record],
    places: Iterable[int],
    models: Sequence[Model | None],
    first: int,
    last: int,
) -> Strand:
    """The strand of ``worker`` with the events at ``places`` of its log.

    ``first``, ``last``: the bounds of its life. An exact stamp bounds its event on one side
    only; on the other the stamp of its neighbour in the log does.
    """
    strand = Strand(worker)
    low = first
    for place in places:
        record = log[place]
        kind, op, result, t, t0 = record
        model = models[op.target] if is_on_object(record) else None
        if model is None:
            start, end = t0 or stamp_before(log, place, first), t
            linked, quiet = False, True
        else:
            condition = isinstance(model, ConditionModel)
            refused = result is False or result is EMPTY or result.__class__ is Raised
            after = kind == ACQUIRE or (kind == WAKE and condition)
            before = kind == RELEASE or (kind == WAIT and condition)
            if t0:
                start, end = t0, t
            else:
                start = t if before else stamp_before(log, place, first)
                end = t if after else stamp_after(log, place, last)
                if kind == RELEASE and place + 1 < len(log) and log[place + 1][4] > t:
                    # the next op's own clock was read when this one was over
                    end = min(end, log[place + 1][4])
            linked = not t0 and (after or before) and not isinstance(model, SemaphoreModel)
            linked = linked and (kind == WAKE or not refused)
            if kind == TIMEOUT:
                # one whose time ran out takes no notification, however early it ran out
                quiet = True
            elif kind == WAKE:
                quiet = False
            else:
                # a put that raises has changed a priority queue all the same
                quiet = refused and (kind != PUT or result is False)
                quiet = quiet or (kind == WAIT and result is True and isinstance(model, EventModel))
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


def pair_items(logs: Sequence[Sequence[Record]], strands: Sequence[Strand], fifo: bool) -> None:
    """When the item of each put of a queue was got: ``out_low``, ``out_high``, ``soonest``.

    Of equal items in a fifo queue the first put is the first got; which of them is first may be
    open, so that the bounds get wider. Equal items of a stack are left open altogether.
    """
    puts: dict[Hashable, tuple[list[int], list[int]]] = {}
    gets: dict[Hashable, tuple[list[int], list[int]]] = {}
    for strand in strands:
        for i, place in enumerate(strand.places):
            kind, op, result, _, _ = logs[strand.worker][place]
            if kind == PUT and result is True:
                lows, highs = puts.setdefault(frozen(op.value), ([], []))
            elif kind == GET and result is not EMPTY:
                lows, highs = gets.setdefault(frozen(result), ([], []))
            else:
                continue
            lows.append(strand.low[i])
            highs.append(strand.high[i])
    for lows, highs in (*puts.values(), *gets.values()):
        lows.sort()
        highs.sort()
    for strand in strands:
        n = len(strand.places)
        strand.out_low, strand.out_high = array("q", [-NEVER]) * n, array("q", [NEVER]) * n
        strand.soonest = array("q", [NEVER]) * n
        soonest = NEVER
        for i in range(n - 1, -1, -1):
            kind, op, result, _, _ = logs[strand.worker][strand.places[i]]
            if kind == PUT and result is True:
                item = frozen(op.value)
                lows, highs = puts[item]
                if fifo or len(lows) == 1:
                    # at least so many equal items were put before this one, and at most
                    least = bisect_left(highs, strand.low[i])
                    most = bisect_right(lows, strand.high[i]) - 1
                    lows, highs = gets.get(item, _NOTHING)
                    strand.out_low[i] = lows[least] if least < len(lows) else NEVER
                    strand.out_high[i] = highs[most] if most < len(highs) else NEVER
                    soonest = min(soonest, strand.out_high[i])
            strand.soonest[i] = soonest


_NOTHING: Final[tuple[list[int], list[int]]] = ([], [])
