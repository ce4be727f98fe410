"""A trace in Chrome's Trace Event Format, which Perfetto (ui.perfetto.dev) and
``chrome://tracing`` open.

A track a worker with its events and waits; arrows from who gave to who got; who holds what as
asynchronous slices; numeric variables as counters. Times are microseconds: a free run's own; in a
controlled run, whose time is virtual and mostly stands still, an event takes a millisecond.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from tracelock.analysis.edges import observed_edges
from tracelock.analysis.steps import Steps
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
    lines = ",\n".join(json.dumps(one, ensure_ascii=True) for one in _events(trace))
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


def _events(trace: Trace) -> Iterator[dict[str, Any]]:
    name = trace.scenario.get("name")
    title = f"{clean(name)} on {clean(trace.backend)}" if isinstance(name, str) else "tracelock"
    yield _named("process_name", 0, title)
    for worker, one in enumerate(trace.workers):
        yield _named("thread_name", worker + 1, clean(one))
        yield {
            "ph": "M", "pid": _PROCESS, "tid": worker + 1, "name": "thread_sort_index",
            "args": {"sort_index": worker},
        }  # fmt: skip
    clock = _Clock(trace)
    waits = trace.events.waits
    previous: dict[int, int] = {}
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
                yield _slice(f"waits for {clean(event.target or event.op)}", "wait", worker, begin,
                             start - begin, {})  # fmt: skip
        args: dict[str, Any] = {"event": seq, "at": clean(event.at)}
        yield _slice(
            describe(event, trace.workers), clean(event.op), worker, start, clock.length(seq), args
        )
        previous[worker] = seq
    yield from _blocked(trace, clock, previous)
    yield from _held(trace, clock)
    yield from _arrows(trace, clock)


def _named(what: str, tid: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "pid": _PROCESS, "tid": tid, "name": what, "args": {"name": name}}


def _slice(
    name: str, category: str, worker: int, start: float, length: float, args: dict[str, Any]
) -> dict[str, Any]:
    return {
        "ph": "X", "pid": _PROCESS, "tid": worker + 1, "name": name, "cat": category,
        "ts": round(start, 3), "dur": round(length, 3), "args": args,
    }  # fmt: skip


def _blocked(trace: Trace, clock: _Clock, last: dict[int, int]) -> Iterator[dict[str, Any]]:
    """Who waits at the end: to the end of the picture, and a little beyond."""
    for one in trace.verdict.blocked:
        if one.worker not in trace.workers:
            continue
        worker = trace.workers.index(one.worker)
        seq = last.get(worker)
        start = 0.0 if seq is None else clock.start(seq) + clock.length(seq)
        length = clock.end() + (_STEP if clock.logical else 1.0) - start
        held = f" (held by {', '.join(map(clean, one.holder))})" if one.holder else ""
        yield _slice(f"waits for {clean(one.target)}{held}", "blocked", worker, start,
                     max(length, 0.0), {"at": clean(one.at)})  # fmt: skip


def _held(trace: Trace, clock: _Clock) -> Iterator[dict[str, Any]]:
    """Who holds what from when to when, and the variables that are numbers."""
    state = State(trace, values=True)
    table, events = trace.events.table, trace.events
    open_: dict[tuple[str, int], int] = {}
    number = 0
    changing = {"acquire", "release", "wait", "wake", "cancelled", "timeout"}
    values = {"write", "exchange", "compare_exchange", "fetch_add", "atomic"}
    known: dict[str, Any] = {}
    for seq, shape in enumerate(events.shapes):
        one = table[shape]
        state.advance(seq + 1)
        time = round(clock.start(seq), 3)
        if one.op in changing:
            # only the locks of this event can have changed hands, but for a cancelled wait
            names = {state.lock_of(one.target), one.target} if one.target else set(state.holders)
            names |= {name for name, _ in open_} if not one.target else set()
            for name in sorted(names):
                held = set(state.holders.get(name, ()))
                for worker in sorted(held):
                    if (name, worker) not in open_:
                        number += 1
                        open_[name, worker] = number
                        yield _hold("b", name, trace.workers[worker], number, time)
                for lock, worker in sorted(key for key in open_ if key[0] == name):
                    if worker not in held:
                        yield _hold("e", lock, trace.workers[worker], open_.pop((lock, worker)), time)
        elif one.op in values:
            changed = [one.target] if one.op != "atomic" else list(state.variables)
            for variable in changed:
                value = state.variables.get(variable or "")
                plain = type(value) is int or type(value) is float
                if variable is not None and plain and known.get(variable) != value:
                    known[variable] = value
                    yield {
                        "ph": "C", "pid": _PROCESS, "name": clean(variable), "ts": time,
                        "args": {"value": value},
                    }  # fmt: skip
    end = round(clock.end() + (_STEP if clock.logical else 1.0), 3)
    for (name, worker), own in open_.items():
        yield _hold("e", name, trace.workers[worker], own, end)


def _hold(phase: str, lock: str, worker: str, number: int, time: float) -> dict[str, Any]:
    return {
        "ph": phase, "cat": "held", "pid": _PROCESS, "tid": 0, "id": number, "ts": time,
        "name": f"{clean(lock)} held by {clean(worker)}",
    }  # fmt: skip


def _arrows(trace: Trace, clock: _Clock) -> Iterator[dict[str, Any]]:
    workers = trace.events.workers
    for number, (source, dest, why) in enumerate(observed_edges(Steps(trace))):
        for phase, seq, more in (("s", source, {}), ("f", dest, {"bp": "e"})):
            yield {
                "ph": phase, "cat": "order", "name": why, "id": number, "pid": _PROCESS,
                "tid": workers[seq] + 1, "ts": round(clock.start(seq), 3), **more,
            }  # fmt: skip
