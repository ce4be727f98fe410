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

from tracelock.engine.history import (
    Entry,
    Progress,
    Record,
    describe,
    lifetimes,
    stamp_before,
)
from tracelock.engine.placing import Placing
from tracelock.engine.strands import is_on_object
from tracelock.errors import InternalError
from tracelock.objects import Rules, make_models
from tracelock.ops import (
    ACQUIRE,
    ATOMIC,
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

# A worker's first or last record, wrapped: first it must have been spawned; last others wait for.
_FIRST: Final = -1
_LAST: Final = -2

_HELD: Final = frozenset({"lock", "rlock", "condition_lock"})


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
        self.layout = layout
        self.rules = rules
        self.progress = Progress(logs, cells, layout)
        # a lock and its conditions are one unit, named by the lock's number
        self.unit = list(range(layout.variables)) + [
            spec.lock if spec.type == "condition" else number
            for number, spec in enumerate(layout.objects, layout.variables)
        ]
        self.depth = [0] * len(self.unit)
        self.unclear: set[int] = set()
        self.notes: list[tuple[int, int, list[int]]] = []
        self.joined: set[int] = set()
        self.holds = [0] * len(logs)  # joins that must come before the last event of a worker

    def run(self) -> Linear:
        turn = _by_time([[record[3] for record in log] for log in self.logs])
        self._survey(turn)
        moved = self._place() if self.unclear else []
        joins = self._timed_joins()
        holds = list(self.holds)
        stamps: Sequence[Sequence[int]] = ()
        if moved or joins:
            stamps = self._stamps(moved + joins)
            turn = _by_time(stamps)
        if not self._merge(turn):
            if not self.unclear:
                raise InternalError(self._stuck())
            # Objects are placed by clocks, variables are not: rarely, orders that are each
            # right do not fit together. Then all is looked at as one.
            turn, moved = self._place_all()
            stamps = self._stamps(moved)
            self.holds = holds
            if not self._merge(turn):
                raise InternalError(self._stuck())
        records = self.out_records
        if stamps:
            columns = [iter(column) for column in stamps]
            times = array("q", accumulate([next(columns[w]) for w in self.out_workers], max))
        else:
            times = array("q", accumulate([record[3] for record in records], max))
        return Linear(
            worker=array("i", self.out_workers),
            kind=array("b", [record[0] for record in records]),
            op=[record[1] for record in records],
            result=self.out_results,
            t=times,
        )

    def _stamps(self, moved: Sequence[tuple[int, int, int]]) -> list[array[int]]:
        """The stamps of each log, with those of placed events where they were placed."""
        stamps = [array("q", [record[3] for record in log]) for log in self.logs]
        for worker, place, moment in moved:
            stamps[worker][place] = moment
        return [array("q", accumulate(column, max)) for column in stamps]

    # --- what is there ------------------------------------------------------------------------
    def _survey(self, turn: Sequence[int]) -> None:
        """Count the readers of each version, follow the locks by stamps, note what is unclear."""
        progress = self.progress
        versions, readers, unit = progress.versions, progress.readers, self.unit
        turns = {number: array("i") for number in set(unit[self.layout.variables :])}
        # -1: a lock that is free; -2: not a thing that is free or held
        holder = self.holder = [-2] * len(unit)
        depth = self.depth
        for number, spec in enumerate(self.layout.objects, self.layout.variables):
            if spec.type in _HELD:
                holder[number] = -1
            depth[number] = spec.value if "semaphore" in spec.type else 0
        sizes = [len(column) for column in versions]
        nexts = [iter(log).__next__ for log in self.logs]
        for w in turn:
            record = nexts[w]()
            kind, op, result, _, t0 = record
            if kind == READ:
                _, writer, place = result
                if place < sizes[writer] and (number := versions[writer][place]) >= 0:
                    readers[op.target][number] += 1
                else:
                    progress.saw(op.target, result)
            elif kind == WRITE:
                pass
            elif ACQUIRE <= kind <= GET:
                u = unit[op.target]
                turns[u].append(w)
                if t0:
                    self.unclear.add(u)
                elif kind == ACQUIRE and holder[u] == -1 and result is True:
                    holder[u] = w
                elif kind == RELEASE and holder[u] == w and result is None and not depth[u]:
                    holder[u] = -1
                elif not self._follow(kind, op, result, w, u):
                    self.unclear.add(u)
            elif kind <= ATOMIC:
                progress.count(w, record)
            elif kind == TIMEOUT and op.target >= 0:
                self.unclear.add(unit[op.target])
            elif kind == SPAWN and result.__class__ is not Raised:
                progress.spawned.add(op.target)
            elif kind == JOIN:
                self.joined.add(op.target)
        self.turns = turns

    def _follow(self, kind: int, op: Op, result: Value, w: int, u: int) -> bool:
        """The less frequent steps of a lock, and semaphores: whether this one fits its stamp."""
        holder, depth = self.holder, self.depth
        spec = self.layout.spec(u)
        if op.target != u:
            return False
        if kind == ACQUIRE and result is True:
            if "semaphore" in spec.type:
                depth[u] -= 1
                return depth[u] >= 0
            depth[u] += 1
            return holder[u] == w and spec.type != "lock"
        if kind != RELEASE or result is not None:
            return False
        if "semaphore" in spec.type:
            depth[u] += op.value or 1
            return spec.type == "semaphore" or depth[u] <= spec.value
        if spec.type == "lock":  # anybody may release it
            held, holder[u] = holder[u] >= 0, -1
            return held
        depth[u] -= 1
        return holder[u] == w

    # --- what is unclear ------------------------------------------------------------------------
    def _place(self) -> list[tuple[int, int, int]]:
        """Put the events of each unclear unit in order; their moments."""
        moved: list[tuple[int, int, int]] = []
        woken: list[tuple[int, int, list[int]]] = []
        for u in sorted(self.unclear):
            placing = self._placing([n for n in self._objects() if self.unit[n] == u], None)
            self.turns[u] = placing.turns
            moved += placing.moments
            woken += placing.woken
        self.notes = sorted(woken)
        return moved

    def _place_all(self) -> tuple[Sequence[int], list[tuple[int, int, int]]]:
        """All events in one order, and their moments: for objects that do not fit together."""
        placing = self._placing(self._objects(), self.progress)
        for u in self.turns:
            self.turns[u] = array("i")
        for worker, place, _ in placing.moments:
            record = self.logs[worker][place]
            if is_on_object(record):
                self.turns[self.unit[record[1].target]].append(worker)
        self.notes = sorted(placing.woken)
        return placing.turns, placing.moments

    def _objects(self) -> Sequence[int]:
        return range(self.layout.variables, len(self.unit))

    def _placing(self, numbers: Sequence[int], progress: Progress | None) -> Placing:
        models = make_models(self.layout, self.rules)
        life = lifetimes(self.logs)
        placing = Placing(self.logs, numbers, models, self.layout, self.rules, life, progress)
        placing.place()
        return placing

    def _timed_joins(self) -> list[tuple[int, int, int]]:
        """Joins that gave up found their worker alive: before its last event, if that may be."""
        moved: list[tuple[int, int, int]] = []
        if not self.joined:
            return moved
        for worker, log in enumerate(self.logs):
            for place, (kind, op, result, t, t0) in enumerate(log):
                if kind != JOIN or result is not False or not self.logs[op.target]:
                    continue
                last = self.logs[op.target][-1][3]
                start = t0 or stamp_before(log, place, 0)
                if last >= start:
                    self.holds[op.target] += 1
                    moved.append((worker, place, min(t, max(start, last - 1))))
        return moved

    # --- the merge ------------------------------------------------------------------------------
    def _merge(self, turn: Sequence[int]) -> bool:
        """Take the events by ``turn``, each as soon as all that it needs is there."""
        progress = self.progress
        progress.begin()
        number, now, left = progress.number, progress.now, progress.left
        cells, readers, units = progress.cells, progress.readers, self.unit
        self.out_workers: list[int] = []
        self.out_records: list[Record] = []
        self.out_results: list[Value] = []
        turns = self.turn = {u: iter(column) for u, column in self.turns.items()}
        due = self.due = [-1] * len(units)  # who is next at each unit
        for u, column in turns.items():
            due[u] = next(column, -1)
        self.whom: list[deque[list[int]]] = [deque() for _ in self.logs]
        for w, _, who in self.notes:
            self.whom[w].append(who)
        self.patient = True
        nexts = self.nexts = [self._source(w).__next__ for w in range(len(self.logs))]
        # workers that wait: the record each waits with, and how many turns have passed it by
        held: dict[int, Record] = {}
        self.held = held
        owed = self.owed = [0] * len(self.logs)
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
                if left[v] or not progress.is_next(v, result):
                    held[w] = record
                    continue
                n = number[v] = number[v] + 1
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
                elif held:
                    self._resume()
                continue
            emit_worker(w)
            emit_record(record)
            if held:
                self._resume()
        self._resume()
        if held:
            # a worker may outlive its last event: then a join that gave up may come after it
            self.patient = False
            self._resume()
        return not held

    def _source(self, w: int) -> Iterator[Record]:
        log = self.logs[w]
        body: Iterator[Record] = iter(log)
        if log and (w in self.joined or self.holds[w]):
            last: Any = log[-1]
            body = chain(islice(log, len(log) - 1), [(_LAST, last, None, last[3], 0)])
        if log and w in self.progress.spawned:
            first: Any = next(body)
            body = chain([(_FIRST, first, None, first[3], 0)], body)
        return body

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
        if ACQUIRE <= kind <= GET or (kind == TIMEOUT and op.target >= 0):
            u = self.unit[op.target]
            if self.due[u] != w:
                return False
            self.due[u] = next(self.turn[u], -1)
            if kind == NOTIFY and result.__class__ is not Raised:
                result = self.whom[w].popleft()
        else:
            if not self.progress.step(w, record):
                return False
            result = self.progress.value
            if kind == JOIN and result is False and self.holds[op.target]:
                self.holds[op.target] -= 1
        self.out_workers.append(w)
        self.out_records.append(record)
        self.out_results.append(result)
        return True

    def _edge(self, w: int, record: Record) -> bool:
        """A worker's first event waits for its spawn; its last is waited for by joins."""
        inner: Any = record[1]
        if record[0] == _FIRST:
            return self.progress.started[w] and self._step(w, inner)
        if (self.holds[w] and self.patient) or not self._step(w, inner):
            return False
        self.progress.over[w] = True
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
