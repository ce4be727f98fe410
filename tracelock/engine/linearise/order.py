"""One order for what several workers did at once: the logs of a free run made into one history.

The order keeps each worker's own, the true order of the versions of every variable with the
reads of each, and for each object an order that its model accepts. Locks are recorded so that
their stamps give it (an acquire is stamped after it, a release before); what only has an
interval is placed by :mod:`~tracelock.engine.linearise.placing`. The merge takes events by their
stamps and lets a worker wait while something that must come before its next event is missing.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, islice
from operator import attrgetter
from typing import Any, Final, TypeVar

from tracelock.engine.linearise.history import Entry, Log, Record, describe, stamps
from tracelock.engine.linearise.survey import OrderSurvey
from tracelock.errors import InternalError
from tracelock.objects import Rules
from tracelock.ops import (
    ACQUIRE,
    GET,
    JOIN,
    NOTIFY,
    READ,
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


T = TypeVar("T")
_KIND: Final = attrgetter("kind")


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
        self.survey = OrderSurvey(logs, cells, layout, rules)
        self.progress = self.survey.progress

    def run(self) -> Linear:
        survey = self.survey
        turn = _by_time([stamps(log) for log in self.logs])
        survey.read(turn)
        moved = survey.place() if survey.unclear else []
        joins = survey.timed_joins() if survey.joined else []
        placed: Sequence[Sequence[int]] = ()
        if moved or joins:
            placed = self._stamps(moved + joins)
            turn = _by_time(placed)
        if not self._merge(turn):
            if not survey.unclear:
                raise InternalError(self._stuck())
            # Objects are placed by clocks, variables are not: rarely, orders that are each
            # right do not fit together. Then all is looked at as one.
            turn, moved = survey.place_all()
            placed = self._stamps(moved)
            if not self._merge(turn):
                raise InternalError(self._stuck())
        workers, logs = self.out_workers, self.logs
        op = list(_woven(workers, [_ops(log) for log in logs]))
        # nearly always the kind of an event is that of its op
        own = all(isinstance(log, Log) and not log.kinds for log in logs)
        kinds = map(_KIND, op) if own else _woven(workers, [_kinds(log) for log in logs])
        return Linear(
            worker=workers,
            kind=array("b", kinds),
            op=op,
            result=self.out_results,
            t=array("q", accumulate(_woven(workers, placed or [stamps(log) for log in logs]), max)),
        )

    def _stamps(self, moved: Sequence[tuple[int, int, int]]) -> list[array[int]]:
        """The stamps of each log, with those of placed events where they were placed."""
        placed = [array("q", stamps(log)) for log in self.logs]
        for worker, place, moment in moved:
            placed[worker][place] = moment
        return [array("q", accumulate(column, max)) for column in placed]

    # --- the merge ------------------------------------------------------------------------------
    def _merge(self, turn: Sequence[int]) -> bool:
        """Take the events by ``turn``, each as soon as all that it needs is there."""
        progress = self.progress
        progress.begin()
        number, now, left = progress.number, progress.now, progress.left
        cells, readers, units = progress.cells, progress.readers, self.survey.unit
        self.out_workers: array[int] = array("i")
        self.out_results: list[Value] = []
        turns = self.turn = {u: iter(column) for u, column in self.survey.turns.items()}
        due = self.due = [-1] * len(units)  # who is next at each unit
        for u, column in turns.items():
            due[u] = next(column, -1)
        self.whom: list[deque[list[int]]] = [deque() for _ in self.logs]
        for w, _, who in self.survey.woken:
            self.whom[w].append(who)
        self.patient = True
        self.holds = list(self.survey.holds)
        nexts = self.nexts = [self._source(w).__next__ for w in range(len(self.logs))]
        # workers that wait: the record each waits with, and how many turns have passed it by
        held: dict[int, Record] = {}
        self.held = held
        owed = self.owed = [0] * len(self.logs)
        emit_worker = self.out_workers.append
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
        if log and (w in self.survey.joined or self.holds[w]):
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
            u = self.survey.unit[op.target]
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
        counts = [self.out_workers.count(w) for w in range(len(self.logs))]
        last: list[str] = []
        for w in reversed(self.out_workers[-6:]):
            counts[w] -= 1
            last.append(f"  {describe(self.layout, w, self.logs[w][counts[w]])}")
        lines += reversed(last)
        lines.append("each of these waits for another:")
        for w, record in list(self.held.items())[:8]:
            inner: Any = record
            while inner[0] < 0:
                inner = inner[1]
            lines.append(f"  {describe(self.layout, w, inner)}")
        return "\n".join(lines)


def _kinds(log: Sequence[Record]) -> Iterable[int]:
    return log.every_kind() if isinstance(log, Log) else (record[0] for record in log)


def _ops(log: Sequence[Record]) -> Iterable[Op]:
    return log.ops if isinstance(log, Log) else (record[1] for record in log)


def _woven(workers: Sequence[int], columns: Sequence[Iterable[T]]) -> Iterator[T]:
    """The items of one column per worker, in the order in which their workers come."""
    nexts = [iter(column).__next__ for column in columns]
    return (nexts[w]() for w in workers)


def _by_time(stamps: Sequence[Sequence[int]]) -> Sequence[int]:
    """The workers in the order of their events' stamps."""
    n = max(1, len(stamps))
    keys = [t * n + w for w, column in enumerate(stamps) for t in column]
    keys.sort()
    return array("i", [key % n for key in keys])
