"""Faults of one direction of a connection: it is late, its reader is slow, it ends too early."""

from __future__ import annotations

from typing import Any, Final

from tracelock.instrument.callers import caller
from tracelock.instrument.network.ends import End
from tracelock.instrument.network.partitions import LENGTHS, arrives
from tracelock.instrument.network.steps import number_of, tell
from tracelock.instrument.network.table import network_of
from tracelock.instrument.worker import Worker
from tracelock.objects.streams import CUT
from tracelock.ops import CHOOSE, CLEAR, SET, Alternatives, Op

DELAY: Final = "delay"
SLOW: Final = "slow reader"
HALF: Final = "half-closed"
#: The window of a slow reader, in bytes: the least with which anything gets through.
WINDOW: Final = 1
_LENGTH: Final = "length of a delay"


def may_be_slow(end: End) -> list[str]:
    """The faults that may come in where ``end`` sends something."""
    way = end.outgoing
    if way is None or way.ended or way.deaf:
        return []
    return [*([] if way.cut else [DELAY]), *([SLOW] if way.capacity > WINDOW else [])]


def may_end(end: End) -> list[str]:
    """The faults that may come in where ``end`` receives something."""
    way = end.incoming
    return [] if way is None or way.ended or way.over or way.cut else [HALF]


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
    way.cut = True

    def over(by: Worker) -> None:
        peer = end.peer
        parted = peer is not None and network.hosts.apart(end.host, peer.host)
        if way.cut and not parted:  # else it is healed with the partition
            arrives(by, end, way)

    network.background.after(worker, list(LENGTHS)[number], over)


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
    worker.step(Op(SET, number_of(worker, way), caller(worker), remark=HALF))
    way.ended = way.over = end.done = True
    tell(worker, end, end.peer)
