"""A run of real code as data to be shown: the rows of its lanes, and its source with the state of
every line after each of them.

The page is readable without any script: what is written here is the end of the run. The script only
moves along the rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tracelock.analysis.findings import Finding
from tracelock.report.arrows import arrows
from tracelock.report.failure.slicing import Slice, slice_of
from tracelock.report.failure.telling import StoryLine, Teller, after_all, ended, story_lines
from tracelock.report.frames import Story, WorkerFrame, busiest, story_along
from tracelock.report.html.run import changed, run_title
from tracelock.report.panes.touched import Block, SourceLine, touched_source
from tracelock.report.plumbing import plumbing_of, without_plumbing
from tracelock.report.templates import markup
from tracelock.report.timeline import Row, timeline
from tracelock.report.turning import TurningPoint
from tracelock.report.wording import clean
from tracelock.trace import Trace

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["MOST_LANES", "PanesRun"]

#: Colours of workers, as many as the style sheet has.
COLOURS: Final = 8
#: More lanes than this nobody can follow.
MOST_LANES: Final = 24
#: Locks held at once that are drawn apart.
_HELD: Final = 3
#: Names longer than this together stand upright over their lanes.
_ACROSS: Final = 26
#: Kinds of frames of workers that stand at a line; others have ended or not begun.
_STANDS: Final = frozenset({"next", "waits", "blocked", "failed", "died"})
#: Lines of source that a page holds at most.
_MOST_LINES: Final = 4_000
_PIECES: Final = 600
_DRAWN: Final = frozenset(
    {"lock", "permit", "item", "room", "set", "notify", "barrier", "cancel", "spawn"}
)
_LONGEST: Final = 400  # characters that stand at one line


class PaneRow(NamedTuple):
    """A row of the lanes. ``seq`` -1: it is no event, but says why a worker did not go on
    (``kind`` ``why``), what was left out (``gap``), or how one ended (``end``)."""

    kind: str
    seq: int
    cells: Markup
    text: str
    at: str = ""
    title: str = ""
    classes: str = ""


@dataclass(slots=True)
class _LineState:
    """What stands at a source line: who ran it (lanes, the last one last) and what was read or
    written there by the last one."""

    lanes: list[int] = field(default_factory=list)
    said: str = ""


class PanesRun:
    """A run to be shown. ``key``: a letter that makes its ids unique on the page; ``wanted``: the
    ranges of events; ``root``: the finding that says why it failed; ``marked``: events that the
    findings name."""

    def __init__(
        self,
        key: str,
        trace: Trace,
        wanted: Sequence[range],
        sources: Mapping[str, str],
        *,
        root: Finding | None = None,
        turn: TurningPoint | None = None,
        marked: frozenset[int] = frozenset(),
    ) -> None:
        self.key, self.trace, self.turn, self.marked = key, trace, turn, marked
        self.passed = trace.verdict.kind == "passed"
        self.title = run_title(trace)
        whole = timeline(trace, wanted)
        plumbing = plumbing_of(trace)
        self.line = without_plumbing(whole, plumbing)
        if not self.line.rows:  # of a run of nothing but plumbing that is all there is to see
            self.line = whole
        self.lanes = self._lanes()
        self.names = [self.line.workers[worker] for worker in self.lanes]
        self.column = {worker: column for column, worker in enumerate(self.lanes)}
        self.hidden = len({row.worker for row in self.line.rows} - set(self.lanes))
        self.upright = sum(map(len, self.names)) > _ACROSS
        table = trace.events.table
        self._joined = {shape.target for shape in table if shape.op == "join"}
        self.story: Story = story_along(trace, self.line, self.lanes)
        self.rows: list[Row] = [
            replace(row, switch=ended(trace, row.switch)) for row in self.line.rows
        ]
        self.seqs = [row.seq for row in self.rows]
        self.shown = set(self.seqs)
        self.parts = _ranges(wanted)
        sliced = Slice() if self.passed else slice_of(trace, root)
        self._teller = Teller(trace, sliced, "\N{RIGHTWARDS ARROW}")
        self.facts = [self._teller.fact(row.event) for row in self.rows]
        self.blocks, self.omitted = self._source(sources, plumbing)
        self.index = {line.at: n for n, line in enumerate(self._every_line()) if line.number}
        self.failing = self._failing()
        self.told = [] if self.passed else self._told()
        self.trail = list(self._trail())

    # --- what there is ------------------------------------------------------------------------
    def _lanes(self) -> list[int]:
        """The workers that do something in it, or of which something is said at its end."""
        line = self.line
        busy = {row.worker for row in line.rows}
        ends = ("blocked", "failed", "died")
        kept = [
            worker for worker, end in enumerate(line.ends) if worker in busy or end.kind in ends
        ]
        if len(kept) > MOST_LANES:
            most = set(busiest(self.trace, line, MOST_LANES))
            kept = [worker for worker in kept if worker in most]
        return kept

    def _source(
        self, sources: Mapping[str, str], plumbing: Collection[int]
    ) -> tuple[list[Block], int]:
        verdict = self.trace.verdict
        extra = [verdict.at] if verdict.at else []
        blocks = touched_source(self.trace, sources, extra, plumbing)
        count = 0
        for number, block in enumerate(blocks):
            count += len(block.lines)
            if count > _MOST_LINES and number:
                return blocks[:number], len(blocks) - number
        return blocks, 0

    def _every_line(self) -> Iterator[SourceLine]:
        for block in self.blocks:
            yield from block.lines

    def _failing(self) -> int:
        """The line at which it went wrong, -1 where that is none."""
        verdict = self.trace.verdict
        return self.index.get(verdict.at or "", -1) if verdict.kind == "failed" else -1

    def _told(self) -> list[dict[str, Any]]:
        """The lines that matter: the worker, its place and source, what it read or wrote."""
        lines = story_lines(self._teller, known=lambda at: at in self.index)
        texts = {line.at: line.text.strip() for line in self._every_line() if line.number}
        names = [*map(clean, self.trace.workers), after_all(self.trace)]
        return [
            {"name": names[one.worker], "lane": self._colour(self.column.get(one.worker, -1)),
             "at": clean(one.at), "text": texts.get(one.at, ""), "said": clean(one.said),
             "failing": one.failing, "seq": self._nearest(one),
             "why": "" if one.why is None else f"{names[one.why.left]} {clean(one.why.text)}"}
            for one in lines
        ]  # fmt: skip

    def _nearest(self, one: StoryLine) -> int:
        """A row of these events, -1 where none is shown."""
        return next((seq for seq in range(one.events[1], one.events[0] - 1, -1)
                     if seq in self.shown), -1)  # fmt: skip

    def _colour(self, lane: int) -> int:
        return lane % COLOURS if lane >= 0 else COLOURS

    # --- the lanes ----------------------------------------------------------------------------
    def table(self) -> Iterator[PaneRow]:
        """The rows of the lanes, from the top."""
        expected = 0
        none = markup("<td></td>" * len(self.lanes))
        for place, row in enumerate(self.rows):
            missing = self.line.left_out(expected, row.seq)
            if missing:
                yield PaneRow("gap", -1, none, _left_out(missing))
            expected = row.seq + 1
            if row.switch is not None and row.switch.left in self.column:
                name = self.line.workers[row.switch.left]
                text = f"{name} {row.switch.text}"
                cells = self._cells(place, -1, self.column[row.switch.left])
                yield PaneRow("why", -1, cells, text, title=text, classes=row.switch.kind)
            yield self._event(place, row)
        missing = self.line.left_out(expected, self.line.events)
        if missing:
            yield PaneRow("gap", -1, none, _left_out(missing))
            return
        for worker, end in enumerate(self.line.ends):
            if end.kind in ("blocked", "failed", "died") and worker in self.column:
                lane = self.column[worker]
                cells = self._cells(len(self.rows), -1, -1, lane)
                text = f"{self.line.workers[worker]} {end.text}"
                yield PaneRow("end", -1, cells, text, title=text)

    def _event(self, place: int, row: Row) -> PaneRow:
        classes = []
        if row.seq in self.marked:
            classes.append("mark")
        if self.turn is not None and self.turn.seq == row.seq:
            classes.append("turn")
        lane = self.column.get(row.worker, -1)
        text = self.facts[place] or row.text
        if lane < 0:
            text = f"{self.line.workers[row.worker]}: {text}"
        cells = self._cells(place + 1, lane)
        title = f"event {row.seq}: {self.line.workers[row.worker]} {row.text}, at {row.at}"
        return PaneRow("event", row.seq, cells, text, row.at, title, " ".join(classes))

    def _cells(self, frame: int, own: int, left: int = -1, end: int = -1) -> Markup:
        """A cell for each lane: what the worker holds and waits for after so many rows."""
        parts = []
        for lane, one in enumerate(self.story.frames[frame].workers):
            classes = []
            if one.holds:
                classes.append(f"h{min(_HELD, len(one.holds))}")
            if one.waits is not None:
                classes.append("w")
            classes += [
                word for word, place in (("on", own), ("off", left), ("bad", end)) if place == lane
            ]
            if classes:
                classes.insert(0, f"k{self._colour(lane)}")
                quoted = f'"{" ".join(classes)}"'
                parts.append(f"<td class={quoted}></td>")
            else:
                parts.append("<td></td>")
        return markup("".join(parts))

    def overview(self) -> list[tuple[int, int, int]]:
        """The whole run as pieces of one worker: first event, how many, colour; the shortest ones
        put together where there are many."""
        pieces: list[tuple[int, int, int]] = []
        workers = self.trace.events.workers
        step = max(1, len(workers) // _PIECES)
        sampled = [(seq, workers[seq]) for seq in range(0, len(workers), step)]
        for worker, each in groupby(sampled, lambda one: one[1]):
            seqs = [seq for seq, _ in each]
            last = min(len(workers), seqs[-1] + step)
            colour = self._colour(self.column.get(worker, -1))
            pieces.append((seqs[0], last - seqs[0], colour))
        return pieces

    # --- the source ---------------------------------------------------------------------------
    def _trail(self) -> Iterator[list[list[int]]]:
        """For each row the lanes and lines that events up to it ran, those not shown too."""
        previous = -1
        events = self.trace.events
        for place, row in enumerate(self.rows):
            start = row.seq if not place else previous + 1
            steps: dict[tuple[int, int], None] = {}
            for seq in range(max(start, row.seq - 400), row.seq + 1):
                line = self.index.get(events.table[events.shapes[seq]].at, -1)
                lane = self.column.get(events.workers[seq], -1)
                if line >= 0 and lane >= 0:
                    steps.pop((lane, line), None)
                    steps[lane, line] = None
            yield [list(one) for one in steps]
            previous = row.seq

    def states(self) -> dict[int, _LineState]:
        """What stands at the lines at the end: by the number of the line. The script does the same
        for each row."""
        lines: dict[int, _LineState] = {}
        visit = (-1, -1)
        for place, row in enumerate(self.rows):
            for lane, line in self.trail[place]:
                state = lines.setdefault(line, _LineState())
                state.lanes = [*(one for one in state.lanes if one != lane), lane]
            here = self.column.get(row.worker, -1), self.index.get(row.event.at, -1)
            fact = self.facts[place]
            if here[1] >= 0 and fact:
                state = lines.setdefault(here[1], _LineState())
                said = f"{state.said}, {fact}" if here == visit and state.said else fact
                state.said = said[:_LONGEST]
            visit = here
        if self.failing >= 0:
            said = clean(self.trace.verdict.message.split("\n", 1)[0])[:_LONGEST]
            lines.setdefault(self.failing, _LineState()).said = said
        return lines

    def places(self, frame: int, own: int = -1, line: int = -1) -> list[int]:
        """Where each worker is after so many rows: its line, -1 for none; the one that acted last
        at the line where it did."""
        found = [
            self.index.get(one.place, -1) if one.kind in _STANDS else -1
            for one in self.story.frames[frame].workers
        ]
        if own >= 0 and frame < len(self.rows):
            found[own] = line
        return found

    # --- the panel ----------------------------------------------------------------------------
    def workers(self) -> list[dict[str, Any]]:
        """Each worker at the end."""
        last = self.story.frames[-1].workers
        return [
            {
                "name": name,
                "colour": self._colour(lane),
                "status": self._status(lane, one),
                "at": _at(one),
            }
            for lane, (name, one) in enumerate(zip(self.names, last, strict=True))
        ]

    def _status(self, lane: int, one: WorkerFrame) -> str:
        """What a worker does; one for whose end others waited has ended where it does no more."""
        if one.kind == "unknown" and self.trace.workers[self.lanes[lane]] in self._joined:
            return "ended"
        return one.status.removeprefix("next: ") if one.kind == "next" else one.status

    def variables(self) -> dict[str, str]:
        """Their last values."""
        now: dict[str, str] = {}
        for frame in self.story.frames:
            now.update(frame.variables)
        return now

    def objects(self) -> list[tuple[str, str, str, str]]:
        """The last state of each object: name, kind, state, who waits for it."""
        last = self.story.frames[-1].objects
        return [(name, kind, *last[name]) for name, kind in self.story.types.items()]

    def targets(self) -> list[str]:
        """What the rows are about, the most frequent first."""
        counts: dict[str, int] = {}
        for row in self.rows:
            name = row.event.target
            if name is not None:
                counts[name] = counts.get(name, 0) + 1
        return sorted(counts, key=lambda name: (-counts[name], name))[:200]

    # --- the data -----------------------------------------------------------------------------
    def data(self) -> dict[str, Any]:
        """What the script steps through; texts are numbers into ``texts``."""
        texts: dict[str, int] = {}

        def number(text: str) -> int:
            return texts.setdefault(text, len(texts))

        objects = {name: place for place, name in enumerate(self.targets())}
        now: list[int] = []
        panel: list[list[int]] = []
        variables: dict[str, str] = {}
        places: list[list[int]] = []
        for count, frame in enumerate(self.story.frames):
            variables.update(frame.variables)
            values: list[str] = []
            for lane, one in enumerate(frame.workers):
                values += [self._status(lane, one), _at(one)]
            values += variables.values()
            for name in self.story.types:
                values += frame.objects[name]
            new = [number(value) for value in values]
            panel.append(changed(now, new) if count else new)
            now = new
            row = self.rows[count - 1] if count else None
            lane = self.column.get(row.worker, -1) if row else -1
            line = self.index.get(row.event.at, -1) if row else -1
            places.append(self.places(count, lane, line))
        return {
            "key": self.key, "total": self.line.events, "seqs": self.seqs,
            "lanes": [self.column.get(row.worker, -1) for row in self.rows],
            "lines": [self.index.get(row.event.at, -1) for row in self.rows],
            "facts": [number(fact) for fact in self.facts],
            "trail": self.trail, "places": places, "panel": panel,
            "names": self.names, "failing": self.failing,
            "failed": number(clean(self.trace.verdict.message.split("\n", 1)[0])[:_LONGEST]),
            "objects": [objects.get(row.event.target or "", -1) for row in self.rows],
            "switches": [place for place, row in enumerate(self.rows) if row.switch is not None],
            "turn": -1 if self.turn is None else self.turn.seq,
            "arrows": self._arrows(), "texts": list(texts),
        }  # fmt: skip

    def _arrows(self) -> list[list[Any]]:
        """Who handed over to whom: number of event, number of event, what."""
        return arrows(self.trace, self.story.steps, _DRAWN, self.shown)


def _left_out(count: int) -> str:
    return f"{count:,} event{' is' if count == 1 else 's are'} left out here"


def _ranges(wanted: Sequence[range]) -> list[str]:
    return [f"{part[0]:,} to {part[-1]:,}" for part in wanted if part]


def _at(one: WorkerFrame) -> str:
    return clean(one.place) if one.kind in _STANDS else ""
