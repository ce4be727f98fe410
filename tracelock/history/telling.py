"""What a check came to, as text: the longest explained beginning, and the calls side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from tracelock.history.operations import Operation

if TYPE_CHECKING:
    from tracelock.history.checking import Linearized

#: Calls that a timeline shows before the one that is not explained, and after its beginning.
_BEFORE: Final = 12
_AFTER: Final = 6
#: Calls of the explained order that are told.
_ORDER: Final = 12


def tell(result: Linearized) -> str:
    """The verdict, why, what is explained, and the timeline."""
    lines = [result.verdict if not result.reason else f"{result.verdict}: {result.reason}"]
    if result.stuck is not None:
        order = result.order
        shown = [f"{one} [{one.worker}]" for one in order[-_ORDER:]]
        if len(order) > _ORDER:
            shown.insert(0, f"({len(order) - _ORDER} calls)")
        lines.append(f"  explained in this order: {'; '.join(shown) or 'nothing'}")
        lines.append(f"  after that {result.stuck.call}: {', or '.join(result.expected)}")
        lines += [f"  {line}" for line in result.timeline().splitlines()]
    return "\n".join(lines)


def timeline(operations: Sequence[Operation], stuck: Operation | None, width: int = 100) -> str:
    """The calls around ``stuck`` (the first ones without it), a line for each worker; from left to
    right is the order of the events, each call from its bar at the beginning to that at its end;
    one that has none goes on to the right. A part that is wider than ``width`` is cut into
    several."""
    shown = _around(operations, stuck)
    if not shown:
        return "(no calls)"
    events: list[tuple[int, bool, Operation]] = []
    for one in shown:
        events.append((one.start, True, one))
        if one.end is not None:
            events.append((one.end, False, one))
    events.sort(key=lambda event: event[0])
    begins: dict[int, int] = {}
    ends: dict[int, int] = {}
    at = 0
    for _, starting, one in events:
        if starting:
            begins[id(one)] = at
            at += 2
        else:
            at = max(at, begins[id(one)] + len(_label(one, stuck)) + 3)
            ends[id(one)] = at
            at += 2
    total = max([at, *(begins[id(one)] + len(_label(one, stuck)) + 4 for one in shown)])
    workers = list(dict.fromkeys(one.worker for one in shown))
    names = max(map(len, workers))
    rows = []
    for worker in workers:
        row = [" "] * total
        for one in shown:
            if one.worker == worker:
                first, last = begins[id(one)], ends.get(id(one), total)
                label = f"| {_label(one, stuck)} ".ljust(last - first)
                row[first:last] = label[: last - first]
                if id(one) in ends:
                    row[last : last + 1] = "|"
        rows.append((worker, "".join(row)))
    room = max(20, width - names - 2)
    parts = [
        "\n".join(f"{worker:<{names}}  {row[at : at + room]}".rstrip() for worker, row in rows)
        for at in range(0, total, room)
    ]
    return "\n\n".join(parts)


def _around(operations: Sequence[Operation], stuck: Operation | None) -> list[Operation]:
    every = sorted(operations, key=lambda one: one.start)
    if stuck is None:
        return every[: _BEFORE + _AFTER]
    place = every.index(stuck)
    # those that overlap it count for more than those that lie between
    return every[max(0, place - _BEFORE) : place + _AFTER]


def _label(one: Operation, stuck: Operation | None) -> str:
    return f"{one} (?)" if one is stuck else str(one)
