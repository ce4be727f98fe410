"""One run of a page: its swim lanes, and the state panel that goes with them, as data to be shown.

The lanes are a plain table, readable without any script; the script only moves along it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tracelock.report.arrows import arrows
from tracelock.report.code import CodeLine, listing
from tracelock.report.frames import Frame, Story, WorkerFrame
from tracelock.report.templates import part
from tracelock.report.timeline import Row, Switch
from tracelock.report.turning import TurningPoint
from tracelock.report.wording import clean
from tracelock.trace import MISSING, Trace

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["PageRun", "changed", "run_title"]

#: Colours of locks, as many as the style sheet has.
COLOURS: Final = 8
#: Bars that find room beside each other in one lane.
SLOTS: Final = 4
#: Lines of steps beyond which a worker's card tells only the step it is at.
CODE_LINES: Final = 400
#: How the class of a cell begins whose worker waits, begins to or ends to wait.
_WAITS: Final = {"": "w", "b": "x", "e": "y"}
_ARROWS: Final = frozenset(
    {"lock", "permit", "item", "room", "set", "notify", "spawn", "join", "barrier", "cancel"}
)


class Bar(NamedTuple):
    """A lock that is held (``slot`` from 1) or waited for (0) beside an event; ``part`` is ``b``
    or ``e`` where that begins or ends."""

    slot: int
    colour: int
    part: str


class LaneCell(NamedTuple):
    """One cell of the lanes, as the template continues it: ``opening`` of its tag and ``bars``,
    then the event (``text``, of a step ``title``) or why the worker does not go on."""

    opening: Markup
    bars: Markup
    text: str = ""
    title: str = ""
    timer: bool = False
    why: Switch | None = None
    turn: str = ""

    @classmethod
    def of(cls, bars: Sequence[Bar], *classes: str, **content: Any) -> LaneCell:
        """A cell with its bars."""
        # that a worker waits is a class, not an element: most cells of a run of many are of these
        waits = [f"{_WAITS[bar.part]}{bar.colour}" for bar in bars if not bar.slot]
        drawn = [f"p{slot} c{colour} {part}".rstrip() for slot, colour, part in bars if slot]
        opening = _part("opening", (*classes, *waits))
        return cls(opening, _part("bars", tuple(drawn)), **content)


@lru_cache(maxsize=4_096)
def _part(macro: str, classes: tuple[str, ...]) -> Markup:
    return part("cell.html", macro, classes)


@dataclass(slots=True)
class LaneRow:
    """A row of the lanes. ``text``: in place of cells, where the event's worker has no lane.
    ``left_out``: it stands for events that are not shown."""

    head: str
    id: str = ""
    classes: list[str] = field(default_factory=list)
    cells: list[LaneCell] = field(default_factory=list)
    text: str = ""
    left_out: bool = False


class Card(NamedTuple):
    """A worker on the panel: ``lines`` of its steps (None: too many), of which ``here`` is next."""

    name: str
    number: str
    kind: str
    status: str
    place: str
    lines: list[CodeLine] | None
    here: int


class PageRun:
    """A run to be shown. ``key``: a letter that makes its ids unique on the page.

    ``parts``: the ranges of events shown, as ``98 to 205``.
    """

    def __init__(
        self,
        key: str,
        trace: Trace,
        story: Story,
        turn: TurningPoint | None,
        sources: Mapping[str, str],
        marked: frozenset[int] = frozenset(),
    ) -> None:
        self.key = key
        self.trace = trace
        self.story = story
        self.timeline = story.timeline
        self.turn = turn
        self.marked = marked
        self.passed = trace.verdict.kind == "passed"
        self.title = run_title(trace)
        self.names = [story.timeline.workers[worker] for worker in story.workers]
        self.column = {worker: column for column, worker in enumerate(story.workers)}
        self.hidden = len(trace.workers) - len(self.names)
        self.code = self._code(sources)
        self.colour: dict[str, int] = {}
        self._texts: dict[str, int] = {}
        self.shown = {row.seq for row in story.rows}
        self.parts = _ranges([row.seq for row in story.rows])
        self._bars = list(self._drawn())
        self.widest = min(
            SLOTS, max((bar.slot for row in self._bars for cell in row for bar in cell), default=0)
        )
        self.lanes = list(self._lanes())

    # --- the table ---------------------------------------------------------------------------
    def _lanes(self) -> Iterator[LaneRow]:
        """The swim lanes: a row an event, a column a worker, bars for what is held."""
        rows, bars = self.story.rows, self._bars
        expected = rows[0].seq if rows else 0
        empty = [LaneCell.of(()) for _ in self.names]
        yield _gap(expected) if expected else LaneRow("start", classes=["start"], cells=empty)
        for row, cells in zip(rows, bars, strict=False):
            if row.seq != expected:
                yield _gap(row.seq - expected)
            expected = row.seq + 1
            yield self._event(row, cells)
        total = self.timeline.events
        if expected < total:
            yield _gap(total - expected)
        else:
            last = bars[-1] if bars else [[] for _ in self.names]
            ends = map(_at_the_end, self.story.frames[-1].workers, last)
            yield LaneRow("end", classes=["end"], cells=list(ends))

    def _event(self, row: Row, lanes: Sequence[Sequence[Bar]]) -> LaneRow:
        shown = LaneRow(str(row.seq), f"{self.key}{row.seq}")
        if row.seq in self.marked:
            shown.classes.append("mark")
        turn = self.turn.label if self.turn is not None and self.turn.seq == row.seq else ""
        if turn:
            shown.classes.append("turn")
        left = self.column.get(row.switch.left, -1) if row.switch is not None else -1
        own = self.column.get(row.worker, -1)
        if own < 0:
            shown.text = f"{self.timeline.workers[row.worker]}: {row.text}"
            return shown
        for worker, bars in enumerate(lanes):
            if worker == own:
                cell = LaneCell.of(
                    bars, "on", text=row.text, title=self._when(row), timer=row.timer,
                    turn=turn if left < 0 else "",
                )  # fmt: skip
            elif worker == left:
                cell = LaneCell.of(bars, why=row.switch, turn=turn)
            else:
                cell = LaneCell.of(bars)
            shown.cells.append(cell)
        return shown

    def _when(self, row: Row) -> str:
        """Where in its steps an event is, and in a run of real time when it was."""
        said = _short(row.at)
        if self.trace.clock == "real":
            said += f", after {row.event.t / 1e6:,.3f} ms"
            if row.event.waited is not MISSING:
                said += f", waited {row.event.waited / 1e6:,.3f} ms for it"
        return said

    def _drawn(self) -> Iterator[list[list[Bar]]]:
        """For each row and worker its bars."""
        places: list[dict[str, int]] = [{} for _ in self.names]
        for before, after in pairwise(self.story.frames):
            row = []
            for worker, own in enumerate(places):
                had, has = before.workers[worker], after.workers[worker]
                cell = []
                for lock in dict.fromkeys((*had.holds, *has.holds)):
                    if lock not in own:
                        taken = set(own.values())
                        own[lock] = next(n for n in range(1, len(taken) + 2) if n not in taken)
                    part = "" if lock in had.holds else "b"
                    place = own[lock]
                    if lock not in has.holds:
                        part = "e"
                        del own[lock]
                    if place <= SLOTS:
                        cell.append(Bar(place, self._coloured(lock), part))
                if has.waits is not None:
                    again = had.waits == has.waits
                    cell.append(Bar(0, self._coloured(has.waits), "" if again else "b"))
                elif had.waits is not None:
                    cell.append(Bar(0, self._coloured(had.waits), "e"))
                row.append(cell)
            yield row

    def _coloured(self, name: str) -> int:
        if not name:
            return COLOURS
        return self.colour.setdefault(name, len(self.colour) % COLOURS)

    # --- the panel: as of the last row, until the script moves it ----------------------------
    def cards(self) -> Iterator[Card]:
        """Each worker in its steps."""
        last = self.story.frames[-1].workers
        for name, one, lines in zip(self.names, last, self.code, strict=True):
            here = next((n for n, line in enumerate(lines or ()) if line.at == one.place != ""), -1)
            yield Card(name, _index(name), one.kind, one.status, _at(one.place), lines, here)

    def variables(self) -> dict[str, str]:
        """Their last values."""
        now: dict[str, str] = {}
        for frame in self.story.frames:
            now.update(frame.variables)
        return now

    def objects(self) -> list[dict[str, Any]]:
        """The last state of each object, and who waits for it."""
        last = self.story.frames[-1].objects
        return [
            {"name": name, "type": kind, "colour": self.colour.get(name), "state": last[name][0],
             "waiters": last[name][1]}
            for name, kind in self.story.types.items()
        ]  # fmt: skip

    def _code(self, sources: Mapping[str, str]) -> list[list[CodeLine] | None]:
        every = listing(self.trace, sources)
        lines = [every[worker] for worker in self.story.workers]
        if sum(map(len, lines)) <= CODE_LINES:
            return list(lines)
        return [None for _ in lines]

    # --- the data ----------------------------------------------------------------------------
    def data(self) -> dict[str, Any]:
        """What the script steps through: slots in the order of the panel's elements, the texts
        they begin with, and for each row those that change: slot, text, slot, text, ..."""
        lines: list[dict[str, int]] = []
        for one in self.code:
            numbered = [(line.at, n) for n, line in enumerate(one or ()) if line.at]
            lines.append(dict(reversed(numbered)))
        frames = self.story.frames
        state = dict(frames[0].variables), dict(frames[0].objects)
        init = [self._text(value) for value in self._values(frames[0], *state, lines)]
        now = list(init)
        rows = []
        for frame in frames[1:]:
            state[0].update(frame.variables)
            state[1].update(frame.objects)
            new = [self._text(value) for value in self._values(frame, *state, lines)]
            rows.append(changed(now, new))
            now = new
        return {
            "key": self.key, "seqs": [row.seq for row in self.story.rows],
            "total": self.story.timeline.events, "texts": list(self._texts), "init": init,
            "rows": rows, "arrows": self._arrows(),
            "workers": [self.column.get(row.worker, -1) for row in self.story.rows],
        }  # fmt: skip

    def _values(
        self,
        frame: Frame,
        variables: Mapping[str, str],
        objects: Mapping[str, tuple[str, str]],
        lines: Sequence[Mapping[str, int]],
    ) -> Iterator[str]:
        for worker, one in enumerate(frame.workers):
            yield one.kind
            yield one.status
            if self.code[worker] is not None:
                yield str(lines[worker].get(one.place, -1))
            else:
                yield _at(one.place)
        yield from variables.values()
        for name in self.story.types:
            yield from objects[name]

    def _text(self, value: str) -> int:
        return self._texts.setdefault(value, len(self._texts))

    def _arrows(self) -> list[list[Any]]:
        return arrows(self.trace, self.story.steps, _ARROWS, self.shown)


def _gap(count: int) -> LaneRow:
    what = "1 event is" if count == 1 else f"{count:,} events are"
    return LaneRow(f"{what} left out here", left_out=True)


def _at_the_end(one: WorkerFrame, bars: Sequence[Bar]) -> LaneCell:
    held = [bar._replace(part="") for bar in bars if bar.part != "e"]
    kind, words = one.kind, one.status if one.kind != "next" else "takes no further step"
    return LaneCell.of(held, why=Switch(-1, kind, words))


def run_title(trace: Trace) -> str:
    """What stands above a run."""
    titles = {"passed": "The run that passes", "unfinished": "The unfinished run"}
    return titles.get(trace.verdict.kind, "The run that fails")


def changed(before: Sequence[int], after: Sequence[int]) -> list[int]:
    """The slots that have another value, with it: slot, value, slot, value, ..."""
    both = enumerate(zip(before, after, strict=True))
    return [one for slot, (old, new) in both if old != new for one in (slot, new)]


def _ranges(seqs: Sequence[int]) -> list[str]:
    groups = groupby(enumerate(seqs), lambda one: one[1] - one[0])
    parts = [[seq for _, seq in group] for _, group in groups]
    return [f"{part[0]:,} to {part[-1]:,}" for part in parts]


def _index(name: str) -> str:
    """The number that the steps of this instance call ``index``, or ""."""
    number = name.rpartition("[")[2].removesuffix("]")
    return number if name.endswith("]") and number.isdecimal() else ""


def _at(place: str) -> str:
    return f"at {_short(clean(place))}" if place else ""


def _short(at: str) -> str:
    """A step's path without what every path begins with."""
    return at.removeprefix("workers.")
