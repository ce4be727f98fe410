"""Which events of a free run have their order by their stamps, and where to put the others."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final

from tracelock.engine.linearise.history import Entry, OrderProgress, Record, lifetimes, stamp_before
from tracelock.engine.linearise.placing import Placing
from tracelock.engine.linearise.strands import is_on_object
from tracelock.objects import Rules, make_models
from tracelock.ops import (
    ACQUIRE,
    ATOMIC,
    GET,
    JOIN,
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

_HELD: Final = frozenset({"lock", "rlock", "condition_lock"})


class OrderSurvey:
    """The order at each object, by ``unit``: an object, or a lock with its conditions.

    ``turns``: for each unit the workers whose events come one after the other. ``unclear``:
    units whose stamps do not tell. ``woken``: (worker, place, the waiters) of each notify.
    ``progress`` knows how many events saw each version. ``joined``: workers that others join;
    ``holds``: how many joins must come before the last event of each worker.
    """

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
        self.progress = OrderProgress(logs, cells, layout)
        # a lock and its conditions are one unit, named by the lock's number
        self.unit = list(range(layout.variables)) + [
            spec.lock if spec.type == "condition" else number
            for number, spec in enumerate(layout.objects, layout.variables)
        ]
        self.depth = [0] * len(self.unit)
        self.turns: dict[int, array[int]] = {}
        self.unclear: set[int] = set()
        self.woken: list[tuple[int, int, list[int]]] = []
        self.joined: set[int] = set()
        self.holds = [0] * len(logs)

    def read(self, turn: Sequence[int]) -> None:
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
    def place(self) -> list[tuple[int, int, int]]:
        """Put the events of each unclear unit in order; (worker, place, moment) of each."""
        places = {u: [array("q") for _ in self.logs] for u in self.unclear}
        unit = self.unit
        for w, log in enumerate(self.logs):
            for place, record in enumerate(log):
                if is_on_object(record):
                    found = places.get(unit[record[1].target])
                    if found is not None:
                        found[w].append(place)
        moved: list[tuple[int, int, int]] = []
        woken: list[tuple[int, int, list[int]]] = []
        life = lifetimes(self.logs)
        for u in sorted(self.unclear):
            numbers = [n for n in self._objects() if unit[n] == u]
            placing = self._placing(places[u], numbers, life, None)
            self.turns[u] = placing.turns
            moved += placing.moments
            woken += placing.woken
        self.woken = sorted(woken)
        return moved

    def place_all(self) -> tuple[Sequence[int], list[tuple[int, int, int]]]:
        """All events in one order, and their moments: for objects that do not fit together."""
        places = [range(len(log)) for log in self.logs]
        life = lifetimes(self.logs)
        placing = self._placing(places, self._objects(), life, self.progress)
        for u in self.turns:
            self.turns[u] = array("i")
        for worker, place, _ in placing.moments:
            record = self.logs[worker][place]
            if is_on_object(record):
                self.turns[self.unit[record[1].target]].append(worker)
        self.woken = sorted(placing.woken)
        return placing.turns, placing.moments

    def _objects(self) -> Sequence[int]:
        return range(self.layout.variables, len(self.unit))

    def _placing(
        self,
        places: Sequence[Sequence[int]],
        numbers: Sequence[int],
        life: tuple[list[int], list[int]],
        progress: OrderProgress | None,
    ) -> Placing:
        models = make_models(self.layout, self.rules)
        placing = Placing(
            self.logs, places, numbers, models, self.layout, self.rules, life, progress
        )
        placing.place()
        return placing

    def timed_joins(self) -> list[tuple[int, int, int]]:
        """Joins that gave up found their worker alive: before its last event, if that may be."""
        moved: list[tuple[int, int, int]] = []
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
