"""Faults of one direction of a connection: it is late, its reader is slow, it ends too early."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tracelock.instrument.callers import caller
from tracelock.instrument.network.ends import Direction, End
from tracelock.instrument.network.faults import Condition
from tracelock.instrument.network.partitions import LENGTHS, arrives
from tracelock.instrument.network.steps import number_of, tell
from tracelock.instrument.network.table import network_of
from tracelock.instrument.worker import Worker
from tracelock.objects.streams import CUT, SHUT
from tracelock.ops import CHOOSE, CLEAR, SET, Alternatives, Op

DELAY: Final = "delay"
SLOW: Final = "slow reader"
HALF: Final = "half-closed"
#: The window of a slow reader, in bytes: the least with which anything gets through.
WINDOW: Final = 1
_LENGTH: Final = "length of a delay"


def may_be_slow(worker: Worker, end: End) -> dict[str, Condition]:
    """The faults that may come in where ``end`` sends something."""
    way = end.outgoing
    if way is None:
        return {}

    def goes_on() -> bool:
        return not (way.ended or way.deaf)

    return {
        DELAY: _of(worker, way, lambda: goes_on() and not way.cut),
        SLOW: _of(worker, way, lambda: goes_on() and way.capacity > WINDOW),
    }


def may_end(worker: Worker, end: End) -> dict[str, Condition]:
    """The faults that may come in where ``end`` receives something."""
    way = end.incoming
    if way is None:
        return {}
    return {HALF: _of(worker, way, lambda: not (way.ended or way.over or way.cut))}


def _of(worker: Worker, way: Direction, holds: Callable[[], bool]) -> Condition:
    return Condition(lambda: (number_of(worker, way),), holds)


def delay(worker: Worker, end: End) -> None:
    """What ``end`` sends from now on arrives later, so that what is sent on other connections after
    it may come before it. For how long is a choice."""
    network, way, told = network_of(worker.hub), end.outgoing, list(LENGTHS.values())
    assert way is not None
    op = Op(CHOOSE, -1, caller(worker), body=Alternatives(_LENGTH, len(told), told))
    op.remark = told[0]
    number: Any = worker.do(op)
    op.remark = told[number]
    worker.step(Op(SET, number_of(worker, way), caller(worker), CUT, remark="delayed"))
    way.cuts += 1
    network.background.after(worker, list(LENGTHS)[number], lambda by: arrives(by, end, way))


def slow_down(worker: Worker, end: End) -> None:
    """Who reads what ``end`` sends has no more room than for one byte from now on."""
    way = end.outgoing
    assert way is not None
    worker.step(Op(CLEAR, number_of(worker, way), caller(worker), remark="a window of one byte"))
    model: Any = worker.hub.controller.models[way.number]
    way.capacity = model.capacity = WINDOW


def end_early(worker: Worker, end: End) -> None:
    """Nothing more comes to ``end`` than what has come, though it can still send."""
    way = end.incoming
    assert way is not None
    # at once, if a partition has come in between this and the choice, too
    worker.step(Op(SET, number_of(worker, way), caller(worker), SHUT, remark=HALF))
    way.ended = way.over = end.done = True
    tell(worker, end, end.peer)
