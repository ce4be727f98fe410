"""The timeline of a run: what happened in which order, and why it went from worker to worker.

Pure data, from a trace alone; the terminal, Markdown and HTML draw the same one. A controlled run
says at each choice who could have gone instead (``enabled``), so the reason of a switch is known.
In a recorded run it is derived from the events: who held what the worker that was left takes next.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, NamedTuple

from tracelock.report.state import State
from tracelock.report.wording import by_timer, clean, describe, waits
from tracelock.trace import MISSING, Blocked, Event, Trace

#: Backends whose workers go on until they suspend.
COOPERATIVE: Final = frozenset({"asyncio", "trio"})
#: Steps at which a task may suspend.
SUSPENDING: Final = frozenset(
    {"checkpoint", "sleep", "acquire", "request", "wait", "wake", "put", "get", "join", "notify"}
)


@dataclass(frozen=True, slots=True)
class Switch:
    """Why another worker goes on here than the one before.

    ``left``: index of the worker that did not go on. ``kind``: ``preempted`` (it could have),
    ``blocked``, ``sleeping``, ``ended``, ``failed``, ``died``, ``suspended`` (a task let others
    run), ``timer`` (another's timer fired), ``system`` (a recorded run: the operating system
    chose, for reasons of its own), ``stopped`` (it takes no further step, and the trace does not
    say why). ``text``: the same for people, about ``left``, without its name.
    """

    left: int
    kind: str
    text: str


class Carried(NamedTuple):
    """A message. ``source``, ``dest``: the columns of who sent and who received it, -1 for one that
    is not shown (and for a message that was lost); ``name``, ``to``: what they are called, "" for
    nobody. ``text``: what it was, and the event in which it was sent: ``6 bytes of 14``."""

    source: int
    name: str
    dest: int
    to: str
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """One event. ``text``: what it did; ``at``: its step or line; ``timer``: a timer made it
    happen; ``switch``: None where the same worker went on (and at the first event); ``came``: the
    messages that it received (see ``delivered``).
    """

    event: Event
    text: str
    at: str
    timer: bool
    switch: Switch | None
    came: tuple[Carried, ...] = ()

    @property
    def seq(self) -> int:
        return self.event.seq

    @property
    def worker(self) -> int:
        return self.event.worker


@dataclass(frozen=True, slots=True)
class WorkerEnd:
    """Where a worker was when the run ended: ``kind`` is ``blocked``, ``failed``, ``died``,
    ``ended`` or ``unknown``; ``text`` the same for people.
    """

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """``rows``: the events asked for, in their order (a gap in ``seq`` is what was left out).

    ``events``, ``switches``, ``preemptions``: of the whole trace; the last is None where the
    trace does not say who could have gone on. ``ends``: one for each worker. ``folded``: ``seq`` of
    events that are left out without a word, in their order.
    """

    workers: list[str]
    rows: list[Row]
    events: int
    switches: int
    preemptions: int | None
    ends: list[WorkerEnd]
    folded: tuple[int, ...] = ()

    def left_out(self, start: int, stop: int) -> int:
        """How many of the events from ``start`` to before ``stop``, none of which has a row, are
        not folded."""
        between = bisect_left(self.folded, stop) - bisect_left(self.folded, start)
        return max(0, stop - start - between)


def timeline(trace: Trace, wanted: Iterable[range] | None = None) -> Timeline:
    """The timeline of a trace, or of the parts of it in ``wanted`` (ascending, disjoint)."""
    events = trace.events
    parts = [range(len(events))] if wanted is None else list(wanted)
    reasons = Reasons(trace)
    names = [clean(name) for name in trace.workers]
    rows = []
    for part in parts:
        for event in events[part.start : part.stop]:
            text, at = describe(event, names), clean(event.at)
            rows.append(Row(event, text, at, by_timer(event), reasons.at(event)))
    return Timeline(names, rows, len(events), *_count(trace), reasons.ends())


def without_idle(line: Timeline, busy: Container[int]) -> Timeline:
    """A timeline without the workers that do nothing in it and of which nothing is said at the end.

    A trace of real code lists whoever there was in any schedule. ``busy``: those with an event.
    """
    keep = [
        place
        for place, end in enumerate(line.ends)
        if place in busy or end.kind in ("blocked", "failed", "died")
    ]
    number = {place: new for new, place in enumerate(keep)}
    rows = [
        replace(
            row,
            event=row.event._replace(worker=number[row.worker]),
            switch=row.switch and replace(row.switch, left=number[row.switch.left]),
            came=tuple(
                one._replace(source=number.get(one.source, -1), dest=number.get(one.dest, -1))
                for one in row.came
            ),
        )
        for row in line.rows
    ]
    return replace(
        line, workers=[line.workers[place] for place in keep], rows=rows,
        ends=[line.ends[place] for place in keep],
    )  # fmt: skip


def _count(trace: Trace) -> tuple[int, int | None]:
    """How many switches there are, and how many of them left a worker that could have gone on."""
    switches = sum(a != b for a, b in pairwise(trace.events.workers))
    known = trace.events.choices is not None or not switches
    return switches, len(preemptions(trace)) if known else None


def preemptions(trace: Trace) -> list[int]:
    """The events before which a worker was left that could have gone on, as far as is known."""
    choices, table = trace.events.choices, trace.events.choice_table
    return [
        seq for seq, (left, worker) in enumerate(pairwise(trace.events.workers), 1)
        if left != worker and choices is not None and left in (table[choices[seq]] or ())
    ]  # fmt: skip


#: What is said of a preemption, by its class: see ``analysis.derived.switches``.
_PREEMPTED: Final = {
    "can": "preempted (could have gone on; CPython can switch here)",
    "only-without-gil": "preempted, only without the GIL",
    "cannot-tell": "preempted (could have gone on; under the GIL: not known)",
}
#: A recorded run does not say who could have gone on.
_SYSTEM: Final = ("system", "the system switched")


class Reasons:
    """Walks along the events, keeping who holds what, and says why each switch happened.

    ``state``: as after the events before the one that was asked for last.
    """

    def __init__(self, trace: Trace, *, values: bool = False) -> None:
        self.trace = trace
        self.events = trace.events
        self.names = [clean(name) for name in trace.workers]
        self.cooperative = trace.backend in COOPERATIVE
        self.state = State(trace, values=values)
        self.last = {worker: seq for seq, worker in enumerate(self.events.workers)}
        self.blocked = {one.worker: one for one in trace.verdict.blocked}

    def at(self, event: Event) -> Switch | None:
        """The switch before ``event``, which must not come before the one asked for last."""
        seq = event.seq
        self.state.advance(seq)
        if seq == 0:
            return None
        left = self.events.workers[seq - 1]
        if left == event.worker:
            return None
        kind, text = self._why(left, event)
        return Switch(left, kind, text)

    def ends(self) -> list[WorkerEnd]:
        return [self.end(worker, name) for worker, name in enumerate(self.trace.workers)]

    # --- why -----------------------------------------------------------------------------------
    def _why(self, left: int, event: Event) -> tuple[str, str]:
        """Why ``left``, which made the event before, did not make this one."""
        previous = self.events[event.seq - 1]
        if previous.op == "crash":
            return "died", "died"
        able = None if event.enabled is MISSING else left in event.enabled
        following = self._next(left, event.seq)
        if following is None and not able:
            return self._gone(left)
        if able is False:
            assert following is not None
            if self.cooperative and following.op == "checkpoint":  # its turn has not come
                return self._suspended(previous, following)
            return self.waiting(left, previous, following) or ("blocked", "cannot go on")
        # in adversarial time it may be able to go on only because its timer might have fired
        timed = self.trace.clock == "adversarial" and following is not None and by_timer(following)
        if following is not None and (timed or able is None):
            waiting = self.waiting(left, previous, following, certain=True)
            if waiting is not None:
                return waiting
        if able and by_timer(event):
            return "timer", f"could have gone on: the timer of {self.names[event.worker]} fires"
        if self.cooperative:
            return self._suspended(previous, following)
        if not able:
            return _SYSTEM
        return "preempted", _PREEMPTED.get(
            str(event.extra.get("switch")), "preempted (could have gone on)"
        )

    def _next(self, worker: int, seq: int) -> Event | None:
        if self.last.get(worker, -1) < seq:
            return None
        return self.events[self.events.workers.index(worker, seq)]

    def _gone(self, left: int) -> tuple[str, str]:
        """``left`` takes no further step in this trace."""
        end = self.end(left, self.trace.workers[left])
        if end.kind == "unknown":
            return "stopped", "takes no further step"
        return end.kind, end.text

    def _suspended(self, previous: Event, following: Event | None) -> tuple[str, str]:
        where = following if following is not None and following.op in SUSPENDING else None
        if previous.op in ("checkpoint", "sleep", "request") or where is None:
            where = previous
        if where.op == "checkpoint" and where.target == "loop":  # of real code
            return "suspended", "suspended"
        at = f"{where.op} {where.target}" if where.target else where.op
        return "suspended", f"suspended at {clean(at)}"

    def waiting(
        self, left: int, previous: Event, following: Event, certain: bool = False
    ) -> tuple[str, str] | None:
        """What ``left`` waits for before ``following``; None if that is not known.

        ``certain``: it is only known where the state of the objects says so.
        """
        op = following.op
        target = following.target or ""
        name = clean(target)
        if op == "sleep":
            return "sleeping", "sleeps"
        if op == "wake" and previous.op == "wait":
            return "blocked", f"waits at {name}"
        if op == "join" and (not certain or self._runs_on(target, following.seq)):
            return "blocked", f"waits for {name} to end"
        if op in ("acquire", "request") and self.state.must_wait(target, left):
            holders = self.state.holders(self.state.steps.lock_of(target))
            if holders:
                return "blocked", f"blocked: {name} is held by {self._listed(holders, left)}"
            return "blocked", f"blocked: {name} has no permit left"
        if op == "get" and not self.state.inside.get(target):
            return "blocked", f"blocked: {name} is empty"
        if op == "put" and self.state.full(target):
            return "blocked", f"blocked: {name} is full"
        if certain:
            return None
        return ("blocked", f"blocked: waits for {name}") if name else None

    def _runs_on(self, target: str, before: int) -> bool:
        """Whether the worker of that name makes an event between here and ``before``."""
        try:
            worker = self.trace.workers.index(target)
            self.events.workers.index(worker, self.state.position, before)
        except ValueError:
            return False
        return True

    def _listed(self, holders: Iterable[int], left: int) -> str:
        return ", ".join("itself" if one == left else self.names[one] for one in holders)

    def end(self, worker: int, name: str) -> WorkerEnd:
        verdict = self.trace.verdict
        one: Blocked | None = self.blocked.get(name)
        if one is not None:
            return WorkerEnd("blocked", waits(one))
        if verdict.kind == "failed" and verdict.worker == worker and verdict.failure != "always":
            return WorkerEnd("failed", "failed")
        last = self.last.get(worker)
        if last is not None and self.events[last].op == "crash":
            return WorkerEnd("died", "died")
        over = verdict.kind in ("passed", "deadlock") or verdict.failure == "finally"
        return WorkerEnd(*(("ended", "ended") if over and last is not None else ("unknown", "")))


def selection(events: int, *, around: int | None = None, most: int = 200) -> Iterator[range]:
    """Which events to show of so many: all if there are at most ``most``, else head and tail;
    with ``around``, that one and ten on either side. Disjoint ascending ranges.
    """
    if around is not None:
        yield range(max(0, around - 10), min(events, around + 11))
    elif events <= most:
        yield range(events)
    else:
        yield range(most - most // 2)
        yield range(events - most // 2, events)
