"""Messages between workers as the rows of a timeline have them, for a terminal.

Each stands with the row at which it is received; one that was lost with the row where it was sent.
On a loop of asyncio callbacks receive: where these are not shown, bytes are those of the worker
that sends in the other direction of the connection.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from tracelock.report.arrows import Message, messages
from tracelock.report.plumbing import LOOP
from tracelock.report.timeline import Carried, Timeline
from tracelock.report.wording import clean
from tracelock.trace import Trace
from tracelock.trace.network import DIRECTIONS, OPPOSITE

__all__ = ["receivers", "with_messages"]


def with_messages(trace: Trace, line: Timeline, *, callbacks: bool) -> Timeline:
    """The timeline of ``trace``, in which each row has the messages that it receives.
    ``callbacks``: whether those that a loop makes have a column of their own."""
    found = messages(trace)
    if not found:
        return line
    names = [clean(name) for name in trace.workers]
    owners = trace.events.workers if callbacks else receivers(trace, found)
    came: defaultdict[int, list[Carried]] = defaultdict(list)
    for one in found:
        source = trace.events.workers[one.source]
        if one.dest < 0:
            came[one.source].append(Carried(source, names[source], -1, "", f"{one.what} lost"))
            continue
        dest = owners[one.dest]
        hidden = not callbacks and names[dest].startswith(LOOP)
        if dest != source and not hidden:
            text = f"{one.what} of {one.source}"
            came[one.dest].append(Carried(source, names[source], dest, names[dest], text))
    rows = [replace(row, came=tuple(came.get(row.seq, ()))) for row in line.rows]
    return replace(line, rows=rows)


def receivers(trace: Trace, found: list[Message]) -> dict[int, int]:
    """By event that receives one of these messages the worker that it is for."""
    events = trace.events
    loops = {place for place, name in enumerate(trace.workers) if name.startswith(LOOP)}
    senders: dict[str, int] = {}
    if loops:
        for worker, shape in zip(events.workers, events.shapes, strict=True):
            one = events.table[shape]
            if one.op == "put" and worker not in loops:
                senders.setdefault(one.target or "", worker)
    owners: dict[int, int] = {}
    for message in found:
        worker = events.workers[message.dest] if message.dest >= 0 else -1
        if worker in loops:
            name = events.table[events.shapes[message.dest]].target or ""
            end = next((one for one in DIRECTIONS if name.endswith(one)), "")
            other = name.removesuffix(end) + OPPOSITE[end] if end else ""
            worker = senders.get(other, worker)
        owners[message.dest] = worker
    return owners
