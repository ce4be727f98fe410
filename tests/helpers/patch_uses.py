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
from typing import Any, NamedTuple

import pytest

import tracelock
from tracelock.engine.recording import target_name
from tracelock.instrument import patches
from tracelock.instrument.hub import Phase, contexts, get_ident
from tracelock.instrument.patching import Patch
from tracelock.ops import NAMES


class Happened(NamedTuple):
    """An event: what was done, to what, and between how many workers was chosen before."""

    op: str
    target: str
    options: int = 0


Call = tuple[str, list[Happened]]


@dataclass
class Seen:
    """What the uses did. ``calls``: of each row, the worker that called its replacement in the last
    schedule, and the events of that worker until it came back. ``gave``: what each use returned, in
    every schedule. ``events``: all events of each worker in the trace."""

    calls: dict[str, list[Call]] = field(default_factory=dict)
    gave: dict[str, list[Any]] = field(default_factory=dict)
    events: dict[str, list[Happened]] = field(default_factory=dict)
    explored: Any = None
    schedule: int = 0

    def of(self, row: str) -> list[list[Happened]]:
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
                Happened(
                    NAMES[kind], target_name(worker.hub.layout, kind, op) or "", len(options or ())
                )
                for number, kind, op, _, options, _ in worker.hub.controller.log[before:]
                if number == worker.number
            ]
            if seen.schedule != worker.hub.schedule:
                seen.schedule = worker.hub.schedule
                seen.calls.clear()
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
    if isinstance(row.by, classmethod):
        return replace(row, by=classmethod(wrapped(row.by.__func__)))
    return replace(row, by=wrapped(row.by))


class Runs:
    """Counts schedules, in a way that is not put back between them."""

    def __init__(self) -> None:
        self._numbers = iter(range(1, 1_000))

    def next(self) -> int:
        return next(self._numbers)


def explore_uses(
    uses: dict[str, Callable[..., Any]], *rivals: Callable[..., Any], fails: Any, **more: Any
) -> Seen:
    """One exploration in which each use is a worker. ``fails`` is one that fails, so that there is
    a trace: from the third schedule on, when it is known what is shared.

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

    runs = Runs()

    def last(*state: Any) -> None:
        fails(runs.next() > 2)

    async def last_task(*state: Any) -> None:
        await fails(runs.next() > 2)

    more = {
        "instrument": [],
        "schedules": 3,
        "seconds": None,
        "confirm": 1,
        **more,
    }
    workers = [worker(name, use) for name, use in uses.items()]
    ending = last_task if inspect.iscoroutinefunction(fails) else last
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(patches, "table", table)
        found = tracelock.explore(workers=[*workers, *rivals, ending], shrink=False, **more)
    seen.explored = found
    assert found.trace is not None, (found.summary, found.notes)
    for event in found.trace.events:
        name = found.trace.workers[event.worker]
        seen.events.setdefault(name, []).append(Happened(event.op, event.target or ""))
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
        assert any(worker in event.target for event in seen.events[worker]), (
            "events of what is made"
        )
    elif row.how == patches.CONTROLLED:
        assert any(calls), "a scheduling point"
    else:
        assert row.how == patches.SEEN and not any(calls), "no scheduling point"
        answers = seen.gave[row.name]
        assert len(answers) > 2 and answers[0] is not None and len(set(answers)) == 1
