"""The record that a worker keeps of a free run, such that a sudden death loses nothing of it.

Each worker writes one record of fixed size per event into a file in shared memory, through a
mapping of it: what has been stored there survives its process, and costs no system call. What does
not fit goes into a second file, the *notes*, which only grows: the ops that records refer to by
number, and long results. The parent reads both when the run is over, and the store of the shared
variables with them: a record of a variable only says which version it saw.

An op whose effect others could see before its record is whole is recorded as pending first; if
its worker dies right there, ``settle`` finds out from the objects whether it happened.
"""

from __future__ import annotations

import marshal
import mmap
import os
import struct
from collections.abc import Iterator
from time import monotonic_ns as clock
from typing import Any, Final

from tracelock.backends.processes.store import MARSHAL, SharedFile, chains
from tracelock.backends.processes.wire import op_fields, op_of
from tracelock.engine.effects import unwrap, wrap
from tracelock.engine.linearise.history import SEEN as SAW
from tracelock.engine.linearise.history import Entry, Log
from tracelock.errors import InternalError
from tracelock.ops import ATOMIC, EMPTY, READ, WRITE, Layout, Op, Value

#: Stamp, earliest moment, number (of a version, or a place in the notes), ns waited, number of
#: the op, short result, its length, kind, code. The code comes last: without it there is no record.
RECORD: Final = struct.Struct("<qqqqI24sHBB")
SIZE: Final = RECORD.size
ROOM: Final = 24
FIRST: Final = 1 << 20  # bytes of a journal at first; it doubles
NONE: Final = 1
TRUE: Final = 2
FALSE: Final = 3
NO_ITEM: Final = 4
SEEN: Final = 5  # the version ``number``
OWN: Final = 6  # the version that this event wrote
SHORT: Final = 7  # marshalled in the record
LONG: Final = 8  # marshalled in the notes
PENDING: Final = 9
_NOTE: Final = struct.Struct("<cI")
#: Ops remembered by identity: those that a program yields again and again.
KNOWN: Final = 1024


class Journal:
    """A worker's own, for one run; the parent has emptied the files."""

    def __init__(self, file: SharedFile, notes: SharedFile) -> None:
        self.fd = file.fd
        self.notes = notes.fd
        self.noted = 0
        self.at = 0
        self.size = 0
        self.ops: dict[Op, int] = {}
        self.keys: dict[Any, int] = {}
        self.count = 0
        self.grow()

    def grow(self) -> None:
        """Make room for more records."""
        self.size = self.size * 2 or FIRST
        os.ftruncate(self.fd, self.size)
        self.view = mmap.mmap(self.fd, self.size)

    def close(self) -> None:
        """Let go of the mapping."""
        self.view.close()

    def __len__(self) -> int:
        return self.at // SIZE

    def number(self, op: Op) -> int:
        """The number of an op, noted down when it is new."""
        found = self.ops.get(op)
        if found is not None:
            return found
        if op.kind <= WRITE:  # what was written is in the store
            key: Any = (op.at, op.target, op.kind)
        else:
            key = marshal.dumps(wire_fields(op), MARSHAL)
        found = self.keys.get(key)
        if found is None:
            self._note(b"o", marshal.dumps(wire_fields(op), MARSHAL))
            found = self.keys[key] = self.count
            self.count += 1
        if len(self.ops) < KNOWN:
            self.ops[op] = found
        return found

    def _note(self, mark: bytes, data: bytes) -> int:
        place = self.noted
        os.write(self.notes, _NOTE.pack(mark, len(data)) + data)
        self.noted += _NOTE.size + len(data)
        return place

    def add(self, kind: int, op: Op, result: Value, t: int, t0: int = 0, waited: int = 0) -> None:
        """Add a record with any result that is not about versions."""
        self.put(self.at, kind, op, result, t, t0, waited)
        self.step()

    def put(
        self, at: int, kind: int, op: Op, result: Value, t: int, t0: int = 0, waited: int = 0
    ) -> None:
        """Write a record at ``at``, over a pending one perhaps."""
        number, data, code = 0, b"", NONE
        if result is True:
            code = TRUE
        elif result is False:
            code = FALSE
        elif result is EMPTY:
            code = NO_ITEM
        elif result is not None:
            data = marshal.dumps(wrap(result), MARSHAL)
            code = SHORT
            if len(data) > ROOM:
                number, data, code = self._note(b"v", data), b"", LONG
        RECORD.pack_into(
            self.view, at, t, t0, number, waited, self.number(op), data, len(data), kind, code
        )

    def mark(self, kind: int, op: Op, code: int, number: int = 0, t0: int = 0) -> None:
        """Add a record with nothing but a code: of a version, or pending."""
        RECORD.pack_into(
            self.view, self.at, clock(), t0, number, 0, self.number(op), b"", 0, kind, code
        )
        self.step()

    def step(self) -> None:
        """On to the next record."""
        self.at += SIZE
        if self.at == self.size:
            self.grow()


def wire_fields(op: Op) -> tuple[Any, ...]:
    """The fields of an op, without what a write writes."""
    fields = op_fields(op)
    return (*fields[:3], None, *fields[4:]) if op.kind == WRITE else fields


# --- reading ---------------------------------------------------------------------------------
class Notes:
    """The notes of a worker, read: ``ops`` by number, and ``value(place)``."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.ops: list[Op] = []
        place = 0
        while place + _NOTE.size <= len(data):
            mark, length = _NOTE.unpack_from(data, place)
            place += _NOTE.size
            if place + length > len(data):
                break
            if mark == b"o":
                self.ops.append(op_of(marshal.loads(data[place : place + length])))
            place += length

    def value(self, place: int) -> Value:
        """A long result."""
        _, length = _NOTE.unpack_from(self.data, place)
        place += _NOTE.size
        return marshal.loads(self.data[place : place + length])


def cells_of(layout: Layout, store: SharedFile) -> tuple[list[list[Entry]], list[list[Any]]]:
    """The versions of each variable in their order; and by writer, (variable, entry) in its own."""
    cells: list[list[Entry]] = [[(value, -1, -1)] for value in layout.initial]
    own: list[list[Any]] = [[] for _ in layout.workers]
    for _, variable, entry in chains(store.content()):
        cells[variable].append(entry)
        own[entry[1]].append((variable, entry))
    return cells, own


def read_journal(
    journal: SharedFile, notes: Notes, cells: list[list[Entry]], own: list[Any]
) -> tuple[Log, dict[int, int], bool]:
    """The records of one worker, the ns waited by place, and whether the last one is pending."""
    log = Log()
    waits: dict[int, int] = {}
    mine: Iterator[Any] = iter(own)
    ahead: Any = next(mine, None)
    ops, kinds, starts = notes.ops, log.kinds, log.starts
    add_op, add_result, add_time = log.ops.append, log.results.append, log.times.append
    pending = False
    cut = -1
    data = journal.content()
    rows = RECORD.iter_unpack(data[: len(data) - len(data) % SIZE])
    for place, row in enumerate(rows):
        t, t0, number, waited, op_number, short, length, kind, code = row
        if not code:
            break
        op = ops[op_number]
        result: Any
        if code == SEEN:
            result = cells[op.target][number]
            if kind != READ:
                t0 = SAW
        elif code == OWN:
            if ahead is None or ahead[1][2] != place:
                cut = place  # its writer died between the record and the write
                break
            result = ahead[1]
            ahead = next(mine, None)
            if kind == WRITE:
                op = Op(WRITE, op.target, op.at, result[0])
        elif code in (SHORT, LONG):
            value = marshal.loads(short[:length]) if code == SHORT else notes.value(number)
            result = unwrap(value)
            if kind == ATOMIC:
                reads = {v: cells[v][version] for v, version in value[0].items()}
                writes = {}
                while ahead is not None and ahead[1][2] == place:
                    writes[ahead[0]] = ahead[1]
                    ahead = next(mine, None)
                if len(writes) != value[1]:
                    cut = place
                    break
                result = (reads, writes)
        else:
            result = _PLAIN.get(code)
            pending = code == PENDING
        if waited:
            waits[place] = waited
        if t0:
            starts[place] = t0
        if kind != op.kind:
            kinds[place] = kind
        add_op(op)
        add_result(result)
        add_time(t)
    if cut >= 0 and next(rows, (0,))[-1]:
        raise InternalError(f"event {cut} of a worker is said to have written, and has not")
    return log, waits, pending


_PLAIN: Final[dict[int, Value]] = {TRUE: True, FALSE: False, NO_ITEM: EMPTY}
