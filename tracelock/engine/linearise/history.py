"""The raw material of a free run: the records of each worker, the versions of each variable."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, repeat
from operator import attrgetter
from typing import Any, Final, overload

from tracelock.errors import InternalError, StepFailure
from tracelock.objects import frozen
from tracelock.ops import (
    ATOMIC,
    COMPARE_EXCHANGE,
    FETCH_ADD,
    JOIN,
    NAMES,
    READ,
    SPAWN,
    WRITE,
    Layout,
    Op,
    Raised,
    Value,
    added,
)

#: One event as its worker saw it: kind, op, result, stamp, and 0 or the start of its interval.
Record = tuple[int, Op, Any, int, int]
#: One version of a variable: value, the worker that wrote it, the place of the write in its log.
Entry = tuple[Value, int, int]

NEVER: Final = 2**62
#: In place of a record's start, of a read-modify-write: it saw its version and wrote none.
SEEN: Final = -1


class Log(Sequence[Record]):
    """The records of one worker, kept as columns: some 25 bytes each, and no tuple alive.

    The recorder of a free run appends to ``ops``, ``results`` and last to ``times``, whose
    length counts. ``kinds`` and ``starts`` are sparse: by place, what is not the op's own kind,
    and not 0.
    """

    __slots__ = ("kinds", "ops", "results", "starts", "times")

    def __init__(self) -> None:
        self.ops: list[Op] = []
        self.results: list[Any] = []
        self.times: array[int] = array("q")
        self.kinds: dict[int, int] = {}
        self.starts: dict[int, int] = {}

    def add(self, kind: int, op: Op, result: Any, t: int, start: int = 0) -> None:
        """Append one record."""
        place = len(self.times)
        if kind != op.kind:
            self.kinds[place] = kind
        if start:
            self.starts[place] = start
        self.ops.append(op)
        self.results.append(result)
        self.times.append(t)

    def cut(self, length: int) -> None:
        """Strike out all but the first ``length`` records."""
        del self.ops[length:], self.results[length:], self.times[length:]
        for sparse in (self.kinds, self.starts):
            for place in [place for place in sparse if place >= length]:
                del sparse[place]

    def __len__(self) -> int:
        return len(self.times)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self.times)))]
        t = self.times[index]
        if index < 0:
            index += len(self.times)
        op = self.ops[index]
        return self.kinds.get(index, op.kind), op, self.results[index], t, self.starts.get(index, 0)

    def __iter__(self) -> Iterator[Record]:
        starts: Iterable[int] = repeat(0)
        if self.starts:
            get = self.starts.get
            starts = [get(place, 0) for place in range(len(self.times))]
        return zip(self.every_kind(), self.ops, self.results, self.times, starts, strict=False)

    def every_kind(self) -> Iterable[int]:
        """The kind of each record, in order."""
        if not self.kinds:
            return map(_KIND, self.ops)
        found = list(map(_KIND, self.ops))
        for place, kind in self.kinds.items():
            found[place] = kind
        return found


_KIND: Final = attrgetter("kind")


@dataclass(slots=True)
class FreeRun:
    """What one free run left behind.

    ``logs``: the records of each worker, by its number. ``cells``: the versions of each
    variable. ``order``: the (worker, number in its log) of every event where the backend knows the
    whole order already (tasks), else None. ``failures``: (worker, events it had recorded,
    failure). ``blocked``: the op each live worker waits for, at the end. ``crashed``: (worker,
    how). ``limit``: the bound that ended the run. ``start``: ns stamp of its start. ``waits``: for
    each worker, the ns between asking and getting by number in its log, where it had to wait.
    ``recorded``: False when nothing but ``failures`` and the final versions was kept.
    """

    logs: Sequence[Sequence[Record]]
    cells: list[list[Entry]]
    start: int
    order: list[tuple[int, int]] | None = None
    failures: list[tuple[int, int, StepFailure]] = field(default_factory=list)
    blocked: dict[int, Op] = field(default_factory=dict)
    crashed: list[tuple[int, str]] = field(default_factory=list)
    limit: str | None = None
    recorded: bool = True
    waits: list[dict[int, int]] = field(default_factory=list)

    def until(self, moment: int) -> None:
        """Strike out what is stamped later than ``moment``; its logs are :class:`Log`."""
        for log in self.logs:
            assert isinstance(log, Log)
            log.cut(bisect_right(log.times, moment))


def stamps(log: Sequence[Record]) -> Sequence[int]:
    """The stamp of each record."""
    return log.times if isinstance(log, Log) else [record[3] for record in log]


def describe(layout: Layout, worker: int, record: Record) -> str:
    """One event in words, for messages: ``b: acquire lock -> True at [5, 9]``."""
    kind, op, result, t, t0 = record
    names = [w.name for w in layout.workers] if kind in (SPAWN, JOIN) else layout.names
    target = f" {names[op.target]}" if 0 <= op.target < len(names) else ""
    when = f"[{t0}, {t}]" if t0 else f"{t}"
    return f"{layout.workers[worker].name}: {NAMES[kind]}{target} -> {result!r} at {when}"


def stamp_before(log: Sequence[Record], place: int, first: int) -> int:
    """The last stamp before that of ``place`` (else ``first``): records made at once share one."""
    t = log[place][3]
    while place and log[place - 1][3] == t:
        place -= 1
    return log[place - 1][3] if place else first


def stamp_after(log: Sequence[Record], place: int, last: int) -> int:
    """The next stamp after that of ``place``, else ``last``."""
    t = log[place][3]
    end = len(log) - 1
    while place < end and log[place + 1][3] == t:
        place += 1
    return log[place + 1][3] if place < end else last


def lifetimes(logs: Sequence[Sequence[Record]]) -> tuple[list[int], list[int]]:
    """For each worker the earliest and the latest moment of any event, by spawn and join."""
    first, last = [-NEVER] * len(logs), [NEVER] * len(logs)
    for log in logs:
        for place, (kind, op, result, t, t0) in enumerate(log):
            if kind == SPAWN and result.__class__ is not Raised:
                first[op.target] = t0 or stamp_before(log, place, -NEVER)
            elif kind == JOIN and result is True:
                last[op.target] = min(last[op.target], t)
    return first, last


def agrees(got: Value, recorded: Value) -> bool:
    """Whether the model's result is the recorded one: 1, 1.0 and True differ, NaN is NaN."""
    if got is recorded:
        return True
    if got.__class__ is Raised or recorded.__class__ is Raised:
        return bool(got == recorded)
    return frozen(got) == frozen(recorded) or repr(got) == repr(recorded)


class OrderProgress:
    """How far an order has come: the current version of each variable, who has started and ended.

    ``readers`` counts, for each version of each variable, the events that saw it: the next
    version must wait for them. ``step`` is the rule for every event that is not on an object.
    """

    def __init__(
        self, logs: Sequence[Sequence[Record]], cells: Sequence[Sequence[Entry]], layout: Layout
    ) -> None:
        self.logs = logs
        self.cells = cells
        self.layout = layout
        self.readers = [array("i", [0]) * len(cell) for cell in cells]
        self.spawned: set[int] = set()
        # atomic steps write several variables, so that their versions need a table
        self._atomic: dict[tuple[int, int, int], int] = {}
        self.versions = self._versions()
        self.value: Value = None

    def _versions(self) -> list[array[int]]:
        """For each worker and place the number of the version written there, else -1."""
        logs = self.logs
        versions = [array("i", [-1]) * len(log) for log in logs]
        # an initial entry is by worker -1 at place -1, so that Python's indexing finds this
        versions.append(array("i", [0]))
        for variable, cell in enumerate(self.cells):
            for number, (_, writer, place) in enumerate(islice(cell, 1, None), 1):
                if place >= len(logs[writer]):
                    continue  # cut off before its record: as if it never was
                if logs[writer][place][0] == ATOMIC:
                    self._atomic[variable, writer, place] = number
                else:
                    versions[writer][place] = number
        return versions

    def saw(self, variable: int, entry: Entry) -> None:
        """Count one more event that saw ``entry``."""
        _, writer, place = entry
        column = self.versions[writer]
        number = column[place] if place < len(column) else -1
        if number < 0:
            number = self._atomic.get((variable, writer, place), -1)
        if number < 0:
            raise InternalError(
                f"{self.layout.names[variable]}: a version was read that is not recorded: {entry!r}"
            )
        self.readers[variable][number] += 1

    def count(self, worker: int, record: Record) -> None:
        """Count what an event, other than a plain read or write, saw without changing it."""
        kind, op, result, _, _ = record
        if result.__class__ is Raised:
            return
        if kind == ATOMIC:
            for variable, entry in result[0].items():
                self.saw(variable, entry)
        elif not self.own(worker, record):
            self.saw(op.target, result)

    def own(self, worker: int, record: Record) -> bool:
        """Whether the entry of a read-modify-write was written by it, and not just seen."""
        _, writer, place = record[2]
        if writer != worker or record[4] == SEEN:
            return False
        log = self.logs[worker]
        return isinstance(log, Log) or log[place] is record

    # --- going through ------------------------------------------------------------------------
    def begin(self) -> None:
        """Back to before the first event."""
        self.number = [0] * len(self.cells)
        self.now = [cell[0] for cell in self.cells]
        self.left = [counts[0] for counts in self.readers]
        self.started = [w not in self.spawned for w in range(len(self.logs))]
        self.over = [not log for log in self.logs]

    def save(self) -> Any:
        """The whole state, for ``load``."""
        return list(self.number), list(self.left), list(self.started), list(self.over)

    def load(self, saved: Any) -> None:
        """Back to a state that ``save`` gave."""
        number, left, started, over = saved
        self.number[:], self.left[:], self.started[:], self.over[:] = number, left, started, over
        self.now[:] = [cell[n] for cell, n in zip(self.cells, number, strict=True)]

    def is_next(self, variable: int, entry: Entry) -> bool:
        """Whether ``entry`` is the version after the current one."""
        cell, number = self.cells[variable], self.number[variable] + 1
        if number >= len(cell):
            return False
        found = cell[number]
        return found is entry or (found[2] == entry[2] and found[1] == entry[1])

    def is_now(self, variable: int, entry: Entry) -> bool:
        """Whether ``entry`` is the current version."""
        found = self.now[variable]
        return found is entry or (found[2] == entry[2] and found[1] == entry[1])

    def step(self, worker: int, record: Record) -> bool:
        """Whether an event can come now; if so it has, and ``value`` is its plain result."""
        kind, op, result, _, _ = record
        self.value = result
        if kind == READ:
            if not self.is_now(op.target, result):
                return False
            self.left[op.target] -= 1
            self.value = result[0]
        elif kind <= ATOMIC:
            return result.__class__ is Raised or self._change(worker, record)
        elif kind == SPAWN:
            if result.__class__ is not Raised:
                self.started[op.target] = True
        elif kind == JOIN and result is True:
            return self.over[op.target] and self.started[op.target]
        return True

    def _change(self, worker: int, record: Record) -> bool:
        kind, op, result, _, _ = record
        reads: dict[int, Entry] = {}
        writes: dict[int, Entry] = {}
        if kind == ATOMIC:
            reads, writes = result
        elif kind == WRITE or self.own(worker, record):
            writes = {op.target: result}
        else:
            reads = {op.target: result}
        left = self.left
        for v, entry in reads.items():
            if not self.is_now(v, entry):
                return False
        for v, entry in writes.items():
            # its own read of the version before does not hold it up
            if left[v] != (v in reads) or not self.is_next(v, entry):
                return False
        old = None if kind == ATOMIC else self.now[op.target][0]
        for v in reads:
            left[v] -= 1
        for v in writes:
            n = self.number[v] = self.number[v] + 1
            self.now[v] = self.cells[v][n]
            left[v] = self.readers[v][n]
        if kind == ATOMIC:
            self.value = {
                "reads": {v: entry[0] for v, entry in reads.items()},
                "writes": {v: entry[0] for v, entry in writes.items()},
            }
        elif kind == COMPARE_EXCHANGE:
            self.value = bool(writes)
        elif kind == WRITE:
            self.value = None
        else:
            self.value = old if writes else _refused(kind, old, op)
        return True


def _refused(kind: int, old: Value, op: Op) -> Value:
    """The result of a fetch_add that changed nothing: there is no such sum."""
    if kind == FETCH_ADD and (result := added(old, op.value)).__class__ is Raised:
        return result
    raise InternalError(f"{NAMES[kind]} at {op.at} has no version of its own")
