"""One order for what several workers did at once: the logs of a free run made into one history.

The order keeps each worker's own, the true order of the versions of every variable with the
reads of each, and for each object an order that its model accepts. Locks are recorded so that
their stamps give it (an acquire is stamped after it, a release before); what only has an
interval is placed by :mod:`tracelock.engine.placing`. The merge takes events by their stamps
and lets a worker wait while something that must come before its next event is missing.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, islice
from typing import Any, Final

from tracelock.engine.placing import Placing, Record, describe, lifetimes
from tracelock.errors import InternalError
from tracelock.objects import Rules, make_models
from tracelock.ops import (
    ACQUIRE,
    ATOMIC,
    COMPARE_EXCHANGE,
    GET,
    JOIN,
    NOTIFY,
    READ,
    RELEASE,
    SPAWN,
    TIMEOUT,
    WRITE,
    Layout,
    Op,
    Raised,
    Value,
)

#: One version of a variable: value, the worker that wrote it, the place of the write in its log.
Entry = tuple[Value, int, int]

# A worker's first or last record, wrapped: first it must have been spawned; last others wait for.
_FIRST: Final = -1
_LAST: Final = -2

# What is known of an object's stamps by its type alone.
_HELD: Final = {"lock": 0, "rlock": 1, "condition_lock": 1}


@dataclass(slots=True)
class Linear:
    """A linearisation, by columns: event i is of ``worker[i]``.

    ``kind`` and ``op`` as recorded; ``result`` plain: the value read, the old value of exchange
    and fetch_add, a bool of compare_exchange, ``{"reads": {variable: value}, "writes": ...}`` of
    atomic, the woken of notify, None of write; others as recorded. ``t``: ns, never decreasing,
    of an event with an interval some moment in it.
    """

    worker: array[int] = field(default_factory=lambda: array("i"))
    kind: array[int] = field(default_factory=lambda: array("b"))
    op: list[Op] = field(default_factory=list)
    result: list[Value] = field(default_factory=list)
    t: array[int] = field(default_factory=lambda: array("q"))

    def add(self, worker: int, kind: int, op: Op, result: Value, t: int) -> None:
        """One more event, the last."""
        self.worker.append(worker)
        self.kind.append(kind)
        self.op.append(op)
        self.result.append(result)
        self.t.append(t)

    def __len__(self) -> int:
        return len(self.op)

    @property
    def order(self) -> array[int]:
        """For each event its place in the log of its worker."""
        places = [0] * (max(self.worker, default=-1) + 1)
        order = array("q")
        for worker in self.worker:
            order.append(places[worker])
            places[worker] += 1
        return order


def linearise(
    logs: Sequence[Sequence[Record]],
    cells: Sequence[Sequence[Entry]],
    layout: Layout,
    rules: Rules,
) -> Linear:
    """The one order of the events in ``logs``, by worker, in program order each.

    A record is (kind, op, result, t, t0): ``t`` in ns of one clock for all, never decreasing in
    one log; ``t0`` is 0 for a lock's acquire and wake (stamped after they took effect), release
    and wait (before), variables and the rest; else the event took effect within [t0, t]. The
    result of an event on a variable is the entry of ``cells`` (versions by variable, the first
    (initial, -1, -1)) that it saw or appended, of atomic (entries seen by variable before its
    own writes, entries appended); a notify's may be None. A wait at a condition whose time ran
    out has a timeout record between wait and wake.

    Raises InternalError, with the events around, where no such order exists.
    """
    return _Merge(logs, cells, layout, rules).run()


class _Merge:
    def __init__(
        self,
        logs: Sequence[Sequence[Record]],
        cells: Sequence[Sequence[Entry]],
        layout: Layout,
        rules: Rules,
    ) -> None:
        self.logs = logs
        self.cells = cells
        self.layout = layout
        self.rules = rules
        variables = layout.variables
        self.specs = layout.objects
        # a lock and its conditions are one unit, named by the lock's number
        self.unit = list(range(variables)) + [
            spec.lock if spec.type == "condition" else number
            for number, spec in enumerate(layout.objects, variables)
        ]
        self.turns: dict[int, array[int]] = {}
        self.unclear: set[int] = set()
        self.multiple: dict[tuple[int, int, int], int] = {}
        self.notes: list[deque[list[int]]] = [deque() for _ in logs]
        self.spawned: set[int] = set()
        self.joined: set[int] = set()
        self.alive: list[tuple[int, int]] = []  # joins that found their worker not ended
        self.holds = [0] * len(logs)

    def run(self) -> Linear:
        turn = _by_time([[record[3] for record in log] for log in self.logs])
        self._survey(turn)
        moved: list[tuple[int, int, int]] = []
        if self.unclear:
            moved = self._place()
        moved += self._timed_joins()
        stamps: list[array[int]] | None = None
        if moved:
            stamps = [array("q", [record[3] for record in log]) for log in self.logs]
            for worker, place, moment in moved:
                stamps[worker][place] = moment
            stamps = [array("q", accumulate(column, max)) for column in stamps]
            turn = _by_time(stamps)
        self._merge(turn)
        records = self.out_records
        if stamps is None:
            times = array("q", accumulate([record[3] for record in records], max))
        else:
            columns = [iter(column) for column in stamps]
            times = array("q", accumulate([next(columns[w]) for w in self.out_workers], max))
        return Linear(
            worker=array("i", self.out_workers),
            kind=array("b", [record[0] for record in records]),
            op=[record[1] for record in records],
            result=self.out_results,
            t=times,
        )

    # --- what is there ------------------------------------------------------------------------
    def _versions(self) -> list[array[int]]:
        """For each worker and place the number of the version written there."""
        logs = self.logs
        versions = [array("i", [-1]) * len(log) for log in logs]
        # an initial entry is by worker -1 at place -1, so that Python's indexing finds this
        versions.append(array("i", [0]))
        for variable, cell in enumerate(self.cells):
            for number, (_, writer, place) in enumerate(islice(cell, 1, None), 1):
                if place >= len(logs[writer]):
                    continue  # cut off before its record: as if it never was
                if logs[writer][place][0] == ATOMIC:
                    self.multiple[variable, writer, place] = number
                else:
                    versions[writer][place] = number
        return versions

    def _survey(self, turn: Sequence[int]) -> None:
        """Count the readers of each version, follow the locks by stamps, note what is unclear."""
        versions = self._versions()
        readers = self.readers = [array("i", [0]) * len(cell) for cell in self.cells]
        unit = self.unit
        turns = {number: array("i") for number in set(unit[self.layout.variables :])}
        # -1: a lock that is free; -2: not a thing that is free or held
        holder = [-2] * len(unit)
        self.depth = [0] * len(unit)
        self.style = [-1] * len(unit)
        for number, spec in enumerate(self.specs, self.layout.variables):
            self.style[number] = _HELD.get(spec.type, -1)
            if spec.type in _HELD:
                holder[number] = -1
            elif spec.type in ("semaphore", "bounded_semaphore"):
                self.style[number], self.depth[number] = 2, spec.value
        lengths = [len(column) for column in versions]
        nexts = [iter(log).__next__ for log in self.logs]
        for w in turn:
            record = nexts[w]()
            kind, op, result, _, t0 = record
            if kind == READ:
                _, writer, place = result
                number = versions[writer][place] if place < lengths[writer] else -1
                if number < 0:
                    number = self._number(op.target, result)
                readers[op.target][number] += 1
            elif kind == WRITE:
                pass
            elif ACQUIRE <= kind <= GET:
                u = unit[op.target]
                turns[u].append(w)
                if t0:
                    self.unclear.add(u)
                elif kind == ACQUIRE and holder[u] == -1 and result is True:
                    holder[u] = w
                elif kind == RELEASE and holder[u] == w and result is None and not self.depth[u]:
                    holder[u] = -1
                else:
                    self._follow(kind, op, result, w, u, holder)
            elif kind <= ATOMIC:
                self._count(record, w, versions)
            elif kind == TIMEOUT and op.target >= 0:
                turns[unit[op.target]].append(w)
                self.unclear.add(unit[op.target])
            elif kind == SPAWN and result.__class__ is not Raised:
                self.spawned.add(op.target)
            elif kind == JOIN:
                self.joined.add(op.target)
        self.turns = turns

    def _number(self, variable: int, entry: Entry) -> int:
        try:
            return self.multiple[variable, entry[1], entry[2]]
        except KeyError:
            name = self.layout.names[variable]
            raise InternalError(
                f"{name} was read with a version that it never had: {entry!r}"
            ) from None

    def _seen(self, variable: int, entry: Entry, versions: list[array[int]]) -> None:
        _, writer, place = entry
        number = versions[writer][place] if place < len(versions[writer]) else -1
        self.readers[variable][self._number(variable, entry) if number < 0 else number] += 1

    def _count(self, record: Record, w: int, versions: list[array[int]]) -> None:
        kind, op, result, _, _ = record
        if result.__class__ is Raised:
            return
        if kind == ATOMIC:
            for variable, entry in result[0].items():
                self._seen(variable, entry, versions)
        elif kind == COMPARE_EXCHANGE and not self._own(record, w):
            self._seen(op.target, result, versions)

    def _own(self, record: Record, w: int) -> bool:
        """Whether the entry of a compare_exchange of ``w`` was written by it, not just seen."""
        _, writer, place = record[2]
        return writer == w and self.logs[w][place] is record

    def _follow(self, kind: int, op: Op, result: Value, w: int, u: int, holder: list[int]) -> None:
        """The less frequent steps of a lock, and semaphores; what does not fit is unclear."""
        style, depth = self.style[u], self.depth
        if op.target == u and kind == ACQUIRE and result is True:
            if style == 1 and holder[u] == w:
                depth[u] += 1
                return
            if style == 2 and depth[u] > 0:
                depth[u] -= 1
                return
        elif op.target == u and kind == RELEASE and result is None:
            if style == 1 and holder[u] == w and depth[u]:
                depth[u] -= 1
                return
            if style == 0 and holder[u] >= 0:
                holder[u] = -1
                return
            if style == 2:
                depth[u] += op.value
                spec = self.layout.spec(u)
                if spec.type == "semaphore" or depth[u] <= spec.value:
                    return
        self.unclear.add(u)

    # --- what is unclear ------------------------------------------------------------------------
    def _place(self) -> list[tuple[int, int, int]]:
        models = make_models(self.layout, self.rules)
        lifetime = lifetimes(self.logs)
        moved: list[tuple[int, int, int]] = []
        woken: list[tuple[int, int, list[int]]] = []
        for u in sorted(self.unclear):
            numbers = [n for n in range(self.layout.variables, len(self.unit)) if self.unit[n] == u]
            placing = Placing(self.logs, numbers, models, self.layout, self.rules, lifetime)
            placing.place()
            self.turns[u] = placing.turns
            moved += placing.moments
            woken += placing.woken
        for worker, _, who in sorted(woken):
            self.notes[worker].append(who)
        return moved

    def _timed_joins(self) -> list[tuple[int, int, int]]:
        """A join that gave up found its worker alive: before the last event, if that is not past."""
        moved: list[tuple[int, int, int]] = []
        if not self.joined:
            return moved
        for worker, log in enumerate(self.logs):
            for place, (kind, op, result, t, t0) in enumerate(log):
                if kind != JOIN or result is not False or not self.logs[op.target]:
                    continue
                last = self.logs[op.target][-1][3]
                start = t0 or (log[place - 1][3] if place else 0)
                if last >= start:
                    self.holds[op.target] += 1
                    moved.append((worker, place, min(t, max(start, last - 1))))
                    self.alive.append((worker, place))
        return moved

    # --- the merge ------------------------------------------------------------------------------
    def _merge(self, turn: Sequence[int]) -> None:
        cells = self.cells
        self.out_workers: list[int] = []
        self.out_records: list[Record] = []
        self.out_results: list[Value] = []
        number = self.number = [0] * len(cells)  # the current version of each variable
        self.now = now = [cell[0] for cell in cells]
        left = self.left = [counts[0] for counts in self.readers]
        self.turn = {u: iter(column) for u, column in self.turns.items()}
        self.due = due = [-1] * len(self.unit)  # who is next at each unit
        for u, column in self.turn.items():
            due[u] = next(column, -1)
        self.started = [w not in self.spawned for w in range(len(self.logs))]
        self.over = [not log for log in self.logs]
        self.patient = True
        self.nexts = nexts = [self._source(w).__next__ for w in range(len(self.logs))]
        # workers that wait: the record each waits with, and how many turns have passed it by
        self.held: dict[int, Record] = {}
        self.owed = owed = [0] * len(self.logs)
        held, units, readers, turns = self.held, self.unit, self.readers, self.turn
        emit_worker = self.out_workers.append
        emit_record = self.out_records.append
        emit_result = self.out_results.append
        for w in turn:
            if held and w in held:
                owed[w] += 1
                continue
            record = nexts[w]()
            kind, op, result, _, _ = record
            # the frequent kinds, as in _step, without its calls
            if kind == READ:
                v = op.target
                entry = now[v]
                if result is entry or (result[2] == entry[2] and result[1] == entry[1]):
                    left[v] -= 1
                    emit_result(entry[0])
                else:
                    held[w] = record
                    continue
            elif kind == WRITE:
                v = op.target
                n = number[v] + 1
                if left[v] or not self._is_next(v, n, result):
                    held[w] = record
                    continue
                number[v] = n
                now[v] = cells[v][n]
                left[v] = readers[v][n]
                emit_result(None)
            elif ACQUIRE <= kind <= GET and kind != NOTIFY:
                u = units[op.target]
                if due[u] != w:
                    held[w] = record
                    continue
                due[u] = next(turns[u], -1)
                emit_result(result)
            else:
                if not self._step(w, record):
                    held[w] = record
                    continue
                if held:
                    self._resume()
                continue
            emit_worker(w)
            emit_record(record)
            if held:
                self._resume()
        self._resume()
        while held:
            if not self.patient:
                raise InternalError(self._stuck())
            # a worker may outlive its last event: then a join that gave up may come after it
            self.patient = False
            self._resume()

    def _source(self, w: int) -> Iterator[Record]:
        log = self.logs[w]
        body: Iterator[Record] = iter(log)
        if log and (w in self.joined or self.holds[w]):
            last: Any = log[-1]
            body = chain(islice(log, len(log) - 1), [(_LAST, last, None, last[3], 0)])
        if log and w in self.spawned:
            first: Any = next(body)
            body = chain([(_FIRST, first, None, first[3], 0)], body)
        return body

    def _is_next(self, variable: int, number: int, entry: Entry) -> bool:
        cell = self.cells[variable]
        if number >= len(cell):
            return False
        found = cell[number]
        return found is entry or (found[2] == entry[2] and found[1] == entry[1])

    def _is_now(self, variable: int, entry: Entry) -> bool:
        found = self.now[variable]
        return found is entry or (found[2] == entry[2] and found[1] == entry[1])

    def _resume(self) -> None:
        """Let those that wait go on as far as they can, the earliest first."""
        held, owed = self.held, self.owed
        again = True
        while again and held:
            again = False
            for w in sorted(held, key=lambda w: held[w][3]) if len(held) > 1 else list(held):
                if self._step(w, held[w]):
                    again = True
                    if owed[w]:
                        owed[w] -= 1
                        held[w] = self.nexts[w]()
                    else:
                        del held[w]
                    break

    def _step(self, w: int, record: Record) -> bool:
        """Let the next event of ``w`` come now, if all that must come before it has."""
        kind, op, result, _, _ = record
        if kind < 0:
            return self._edge(w, record)
        value: Value = result
        if kind == READ:
            if not self._is_now(op.target, result):
                return False
            value = result[0]
            self.left[op.target] -= 1
        elif kind <= ATOMIC:
            if result.__class__ is not Raised:
                if not self._changes(record, w):
                    return False
                value = self.value
        elif kind <= GET or (kind == TIMEOUT and op.target >= 0):
            u = self.unit[op.target]
            if self.due[u] != w:
                return False
            self.due[u] = next(self.turn[u], -1)
            if kind == NOTIFY and result.__class__ is not Raised:
                value = self.notes[w].popleft()
        elif kind == SPAWN:
            if result.__class__ is not Raised:
                self.started[op.target] = True
        elif kind == JOIN:
            if result is True:
                if not (self.over[op.target] and self.started[op.target]):
                    return False
            elif self.holds[op.target]:
                self.holds[op.target] -= 1
        self.out_workers.append(w)
        self.out_records.append(record)
        self.out_results.append(value)
        return True

    def _edge(self, w: int, record: Record) -> bool:
        """A worker's first event waits for its spawn; its last is waited for by joins."""
        inner: Any = record[1]
        if record[0] == _FIRST:
            return self.started[w] and self._step(w, inner)
        if (self.holds[w] and self.patient) or not self._step(w, inner):
            return False
        self.over[w] = True
        return True

    def _changes(self, record: Record, w: int) -> bool:
        """Write, read-modify-write or atomic: whether it can come now, with ``value`` its result."""
        kind, op, result, _, _ = record
        reads: dict[int, Entry] = {}
        if kind == ATOMIC:
            reads, writes = result
        elif kind == COMPARE_EXCHANGE and not self._own(record, w):
            reads, writes = {op.target: result}, {}
        else:
            writes = {op.target: result}
        left = self.left
        for v, entry in reads.items():
            if not self._is_now(v, entry):
                return False
        for v, entry in writes.items():
            if left[v] != (v in reads) or not self._is_next(v, self.number[v] + 1, entry):
                return False
        if kind == ATOMIC:
            self.value = {
                "reads": {v: entry[0] for v, entry in reads.items()},
                "writes": {v: entry[0] for v, entry in writes.items()},
            }
        elif kind == COMPARE_EXCHANGE:
            self.value = bool(writes)
        else:
            self.value = None if kind == WRITE else self.now[op.target][0]
        for v in reads:
            left[v] -= 1
        for v in writes:
            n = self.number[v] = self.number[v] + 1
            self.now[v] = self.cells[v][n]
            left[v] = self.readers[v][n]
        return True

    def _stuck(self) -> str:
        lines = ["the records of this run contradict each other", "after:"]
        for w, record in zip(self.out_workers[-6:], self.out_records[-6:], strict=True):
            lines.append(f"  {describe(self.layout, w, record)}")
        lines.append("each of these waits for another:")
        for w, record in list(self.held.items())[:8]:
            inner: Any = record
            while inner[0] < 0:
                inner = inner[1]
            lines.append(f"  {describe(self.layout, w, inner)}")
        return "\n".join(lines)


def _by_time(stamps: Sequence[Sequence[int]]) -> Sequence[int]:
    """The workers in the order of their events' stamps."""
    n = max(1, len(stamps))
    keys = [t * n + w for w, column in enumerate(stamps) for t in column]
    keys.sort()
    return array("i", [key % n for key in keys])
