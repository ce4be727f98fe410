"""Shared variables of a free run on threads that some step changes indivisibly.

Python has no lock-free read-modify-write: these are kept behind one lock, plain reads and writes
of them included.
"""

from __future__ import annotations

import threading
from typing import Any

from tracelock.backends.base import Entry
from tracelock.engine.effects import modified
from tracelock.ops import (
    ATOMIC,
    READ,
    WRITE,
    Op,
    Value,
)


class Guarded:
    """The ops on guarded variables; ``guard`` is held around each."""

    cells: list[list[Entry]]
    logs: list[Any]
    guard: threading.Lock

    def modify(self, me: int, op: Op, kind: int) -> tuple[Value, Any]:
        """An op on guarded variables: its result, and the versions it saw or made."""
        cells = self.cells
        number = len(self.logs[me])
        if kind == ATOMIC:
            return self.atomic(me, op, number)
        cell = cells[op.target]
        old: Entry = cell[-1]
        if kind == READ:
            return old[0], old
        result: Value = None
        new = op.value
        if kind != WRITE:
            result, new, wrote = modified(op, old[0])
            if not wrote:
                return result, old
        entry: Entry = (new, me, number)
        cell.append(entry)
        return result, entry

    def atomic(self, me: int, op: Op, number: int) -> tuple[Value, Any]:
        """An atomic block: nobody else is in one, nor at its variables, meanwhile."""
        cells = self.cells
        reads: dict[int, Entry] = {}
        values: dict[int, Value] = {}

        def read(variable: int) -> Value:
            if variable in values:
                return values[variable]
            entry = cells[variable][-1]
            reads.setdefault(variable, entry)
            return entry[0]

        op.body.run(read, values.__setitem__)
        writes: dict[int, Entry] = {}
        for variable, value in values.items():
            writes[variable] = entry = (value, me, number)
            cells[variable].append(entry)
        return None, (reads, writes)
