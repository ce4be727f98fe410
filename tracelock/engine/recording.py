"""From what happened to a trace: the events of a run in the names and keys of the format."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from operator import sub
from typing import Any, Final

from tracelock.engine.controller import Entry
from tracelock.ops import (
    ACQUIRE,
    ATOMIC,
    CALL,
    CANCEL,
    CHOOSE,
    CLEAR,
    COMPARE_EXCHANGE,
    CRASH,
    EMPTY,
    EXCHANGE,
    FETCH_ADD,
    GET,
    JOIN,
    NAMES,
    NOTIFY,
    ON_WORKER,
    PUT,
    READ,
    RELEASE,
    SET,
    SLEEP,
    WAIT,
    WAKE,
    WRITE,
    Layout,
    Op,
    Raised,
    Value,
)
from tracelock.trace import MISSING, Events
from tracelock.trace.events import ACCEPTED

#: Kinds whose event has a result (a wait that blocks has none: its wake has).
RESULTS: Final = frozenset({
    READ, COMPARE_EXCHANGE, EXCHANGE, FETCH_ADD, ATOMIC, ACQUIRE, WAKE, NOTIFY, PUT, GET, JOIN,
    CALL, CHOOSE,
})  # fmt: skip
#: What an atomic step has in its result that depends on everything.
EVERYTHING: Final = "everything"
#: Kinds whose ``op.value`` goes into the event as its value.
VALUES: Final = frozenset({WRITE, COMPARE_EXCHANGE, EXCHANGE, FETCH_ADD, PUT, SLEEP, CALL})
#: Kinds whose ``op.expect`` is how many items a container had, for people.
SIZED: Final = frozenset({READ, WRITE})
#: Kinds whose ``op.value`` is a count.
COUNTS: Final = frozenset({RELEASE, NOTIFY})
#: The optional key of a call's event for what came of it, where that is outside of the run.
OUTSIDE: Final = "outside"
#: Under which optional key the remark of an op is told, and as what (None: as it is).
_REMARKS: Final[dict[int, tuple[str, Any]]] = {
    RELEASE: ("raised", None), CANCEL: ("swallowed", True), READ: ("by", None),
    WRITE: ("by", None), CHOOSE: ("chosen", None), SET: ("to", None),
    ATOMIC: ("to", None), CLEAR: ("to", None),
    GET: (ACCEPTED, None),
}  # fmt: skip


def target_name(layout: Layout, kind: int, op: Op) -> str | None:
    """The name of what an op is about, None for nothing."""
    if kind == CALL:
        return str(op.body)
    if kind == CHOOSE:
        return str(op.body.name)
    if op.target < 0:
        return None
    return layout.workers[op.target].name if op.kind in ON_WORKER else layout.names[op.target]


def shape_of(events: Events, layout: Layout, kind: int, op: Op) -> int:
    """The number of the shape of this op's events in ``events``."""
    timeout: Any = op.timeout if op.timeout is not None else MISSING
    if not op.blocking and kind in (ACQUIRE, PUT, GET, WAIT):
        timeout = 0
    n: Any = MISSING
    if kind in COUNTS and op.value not in (None, 1):
        n = op.value if op.value.__class__ is int else MISSING
    elif kind == CHOOSE:
        n = op.body.count
    return events.shape(NAMES[kind], target_name(layout, kind, op), op.at, timeout, n)


def value_of(layout: Layout, kind: int, op: Op, result: Value) -> Any:
    """What went in, as the event's ``value``."""
    if kind in VALUES or (kind == CRASH and op.value is not None):
        return op.value  # of a crash: how something outside did it
    if kind == CHOOSE:
        return op.body.shown
    if kind == ATOMIC and result.__class__ is dict:
        return _named(layout, result, "writes")
    return MISSING


def _named(layout: Layout, result: Any, what: str) -> dict[str, Any]:
    """By name what an atomic step has read, or written; of one that depends on all that there is,
    whatever it did, nothing is told."""
    if EVERYTHING in result:
        return {}
    return {layout.names[number]: value for number, value in result[what].items()}


def result_of(layout: Layout, kind: int, result: Value) -> Any:
    """What came out, as the event's ``result``."""
    if result.__class__ is Raised:
        return {"error": result.kind}
    if result is EMPTY:
        return {"error": "Empty"}
    if kind == ATOMIC:
        return _named(layout, result, "reads")
    if kind in RESULTS or (kind == WAIT and result is not None):
        return result if kind != CALL else plain(result)
    return MISSING


def plain(value: Any) -> Any:
    """A value of trusted code as JSON: itself where it is JSON, else its type's name."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if value - value == 0.0 else repr(value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return f"<{type(value).__name__}>"


def places_in(log: Iterable[Entry]) -> set[str]:
    """All places of the steps of a log, and of who called the standard library for them."""
    steps = [(entry[1], entry[2]) for entry in log]
    return {op.at for _, op in steps} | {
        op.remark for kind, op in steps if op.remark and kind in (READ, WRITE)
    }


class Shapes:
    """Finds the shape of an op quickly: an op object seen before costs one dictionary look-up."""

    def __init__(self, events: Events, layout: Layout) -> None:
        self._events = events
        self._layout = layout
        self._known: dict[tuple[int, int], tuple[Op, int]] = {}

    def __call__(self, kind: int, op: Op) -> int:
        # the op is kept beside its number: an id is only good while its object lives
        known = self._known.get((id(op), kind))
        if known is None:
            known = (op, shape_of(self._events, self._layout, kind, op))
            self._known[id(op), kind] = known
        return known[1]


def record_log(layout: Layout, log: Iterable[Entry]) -> Events:
    """The events of a controlled run; times are virtual, in ns."""
    events = Events()
    shapes: Callable[[int, Op], int] = Shapes(events, layout)
    for worker, kind, op, result, options, now in log:
        enabled = None if options is None else [other for other in options if other != worker]
        events.append(
            worker,
            shapes(kind, op),
            round(now * 1e9),
            value_of(layout, kind, op, result),
            result_of(layout, kind, result),
            op.expect if kind == COMPARE_EXCHANGE else MISSING,
            -1,
            enabled,
        )
        if op.remark and kind in _REMARKS:
            key, value = _REMARKS[kind]
            extra = events.extras.setdefault(len(events) - 1, {})
            extra[key] = value if value is not None else op.remark
        if op.expect is not None and kind in SIZED:
            events.extras.setdefault(len(events) - 1, {})["size"] = op.expect
        elif kind == CALL and op.expect is not None:
            events.extras.setdefault(len(events) - 1, {})[OUTSIDE] = op.expect
    return events


def record_columns(
    layout: Layout,
    workers: Sequence[int],
    kinds: Sequence[int],
    ops: Sequence[Op],
    results: Sequence[Value],
    times: Sequence[int],
    start: int,
    waits: Sequence[Mapping[int, int]],
) -> Events:
    """The events of a free run, given as columns in their order.

    ``times`` are stamps in ns, ``start`` the stamp of the run's start; ``waits``: for each
    worker the ns it waited for its event number k, by k.
    """
    events = Events()
    known: dict[int, int] = {}
    values: list[Any] = []
    shown: list[Any] = []
    shapes = array("I")
    expects: dict[int, Any] = {}
    add_value, add_result, add_shape = values.append, shown.append, shapes.append
    writes: dict[tuple[str, int], int] = {}
    count = len(NAMES)
    for kind, op, result in zip(kinds, ops, results, strict=True):
        if kind == WRITE:
            # a write's op is made for it alone: known by its place in the scenario
            place = (op.at, op.target)
            shape = writes.get(place)
            if shape is None:
                shape = writes[place] = shape_of(events, layout, kind, op)
            add_shape(shape)
            add_value(op.value)
            add_result(MISSING)
            continue
        # ``ops`` keeps them all alive, so that an id means one op
        key = id(op) * count + kind
        shape = known.get(key)
        if shape is None:
            shape = known[key] = shape_of(events, layout, kind, op)
        add_shape(shape)
        if kind == READ or (kind == ACQUIRE and result is True):
            add_value(MISSING)
            add_result(result)
        elif kind == RELEASE and result is None:
            add_value(MISSING)
            add_result(MISSING)
        else:
            add_value(value_of(layout, kind, op, result))
            add_result(result_of(layout, kind, result))
            if kind == COMPARE_EXCHANGE:
                expects[len(values) - 1] = op.expect
    waited: array[int] | None = None
    if any(waits):
        waited = array("q", [-1]) * len(values)
        seen = [0] * len(waits)
        for spot, worker in enumerate(workers):
            number = seen[worker]
            seen[worker] = number + 1
            ns = waits[worker].get(number)
            if ns is not None:
                waited[spot] = ns
    # stamps never decrease: if the first is not before the start, none is
    since = array("q", map(sub, times, repeat(start)))
    if since and since[0] < 0:
        since = array("q", (max(0, t) for t in since))
    events.extend_columns(workers, shapes, since, values, shown, waited, expects)
    return events
