"""What each operation of a socket in memory is made of: its step, and who is told of it."""

from __future__ import annotations

from typing import Any

from tracelock.engine.controller import Controller
from tracelock.errors import ModelMismatch
from tracelock.instrument.callers import caller
from tracelock.instrument.network.ends import Direction, End
from tracelock.instrument.network.table import network_of
from tracelock.instrument.worker import Worker
from tracelock.objects.streams import SHUT
from tracelock.ops import SET, Op, Value


def step(
    worker: Worker, kind: int, number: int, value: Any = None, wait: float | None = 0.0,
    at: str = "",
) -> Value:  # fmt: skip
    """The step itself. ``wait``: for how long, None for ever, 0 not at all."""
    op = Op(kind, number, at or caller(worker, 3), value, wait or None, wait is None or wait > 0)
    return worker.step(op)


def end_way(
    worker: Worker, way: Direction | None, other: Direction | None, value: Any = None
) -> None:  # fmt: skip
    """The step that ends ``way``. What comes of it for those at ``other``, the other direction of
    the connection, a reset or the kind of an error, depends on it too."""
    assert way is not None and other is not None
    seen = (number_of(worker, other),)
    worker.step(Op(SET, number_of(worker, way), caller(worker, 3), value, body=seen))


def note_user(worker: Worker, end: End) -> None:
    """``worker`` has sent or received something at ``end``. An error goes to whichever operation
    comes first: of those of several workers, at both directions, not each order is tried."""
    if not end.user:
        end.user = worker.label
    elif end.user != worker.label:
        end.shared = True
    if end.shared and end.failed:
        worker.doubt(
            f"a connection that was reset while several workers used one end of it ({end.name})",
            "which of them learns of it was not tried in every order",
        )


def is_late(worker: Worker) -> bool:
    """Whether the last step was that time ran out."""
    controller: Controller = worker.hub.controller
    return controller.fired


def number_of(worker: Worker, way: Direction) -> int:
    if way.number < 0:
        way.number = network_of(worker.hub).number(way.name, "stream")
    return way.number


def agree(worker: Worker, way: Direction) -> None:
    """The model of a direction says what there is, or it is wrong."""
    model: Any = worker.hub.controller.models[way.number]
    if not model.ended and not way.mixed and model.held != way.held:
        raise ModelMismatch(f"{way.name}: {model.held} bytes, and there are {way.held}")
    model.held, model.hidden = way.held, way.unseen
    if way.mixed:
        model.capacity = way.capacity


def not_sent(worker: Worker, way: Direction) -> None:
    """Who has asked for it could not send. The model may have taken the bytes: while a direction
    is cut it does not end, since its reader cannot see that, though its sender knows."""
    model: Any = worker.hub.controller.models[way.number]
    if not model.ended and model.held != len(way.buffer):
        worker.record(False)
        model.held, model.hidden = len(way.buffer), way.hidden


def tell(worker: Worker, *ends: End | None) -> None:
    """These may be ready for something else now."""
    for end in ends:
        if end is not None and end.watchers:
            end.version += 1
            for watcher in tuple(end.watchers):
                watcher.changed(worker, end)


def reset_by_unknown(worker: Worker, end: End) -> None:
    """What ``end`` has sent is answered by a reset, since its connection is not known there."""
    end_way(worker, end.incoming, end.outgoing, SHUT)
    end_way(worker, end.outgoing, end.incoming, SHUT)
    if not end.closed:
        end.reset()
    tell(worker, end)


def timed_out() -> TimeoutError:
    return TimeoutError("timed out")
