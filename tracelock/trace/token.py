"""A failing schedule as one word: ``tl1-...``, short enough for a line, a message or a chat.

A token holds who goes on when, and what cannot be told from that (which timers fire, whom a notify
wakes); of everything else digests, by which a replay knows another test, other code and another
schedule. It holds no name, no source and no value of the program. After ``tl1-`` comes, in base64
for URLs:

====  ==============================================================================================
bytes what
====  ==============================================================================================
3     digest of the target: the id of the test, or the scenario's name and workers
3     digest of the sources that the schedule ran through
3     digest of the events: worker, op and target of each
1     backend (bits 0 to 2), clock (3), verdict (4 to 6); then its failure in a byte of its own
...   numbers (LEB128): exploration; workers, 2 bytes of each name's digest; shared variables, the
      same; segments, of each the worker and its number of events; marks, see ``_mark``; where
      the network may do more than by default: splits, faults, and which kinds (a bit for each)
3     checksum of all before
====  ==============================================================================================
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tracelock.errors import TraceError
from tracelock.trace.crashes import CRASH
from tracelock.trace.event import Event
from tracelock.trace.model import Trace
from tracelock.trace.network import FAULT, FAULTS
from tracelock.trace.shared import shared_in

PREFIX: Final = "tl1-"
#: No token is longer: a schedule that needs more is handed on as a trace.
LONGEST: Final = 4_000
#: Events that a token may stand for.
_MOST: Final = 200_000
_BACKENDS: Final = ("threading", "multiprocessing", "asyncio", "trio", "simulated")
_CLOCKS: Final = ("virtual", "adversarial")
_KINDS: Final = ("failed", "deadlock", "crashed", "unfinished", "passed")
_FAILURES: Final = ("", "assert", "always", "finally", "error")
#: What kinds of marks there are. Which fault came in, or which crash, is one that was injected and
#: a value that was chosen.
TIMER, WOKEN, INJECTED, CHOSEN, FAULTED, CRASHED = 1, 2, 3, 4, 5, 6
_CHOICES: Final = {FAULT: FAULTED, CRASH: CRASHED}
#: The number of a value that was chosen is not above this, or there is no token.
_HIGHEST: Final = 1 << 32
_TIMED: Final = frozenset({"acquire", "put", "wake", "wait", "join"})
_INJECTABLE: Final = ("call", "cancelled")


@dataclass(frozen=True, slots=True)
class ChoiceMark:
    """What is to say of one event beside its worker. ``kind``: that its timer made it, whom it has
    woken (``workers``: places in the token), that it was injected, or which of the values that the
    program asked for, of the faults or of the crashes was taken (``number``); ``place``: digest of
    where.
    """

    kind: int
    op: str = ""
    place: int = 0
    workers: tuple[int, ...] = ()
    number: int = 0


@dataclass(frozen=True, slots=True)
class ScheduleToken:
    """What a token says. ``order``: the worker of each event, as a place in ``workers``, which has
    digests of names, as ``variables`` has; ``marks``: by the number of the event; ``network``: what
    the network may do, as a trace keeps it."""

    target: bytes
    sources: bytes
    events: bytes
    backend: str
    clock: str
    kind: str
    failure: str
    exploration: int
    workers: tuple[int, ...]
    variables: frozenset[int]
    order: tuple[int, ...]
    marks: dict[int, ChoiceMark] = field(default_factory=dict)
    network: dict[str, str] = field(default_factory=dict)


def short(text: str) -> int:
    """Sixteen bits of a name's digest."""
    return int.from_bytes(_digest(text)[:2], "big")


def _digest(text: str, size: int = 3) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:size]


def target_digest(scenario: dict[str, Any]) -> bytes:
    """Three bytes that tell one test, or scenario, from another."""
    python = scenario.get("python")
    node = python.get("pytest") if isinstance(python, dict) else None
    if node:
        return _digest(f"test {node}")
    said = {key: scenario.get(key) for key in ("name", "workers", "shared", "objects")}
    return _digest(json.dumps(said, sort_keys=True, default=str))


def sources_digest(scenario: dict[str, Any]) -> bytes:
    """Three bytes of what a schedule ran through: its source files, or the scenario itself."""
    python = scenario.get("python")
    if isinstance(python, dict):
        return _digest(json.dumps(python.get("sources", {}), sort_keys=True, default=str))
    return _digest(json.dumps(scenario, sort_keys=True, default=str))


class EventsDigest:
    """A digest of events, one after the other."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, worker: str, op: str, target: str | None) -> None:
        self._hash.update(f"{worker}\0{op}\0{target}\n".encode("utf-8", "surrogatepass"))

    def bytes(self) -> bytes:
        return self._hash.digest()[:3]


# --- making ------------------------------------------------------------------------------------
def token_of(trace: Trace) -> str:
    """The token of a failing trace; "" where one cannot stand for it: a free run, inputs of
    Hypothesis, answers from outside of the run, a value chosen among very many, a schedule too long
    for a line."""
    verdict, python = trace.verdict, trace.scenario.get("python", {})
    if trace.mode != "controlled" or verdict.kind not in _KINDS[:3]:
        return ""
    if trace.backend not in _BACKENDS or trace.clock not in _CLOCKS or "hypothesis" in python:
        return ""
    network = _network_of(python.get("network"))
    if "outside" in python or network is None:
        return ""
    if len(trace.events) > _MOST or (verdict.failure or "") not in _FAILURES:
        return ""
    seen: dict[int, int] = {}
    digest, order = EventsDigest(), []
    for event in trace.events:
        order.append(seen.setdefault(event.worker, len(seen)))
        digest.add(trace.workers[event.worker], event.op, event.target)
        if event.op == "choose" and not (type(event.result) is int and event.result <= _HIGHEST):
            return ""
    for event in trace.events:  # who is woken may never come to a step of its own
        for woken in _woken(event):
            seen.setdefault(woken, len(seen))
    if any(not 0 <= worker < len(trace.workers) for worker in seen):
        return ""
    data = bytearray(target_digest(trace.scenario) + sources_digest(trace.scenario))
    data += digest.bytes()
    flags = _BACKENDS.index(trace.backend) | _CLOCKS.index(trace.clock) << 3
    data += bytes([flags | _KINDS.index(verdict.kind) << 4, _FAILURES.index(verdict.failure or "")])
    exploration = python.get("exploration", 0)
    _put(data, exploration if isinstance(exploration, int) and exploration >= 0 else 0)
    _put(data, len(seen))
    for worker in seen:
        data += short(trace.workers[worker]).to_bytes(2, "big")
    variables = sorted({short(name) for name in shared_in(trace)})
    _put(data, len(variables))
    for number in variables:
        data += number.to_bytes(2, "big")
    segments = list(_segments(order))
    _put(data, len(segments))
    for worker, count in segments:  # one byte where both are small
        _put(data, (count - 1) * len(seen) + worker)
    _put_marks(data, trace.events, seen)
    for number in network:
        _put(data, number)
    data += hashlib.sha256(data).digest()[:3]
    token = PREFIX + base64.urlsafe_b64encode(data).decode().rstrip("=")
    return token if len(token) <= LONGEST else ""


def _segments(order: list[int]) -> Iterator[tuple[int, int]]:
    begun = 0
    for place in range(1, len(order) + 1):
        if place == len(order) or order[place] != order[begun]:
            yield order[begun], place - begun
            begun = place


def _woken(event: Event) -> list[int]:
    """The workers that an event has woken."""
    result = event.result
    if event.op != "notify" or not isinstance(result, list):
        return []
    return [one for one in result if type(one) is int]


def _mark(event: Event, seen: dict[int, int]) -> ChoiceMark | None:
    result = event.result
    timed = event.op == "timeout" or (
        event.op in _TIMED and (result is False or isinstance(result, dict))
    )
    if timed or (event.op == "get" and isinstance(result, dict)):
        return ChoiceMark(TIMER, event.op, short(event.at))
    if woken := _woken(event):
        return ChoiceMark(WOKEN, event.op, 0, tuple(seen[one] for one in woken))
    if event.op in _INJECTABLE:
        return ChoiceMark(INJECTED, event.op, short(event.at))
    if event.op == "choose":
        kind = _CHOICES.get(event.target or "", CHOSEN)
        return ChoiceMark(kind, event.op, short(event.at), number=event.result)
    return None


def _put_marks(data: bytearray, events: Iterable[Event], seen: dict[int, int]) -> None:
    marks = [(n, mark) for n, event in enumerate(events) if (mark := _mark(event, seen))]
    _put(data, len(marks))
    before = 0
    for number, mark in marks:
        _put(data, number - before)
        before = number
        data.append(mark.kind)
        if mark.kind == WOKEN:
            _put(data, len(mark.workers))
            for worker in mark.workers:
                _put(data, worker)
        elif mark.kind in (CHOSEN, FAULTED, CRASHED):
            _put(data, mark.number)
            if mark.kind == CRASHED:
                data += mark.place.to_bytes(2, "big")
        else:
            if mark.kind == INJECTED:
                data.append(_INJECTABLE.index(mark.op))
            data += mark.place.to_bytes(2, "big")


def _network_of(rules: object) -> list[int] | None:
    """Splits, faults and the bits of the kinds; nothing for a trace without them, None for what no
    trace has."""
    if not rules:
        return []
    if not isinstance(rules, Mapping):
        return None
    kinds = str(rules.get("kinds")).split(", ")
    try:
        numbers = [int(rules["splits"]), int(rules["faults"])]
    except (KeyError, TypeError, ValueError):
        return None
    bits = sum(1 << place for place, kind in enumerate(FAULTS) if kind in kinds)
    return [*numbers, bits] if 0 <= min(numbers) <= max(numbers) <= _HIGHEST else None


def _put(data: bytearray, number: int) -> None:
    while number > 127:
        data.append(number & 127 | 128)
        number >>= 7
    data.append(number)


# --- reading -----------------------------------------------------------------------------------
class _Bytes:
    """Reads a token's bytes. Raises ValueError where there are not enough."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        if self.at + count > len(self.data):
            raise ValueError
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, most: int) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
            if shift > 35:
                raise ValueError
        if value > most:
            raise ValueError
        return value

    def shorts(self) -> list[int]:
        return [int.from_bytes(self.take(2), "big") for _ in range(self.number(len(self.data)))]


def parse_token(text: str) -> ScheduleToken:
    """What a token says. Raises TraceError, which says what is wrong with it."""
    text = text.strip()
    head, dash, rest = text.partition("-")
    if not dash or not head.startswith("tl") or not head[2:].isdecimal():
        raise TraceError(f"{text[:40]!r} is no token: one begins with {PREFIX}")
    if f"{head}-" != PREFIX:
        raise TraceError(f"the token is of format {head[:20]}: this version reads {PREFIX[:-1]}")
    if len(text) > LONGEST:
        raise TraceError(f"the token has {len(text):,} characters: none has more than {LONGEST:,}")
    try:
        if not rest.isascii():
            raise ValueError
        data = base64.b64decode(rest + "=" * (-len(rest) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise TraceError("the token has characters that no token has: copy it whole") from None
    if len(data) < 12 or hashlib.sha256(data[:-3]).digest()[:3] != data[-3:]:
        raise TraceError(
            "the token is damaged, its checksum is wrong: copy it whole, from tl1- to its end"
        )
    try:
        return _read(_Bytes(data[:-3]))
    except (ValueError, IndexError):
        raise TraceError("the token is damaged: what it says makes no sense") from None


def _read(data: _Bytes) -> ScheduleToken:
    target, sources, events = data.take(3), data.take(3), data.take(3)
    flags, failure = data.take(2)
    exploration = data.number(1 << 30)
    workers = tuple(data.shorts())
    variables = frozenset(data.shorts())
    order: list[int] = []
    for _ in range(data.number(_MOST)):
        count, worker = divmod(data.number(_MOST * max(1, len(workers))), len(workers) or 1)
        if worker >= len(workers) or len(order) + count >= _MOST:
            raise ValueError
        order += [worker] * (count + 1)
    marks: dict[int, ChoiceMark] = {}
    number = 0
    for _ in range(data.number(_MOST)):
        number += data.number(_MOST)
        if number >= len(order):
            raise ValueError
        marks[number] = _read_mark(data, len(workers))
    network = _read_network(data) if data.at != len(data.data) else {}
    if data.at != len(data.data):
        raise ValueError
    return ScheduleToken(
        target, sources, events, _BACKENDS[flags & 7], _CLOCKS[flags >> 3 & 1], _KINDS[flags >> 4],
        _FAILURES[failure], exploration, workers, variables, tuple(order), marks, network,
    )  # fmt: skip


def _read_network(data: _Bytes) -> dict[str, str]:
    splits, faults = data.number(_HIGHEST), data.number(_HIGHEST)
    bits = data.number((1 << len(FAULTS)) - 1)
    kinds = [kind for place, kind in enumerate(FAULTS) if bits >> place & 1]
    return {"splits": str(splits), "faults": str(faults), "kinds": ", ".join(kinds)}


def _read_mark(data: _Bytes, workers: int) -> ChoiceMark:
    kind = data.take(1)[0]
    if kind == WOKEN:
        woken = tuple(data.number(workers - 1) for _ in range(data.number(workers)))
        return ChoiceMark(kind, workers=woken)
    if kind in (CHOSEN, FAULTED):
        return ChoiceMark(kind, number=data.number(_HIGHEST))
    if kind == CRASHED:
        number = data.number(_HIGHEST)
        return ChoiceMark(kind, "", int.from_bytes(data.take(2), "big"), number=number)
    if kind not in (TIMER, INJECTED):
        raise ValueError
    op = _INJECTABLE[data.take(1)[0]] if kind == INJECTED else ""
    return ChoiceMark(kind, op, int.from_bytes(data.take(2), "big"))
