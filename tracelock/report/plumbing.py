"""Events of real code that say nothing of the program's logic: those that starting and joining, the
loop, looking up an object, and asking whether a fault comes in are made of. They are folded unless
somebody asks for all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import replace
from typing import Final

from tracelock.report.timeline import Carried, Row, Switch, Timeline
from tracelock.trace import MISSING, Event, Trace
from tracelock.trace.network import BUDGET

__all__ = ["of_the_loop", "plumbing_of", "without_plumbing"]

#: Operations that only start workers, wait for their end, or let a loop go on.
_OPS: Final = frozenset({"checkpoint", "spawn", "join"})
#: How the names of the workers begin that are the loop itself.
LOOP: Final = "loop:"


def plumbing_of(trace: Trace) -> frozenset[int]:
    """The events to fold, by ``seq``. A look-up of an object is one of a variable that had its
    value before any other worker looked, so that it could be nothing else."""
    events = trace.events
    loops = {place for place, name in enumerate(trace.workers) if name.startswith(LOOP)}
    written: dict[str, int] = {}
    used: defaultdict[str, dict[int, int]] = defaultdict(dict)  # first use by each worker
    table = events.table
    for seq, (worker, shape) in enumerate(zip(events.workers, events.shapes, strict=True)):
        op, target = table[shape].op, table[shape].target
        if target is not None and op in ("read", "write"):
            used[target].setdefault(worker, seq)
            if op == "write":
                written[target] = seq
        elif target is not None:
            written.setdefault(target, len(events.values))
    fixed = {
        target for target, users in used.items()
        if (last := written.get(target, -1)) < 0
        or (last < len(events.workers) and all(
            first > last or worker == events.workers[last] for worker, first in users.items()
        ))
    }  # fmt: skip
    return frozenset(
        seq for seq, (worker, shape) in enumerate(zip(events.workers, events.shapes, strict=True))
        if worker in loops or table[shape].op in _OPS or table[shape].target == BUDGET
        or (table[shape].target in fixed and _names_an_object(events[seq]))
    )  # fmt: skip


def of_the_loop(sentence: str) -> bool:
    """Whether a sentence about two steps is of the loop's own, of which nobody has written any."""
    return LOOP in sentence or "checkpoint loop" in sentence


def _names_an_object(event: Event) -> bool:
    """Whether an event reads or writes an object of which only the class is known."""
    value = event.value if event.value is not MISSING else event.result
    whole = "size" not in event.extra and not (event.target or "").endswith("[]")
    return whole and event.op in ("read", "write") and type(value) is str and value.startswith("<")


def without_plumbing(line: Timeline, folded: Collection[int]) -> Timeline:
    """A timeline without these events; the reason of a switch, and messages, stay with the row that
    is left."""
    rows: list[Row] = []
    pending: list[Switch] = []
    came: tuple[Carried, ...] = ()
    for row in line.rows:
        if row.switch is not None:
            pending.append(row.switch)
        came += row.came
        if row.seq in folded:
            continue
        before = rows[-1].worker if rows else None
        switch = None
        if before is not None and before != row.worker:
            switch = next((one for one in pending if one.left == before), row.switch)
        rows.append(replace(row, switch=switch, came=came))
        pending, came = [], ()
    gone = tuple(row.seq for row in line.rows if row.seq in folded)
    return replace(line, rows=rows, folded=gone)
