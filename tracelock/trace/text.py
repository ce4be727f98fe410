"""Trace to text: one event a line, in chunks. The inverse is ``reading``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from json import JSONEncoder
from typing import TYPE_CHECKING, Any

from tracelock.errors import TraceError
from tracelock.trace.events import MISSING

if TYPE_CHECKING:
    from tracelock.trace.events import Events

__all__ = ["CHUNK", "chunks", "digest_of", "dumps", "encode", "header_text"]

CHUNK = 8192  # events: some 1 MB of text, so that a long trace is never in memory as text

_plain = JSONEncoder(ensure_ascii=False, allow_nan=False)
_sorted = JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True)


def dumps(value: Any, what: str, *, canonical: bool = False) -> str:
    """``value`` as JSON on one line; a TraceError that names ``what`` where JSON cannot."""
    try:
        return (_sorted if canonical else _plain).encode(value)
    except (TypeError, ValueError, RecursionError) as problem:
        raise TraceError(f"{what} cannot be written as JSON: {problem}") from None


def encode(text: str) -> bytes:
    """UTF-8. A lone surrogate, which UTF-8 has no place for, becomes JSON's own escape."""
    return text.encode("utf-8", "backslashreplace")


def header_text(header: dict[str, Any]) -> str:
    """The head of the document up to and with the opening of ``events``, one key a line."""
    lines = [f"{dumps(key, 'a key')}: {dumps(value, key)}" for key, value in header.items()]
    return "{" + ",\n ".join(lines) + ',\n "events": ['


def chunks(events: Events, start: int = 0, *, times: bool = True) -> Iterator[str]:
    """The events from ``start`` on as lines joined by a comma, ``CHUNK`` events at a time.

    Without ``times`` the lines leave out ``t`` and ``waited`` and sort the keys of values: text
    that is equal exactly for events that are.
    """
    canonical = not times
    heads, middles, places = [], [], []
    for shape in events.table:
        target = "" if shape.target is None else f', "target": {dumps(shape.target, "target")}'
        heads.append(f', "op": {dumps(shape.op, "op")}{target}')
        timeout = "" if shape.timeout is MISSING else dumps(shape.timeout, "timeout")
        middle = f', "timeout": {timeout}' if timeout else ""
        middles.append(middle + ("" if shape.n is MISSING else f', "n": {shape.n}'))
        places.append(f', "at": {dumps(shape.at, "at")}')
    choices = [
        "" if one is None else f', "enabled": [{", ".join(map(str, one))}]'
        for one in events.choice_table
    ]
    for first in range(start, len(events), CHUNK):
        last = min(first + CHUNK, len(events))
        values = _column(events.values, first, last, "value", canonical)
        for seq in _within(events.expects, first, last):
            expect = dumps(events.expects[seq], f"event {seq}: expect", canonical=canonical)
            values[seq - first] += f', "expect": {expect}'
        results = _column(events.results, first, last, "result", canonical)
        ends = [""] * (last - first)
        if times:
            ends = [f', "t": {t}' for t in events.times[first:last]]
            if events.waits is not None:
                waits = events.waits[first:last]
                ends = [
                    end if waited < 0 else f'{end}, "waited": {waited}'
                    for end, waited in zip(ends, waits, strict=True)
                ]
        if events.choices is not None:
            chosen = events.choices[first:last]
            ends = [choices[c] + end for c, end in zip(chosen, ends, strict=True)]
        for seq in _within(events.extras, first, last):
            for key, value in events.extras[seq].items():
                text = dumps(value, f"event {seq}: {key}", canonical=canonical)
                ends[seq - first] += f", {dumps(key, 'a key')}: {text}"
        yield ",\n".join([
            f'  {{"seq": {seq}, "worker": {worker}{heads[s]}{value}{middles[s]}{result}{places[s]}'
            f"{end}}}"
            for seq, worker, s, value, result, end in zip(
                range(first, last), events.workers[first:last], events.shapes[first:last],
                values, results, ends, strict=True,
            )
        ])  # fmt: skip


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


def digest_of(events: Events) -> str:
    """SHA-256, in hexadecimal, of the events without their times."""
    digest = hashlib.sha256()
    for chunk in chunks(events, times=False):
        digest.update(encode(chunk))
        digest.update(b"\n")
    return digest.hexdigest()
