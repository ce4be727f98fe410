"""The steps of a trace of real code, as a gate at the source lines can force them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from tracelock.errors import UsageError
from tracelock.trace import Event, Trace

#: (worker, file, function, text of the line, how, skip), see ``gate.Step``.
Row = tuple[str, str, str, str, str, int]

#: Backends whose workers can be kept at a source line, or at an await, from within their process.
FORCEABLE: Final = ("threading", "asyncio", "trio")
#: Workers of traces that stand for no thread or task.
_NOBODY: Final = frozenset({"setup", "outside", "invariants", "loop:callbacks", "loop:timers"})
_CALLBACKS: Final = "loop:callbacks"
#: Steps of a schedule above which no program is written: a person could not read it.
_MOST: Final = 2_000
_PATIENCE: Final = 2.0
_LONGEST: Final = 60.0
_NAME: Final = re.compile(r"\.([^\W\d]\w*)\Z")


@dataclass(slots=True)
class ForcedSchedule:
    """``rows``: the steps; ``started``: worker -> those that it starts, in order; ``ending``: who
    ends before the schedule does; ``patience``: seconds until a schedule that nobody goes on in
    gives way."""

    rows: list[Row] = field(default_factory=list)
    started: dict[str, list[str]] = field(default_factory=dict)
    ending: list[str] = field(default_factory=list)
    patience: float = _PATIENCE


def forced_schedule(
    trace: Trace, text_of: Callable[[str], str], function_of: Callable[[str], str]
) -> ForcedSchedule:
    """The schedule of a trace of real code. ``text_of``, ``function_of``: the source line of a
    place, and the qualified name of the function that it is in, "" where they are not known.

    Raises UsageError, with the reason, for what cannot be forced at source lines.
    """
    _check(trace)
    found = _ScheduleReader(trace, text_of, function_of)
    for event in trace.events:
        found.add(event)
    found.stuck()
    found.before_workers()
    if found.unknown:
        places = ", ".join(sorted(found.unknown)[:3])
        raise UsageError(
            f"the source lines of {places} are not at hand, or not what they were when the trace "
            "was recorded: export it in the folder of the project, at the version that fails"
        )
    if not found.schedule.rows:
        raise UsageError("the trace has no step at a source line that could be forced")
    if len(found.schedule.rows) > _MOST:
        raise UsageError(
            f"the trace has {len(found.schedule.rows):,} steps at source lines: shrink it first"
        )
    return found.schedule


def _check(trace: Trace) -> None:
    if trace.backend not in FORCEABLE:
        raise UsageError(
            f"a trace of real code on {trace.backend} cannot be forced at source lines: only "
            f"{', '.join(FORCEABLE)} can (tracelock replay runs it again)"
        )
    if trace.verdict.kind not in ("failed", "deadlock"):
        raise UsageError(f"the trace ended {trace.verdict.kind}: there is no failure to force")
    if trace.verdict.failure == "always":
        raise UsageError(
            "an invariant failed between two steps, where a program without tracelock evaluates "
            "none: tracelock replay does it again"
        )
    python = trace.scenario.get("python", {})
    if "exploration" in python:
        raise UsageError(
            "the workers of this trace are given to tracelock_explore inside a test: they have no "
            "names by which a program could call them"
        )
    if any(event.op == "choose" for event in trace.events):
        raise UsageError(
            "the trace has values that the code asked tracelock for (tracelock.choice and the like)"
            ", and a program without tracelock gets none: tracelock replay gives them again"
        )
    for key, what in (("collections", "a garbage collection"), ("cancellations", "a cancellation")):
        ops = ("call",) if key == "collections" else ("cancelled",)
        if python.get(key) and any(event.op in ops for event in trace.events):
            raise UsageError(
                f"the trace has {what} that tracelock let come in between two steps: that cannot "
                "be forced at a source line (tracelock replay does it again)"
            )


class _ScheduleReader:
    """Reads the events of one trace."""

    def __init__(
        self, trace: Trace, text_of: Callable[[str], str], function_of: Callable[[str], str]
    ) -> None:
        self.trace = trace
        self.text_of = text_of
        self.function_of = function_of
        self.schedule = ForcedSchedule(patience=_patience(trace))
        self.unknown: set[str] = set()
        self.tasks = {e.worker for e in trace.events if e.op == "checkpoint" and e.target == "loop"}
        self.last = ""  # who made the last step
        self.later = False  # a callback of the loop has run since
        self.before: dict[str, tuple[str, str, str]] = {}  # worker -> the place of its last event
        self.latest: dict[tuple[str, str, str], tuple[str, str, str]] = {}
        self.released: dict[str, tuple[str, str, str] | None] = {}  # where it last let go of a lock
        self.hints: dict[str, list[str]] = {}  # what it did on the line that it is on
        self.schedule.ending = _ending(trace)

    def add(self, event: Event) -> None:
        worker = self.trace.workers[event.worker]
        if event.op == "spawn" and isinstance(event.target, str):
            parent = "" if worker in _NOBODY else worker
            self.schedule.started.setdefault(parent, []).append(event.target)
        if worker in _NOBODY:
            self.later = self.later or worker == _CALLBACKS
        elif event.worker in self.tasks:
            if event.op == "checkpoint":
                where = self._place(event.at, needed=False) or ("", "", "")
                self._row(worker, where, "later" if self.later else "turn")
                self.later = False
        else:
            place = self._place(event.at)
            if place is not None:
                self._line(worker, place, event)

    def _line(self, worker: str, place: tuple[str, str, str], event: Event) -> None:
        """One event of a thread."""
        switched = self.last != worker
        before = self.before.get(worker)
        hint = _hint(event)
        released, self.released[worker] = self.released.get(worker), None
        if event.op == "wake":
            self.hints[worker] = []
            self._row(worker, place, "wake")
        elif event.op == "release":
            self.hints[worker], self.released[worker] = [hint], place
            self._row(worker, place, "exit")
        elif event.op == "acquire" and released == place:  # the line was entered once more
            self.hints[worker] = [hint]
            self._row(worker, place, "")
        elif before == place or self._returned(worker, place, before):
            known = self.hints.setdefault(worker, [])
            if switched:
                self._row(worker, place, hint, known.count(hint))
            known.append(hint)
        else:
            self.hints[worker] = [hint]
            self._row(worker, place, "")
        self.before[worker] = place
        self.latest[worker, *place[:2]] = place

    def _returned(
        self, worker: str, place: tuple[str, str, str], before: tuple[str, str, str] | None
    ) -> bool:
        """Whether this may be the rest of a line after a call that it made: that is no new line."""
        return (
            before is not None and before[:2] != place[:2]
            and self.latest.get((worker, *place[:2])) == place
        )  # fmt: skip

    def stuck(self) -> None:
        """Where the workers of a deadlock come to, which no event tells."""
        for one in self.trace.verdict.blocked:
            numbers = [n for n, name in enumerate(self.trace.workers) if name == one.worker]
            if not numbers or numbers[0] in self.tasks or one.worker in _NOBODY:
                continue
            place = self._place(one.at)
            if place is not None and place != self.before.get(one.worker):
                self._row(one.worker, place, "stuck")

    def before_workers(self) -> None:
        """Threads that ``setup`` starts, which no event tells: nobody else starts them."""
        names = list(self.trace.workers)
        begun = names[names.index("outside") + 1 :] if "outside" in names else []
        known = {name for started in self.schedule.started.values() for name in started}
        others = [name for name in begun if name not in known and name not in _NOBODY]
        if others:
            self.schedule.started.setdefault("", [])[:0] = others

    def _row(self, worker: str, place: tuple[str, str, str], how: str, skip: int = 0) -> None:
        self.schedule.rows.append((worker, *place, how, skip))
        self.last = worker

    def _place(self, at: str, needed: bool = True) -> tuple[str, str, str] | None:
        """File, function and text of a place; None where it is none of a file."""
        label, colon, number = at.rpartition(":")
        if not colon or not number.isdecimal() or not label.endswith(".py"):
            return None
        text = self.text_of(at)
        if not text:
            if needed:
                self.unknown.add(at)
            return None
        return label, self.function_of(at), text


def _hint(event: Event) -> str:
    """The kind of instruction that makes an event."""
    found = _NAME.search(event.target or "")
    if event.op in ("read", "write") and found is not None:
        return f"{'load' if event.op == 'read' else 'store'} {found[1]}"
    return "call"


def _ending(trace: Trace) -> list[str]:
    """The workers that come to their end before the failure."""
    verdict = trace.verdict
    everybody = [name for name in trace.workers if name not in _NOBODY]
    if verdict.kind == "deadlock":
        blocked = {one.worker for one in verdict.blocked}
        return [name for name in everybody if name not in blocked]
    if verdict.failure == "finally":
        return everybody
    joined = {event.target for event in trace.events if event.op == "join" and event.result is True}
    if verdict.worker is not None and 0 <= verdict.worker < len(trace.workers):
        joined.add(trace.workers[verdict.worker])
    return [name for name in everybody if name in joined]


def _patience(trace: Trace) -> float:
    """What the program waits for by the clock comes on top."""
    slept = trace.events[-1].t / 1e9 if len(trace.events) else 0.0
    if slept > _LONGEST:
        raise UsageError(f"the trace waits for {slept:,.0f} s, which a forced program would, too")
    return round(_PATIENCE + slept, 1)
