"""The events of a trace: columns inside, one immutable :class:`Event` at a time outside.

A run of a million steps repeats a few dozen *shapes* (the same step of the scenario, on the same
target), so a shape is stored once and an event keeps its number. What differs lives in typed
arrays; what is rare (``expect``, ``enabled``, ``waited``) takes no room until it is used. A
typical event costs some 60 bytes where an object per event costs 240 and its values.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, overload

from tracelock.errors import TraceError
from tracelock.trace.event import MISSING, NO_EXTRA, Event, Shape, check_shape, frozen
from tracelock.trace.text import dumps, encode

__all__ = ["CHUNK", "LARGEST", "Events"]

#: Keys of an event that depend on the interpreter, or are there for people: they are no part of a
#: digest.
OF_MACHINE: Final = frozenset({"switch", "size"})
LARGEST: Final = 2**63 - 1  # of a time in nanoseconds: 292 years
CHUNK: Final = 8192  # events: some 1 MB of text, so that a long trace is never in memory as text


#: The optional key of an event in which a connection is accepted: what its answers go by.
ACCEPTED: Final = "accepts"


class Events(Sequence[Event]):
    """A growing sequence of events, kept as columns.

    The columns may be read (never changed) by whoever needs speed; all but the sparse ones have
    one entry an event:

    - ``workers``: index of the worker; ``shapes``: index into ``table``, a list of `Shape`;
    - ``times``: ns since the run's start; ``values``, ``results``: the value or ``MISSING``;
    - ``waits``: ns, -1 for none, or the whole column is None while no event has one;
    - ``choices``: index into ``choice_table`` (0: none), or None while no event has one;
    - ``expects``, ``extras``: sparse, by sequence number.

    Not synchronised: one thread appends.
    """

    __slots__ = (
        "_choice_of", "_shape_of", "choice_table", "choices", "expects", "extras", "results",
        "shapes", "table", "times", "values", "waits", "workers",
    )  # fmt: skip

    def __init__(self) -> None:
        self.workers: array[int] = array("I")
        self.shapes: array[int] = array("I")
        self.times: array[int] = array("q")
        self.values: list[Any] = []
        self.results: list[Any] = []
        self.waits: array[int] | None = None
        self.choices: array[int] | None = None
        self.choice_table: list[tuple[int, ...] | None] = [None]
        self.expects: dict[int, Any] = {}
        self.extras: dict[int, dict[str, Any]] = {}
        self.table: list[Shape] = []
        self._shape_of: dict[tuple[Any, ...], int] = {}
        self._choice_of: dict[tuple[int, ...], int] = {}

    # --- growing -----------------------------------------------------------------------------
    def shape(
        self, op: str, target: str | None, at: str, timeout: Any = MISSING, n: Any = MISSING
    ) -> int:
        """The number of a shape, given out at first sight.

        Raises :class:`TraceError` for a shape that the format does not allow.
        """
        # repr keeps 1, 1.0 and true apart, which as keys would be one.
        key = (op, target, at, None if timeout is MISSING else repr(timeout),
               None if n is MISSING else repr(n))  # fmt: skip
        try:
            number = self._shape_of.get(key)
        except TypeError:  # a list or an object where a string belongs
            number = None
        if number is None:
            new = Shape(op, target, at, timeout, n)
            check_shape(new)
            number = self._shape_of[key] = len(self.table)
            self.table.append(new)
        return number

    def append(
        self,
        worker: int,
        shape: int,
        t: int,
        value: Any = MISSING,
        result: Any = MISSING,
        expect: Any = MISSING,
        waited: int = -1,
        enabled: Sequence[int] | None = None,
    ) -> None:
        """Add one event. ``t`` and ``waited`` in ns (-1: none); ``enabled``: worker indices."""
        values = self.values
        self.workers.append(worker)
        self.shapes.append(shape)
        try:
            self.times.append(t)
        except OverflowError:  # a scenario may sleep for ages, virtually
            self.times.append(LARGEST)
        values.append(value)
        self.results.append(result)
        if expect is not MISSING:
            self.expects[len(values) - 1] = expect
        if waited >= 0 or self.waits is not None:
            self._waits_before(len(values) - 1).append(waited)
        if enabled is not None or self.choices is not None:
            self._choices_before(len(values) - 1).append(
                0 if enabled is None else self._choice(tuple(enabled))
            )

    def extend_columns(
        self,
        workers: Iterable[int],
        shapes: Iterable[int],
        times: Iterable[int],
        values: Sequence[Any] | None = None,
        results: Sequence[Any] | None = None,
        waits: Iterable[int] | None = None,
        expects: Mapping[int, Any] | None = None,
        enabled: Iterable[Sequence[int] | None] | None = None,
    ) -> None:
        """Add many events at once, given as columns of one length.

        ``values`` and ``results`` hold ``MISSING`` where there is none (the whole column None:
        nowhere); ``waits`` holds -1; ``enabled`` None; ``expects`` is sparse, by position in
        *these* columns. Raises ValueError when the lengths differ (nothing is added then).
        """
        start = len(self.values)
        new_workers, new_shapes = array("I", workers), array("I", shapes)
        new_times = array("q", times)
        size = len(new_workers)
        new_waits = None if waits is None else array("q", waits)
        chosen = None if enabled is None else list(enabled)
        for column in (new_shapes, new_times, values, results, new_waits, chosen):
            if column is not None and len(column) != size:
                raise ValueError(f"columns of {size} and {len(column)} events")
        new_values = [MISSING] * size if values is None else list(values)
        new_results = [MISSING] * size if results is None else list(results)
        if not start:  # nothing there yet: no second copy of a long run
            self.workers, self.shapes, self.times = new_workers, new_shapes, new_times
            self.values, self.results = new_values, new_results
        else:
            self.workers.extend(new_workers)
            self.shapes.extend(new_shapes)
            self.times.extend(new_times)
            self.values.extend(new_values)
            self.results.extend(new_results)
        if new_waits is not None or self.waits is not None:
            self._waits_before(start).extend(new_waits or array("q", [-1]) * size)
        if chosen is not None or self.choices is not None:
            self._choices_before(start).extend(
                [0 if one is None else self._choice(tuple(one)) for one in chosen]
                if chosen is not None
                else [0] * size
            )
        for position, value in (expects or {}).items():
            self.expects[start + position] = value

    def _waits_before(self, size: int) -> array[int]:
        if self.waits is None:
            self.waits = array("q", [-1]) * size
        return self.waits

    def _choices_before(self, size: int) -> array[int]:
        if self.choices is None:
            self.choices = array("I", [0]) * size
        return self.choices

    def _choice(self, enabled: tuple[int, ...]) -> int:
        number = self._choice_of.get(enabled)
        if number is None:
            number = self._choice_of[enabled] = len(self.choice_table)
            self.choice_table.append(enabled)
        return number

    # --- reading -----------------------------------------------------------------------------
    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        """The event, or the list of events (which keep their ``seq``; see also :meth:`part`)."""
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self.values))
            if step == 1:
                return list(self._between(start, stop))
            return [self[i] for i in range(start, stop, step)]
        seq = index + len(self.values) if index < 0 else index
        if not 0 <= seq < len(self.values):
            raise IndexError(f"event {index} of {len(self.values)}")
        return next(self._between(seq, seq + 1))

    def __iter__(self) -> Iterator[Event]:
        return self._between(0, len(self.values))

    def _between(self, start: int, stop: int) -> Iterator[Event]:
        table, choice_table = self.table, self.choice_table
        expects, extras, waits, choices = self.expects, self.extras, self.waits, self.choices
        for seq in range(start, stop):
            shape = table[self.shapes[seq]]
            waited: Any = -1 if waits is None else waits[seq]
            chosen = None if choices is None else choice_table[choices[seq]]
            yield Event(
                seq,
                self.workers[seq],
                shape.op,
                shape.target,
                shape.at,
                self.times[seq],
                self.values[seq],
                shape.timeout,
                shape.n,
                expects.get(seq, MISSING),
                self.results[seq],
                MISSING if waited < 0 else waited,
                MISSING if chosen is None else chosen,
                extras.get(seq, NO_EXTRA),
            )

    def part(self, start: int = 0, stop: int | None = None) -> Events:
        """A new, independent `Events` of the events start to stop, numbered from 0 again."""
        start, stop, _ = slice(start, stop).indices(len(self.values))
        stop = max(start, stop)
        new = Events()
        new.table = list(self.table)
        new._shape_of = dict(self._shape_of)
        new.choice_table = list(self.choice_table)
        new._choice_of = dict(self._choice_of)
        for name in ("workers", "shapes", "times", "values", "results", "waits", "choices"):
            column = getattr(self, name)
            setattr(new, name, None if column is None else column[start:stop])
        new.expects = {k - start: v for k, v in self.expects.items() if start <= k < stop}
        new.extras = {k - start: dict(v) for k, v in self.extras.items() if start <= k < stop}
        return new

    def copy(self) -> Events:
        """An independent copy (the values themselves are shared)."""
        return self.part()

    def renamed(self, names: Mapping[str, str]) -> Events:
        """The events with other names for their targets, to be read only: all columns but the table
        of shapes are those of this one, and what is ``ACCEPTED``. ``names``: as far as they are
        others."""
        new = Events()
        for name in self.__slots__:
            setattr(new, name, getattr(self, name))
        new._shape_of = {}
        new.table = [
            shape if shape.target is None
            else shape._replace(target=names.get(shape.target, shape.target))
            for shape in self.table
        ]  # fmt: skip
        accepted = {seq: one for seq, one in self.extras.items() if one.get(ACCEPTED) in names}
        if accepted:
            new.extras = dict(self.extras)
            for seq, one in accepted.items():
                new.extras[seq] = {**one, ACCEPTED: names[one[ACCEPTED]]}
        return new

    def __repr__(self) -> str:
        return f"<Events: {len(self.values)}>"

    # --- comparing ---------------------------------------------------------------------------
    def same(self, other: Events) -> bool:
        """Whether both hold the same steps with the same outcomes, at whatever times."""
        return len(self) == len(other) and all(a.same(b) for a, b in zip(self, other, strict=True))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Events):
            return NotImplemented
        if len(self) != len(other) or self.workers != other.workers or self.times != other.times:
            return False
        return all(
            (a.signature(), a.waited, a.enabled, frozen(dict(a.extra)))
            == (b.signature(), b.waited, b.enabled, frozen(dict(b.extra)))
            for a, b in zip(self, other, strict=True)
        )

    __hash__ = None  # type: ignore[assignment]

    # --- as text ------------------------------------------------------------------------------
    def chunks(self, start: int = 0, *, times: bool = True) -> Iterator[str]:
        """The events from ``start`` on as lines joined by a comma, ``CHUNK`` events at a time.

        Without ``times`` the lines leave out ``t`` and ``waited`` and sort the keys of values: text
        that is equal exactly for events that are.
        """
        canonical = not times
        heads, middles, places = [], [], []
        for shape in self.table:
            target = "" if shape.target is None else f', "target": {dumps(shape.target, "target")}'
            heads.append(f', "op": {dumps(shape.op, "op")}{target}')
            timeout = "" if shape.timeout is MISSING else dumps(shape.timeout, "timeout")
            middle = f', "timeout": {timeout}' if timeout else ""
            middles.append(middle + ("" if shape.n is MISSING else f', "n": {shape.n}'))
            places.append(f', "at": {dumps(shape.at, "at")}')
        choices = [
            "" if one is None else f', "enabled": [{", ".join(map(str, one))}]'
            for one in self.choice_table
        ]
        for first in range(start, len(self), CHUNK):
            last = min(first + CHUNK, len(self))
            values = _column(self.values, first, last, "value", canonical)
            for seq in _within(self.expects, first, last):
                expect = dumps(self.expects[seq], f"event {seq}: expect", canonical=canonical)
                values[seq - first] += f', "expect": {expect}'
            results = _column(self.results, first, last, "result", canonical)
            ends = [""] * (last - first)
            if times:
                ends = [f', "t": {t}' for t in self.times[first:last]]
                if self.waits is not None:
                    waits = self.waits[first:last]
                    ends = [
                        end if waited < 0 else f'{end}, "waited": {waited}'
                        for end, waited in zip(ends, waits, strict=True)
                    ]
            if self.choices is not None:
                chosen = self.choices[first:last]
                ends = [choices[c] + end for c, end in zip(chosen, ends, strict=True)]
            for seq in _within(self.extras, first, last):
                for key, value in self.extras[seq].items():
                    if key in OF_MACHINE and not times:
                        continue
                    text = dumps(value, f"event {seq}: {key}", canonical=canonical)
                    ends[seq - first] += f", {dumps(key, 'a key')}: {text}"
            yield ",\n".join([
                f'  {{"seq": {seq}, "worker": {worker}{heads[s]}{value}{middles[s]}{result}'
                f"{places[s]}{end}}}"
                for seq, worker, s, value, result, end in zip(
                    range(first, last), self.workers[first:last], self.shapes[first:last],
                    values, results, ends, strict=True,
                )
            ])  # fmt: skip

    def digest(self) -> str:
        """SHA-256, in hexadecimal, of everything but the times (``t`` and ``waited``)."""
        digest = hashlib.sha256()
        for chunk in self.chunks(times=False):
            digest.update(encode(chunk))
            digest.update(b"\n")
        return digest.hexdigest()


def _column(column: list[Any], first: int, last: int, key: str, canonical: bool) -> list[str]:
    try:
        head = f', "{key}": '
        return [
            ""
            if value is MISSING
            else f"{head}{value}"
            if type(value) is int
            else head + dumps(value, key, canonical=canonical)
            for value in column[first:last]
        ]
    except (TraceError, ValueError):  # ValueError: an int of more digits than Python prints
        pass
    for seq in range(first, last):  # slowly, to name the event
        if column[seq] is not MISSING:
            dumps(column[seq], f"event {seq}: {key}")
    raise AssertionError("unreachable: one of them cannot be written")


def _within(sparse: dict[int, Any], first: int, last: int) -> list[int]:
    if not sparse:
        return []
    return [seq for seq in range(first, last) if seq in sparse]
