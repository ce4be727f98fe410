"""A trace in Chrome's Trace Event Format, which Perfetto (ui.perfetto.dev) and
``chrome://tracing`` open.

A track a worker with its events and waits; arrows from who gave to who got; who holds what as
asynchronous slices; numeric variables as counters. Times are microseconds: a free run's own; in a
controlled run, whose time is virtual and mostly stands still, an event takes a millisecond.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from json.encoder import encode_basestring_ascii
from typing import Any, Final

from tracelock.analysis.derived.edges import observed_edges
from tracelock.analysis.derived.steps import Steps
from tracelock.report.about import facts
from tracelock.report.state import State
from tracelock.report.timeline import timeline
from tracelock.report.wording import clean, describe, outcome_name
from tracelock.trace import Trace

__all__ = ["chrome_trace"]

#: How long an event is in a controlled run, of the millisecond that it has, in microseconds.
_STEP: Final = 1_000.0
_LENGTH: Final = 900.0
_PROCESS: Final = 1
_CHANGING: Final = frozenset({"acquire", "release", "wait", "wake", "cancelled", "timeout"})
_WRITING: Final = frozenset({"write", "exchange", "compare_exchange", "fetch_add", "atomic"})
_quoted = encode_basestring_ascii


def chrome_trace(trace: Trace) -> str:
    """The whole trace as one JSON document."""
    line = timeline(trace, [])
    about = dict(facts(trace, line.switches, line.preemptions))
    verdict = trace.verdict
    about["verdict"] = outcome_name(verdict.kind, verdict.failure)
    if verdict.message:
        about["message"] = clean(verdict.message)
    head = {"displayTimeUnit": "ns", "otherData": about}
    # An event a line, as in a trace: long files can be looked into with a pager.
    lines = ",\n".join(_lines(trace))
    return f'{json.dumps(head)[:-1]}, "traceEvents": [\n{lines}\n]}}\n'


class _Clock:
    """When each event was, and how long."""

    def __init__(self, trace: Trace) -> None:
        self.events = trace.events
        self.logical = trace.clock != "real"
        self.next: list[int] = [-1] * len(trace.events)
        last: dict[int, int] = {}
        for seq, worker in enumerate(self.events.workers):
            if worker in last:
                self.next[last[worker]] = seq
            last[worker] = seq

    def start(self, seq: int) -> float:
        return seq * _STEP if self.logical else self.events.times[seq] / 1_000

    def length(self, seq: int) -> float:
        """Slices of one track must not overlap; one of a free run lasts no known time."""
        if self.logical:
            return _LENGTH
        following = self.next[seq]
        gap = self.start(following) - self.start(seq) if following >= 0 else 1.0
        return max(0.0, min(1.0, gap))

    def end(self) -> float:
        count = len(self.events)
        return self.start(count - 1) + self.length(count - 1) if count else 0.0


def _lines(trace: Trace) -> Iterator[str]:
    """The events of the document, each as JSON: texts are encoded, all else is numbers. Written
    out because ``json.dumps`` of a dictionary each takes three times as long."""
    name = trace.scenario.get("name")
    title = f"{clean(name)} on {clean(trace.backend)}" if isinstance(name, str) else "tracelock"
    yield _named("process_name", 0, f'"name":{_quoted(title)}')
    for worker, one in enumerate(trace.workers):
        yield _named("thread_name", worker + 1, f'"name":{_quoted(clean(one))}')
        yield _named("thread_sort_index", worker + 1, f'"sort_index":{worker}')
    clock = _Clock(trace)
    waits = trace.events.waits
    previous: dict[int, int] = {}
    places = [_quoted(clean(shape.at)) for shape in trace.events.table]
    shapes = trace.events.shapes
    for event in trace.events:
        seq, worker = event.seq, event.worker
        start = clock.start(seq)
        waited = waits[seq] / 1_000 if waits is not None and waits[seq] > 0 else 0.0
        if waited and not clock.logical:
            before = previous.get(worker)
            begin = start - waited
            if before is not None:
                begin = max(begin, clock.start(before) + clock.length(before))
            if begin < start:
                what = f"waits for {clean(event.target or event.op)}"
                yield _slice(what, "wait", worker, begin, start - begin, "")
        args = f'"event":{seq},"at":{places[shapes[seq]]}'
        told = describe(event, trace.workers)
        yield _slice(told, event.op, worker, start, clock.length(seq), args)
        previous[worker] = seq
    yield from _blocked(trace, clock, previous)
    yield from _held(trace, clock)
    yield from _arrows(trace, clock)


def _named(what: str, tid: int, args: str) -> str:
    return f'{{"ph":"M","pid":{_PROCESS},"tid":{tid},"name":"{what}","args":{{{args}}}}}'


def _slice(name: str, category: str, worker: int, start: float, length: float, args: str) -> str:
    """``category`` is one of our own words."""
    return (
        f'{{"ph":"X","pid":{_PROCESS},"tid":{worker + 1},"name":{_quoted(name)},'
        f'"cat":"{category}","ts":{start:.3f},"dur":{length:.3f},"args":{{{args}}}}}'
    )


def _blocked(trace: Trace, clock: _Clock, last: dict[int, int]) -> Iterator[str]:
    """Who waits at the end: to the end of the picture, and a little beyond."""
    for one in trace.verdict.blocked:
        if one.worker not in trace.workers:
            continue
        worker = trace.workers.index(one.worker)
        seq = last.get(worker)
        start = 0.0 if seq is None else clock.start(seq) + clock.length(seq)
        length = max(clock.end() + (_STEP if clock.logical else 1.0) - start, 0.0)
        held = f" (held by {', '.join(map(clean, one.holder))})" if one.holder else ""
        args = f'"at":{_quoted(clean(one.at))}'
        yield _slice(f"waits for {clean(one.target)}{held}", "blocked", worker, start, length, args)


def _held(trace: Trace, clock: _Clock) -> Iterator[str]:
    """Who holds what from when to when, and the variables that are numbers."""
    state = State(trace, values=True)
    table, events = trace.events.table, trace.events
    held: dict[str, dict[int, int]] = {}  # lock, worker -> number of the slice
    number = 0
    known: dict[str, Any] = {}
    names = [
        []
        if shape.target is None
        else list(dict.fromkeys((shape.target, state.steps.lock_of(shape.target))))
        for shape in table
    ]
    for seq, shape in enumerate(events.shapes):
        op = table[shape].op
        if op in _CHANGING:
            state.advance(seq + 1)
            # only the locks of this event change hands, but where a wait is cut off
            for name in names[shape] or sorted({*state.held, *held}):
                now = state.holders(name)
                before = held.setdefault(name, {})
                for worker in now:
                    if worker not in before:
                        number += 1
                        before[worker] = number
                        yield _hold("b", name, trace.workers[worker], number, clock.start(seq))
                for worker in [one for one in before if one not in now]:
                    own = before.pop(worker)
                    yield _hold("e", name, trace.workers[worker], own, clock.start(seq))
        elif op in _WRITING:
            state.advance(seq + 1)
            target = table[shape].target
            for variable in state.variables if target is None else (target,):
                value = state.variables.get(variable)
                plain = type(value) is int or (type(value) is float and value - value == 0)
                if plain and known.get(variable) != value:
                    known[variable] = value
                    yield (
                        f'{{"ph":"C","pid":{_PROCESS},"name":{_quoted(clean(variable))},'
                        f'"ts":{clock.start(seq):.3f},"args":{{"value":{json.dumps(value)}}}}}'
                    )
    end = clock.end() + (_STEP if clock.logical else 1.0)
    for name, workers in held.items():
        for worker, own in workers.items():
            yield _hold("e", name, trace.workers[worker], own, end)


def _hold(phase: str, lock: str, worker: str, number: int, time: float) -> str:
    told = _quoted(f"{clean(lock)} held by {clean(worker)}")
    return (
        f'{{"ph":"{phase}","cat":"held","pid":{_PROCESS},"tid":0,"id":{number},'
        f'"ts":{time:.3f},"name":{told}}}'
    )


def _arrows(trace: Trace, clock: _Clock) -> Iterator[str]:
    workers = trace.events.workers
    for number, (source, dest, why) in enumerate(observed_edges(Steps(trace))):
        for phase, seq, more in (("s", source, ""), ("f", dest, ',"bp":"e"')):
            yield (
                f'{{"ph":"{phase}","cat":"order","name":"{why}","id":{number},"pid":{_PROCESS},'
                f'"tid":{workers[seq] + 1},"ts":{clock.start(seq):.3f}{more}}}'
            )
