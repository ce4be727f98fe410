"""Text to header, events and verdict; the one place that says what a valid document is.

A document is parsed in one of two ways. :func:`read_document` walks any JSON text and knows the
place of everything wrong. :meth:`EventBuilder.add_chunk` takes many events at once, column by
column, and answers only yes or no: at a no, the caller starts over in the first way.
"""

from __future__ import annotations

import re
from array import array
from json import JSONDecodeError, JSONDecoder
from math import isinf
from typing import Any, Final, NoReturn

from tracelock.errors import TraceError
from tracelock.trace.event import MISSING, Missing
from tracelock.trace.events import LARGEST, Events
from tracelock.trace.header import shown

__all__ = [
    "Broken", "EventBuilder", "PartialTrace", "TraceTooLarge", "check_parts_of", "decode_events",
    "read_document",
]  # fmt: skip

_LENGTH: Final = 10  # of the values in events, on the average at least
_REQUIRED: Final = frozenset({"seq", "worker", "op", "at", "t"})
_KNOWN: Final = _REQUIRED | {
    "target", "value", "expect", "timeout", "n", "result", "enabled", "waited",
}  # fmt: skip
_MOST: Final = 2**32 - 1  # of a worker's index
# What may stand before the end of a cut text: after "1" the rest of 1.5 or 1e-5 may be missing.
_WORDS: Final = ("true", "false", "null", "-", ".", "e+", "e-", "E+", "E-")
_space = re.compile(r"[ \t\n\r]*").match


class Broken(Exception):
    """The text stops being a trace at ``position``; ``cut``: because it ends there."""

    def __init__(self, message: str, position: int, cut: bool = False) -> None:
        self.position = position
        self.cut = cut
        super().__init__(message)


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if isinf(number):
        raise ValueError(f"the number {digits[:40]} is too large")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for i, key in enumerate(keys) if key in keys[:i])
        raise ValueError(f"key {twice!r} appears twice in one object")
    return data


# Duplicate keys are refused in the header only: a hook for every object costs half as much again.
_events = JSONDecoder(parse_constant=_refused, parse_float=_finite)
_header = JSONDecoder(parse_constant=_refused, parse_float=_finite, object_pairs_hook=_unique)


def decode_events(lines: str) -> list[Any]:
    """The events of some whole lines, joined by commas. Raises ValueError or RecursionError."""
    found: list[Any] = _events.decode(f"[{lines}]")
    return found


class TraceTooLarge(TraceError):
    """It is beyond the limits, and nothing of it is looked at any further."""


def check_parts_of(text: str, most: int) -> None:
    """Raises :class:`TraceTooLarge` for a text of JSON with more values than that, and more than
    events have for its length: the shortest take twenty times the memory that their text does."""
    if sum(map(text.count, "[{,")) > max(most, len(text) // _LENGTH):
        raise TraceTooLarge(f"it has more than {most} values in it")


def size_of(value: Any, limit: int) -> tuple[int, int]:
    """How deeply lists and dicts are nested (0 for a scalar), and how many values are in them;
    stops counting beyond the depth ``limit``."""
    depth, count, level = 0, 0, [value]
    while depth <= limit:
        count += len(level)
        inner: list[Any] = []
        nested = False
        for one in level:
            if isinstance(one, dict):
                nested = True
                inner.extend(one.values())
            elif isinstance(one, list):
                nested = True
                inner.extend(one)
        if not nested:
            break
        depth, level = depth + 1, inner
    return depth, count


# --- events ----------------------------------------------------------------------------------
class EventBuilder:
    """Turns events as data into columns, checking each; ``depth`` is the most nesting allowed,
    ``most`` how many there may be, and as many values in their lists and objects. Beyond that
    each method raises :class:`TraceTooLarge`."""

    def __init__(self, depth: int, most: int) -> None:
        self.events = Events()
        self._depth = depth
        self._most = most
        self._left = most  # of the values that lists and objects may hold
        self._shapes: dict[tuple[Any, ...], int] = {}

    def add(self, data: Any) -> None:
        """Check and add the next event. Raises :class:`TraceError` (and adds nothing)."""
        events = self.events
        if len(events) >= self._most:
            raise TraceTooLarge(f"it has more than {self._most} events")
        if type(data) is not dict:
            raise TraceError(f"it is {shown(data)}, not an object")
        for key in ("seq", "worker", "op", "at", "t"):
            if key not in data:
                raise TraceError(f"key {key!r} is missing")
        if type(data["seq"]) is not int or data["seq"] != len(events):
            raise TraceError(f"seq is {shown(data['seq'])} where {len(events)} comes next")
        worker = _whole(data["worker"], "worker", _MOST)
        shape = self._shape(tuple(data.get(k, MISSING) for k in _SHAPE))
        t = _whole(data["t"], "t", LARGEST)
        waited = _whole(data["waited"], "waited", LARGEST) if "waited" in data else -1
        enabled = None
        if "enabled" in data:
            enabled = data["enabled"]
            if type(enabled) is not list:
                raise TraceError(f"enabled is {shown(enabled)}, not an array")
            for one in enabled:
                _whole(one, "a worker in enabled", _MOST)
        extra = {key: value for key, value in data.items() if key not in _KNOWN}
        value, result, expect = (data.get(key, MISSING) for key in ("value", "result", "expect"))
        for held in (value, result, expect, *extra.values()):
            self._check_depth(held)
        if extra:
            self._pay(len(extra))
            events.extras[len(events)] = extra
        events.append(worker, shape, t, value, result, expect, waited, enabled)

    def add_chunk(self, chunk: list[Any]) -> bool:
        """Add many events; False (and nothing added) if `add` would refuse one of them."""
        if not chunk:
            return True
        if set(map(type, chunk)) != {dict}:
            return False
        layouts = set(map(tuple, chunk))
        keys: set[str] = set().union(*layouts)
        if not all(_REQUIRED.issubset(layout) for layout in layouts):
            return False
        try:
            if keys <= _KNOWN:
                return self._add_columns(chunk, keys)
            before = len(self.events)
            for data in chunk:
                self.add(data)
        except TraceTooLarge:
            raise
        except (TraceError, TypeError, OverflowError):
            if not keys <= _KNOWN:
                self.events = self.events.part(0, before)
            return False
        return True

    def _add_columns(self, chunk: list[dict[str, Any]], keys: set[str]) -> bool:
        start, size = len(self.events), len(chunk)
        if start + size > self._most:
            raise TraceTooLarge(f"it has more than {self._most} events")
        seqs = [data["seq"] for data in chunk]
        workers = [data["worker"] for data in chunk]
        times = [data["t"] for data in chunk]
        for numbers in (seqs, workers, times):  # by type: True would pass for 1
            if set(map(type, numbers)) != {int}:
                return False
        if seqs != list(range(start, start + size)) or min(times) < 0:
            return False
        if "timeout" in keys or "n" in keys:
            shapes = [self._shape(tuple(data.get(k, MISSING) for k in _SHAPE)) for data in chunk]
        else:
            shapes = self._plain_shapes(chunk)
        values, results, expects = (
            [data.get(key, MISSING) for data in chunk] if key in keys else None
            for key in ("value", "result", "expect")
        )
        for column in (values, results, expects):
            if column is not None and not set(map(type, column)).isdisjoint((list, dict)):
                for value in column:
                    self._check_depth(value)
        waits = None
        if "waited" in keys:
            found = [data.get("waited", MISSING) for data in chunk]
            if not set(map(type, found)) <= {int, Missing}:
                return False
            if min((one for one in found if one is not MISSING), default=0) < 0:
                return False
            waits = [-1 if one is MISSING else one for one in found]
        enabled: list[list[int] | None] | None = None
        if "enabled" in keys:
            enabled = []
            for data in chunk:
                one = data.get("enabled", MISSING)
                if one is MISSING:
                    enabled.append(None)
                    continue
                if type(one) is not list or not set(map(type, one)) <= {int}:
                    return False
                if one and not (min(one) >= 0 and max(one) <= _MOST):
                    return False
                enabled.append(one)
        sparse = None
        if expects is not None:
            sparse = {i: value for i, value in enumerate(expects) if value is not MISSING}
        self.events.extend_columns(
            workers, shapes, array("q", times), values, results, waits, sparse, enabled
        )
        return True

    def _plain_shapes(self, chunk: list[dict[str, Any]]) -> list[int]:
        missing = MISSING
        wanted = [(data["op"], data.get("target", missing), data["at"]) for data in chunk]
        known = self._shapes
        try:
            return [known[key] for key in wanted]
        except KeyError:
            for key in wanted:
                if key not in known:
                    known[key] = self._shape((*key, missing, missing))
            return [known[key] for key in wanted]

    def _shape(self, key: tuple[Any, ...]) -> int:
        op, target, at, timeout, n = key
        if target is None:
            raise TraceError("target is null: it is left out where there is none")
        return self.events.shape(op, None if target is MISSING else target, at, timeout, n)

    def _check_depth(self, value: Any) -> None:
        if type(value) not in (list, dict):
            return
        depth, count = size_of(value, self._depth)
        if depth > self._depth:
            raise TraceError(f"a value is nested deeper than {self._depth} levels")
        self._pay(count)

    def _pay(self, count: int) -> None:
        """Count so many values that are kept as they are."""
        self._left -= count
        if self._left < 0:
            raise TraceTooLarge(
                f"its events have more than {self._most} values in lists and objects"
            )


_SHAPE: Final = ("op", "target", "at", "timeout", "n")


def _whole(value: Any, what: str, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise TraceError(f"{what} is {shown(value)}, not a whole number from 0 to {most}")
    return value


# --- the document ----------------------------------------------------------------------------
class PartialTrace:
    """What has been read so far, whole or not: `read_document` fills it as it goes.

    ``fields``: the top level without ``events``; ``keys``: with it. ``starts``: where in the
    text each event begins; ``end``: where the last whole event ends, -1 before ``events``
    was reached. ``follows``: the first event of the text is to be there, as others and a comma
    have come before it that the builder has.
    """

    def __init__(self, depth: int, most: int) -> None:
        self.fields: dict[str, Any] = {}
        self.keys: set[str] = set()
        self.builder = EventBuilder(depth, most)
        self.starts: array[int] = array("Q")
        self.end = -1
        self.follows = False


def read_document(
    text: str, document: PartialTrace, depth: int, stand_in: str | None = None
) -> None:
    """Read a whole document into ``document``. Raises :class:`Broken` at the first thing wrong.

    With ``stand_in``, ``events`` must be that string instead of an array: the caller has taken
    the events out of the text.
    """
    position = _skip(text, 0)
    if position == len(text):
        raise Broken("it is empty, not a trace", position)
    if text[position] != "{":
        raise Broken("it is not a JSON object, so not a trace", position)
    position = _skip(text, position + 1)
    keys = document.keys
    while True:
        if text[position : position + 1] == "}" and not keys:
            break
        _expect(text, position, '"', "a key")
        key_at = position
        key, position = _value(_header, text, position)
        if key in keys:
            raise Broken(f"key {key!r} appears twice", key_at)
        keys.add(key)
        position = _skip(text, position)
        _expect(text, position, ":", "':'")
        position = _skip(text, position + 1)
        if key == "events" and stand_in is None:
            position = _read_events(text, position, document)
        else:
            value, after = _value(_header, text, position)
            if size_of(value, depth)[0] > depth:
                raise Broken(f"{key} is nested deeper than {depth} levels", position)
            if key != "events":
                document.fields[key] = value
            elif value != stand_in:
                raise Broken("these are not the events", position)
            position = after
        position = _skip(text, position)
        if text[position : position + 1] == "}":
            break
        _expect(text, position, ",", "',' or '}'")
        position = _skip(text, position + 1)
    position = _skip(text, position + 1)
    if position != len(text):
        raise Broken("something follows the end of the trace", position)


def _read_events(text: str, position: int, document: PartialTrace) -> int:
    if text[position : position + 1] != "[":
        if position == len(text):
            raise Broken("", position, True)
        raise Broken("events is not an array", position)
    document.end = position + 1
    position = _skip(text, position + 1)
    if text[position : position + 1] == "]" and not document.follows:
        return position + 1
    builder, starts = document.builder, document.starts
    while True:
        data, after = _value(_events, text, position)
        if text[after : after + 1] == "" and type(data) is not dict:
            raise Broken("", after, True)  # a number may go on beyond the end
        try:
            builder.add(data)
        except TraceTooLarge:
            raise
        except TraceError as problem:
            number = len(builder.events)
            raise Broken(f"event {number}: {problem}", position) from None
        starts.append(position)
        document.end = after
        position = _skip(text, after)
        if text[position : position + 1] == "]":
            return position + 1
        _expect(text, position, ",", "',' or ']'")
        position = _skip(text, position + 1)


def _skip(text: str, position: int) -> int:
    found = _space(text, position)
    return found.end() if found else position


def _expect(text: str, position: int, character: str, what: str) -> None:
    found = text[position : position + 1]
    if found != character:
        raise Broken(f"not JSON: {what} should be here", position, found == "")


def _value(decoder: JSONDecoder, text: str, position: int) -> tuple[Any, int]:
    try:
        return decoder.raw_decode(text, position)
    except JSONDecodeError as problem:
        raise Broken(f"not JSON: {problem.msg}", problem.pos, _at_end(text, problem)) from None
    except ValueError as problem:
        raise Broken(str(problem), position) from None
    except RecursionError:
        raise Broken("nested far too deeply", position) from None


def _at_end(text: str, problem: JSONDecodeError) -> bool:
    """Whether the text stopped being JSON only because it stops."""
    if problem.msg.startswith("Unterminated"):
        return True
    rest = text[problem.pos :]
    if problem.msg.startswith("Invalid \\u"):
        return len(rest) <= 5 and '"' not in rest
    return not rest.strip() or any(word.startswith(rest) for word in _WORDS)
