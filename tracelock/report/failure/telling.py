"""The lines of a story: which source line each worker was at, what it read or wrote there, and why
another one went on."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

from tracelock.report.failure.slicing import Slice
from tracelock.report.failure.spoken import Conversation
from tracelock.report.timeline import Reasons, Switch
from tracelock.report.wording import chosen, clean, crashed, describe, shown, waits
from tracelock.trace import MISSING, Event, Trace
from tracelock.trace.crashes import CRASH
from tracelock.trace.network import BUDGET

__all__ = ["MOST", "StoryLine", "Teller", "after_all", "ended", "story_lines"]

#: So many lines at most, however many would matter.
MOST: Final = 15
#: With fewer than these, those that matter less are told too.
FEWEST: Final = 5
_PLACE: Final = re.compile(r"^\s*(\S+:\d+) in ", re.MULTILINE)
_QUIET: Final = frozenset({"checkpoint", "release", "spawn", "join", "sleep"})
_VERBS: Final = {
    "set": "sets", "clear": "clears", "put": "puts into", "get": "gets from", "wait": "waits on",
    "spawn": "starts", "join": "joins", "cancel": "cancels", "request": "asks for",
}  # fmt: skip


@dataclass(slots=True)
class StoryLine:
    """A worker at a source line; what is checked when all have ended has the number of the workers
    for its worker. ``said``: what it read or wrote there, "" for nothing to say.

    ``why``: why the worker of the line before did not go on, None where it is the same worker.
    ``source``: the worker of which a message came here, -1 for none.
    ``failing``: here the run went wrong. ``events``: ``seq`` of the first and of the last event;
    both are the number of events where it went wrong after all of them.
    """

    worker: int
    at: str
    said: str
    events: tuple[int, int]
    why: Switch | None = None
    failing: bool = False
    source: int = -1


@dataclass(slots=True)
class _Visit:
    """The events of a worker at one line, as long as no other worker came in between."""

    worker: int
    at: str
    seqs: list[int]
    level: int = 99
    wanted: list[int] = field(default_factory=list)


def after_all(trace: Trace) -> str:
    """What is at the line that is no worker's, in words."""
    return "an invariant" if trace.verdict.failure == "always" else "the check"


def story_lines(teller: Teller, *, known: Callable[[str], bool]) -> list[StoryLine]:
    """The lines that matter, in the order in which they ran.

    ``known``: whether a place is the program's own, in which a person can look.
    """
    trace, sliced = teller.trace, teller.sliced
    levels = sliced.levels
    visits = list(_visits(trace))
    for visit in visits:
        visit.wanted = [seq for seq in visit.seqs if seq in levels]
        if visit.wanted:
            visit.level = min(levels[seq] for seq in visit.wanted)
    ends = list(_ends(trace))
    told = {seq for seq in levels if seq in sliced.waits or not _quiet(trace, seq)}
    wanted = [one for one in visits if known(one.at) and not told.isdisjoint(one.wanted)]
    chosen = _chosen(wanted, MOST - len(ends))
    lines = [
        StoryLine(
            one.worker, one.at, teller.said(one), (one.seqs[0], one.seqs[-1]),
            source=max(map(teller.conversation.source, one.wanted)),
        )
        for one in chosen
    ]  # fmt: skip
    for end in ends:
        _end(lines, end)
    _reasons(trace, lines)
    return lines


def _quiet(trace: Trace, seq: int) -> bool:
    return trace.events.table[trace.events.shapes[seq]].op in _QUIET


def _end(lines: list[StoryLine], end: StoryLine) -> None:
    """Add where the run went wrong. A line that says no more than this is that line."""
    own = [place for place, line in enumerate(lines) if line.worker == end.worker]
    last = lines[own[-1]] if own else None
    if last is None or last.at != end.at:
        lines.append(end)
    elif own[-1] == len(lines) - 1:
        last.said, last.failing = end.said, True
    elif not last.said:
        del lines[own[-1]]
        lines.append(end)
    elif last.said.startswith("waits"):
        last.said, last.failing = end.said, True
    else:
        lines.append(end)


def _visits(trace: Trace) -> Iterator[_Visit]:
    events = trace.events
    current: _Visit | None = None
    for seq, (worker, shape) in enumerate(zip(events.workers, events.shapes, strict=True)):
        at = events.table[shape].at
        if current is None or current.worker != worker or current.at != at:
            if current is not None:
                yield current
            current = _Visit(worker, at, [])
        current.seqs.append(seq)
    if current is not None:
        yield current


def _chosen(visits: Sequence[_Visit], most: int) -> list[_Visit]:
    """The visits that matter most: all of a level while there is room, the last ones of one that
    does not fit. Visits of one line that follow each other are one."""
    merged: list[_Visit] = []
    for visit in visits:
        before = merged[-1] if merged else None
        if before is not None and (before.worker, before.at) == (visit.worker, visit.at):
            before.seqs += visit.seqs
            before.wanted += visit.wanted
            before.level = min(before.level, visit.level)
        else:
            merged.append(visit)
    kept: set[int] = set()
    for level in sorted({visit.level for visit in merged}):
        if level >= 3 and len(kept) >= FEWEST:
            break
        alike = [place for place, visit in enumerate(merged) if visit.level == level]
        room = most - len(kept)
        kept.update(alike if len(alike) <= room else alike[len(alike) - room :] if room else [])
    return [visit for place, visit in enumerate(merged) if place in kept]


def _ends(trace: Trace) -> Iterator[StoryLine]:
    """Where the run went wrong, after all events."""
    verdict = trace.verdict
    count = len(trace.events)
    told = [one for one in verdict.blocked if one.op != "join"] or verdict.blocked
    for one in told:
        if one.worker in trace.workers:
            worker = trace.workers.index(one.worker)
            yield StoryLine(worker, one.at, waits(one), (count, count), None, True)
    if verdict.kind == "failed" and verdict.at is not None and ":" in verdict.at:
        said = clean(verdict.message.split("\n", 1)[0])
        if verdict.worker is not None:
            yield StoryLine(verdict.worker, verdict.at, said, (count, count), None, True)
            return
        places = _PLACE.findall(verdict.message) if verdict.failure == "finally" else []
        at = places[-1] if places else verdict.at
        yield StoryLine(len(trace.workers), at, said, (count, count), None, True)


def _reasons(trace: Trace, lines: Sequence[StoryLine]) -> None:
    """Say of each line of another worker than the one before why that did not go on."""
    reasons = Reasons(trace)
    events = trace.events
    for before, line in pairwise(lines):
        if before.worker == line.worker or before.events[1] >= len(events):
            continue
        for seq in range(before.events[1] + 1, min(line.events[0] + 1, len(events))):
            if events.workers[seq - 1] == before.worker != events.workers[seq]:
                line.why = ended(trace, reasons.at(events[seq]))
                break


def ended(trace: Trace, why: Switch | None) -> Switch | None:
    """A worker that takes no further step has ended where others are seen to wait for its end."""
    if why is None or why.kind != "stopped":
        return why
    name = trace.workers[why.left]
    joined = any(one.op == "join" and one.target == name for one in trace.events.table)
    return replace(why, kind="ended", text="has ended") if joined else why


class Teller:
    """Says what a worker did at a line of a trace. ``sliced``: the events that matter in it."""

    def __init__(self, trace: Trace, sliced: Slice, arrow: str = "->") -> None:
        self.trace = trace
        self.sliced = sliced
        self.arrow = arrow
        self.conversation = Conversation(trace)
        self.names = [clean(name) for name in trace.workers]
        self._sizes: dict[str, list[tuple[int, int]]] = {}
        table, shapes = trace.events.table, trace.events.shapes
        for seq, extra in sorted(trace.events.extras.items()):
            size, target = extra.get("size"), table[shapes[seq]].target
            if type(size) is int and target is not None:
                self._sizes.setdefault(target, []).append((seq, size))

    def said(self, visit: _Visit) -> str:
        """What the events that matter there read, wrote or waited for, each thing once."""
        facts: dict[str, str] = {}
        for seq in visit.wanted:
            event = self.trace.events[seq]
            fact = self.fact(event)
            if fact:
                facts[f"{event.target}{event.op in ('wait', 'wake')}"] = fact
        return ", ".join(dict.fromkeys(facts.values()))

    def fact(self, event: Event) -> str:
        """What one event read, wrote or waited for, "" for nothing that would tell anything."""
        op, target = event.op, clean(event.target or "")
        name = target.removesuffix("[]").removeprefix("attribute ")
        if event.seq in self.sliced.waits:
            return f"waits on {name.removesuffix('.lock')}"
        if op in _QUIET or target == BUDGET:
            return ""
        if words := self.conversation.words(event):
            return words
        sized = "size" in event.extra
        if op in ("read", "write") and (sized or target.endswith("[]")):
            return self._contents(event, name)
        if op == "read":
            return "" if _opaque(event.result) else f"{name} is {shown(event.result)}"
        if op == "write":
            return f"{name} = {shown(event.value)}" if not _opaque(event.value) else f"sets {name}"
        if op == "acquire":
            return f"takes {name}" if event.result is not False else f"does not get {name}"
        if op == "wake":
            return "wakes up" if event.result is not False else "its time is up"
        if op == "notify":
            woken = event.result
            if type(woken) is not list:
                return f"notifies {name}"
            return f"wakes {' and '.join(self.names[one] for one in woken) or 'nobody'}"
        if op == "choose":
            return f"chooses {chosen(event)}" if target != CRASH else crashed(event)
        if op in _VERBS:
            return f"{_VERBS[op]} {name}"
        return describe(event, self.names)

    def _contents(self, event: Event, name: str) -> str:
        """What a container had, and has after it was changed, as far as that is known."""
        size = event.extra.get("size")
        if type(size) is not int:
            return f"changes {name}" if event.op == "write" else ""
        if event.op == "read":
            return f"{name}: {_items(size)}"
        sizes = self._sizes[event.target or ""]
        later = bisect_right(sizes, event.seq, key=lambda one: one[0])
        if later == len(sizes):
            return f"changes {name} ({_items(size)} before)"
        after = sizes[later][1]
        if after == size:
            return f"{name}: {_items(size)}"
        return f"{name}: {size} {self.arrow} {_items(after)}"


def _items(size: int) -> str:
    return "empty" if not size else f"{size:,} item{'' if size == 1 else 's'}"


def _opaque(value: object) -> bool:
    """Whether a value is only the name of a class, or not known."""
    return value is MISSING or (type(value) is str and value.startswith("<"))
