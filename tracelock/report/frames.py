"""The timeline with the whole state at every step: what there is to see when one steps through it.

A frame stands before the first row and after each. It says of every worker where it is in its
steps, what it holds and what it waits for, and of every variable and object how it is now.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final

from tracelock.analysis.derived.steps import Steps
from tracelock.ops import SPAWN
from tracelock.report.state import UNSEEN, State
from tracelock.report.timeline import Reasons, Row, Timeline, timeline
from tracelock.report.wording import clean, shown
from tracelock.trace import MISSING, Blocked, Event, Trace

__all__ = ["Frame", "Story", "WorkerFrame", "busiest", "story", "story_along"]


#: More lanes than this nobody can follow.
MOST_WORKERS: Final = 32


@dataclass(frozen=True, slots=True)
class WorkerFrame:
    """One worker at one moment.

    ``place``: the step or line it does next, or at which it waits or failed; "" where it has none.
    ``status``: the same in words. ``holds``: the locks it has, the oldest first. ``waits``: None,
    or what it waits for ("" for a sleep). ``kind``: ``next``, ``waits``, ``new`` (not started),
    or an ``End``'s.
    """

    place: str
    status: str
    kind: str
    holds: tuple[str, ...] = ()
    waits: str | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """``variables`` (values as JSON) and ``objects`` (state, who waits for it), by name as the
    trace has them; variables only where they may have changed since the frame before."""

    workers: tuple[WorkerFrame, ...]
    variables: dict[str, str]
    objects: dict[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Story:
    """A timeline and its ``frames``: one more than there are rows.

    ``workers``: those that the frames tell of, as indices in the trace. ``types``: of each object
    that appears, by name. ``steps``: the trace as analyses read it.
    """

    timeline: Timeline
    frames: list[Frame]
    workers: list[int]
    types: dict[str, str]
    steps: Steps

    @property
    def rows(self) -> list[Row]:
        return self.timeline.rows


def story(trace: Trace, wanted: Iterable[range] | None = None, most: int = MOST_WORKERS) -> Story:
    """The timeline of a trace, or of the parts ``wanted`` (ascending, disjoint), with its frames.

    The frames tell of ``most`` workers at most: where there are more, of those that have most to
    do with the rows. Costs time for each row and worker, and a walk along what comes before.
    """
    line = timeline(trace, wanted)
    return story_along(trace, line, busiest(trace, line, most))


def busiest(trace: Trace, line: Timeline, most: int) -> list[int]:
    """All workers, or the ``most`` that the rows and the verdict have most to do with."""
    if len(trace.workers) <= most:
        return list(range(len(trace.workers)))
    counts = [0] * len(trace.workers)
    for row in line.rows:
        counts[row.worker] += 1
    stuck = {one.worker for one in trace.verdict.blocked[:most]}
    for worker, name in enumerate(trace.workers):
        if name in stuck or worker == trace.verdict.worker:
            counts[worker] += 1 + len(line.rows)
    return sorted(sorted(range(len(counts)), key=lambda worker: -counts[worker])[:most])


def story_along(trace: Trace, line: Timeline, workers: list[int]) -> Story:
    """A story along the rows of a timeline that may have been made shorter, of these workers.

    Where nothing but what is folded follows the last row, the last frame is that of the end.
    """
    walk = _FrameWalk(trace, line, workers)
    frames = walk.frames()
    after = line.rows[-1].seq + 1 if line.rows else line.events
    if after < line.events and set(line.folded).issuperset(range(after, line.events)):
        frames[-1] = walk.end()
    types = {name: walk.state.info(name).type for name in walk.objects}
    return Story(line, frames, walk.workers, types, walk.state.steps)


class _FrameWalk:
    def __init__(self, trace: Trace, line: Timeline, workers: list[int]) -> None:
        self.trace = trace
        self.workers = workers
        self.line = line
        self.reasons = Reasons(trace, values=True)
        self.state: State = self.reasons.state
        steps = self.state.steps
        self.own = steps.by_worker
        number = {name: worker for worker, name in enumerate(trace.workers)}
        self.spawned: dict[int, int] = {}
        for seq, kind in enumerate(steps.kinds):
            other = number.get(steps.targets[seq] or "") if kind == SPAWN else None
            if other is not None:
                self.spawned.setdefault(other, seq)
        self.objects, self.variables = self._names()
        # each event is looked at in many frames
        self._event: Callable[[int], Event] = cache(lambda seq: trace.events[seq])
        self.order: list[list[str]] = [[] for _ in trace.workers]  # held, the oldest first

    def frames(self) -> list[Frame]:
        rows = self.line.rows
        first = rows[0].seq if rows else 0
        self.state.advance(first)
        frames = [self._frame(first - 1, None)]
        previous = first - 1
        for row in rows:
            self.state.advance(row.seq + 1)
            step = row.event if row.seq == previous + 1 else None
            frames.append(self._frame(row.seq, step))
            previous = row.seq
        return frames

    def end(self) -> Frame:
        """The frame after all events."""
        count = len(self.trace.events)
        self.state.advance(count)
        return self._frame(count - 1, None)

    def _names(self) -> tuple[list[str], list[str]]:
        """The objects and variables to tell of: those declared, if the rows have something to do
        with them or they are few, and those that the rows name."""
        used: dict[str, None] = {}
        for row in self.line.rows:
            event = row.event
            if event.target is not None:
                used.setdefault(event.target)
            if event.op == "atomic":
                for part in (event.value, event.result):
                    used.update(dict.fromkeys(map(str, part)) if isinstance(part, dict) else {})
        used.update((one.target, None) for one in self.trace.verdict.blocked)
        declared = dict(self.state.variables)
        known = self.state.steps.objects
        workers = set(self.trace.workers)
        objects: dict[str, None] = {}
        variables = dict.fromkeys(declared if len(declared) <= 50 else ())
        few = len({one.array or one.name for one in known.values()}) <= 50
        elements: Counter[str] = Counter()
        for name, one in known.items():
            elements[one.array] += 1
            if elements[one.array] <= 20 if one.array else few:
                objects[name] = None
        for name in used:
            if name in known:
                objects.setdefault(name)
                objects.setdefault(self.state.steps.lock_of(name))
            elif name not in workers and name in self._variables_named():
                variables.setdefault(name)
        return list(objects), list(variables)

    def _variables_named(self) -> set[str]:
        ops = {"read", "write", "compare_exchange", "exchange", "fetch_add"}
        found = {shape.target for shape in self.trace.events.table if shape.op in ops}
        return {name for name in found if name is not None} | set(self.state.variables)

    # --- one frame ---------------------------------------------------------------------------
    def _frame(self, seq: int, event: Event | None) -> Frame:
        held: dict[int, list[str]] = {worker: [] for worker in self.workers}
        for lock in self.state.held:
            for worker in self.state.holders(lock):
                if worker in held:
                    held[worker].append(lock)
        for worker, locks in held.items():
            kept = [lock for lock in self.order[worker] if lock in locks]
            self.order[worker] = kept + [lock for lock in locks if lock not in kept]
        workers = tuple(self._worker(worker, seq) for worker in self.workers)
        waiters: dict[str, list[str]] = {}
        for worker, one in zip(self.workers, workers, strict=True):
            if one.waits:
                waiters.setdefault(one.waits, []).append(self.line.workers[worker])
        variables = {name: self._value(name) for name in self.variables if _touches(event, name)}
        # who waits changes with any event
        objects = {
            name: (self.state.describe(name), ", ".join(waiters.get(name, [])))
            for name in self.objects
        }
        return Frame(workers, variables, objects)

    def _value(self, name: str) -> str:
        value = self.state.variables.get(name, MISSING)
        return UNSEEN if value is MISSING else shown(value)

    def _worker(self, worker: int, seq: int) -> WorkerFrame:
        holds = tuple(self.order[worker])
        own = self.own[worker]
        at = bisect_right(own, seq)
        before = self._event(own[at - 1]) if at else None
        if at < len(own):
            following = self._event(own[at])
            if self.spawned.get(worker, -1) > seq:
                return WorkerFrame("", "not started yet", "new", holds)
            waits = self._waits(worker, before or following, following, seq)
            if waits is not None:
                target = following.target or "" if waits[0] == "blocked" else ""
                return WorkerFrame(following.at, waits[1], "waits", holds, target)
            return WorkerFrame(following.at, f"next: {_head(following)}", "next", holds)
        return self._at_the_end(worker, before, holds)

    def _at_the_end(self, worker: int, before: Event | None, holds: tuple[str, ...]) -> WorkerFrame:
        name = self.trace.workers[worker]
        one: Blocked | None = self.reasons.blocked.get(name)
        if one is not None:
            if one.op == "acquire" and not self.state.must_wait(one.target, worker):
                owners = {self.trace.workers[own] for own in self.state.holders(one.target)}
                if owners.isdisjoint(one.holder):  # it does not wait yet: another takes it before
                    text = f"next: {one.op} {clean(one.target)}"
                    return WorkerFrame(one.at, text, "next", holds)
            end = self.reasons.end(worker, name)
            return WorkerFrame(one.at, end.text, "waits", holds, one.target)
        end = self.reasons.end(worker, name)
        verdict = self.trace.verdict
        if end.kind == "failed":
            return WorkerFrame(verdict.at or "", "failed", "failed", holds)
        place = before.at if before is not None and end.kind != "ended" else ""
        words = {"ended": "ended", "died": "died"}.get(end.kind, "takes no further step")
        return WorkerFrame(place, words, end.kind, holds)

    def _waits(
        self, worker: int, previous: Event, following: Event, seq: int
    ) -> tuple[str, str] | None:
        """Why a worker cannot make its next step now; None where it can."""
        coming = self._event(seq + 1)
        if coming.worker == worker:
            return None
        certain = coming.enabled is MISSING
        if not certain and worker in coming.enabled:
            return None
        return self.reasons.waiting(worker, previous, following, certain) or (
            None if certain else ("blocked", "cannot go on")
        )


def _head(event: Event) -> str:
    """What a worker is about to do, without what will come out."""
    return clean(f"{event.op} {event.target or ''}").rstrip()


def _touches(event: Event | None, name: str) -> bool:
    """Whether a variable may have changed with this event (None: with what was left out)."""
    if event is None or event.target == name:
        return True
    return event.op == "atomic" and any(
        isinstance(part, dict) and name in part for part in (event.value, event.result)
    )
