"""One run as HTML: its swim lanes, and the state panel that goes with them.

The lanes are a plain table, readable without any script; the script only moves along it. Text of
strangers goes through ``text`` and nothing else.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from tracelock.analysis.derived.edges import observed_edges
from tracelock.analysis.derived.steps import Steps
from tracelock.report.code import Line, listing
from tracelock.report.frames import Frame, Story
from tracelock.report.timeline import Row
from tracelock.report.turning import Turn
from tracelock.report.wording import clean
from tracelock.trace import MISSING, Trace

__all__ = ["Run", "text"]

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


def text(value: object) -> str:
    """``value`` as text of a page or of a quoted attribute: nothing in it is markup any more."""
    return html.escape(clean(str(value)), quote=True)


class Run:
    """A run to be drawn. ``key``: a letter that makes its ids unique on the page."""

    def __init__(
        self,
        key: str,
        trace: Trace,
        story: Story,
        turn: Turn | None,
        sources: Mapping[str, str],
        marked: frozenset[int] = frozenset(),
    ) -> None:
        self.key = key
        self.trace = trace
        self.story = story
        self.turn = turn
        self.marked = marked
        self.names = [story.timeline.workers[worker] for worker in story.workers]
        self.column = {worker: column for column, worker in enumerate(story.workers)}
        self.hidden = len(trace.workers) - len(self.names)
        self.code = self._code(sources)
        self.colour: dict[str, int] = {}
        self._slots: list[str] = []  # the text of each slot in the frame last added
        self._texts: dict[str, int] = {}
        self.shown = {row.seq for row in story.rows}

    # --- the table ---------------------------------------------------------------------------
    def lanes(self) -> Iterator[str]:
        """The swim lanes: a row an event, a column a worker, bars for what is held."""
        rows, frames = self.story.rows, self.story.frames
        bars = list(self._bars())
        widest = max((slot for row in bars for cell in row for slot, _, _ in cell), default=0)
        label = f"The events in their order, a column for each of {len(self.names)} workers"
        yield '<div class="scroll" tabindex="0" role="region" aria-label="Timeline">'
        yield '<svg class="arrows" aria-hidden="true"></svg>'
        yield f'<table class="lanes s{min(widest, SLOTS)}">'
        yield f'<caption class="sr">{text(label)}</caption>'
        heads = "".join(f'<th scope="col">{text(name)}</th>' for name in self.names)
        yield f'<thead><tr><th scope="col" title="number of the event">#</th>{heads}</tr></thead>'
        yield "<tbody>"
        first = rows[0].seq if rows else 0
        if first:
            yield self._gap(first)
        else:
            empty = "<td></td>" * len(self.names)
            yield f'<tr class="start"><th scope="row">start</th>{empty}</tr>'
        expected = first
        for row, cells in zip(rows, bars, strict=False):
            if row.seq != expected:
                yield self._gap(row.seq - expected)
            expected = row.seq + 1
            yield self._row(row, cells)
        total = self.story.timeline.events
        if expected < total:
            yield self._gap(total - expected)
        else:
            yield self._end(frames[-1], bars[-1] if bars else [[] for _ in self.names])
        yield "</tbody></table></div>"

    def _row(self, row: Row, cells: Sequence[Sequence[tuple[int, int, str]]]) -> str:
        classes = ["mark"] if row.seq in self.marked else []
        turn = self.turn if self.turn is not None and self.turn.seq == row.seq else None
        if turn is not None:
            classes.append("turn")
        said = f' class="{" ".join(classes)}"' if classes else ""
        parts = [f'<tr id="{self.key}{row.seq}"{said}><th scope="row">{row.seq}</th>']
        left = self.column.get(row.switch.left, -1) if row.switch is not None else -1
        own = self.column.get(row.worker, -1)
        if own < 0:
            said = f"{self.story.timeline.workers[row.worker]}: {row.text}"
            return f'{parts[0]}<td colspan="{len(self.names)}">{text(said)}</td></tr>'
        note = f'<b class="turn">{text(turn.label)}</b>' if turn is not None else ""
        for worker, bars in enumerate(cells):
            if worker == own:
                timer = '<b class="timer">timer</b>' if row.timer else ""
                place = f' title="{text(self._when(row))}"'
                here = note if left < 0 else ""
                parts.append(_cell(bars, f"{text(row.text)}{timer}{here}", "on", place))
            elif worker == left and row.switch is not None:
                why = f'<em class="{text(row.switch.kind)}">{text(row.switch.text)}</em>'
                parts.append(_cell(bars, why + note))
            else:
                parts.append(_cell(bars))
        return "".join(parts) + "</tr>"

    def _when(self, row: Row) -> str:
        """Where in its steps an event is, and in a run of real time when it was."""
        said = _short(row.at)
        if self.trace.clock == "real":
            said += f", after {row.event.t / 1e6:,.3f} ms"
            if row.event.waited is not MISSING:
                said += f", waited {row.event.waited / 1e6:,.3f} ms for it"
        return said

    def _gap(self, count: int) -> str:
        what = "1 event is" if count == 1 else f"{count:,} events are"
        return f'<tr class="gap"><td colspan="{len(self.names) + 1}">{what} left out here</td></tr>'

    def _end(self, frame: Frame, before: Sequence[Sequence[tuple[int, int, str]]]) -> str:
        parts = ['<tr class="end"><th scope="row">end</th>']
        for worker, bars in enumerate(before):
            held = [(slot, colour, "") for slot, colour, kind in bars if kind != "e"]
            one = frame.workers[worker]
            words = one.status if one.kind != "next" else "takes no further step"
            parts.append(_cell(held, f'<em class="{text(one.kind)}">{text(words)}</em>'))
        return "".join(parts) + "</tr>"

    def _bars(self) -> Iterator[list[list[tuple[int, int, str]]]]:
        """For each row and worker the bars: slot (0: it waits), colour, and ``b`` or ``e`` where
        one begins or ends."""
        places: list[dict[str, int]] = [{} for _ in self.names]
        frames = self.story.frames
        for before, after in pairwise(frames):
            row = []
            for worker, own in enumerate(places):
                had, has = before.workers[worker], after.workers[worker]
                cell = []
                for lock in dict.fromkeys((*had.holds, *has.holds)):
                    if lock not in own:
                        taken = set(own.values())
                        own[lock] = next(n for n in range(1, len(taken) + 2) if n not in taken)
                    kind = "" if lock in had.holds else "b"
                    if lock not in has.holds:
                        kind = "e"
                        place = own.pop(lock)
                    else:
                        place = own[lock]
                    if place <= SLOTS:
                        cell.append((place, self._coloured(lock), kind))
                if has.waits is not None:
                    again = had.waits == has.waits
                    cell.append((0, self._coloured(has.waits), "" if again else "b"))
                elif had.waits is not None:
                    cell.append((0, self._coloured(had.waits), "e"))
                row.append(cell)
            yield row

    def _coloured(self, name: str) -> int:
        if not name:
            return COLOURS
        return self.colour.setdefault(name, len(self.colour) % COLOURS)

    def legend(self) -> str:
        """Which colour is which lock; to be asked for after the lanes were drawn."""
        if not self.colour:
            return ""
        chips = "".join(
            f'<li><i class="c{number}"></i>{text(name)}</li>'
            for name, number in list(self.colour.items())[:24]
        )
        more = f"<li>and {len(self.colour) - 24} more</li>" if len(self.colour) > 24 else ""
        waits = '<li><i class="c8 w"></i>hatched: waits for it</li>'
        return f'<ul class="legend" aria-label="Colours of the bars">{chips}{more}{waits}</ul>'

    # --- the panel ---------------------------------------------------------------------------
    def panel(self) -> Iterator[str]:
        """The state: each worker in its steps, variables, objects. As of the last row, until the
        script moves it."""
        last = self.story.frames[-1]
        yield '<div class="panel">'
        yield '<div class="cards">'
        for worker, (name, lines) in enumerate(zip(self.names, self.code, strict=True)):
            one = last.workers[worker]
            yield f'<article class="card" data-kind="{text(one.kind)}" data-state>'
            yield f"<h4>{text(name)}{_index(name)}</h4>"
            yield f'<p class="status" data-text>{text(one.status)}</p>'
            if lines is None:
                yield f"<p data-text>{text(_at(one.place))}</p></article>"
                continue
            yield f'<ol class="code" data-line aria-label="Steps of {text(name)}">'
            here = next((n for n, line in enumerate(lines) if line.at == one.place != ""), -1)
            for number, line in enumerate(lines):
                # an indent is a class: a style attribute would break the page's policy
                now = ' here" aria-current="step' if number == here else ""
                yield f'<li class="n{min(line.indent, 12)}{now}">{text(line.text)}</li>'
            yield "</ol>"
            yield "</article>"
        yield "</div>"
        yield from self._table("Variables", ("variable", "value"), self._variables())
        yield from self._table(
            "Locks and other objects", ("object", "state", "waited for by"), self._objects()
        )
        yield "</div>"

    def _variables(self) -> list[list[str]]:
        now: dict[str, str] = {}
        for frame in self.story.frames:
            now.update(frame.variables)
        return [
            [f'<th scope="row">{text(name)}</th>', f"<td data-text>{text(value)}</td>"]
            for name, value in now.items()
        ]

    def _objects(self) -> list[list[str]]:
        rows = []
        for raw, kind in self.story.types.items():
            number = self.colour.get(raw)
            chip = f'<i class="c{number}"></i>' if number is not None else ""
            head = f'<th scope="row">{chip}{text(raw)} <small>{text(kind)}</small></th>'
            state, waiters = self.story.frames[-1].objects[raw]
            tds = (f"<td data-text>{text(state)}</td>", f"<td data-text>{text(waiters)}</td>")
            rows.append([head, *tds])
        return rows

    def _table(self, title: str, heads: Sequence[str], rows: list[list[str]]) -> Iterator[str]:
        if not rows:
            return
        titles = "".join(f'<th scope="col">{head}</th>' for head in heads)
        yield f'<table class="facts"><caption>{title}</caption><thead><tr>{titles}</tr></thead>'
        yield "<tbody>"
        for row in rows:
            yield f"<tr>{''.join(row)}</tr>"
        yield "</tbody></table>"

    def _code(self, sources: Mapping[str, str]) -> list[list[Line] | None]:
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
            changes: list[int] = []
            for slot, (old, value) in enumerate(zip(now, new, strict=True)):
                if old != value:
                    changes += (slot, value)
            rows.append(changes)
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
        found = []
        for source, dest, why in observed_edges(Steps(self.trace)):
            if why in _ARROWS and source in self.shown and dest in self.shown:
                found.append([source, dest, why])
        return sorted(found)


def _cell(
    bars: Sequence[tuple[int, int, str]], content: str = "", kind: str = "", more: str = ""
) -> str:
    """One cell of the lanes, as short as HTML allows (it may leave out ``</td>``, and quotes around
    plain words): a page has tens of thousands. That it waits is a class of the cell, not an element
    of its own: most cells of a run of many workers are of those that wait."""
    classes = [kind] if kind else []
    drawn = []
    for slot, colour, part in bars:
        if slot:
            end = f" {part}" if part else ""
            drawn.append(f'<i class="p{slot} c{colour}{end}"></i>')
        else:
            classes.append(f"{_WAITS[part]}{colour}")
    said = ""
    if classes:
        said = f" class={classes[0]}" if len(classes) == 1 else f' class="{" ".join(classes)}"'
    return f"<td{said}{more}>{''.join(drawn)}{content}"


def _index(name: str) -> str:
    """The number that the steps of this instance call ``index``."""
    number = name.rpartition("[")[2].removesuffix("]")
    return f" <small>index = {number}</small>" if name.endswith("]") and number.isdecimal() else ""


def _at(place: str) -> str:
    return f"at {_short(clean(place))}" if place else ""


def _short(at: str) -> str:
    """A step's path without what every path begins with."""
    return at.removeprefix("workers.")
