"""Where the workers of a forced program hand over to each other.

A trace is cut into *turns*: runs of events of one worker. Turn k may begin when ``turn[k]`` is set,
which the worker of turn k - 1 does at its end; it then waits for its own next turn. The last turn
is what happens after the trace: workers that are blocked in the end go there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tracelock.trace import Blocked, Event, Trace

#: What a worker does at a point: ("give", turn), ("take", turn), or ("back", turn): take a
#: condition's lock back, once woken, in that turn.
Action = tuple[str, int]
_PARKS: Final = frozenset({"wait", "request"})
#: Events that end an operation that has begun before: no turn can be awaited before them.
_ENDS: Final = frozenset({"wake", "cancelled", "timeout"})


@dataclass(slots=True)
class Surrounding:
    """What a worker does around one operation of its own. ``read``: it is a plain read."""

    read: bool = False
    before: list[Action] = field(default_factory=list)
    after: list[Action] = field(default_factory=list)
    cleanup: list[Action] = field(default_factory=list)  # after it, even if it is cut off


@dataclass(slots=True)
class Points:
    """All hand-overs of a trace.

    ``at[worker][path][n]``: around the n-th operation (from 1) of a worker at a step. ``start``:
    what each worker does first of all. ``turns``: how many turns there are, the one after the
    trace included. ``whose``: the worker of each turn. ``last``: (worker, path, n) of the last
    operation of the trace.
    """

    turns: int
    whose: list[int | None]
    start: dict[int, list[Action]] = field(default_factory=dict)
    at: dict[int, dict[str, dict[int, Surrounding]]] = field(default_factory=dict)
    last: tuple[int, str, int] | None = None
    relocks: bool = False  # some waiter takes its lock back in a turn of its own

    def around(self, worker: int, path: str) -> dict[int, Surrounding]:
        """By number, what a worker does around its operations at a step."""
        return self.at.get(worker, {}).get(path, {})


@dataclass(slots=True)
class _Operation:
    path: str
    number: int


def points_of(trace: Trace) -> Points:
    """The hand-overs that force a program through the events of ``trace``."""
    events = [event for event in trace.events if event.at is not None]
    turns: list[tuple[int, int, int]] = []  # worker, first event, last event
    for place, event in enumerate(events):
        if turns and turns[-1][0] == event.worker:
            turns[-1] = (event.worker, turns[-1][1], place)
        else:
            turns.append((event.worker, place, place))
    end = len(turns)
    failed = trace.verdict.kind == "failed" and trace.verdict.failure != "finally"
    failing = trace.verdict.worker if failed else None
    late = failing is not None and bool(turns) and turns[-1][0] != failing
    whose: list[int | None] = [*[turn[0] for turn in turns], None]
    if late:  # the failure itself, which is no event, comes after the steps of others
        whose[end:] = [failing, None]
    points = Points(len(whose), whose)
    rest = len(whose) - 1
    calls, kinds = _calls(trace, events)
    if events:
        points.last = (events[-1].worker, calls[-1].path, calls[-1].number)
    joined = {event.target for event in events if event.op == "join"}
    for worker, name in enumerate(trace.workers):
        mine = [(number, turn) for number, turn in enumerate(turns) if turn[0] == worker]
        if not mine:
            points.start[worker] = [("take", end if worker == failing else rest)]
            continue
        if mine[0][0] > 0 and kinds[mine[0][1][1]] not in ("end", "cancelled"):
            points.start[worker] = [("take", mine[0][0])]
        for following, (number, turn) in enumerate(mine, 1):
            last = turn[2]
            call = calls[last]
            around = points.at.setdefault(worker, {}).setdefault(call.path, {})
            here = around.setdefault(call.number, Surrounding(events[last].op == "read"))
            parks = kinds[last] in ("park", "crash")
            gives = late or not (number + 1 == end and failed)
            if gives:
                give = ("give", number + 1)
                cancelled = kinds[last] == "cancelled"
                (here.before if parks else here.cleanup if cancelled else here.after).append(give)
            if following < len(mine):
                then, (_, first, _) = mine[following]
                if kinds[first] == "cancelled":
                    continue
                if kinds[first] == "end" and _contended(trace, events, last, first):
                    here.before.append(("back", then))
                    points.relocks = True
                else:
                    here.after.append(("take", then))
            elif number + 1 < end and not parks and name not in joined:
                here.after.append(("take", end if worker == failing else rest))
    return points


def _contended(trace: Trace, events: Sequence[Event], parked: int, woken: int) -> bool:
    """Whether others have a condition's lock after they woke a waiter, before that goes on."""
    target = events[parked].target or ""
    objects = trace.scenario.get("objects") or {}
    decl = objects.get(target.partition("[")[0])
    if events[parked].op != "wait" or decl is None:
        return False
    kind = decl if isinstance(decl, str) else decl.get("type")
    if kind != "condition":
        return False
    lock = None if isinstance(decl, str) else decl.get("lock")
    theirs = {target.partition("[")[0], lock}
    notified = False
    for event in events[parked + 1 : woken]:
        same = (event.target or "").partition("[")[0] in theirs
        notified = notified or (same and event.op == "notify")
        if notified and same and event.op in ("acquire", "wake"):
            return True
    return False


def _calls(trace: Trace, events: Sequence[Event]) -> tuple[list[_Operation], list[str]]:
    """The operation that each event belongs to, and what kind of event it is: ``whole``,
    ``park`` (begins to wait), ``end`` (of a wait), ``cancelled`` or ``crash``."""
    calls: list[_Operation] = []
    kinds: list[str] = []
    counts: dict[tuple[int, str], int] = {}
    waiting: dict[int, _Operation] = {}
    upcoming = _next_of_worker(events)
    blocked = {one.worker: one for one in trace.verdict.blocked}
    for place, event in enumerate(events):
        worker, path, op = event.worker, event.at, event.op
        parked = waiting.pop(worker, None)
        if parked is not None and parked.path == path:
            calls.append(parked)
            again = op in _PARKS
            kinds.append("park" if again else "cancelled" if op in _ENDS - {"wake"} else "end")
            if again:
                waiting[worker] = parked
            continue
        number = counts[worker, path] = counts.get((worker, path), 0) + 1
        call = _Operation(path, number)
        calls.append(call)
        if op in ("cancelled", "timeout"):
            kinds.append("cancelled")
        elif op == "crash":
            kinds.append("crash")
        elif op in _PARKS and _goes_on(event, upcoming[place], blocked, trace.workers):
            kinds.append("park")
            waiting[worker] = call
        else:
            kinds.append("whole")
    return calls, kinds


def _goes_on(
    event: Event, later: Event | None, blocked: Mapping[str, Blocked], workers: Sequence[str]
) -> bool:
    """Whether an event only begins its operation."""
    if event.op == "request":
        return True
    if later is not None:
        return later.op in _ENDS | _PARKS and later.at == event.at
    one = blocked.get(workers[event.worker])
    return one is not None and one.at == event.at


def _next_of_worker(events: Sequence[Event]) -> list[Event | None]:
    following: dict[int, Event] = {}
    found: list[Event | None] = [None] * len(events)
    for place in range(len(events) - 1, -1, -1):
        worker = events[place].worker
        found[place] = following.get(worker)
        following[worker] = events[place]
    return found
