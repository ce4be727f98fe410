"""Runs a use of each row of the table of patches, and sees what comes of it.

Each use is a worker of one exploration. The replacements are wrapped, so that it is known which of
them a worker called in the last schedule, and which events that worker made meanwhile.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

import tracelock
from tracelock.engine.recording import target_name
from tracelock.instrument import patches
from tracelock.instrument.hub import Phase, contexts, get_ident
from tracelock.instrument.patching import Patch
from tracelock.ops import NAMES

Call = tuple[str, list[tuple[str, str]]]


@dataclass
class Seen:
    """What the uses did. ``calls``: of each row, the worker that called its replacement, and the
    events of that worker until it came back, as (op, object). ``gave``: what each use returned, in
    every schedule. ``events``: all events of each worker in the trace."""

    calls: dict[str, list[Call]] = field(default_factory=dict)
    gave: dict[str, list[Any]] = field(default_factory=dict)
    events: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    explored: Any = None

    def of(self, row: str) -> list[list[tuple[str, str]]]:
        """The events in each call of the row's replacement by the worker that is its use."""
        name = worker_name(row)
        return [events for worker, events in self.calls.get(row, []) if worker == name]


def worker_name(row: str) -> str:
    return row.replace(".", "_")


def _spy(row: Patch, rows: list[Patch], seen: Seen) -> Patch:
    if row.by is None:
        return row
    # on some versions of Python one function has several names
    names = {row.name, *(one.name for one in rows if not one.owner and one.what is row.what)}
    pid = os.getpid()

    def start() -> tuple[Any, int]:
        worker: Any = contexts.get(get_ident())
        known = worker is not None and worker.hub.phase is Phase.RUN and os.getpid() == pid
        return (worker, len(worker.hub.controller.log)) if known else (None, 0)

    def end(worker: Any, before: int) -> None:
        if worker is not None:
            events = [
                (NAMES[kind], target_name(worker.hub.layout, kind, op) or "")
                for number, kind, op, *_ in worker.hub.controller.log[before:]
                if number == worker.number
            ]
            for name in names:
                seen.calls.setdefault(name, []).append((worker.label, events))

    def wrapped(by: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(by):

            @functools.wraps(by)
            async def spy(*args: Any, **kwargs: Any) -> Any:
                at = start()
                try:
                    return await by(*args, **kwargs)
                finally:
                    end(*at)
        else:

            @functools.wraps(by)
            def spy(*args: Any, **kwargs: Any) -> Any:
                at = start()
                try:
                    return by(*args, **kwargs)
                finally:
                    end(*at)

        return spy

    if isinstance(row.by, property):
        assert row.by.fget is not None
        return replace(row, by=property(wrapped(row.by.fget)))
    return replace(row, by=wrapped(row.by))


def explore_uses(
    uses: dict[str, Callable[..., Any]], *rivals: Callable[..., Any], last: Any, **more: Any
) -> Seen:
    """One exploration in which each use is a worker, and ``last`` one that fails, for a trace.

    ``rivals``: workers that touch what the uses touch.
    """
    seen = Seen(gave={name: [] for name in uses})

    def worker(name: str, use: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(use):

            async def task(*state: Any) -> None:
                seen.gave[name].append(await use(*state))

            work: Callable[..., Any] = task
        else:

            def run(*state: Any) -> None:
                seen.gave[name].append(use(*state))

            work = run
        work.__name__ = worker_name(name)
        return work

    real = patches.table

    def table(*rooms: str, **how: bool) -> list[Patch]:
        rows = real(*rooms, **how)
        return [_spy(row, rows, seen) for row in rows]

    more = {"instrument": [], "schedules": 3, "shrink": False, "seconds": None, **more}
    workers = [worker(name, use) for name, use in uses.items()]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(patches, "table", table)
        found = tracelock.explore(workers=[*workers, *rivals, last], **more)
    seen.explored = found
    assert found.trace is not None, found.summary
    for event in found.trace.events:
        name = found.trace.workers[event.worker]
        seen.events.setdefault(name, []).append((event.op, event.target or ""))
    return seen


def judge(row: Patch, seen: Seen, makers: frozenset[str]) -> None:
    """Assert that the row says what is so.

    Controlled: its use called the replacement, which made events; where it makes an object
    (``makers``), there are events of that object, which has its name from the worker that made it.
    Seen: no events, and the use got the same answer in every schedule.
    """
    calls = seen.of(row.name)
    assert calls, "the use calls the replacement"
    if row.name in makers:
        worker = worker_name(row.name)
        assert any(
            f" of {worker}" in target or target.startswith(f"{worker}/")
            for _, target in seen.events[worker]
        ), "events of what is made"
    elif row.how == patches.CONTROLLED:
        assert all(calls), "a scheduling point in each call"
    else:
        assert row.how == patches.SEEN and not any(calls), "no scheduling point"
        answers = seen.gave[row.name]
        assert len(answers) > 2 and answers[0] is not None and len(set(answers)) == 1
