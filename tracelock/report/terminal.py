"""A timeline and a verdict as lines of text for a terminal of any width, with or without UTF-8.

Nothing is printed here: the lines are rich ``Text`` values, whose ``plain`` is the bare text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from tracelock.report.wording import clean, counted, outcome_name, said_of, state_text, step_of
from tracelock.trace import Verdict

if TYPE_CHECKING:
    from tracelock.report.timeline import Carried, Row, Switch, Timeline

#: A worker's column is no narrower than this; where that does not fit there is a list.
NARROWEST: Final = 16
#: ... and no wider.
WIDEST: Final = 44
GAP: Final = 2
#: What places with source lines get at least, where there is room.
SOURCES: Final = 34
#: The column with the steps' places is left out where it would get less than this.
PLACES: Final = 12

#: How workers can be left that the last row tells.
AT_THE_END: Final = ("blocked", "failed", "died")

COLOURS: Final = {
    "passed": "bold green", "failed": "bold red", "deadlock": "bold red", "crashed": "bold red",
    "unfinished": "bold yellow",
}  # fmt: skip
_REASONS: Final = {"preempted": "yellow", "failed": "red", "died": "red"}
#: Where a line may break.
_BREAK: Final = re.compile(r"(?<= )|(?=\.)")
_ENDS: Final = {"blocked": "bold magenta", "failed": "bold red", "died": "bold red"}


@dataclass(frozen=True, slots=True)
class Style:
    """How wide the terminal is, in columns, and whether it can show more than ASCII."""

    width: int = 80
    unicode: bool = True

    @property
    def stop(self) -> str:
        """What stands before the reason why a worker did not go on."""
        return "┄ " if self.unicode else "- "

    @property
    def line(self) -> str:
        return "─" if self.unicode else "-"

    @property
    def arrow(self) -> tuple[str, str, str]:
        """Of an arrow its begin, and both of its heads, to the left and to the right."""
        return ("●", "←", "→") if self.unicode else ("*", "<", ">")

    @property
    def dots(self) -> str:
        return "⋮" if self.unicode else ":"


def table(
    timeline: Timeline, style: Style, sources: Callable[[str], str] | None = None
) -> Iterator[Text]:
    """The timeline, a column for each worker; one event a line where they would be too narrow.

    Where a worker is left, the next row says in its column why; above a row that receives messages
    an arrow comes from who has sent each. ``sources``: gives the source line
    at a row's place, "" where there is none; it is shown after the place.
    """
    if sources is not None:
        lines = sources
        rows = [
            replace(row, at=f"{row.at}  {clean(text)}") if (text := lines(row.event.at)) else row
            for row in timeline.rows
        ]
        timeline = replace(timeline, rows=rows)
    if not timeline.workers:
        return
    widths = _widths(timeline, style, 0 if sources is None else SOURCES)
    if widths is None:
        yield from _list(timeline, style)
        return
    number, columns, places = widths
    yield _head(timeline, style, number, columns, places)
    yield Text(style.line * (_total(number, columns) + (GAP + places if places else 0)), "dim")
    expected = 0
    for row in timeline.rows:
        left = timeline.left_out(expected, row.seq)
        if left:
            yield _gap(left, number, style)
        expected = row.seq + 1
        yield from (_arrow(one, style, number, columns) for one in row.came)
        yield from _row(row, style, number, columns, places)
    left = timeline.left_out(expected, timeline.events)
    if left:
        yield _gap(left, number, style)
    if any(end.kind in AT_THE_END for end in timeline.ends):
        cells = [
            _wrapped(style.stop + end.text if end.text else "", columns[worker])
            for worker, end in enumerate(timeline.ends)
        ]
        kinds = [_ENDS.get(end.kind, "dim") for end in timeline.ends]
        yield from _joined("end".rjust(number), cells, kinds, columns, [], places)


def _widths(timeline: Timeline, style: Style, reserved: int) -> tuple[int, list[int], int] | None:
    """Widths of the number, of each worker's column and of the places (0: left out), which get
    ``reserved`` before any column gets more than it must have."""
    number = max(3, len(str(max(0, timeline.events - 1))))
    wanted = [max(NARROWEST, cell_len(name)) for name in timeline.workers]
    for row in timeline.rows:
        wanted[row.worker] = max(wanted[row.worker], cell_len(row.text))
        if row.switch is not None:
            left = row.switch.left
            wanted[left] = max(wanted[left], cell_len(row.switch.text) + len(style.stop))
    for worker, end in enumerate(timeline.ends):
        if end.kind in AT_THE_END:
            wanted[worker] = max(wanted[worker], cell_len(end.text) + len(style.stop))
    wanted = [min(width, WIDEST) for width in wanted]
    room = style.width - number - GAP * len(wanted)
    if room < NARROWEST * len(wanted):
        return None
    longest = max((cell_len(step_of(row.at)) for row in timeline.rows), default=0)
    reserved = min(reserved, longest, room - NARROWEST * len(wanted) - GAP)
    if reserved >= PLACES:
        room -= GAP + reserved
    for _ in range(sum(wanted) - room):  # take from the last of the widest
        wanted[max(range(len(wanted)), key=lambda worker: (wanted[worker], worker))] -= 1
    spare = style.width - _total(number, wanted) - GAP
    places = min(longest, spare) if spare >= min(PLACES, longest) else 0
    return number, wanted, max(0, places)


def _total(number: int, columns: Sequence[int]) -> int:
    return number + sum(columns) + GAP * len(columns)


def _head(
    timeline: Timeline, style: Style, number: int, columns: Sequence[int], places: int
) -> Text:
    line = Text("#".rjust(number), "bold")
    for name, width in zip(timeline.workers, columns, strict=True):
        line.append(" " * GAP + set_cell_size(_cut(name, width), width), "bold")
    if places:
        line.append(" " * GAP + "step", "bold")
    line.rstrip()
    return line


def _row(
    row: Row, style: Style, number: int, columns: Sequence[int], places: int
) -> Iterator[Text]:
    cells: list[list[str]] = [[] for _ in columns]
    kinds = [""] * len(columns)
    cells[row.worker] = _wrapped(row.text, columns[row.worker])
    if row.switch is not None:
        left = row.switch.left
        cells[left] = _wrapped(
            style.stop + _reason(row.switch, columns[left], style), columns[left]
        )
        kinds[left] = _REASONS.get(row.switch.kind, "dim")
    place = _wrapped(step_of(row.at), places) if places else []
    yield from _joined(str(row.seq).rjust(number), cells, kinds, columns, place, places)


def _arrow(one: Carried, style: Style, number: int, columns: Sequence[int]) -> Text:
    """A line with a message, from the column of who has sent it to that of who receives it."""
    if one.source < 0 or one.dest < 0:
        at = max(one.source, one.dest)
        text = _carried(one, style) if one.to else f"x {one.text}"
        line = Text(" " * _place(max(0, at), number, columns) + text)
        line.stylize("cyan")
        line.truncate(style.width)
        return line
    begin, left, right = style.arrow
    places = [_place(worker, number, columns) for worker in (one.source, one.dest)]
    low, high = sorted(places)
    room = high - low - 1
    label, _, _ = one.text.partition(" of ")
    label = next((word for word in (one.text, label) if len(word) + 4 <= room), "")
    shaft = f" {label} ".center(room, style.line) if label else style.line * room
    forward = places[0] < places[1]
    drawn = f"{begin}{shaft}{right}" if forward else f"{left}{shaft}{begin}"
    line = Text(" " * low + drawn + ("" if label else f" {one.text}"), "cyan")
    line.truncate(style.width)
    return line


def _place(worker: int, number: int, columns: Sequence[int]) -> int:
    """Where the column of a worker begins."""
    return number + GAP + sum(columns[:worker]) + GAP * worker


def _carried(one: Carried, style: Style) -> str:
    """A message in words: ``web -> db: 6 bytes of 14``."""
    if not one.to:
        return f"x {one.name}: {one.text}"
    return f"{one.name} {style.line}{style.arrow[2]} {one.to}: {one.text}"


def _reason(switch: Switch, width: int, style: Style) -> str:
    """Why a worker did not go on; what a preemption is, is said only where there is room."""
    short, _, _ = switch.text.partition(" (")
    fits = len(style.stop) + cell_len(switch.text) <= width
    return switch.text if fits or switch.kind != "preempted" else short


def _joined(
    number: str,
    cells: Sequence[list[str]],
    kinds: Sequence[str],
    columns: Sequence[int],
    place: Sequence[str],
    places: int,
) -> Iterator[Text]:
    """The lines of one row of the table."""
    height = max(1, len(place), *(len(cell) for cell in cells))
    for at in range(height):
        line = Text.assemble((number if at == 0 else " " * len(number), "dim"))
        for cell, kind, width in zip(cells, kinds, columns, strict=True):
            text = cell[at] if at < len(cell) else ""
            line.append(" " * GAP)
            line.append(set_cell_size(text, width), kind)
        if places and at < len(place):
            line.append(" " * GAP + place[at], "dim")
        line.rstrip()
        yield line


def _gap(count: int, number: int, style: Style) -> Text:
    return Text(f"{style.dots.rjust(number)}  {counted(count, 'event')} left out", "dim")


def _list(timeline: Timeline, style: Style) -> Iterator[Text]:
    """One event a line, for terminals too narrow for columns; wrapped under itself."""
    number = max(3, len(str(max(0, timeline.events - 1))))
    name_width = min(max(cell_len(name) for name in timeline.workers), max(4, style.width // 3))
    indent = number + GAP
    expected = 0
    for row in timeline.rows:
        left = timeline.left_out(expected, row.seq)
        if left:
            yield _gap(left, number, style)
        expected = row.seq + 1
        if row.switch is not None:
            reason = f"{style.stop}{timeline.workers[row.switch.left]}: {row.switch.text}"
            kind = _REASONS.get(row.switch.kind, "dim")
            yield from _hanging(" " * indent, reason, len(style.stop), kind, style.width)
        for one in row.came:
            yield from _hanging(" " * indent, _carried(one, style), 4, "cyan", style.width)
        name = set_cell_size(_cut(timeline.workers[row.worker], name_width), name_width)
        start = f"{str(row.seq).rjust(number)}  {name}  "
        yield from _hanging(start, row.text, 2, "", style.width)
    left = timeline.left_out(expected, timeline.events)
    if left:
        yield _gap(left, number, style)
    for name, end in zip(timeline.workers, timeline.ends, strict=True):
        if end.kind in AT_THE_END:
            kind = _ENDS.get(end.kind, "dim")
            start = "end".rjust(number) + " " * GAP
            yield from _hanging(
                start, f"{style.stop}{name} {end.text}", len(style.stop), kind, style.width
            )


def _hanging(start: str, text: str, indent: int, kind: str, width: int) -> Iterator[Text]:
    """``text`` after ``start``, wrapped with its further lines under its own beginning."""
    before = cell_len(start)
    room = max(2, width - before - indent)
    for at, part in enumerate(_wrapped(text, room, first=room + indent)):
        line = Text.assemble((start if at == 0 else " " * (before + indent), "dim"))
        line.append(part, kind)
        yield line


# --- words and columns -----------------------------------------------------------------------
def _cut(name: str, width: int) -> str:
    """A name in so many cells; where it is too long its end stays, which tells instances apart."""
    if cell_len(name) <= width:
        return name
    end = name[-4:] if width >= 8 and cell_len(name[-4:]) == 4 else ""
    return set_cell_size(name, width - len(end) - 1) + "~" + end


def _wrapped(text: str, width: int, first: int | None = None) -> list[str]:
    """``text`` in lines of at most ``width`` cells, broken at blanks, dots and in long words."""
    lines: list[str] = []
    line, room = "", first or width
    for word in _BREAK.split(text):
        if cell_len(line) + cell_len(word.rstrip()) <= room:
            line += word
            continue
        if line.strip():
            lines.append(line.rstrip())
            line, room = "", width
        while cell_len(word.rstrip()) > room:
            part = _fitting(word, room)
            lines.append(part)
            word, room = word[len(part) :], width
        line = word
    if line.strip() or not lines:
        lines.append(line.rstrip())
    return lines


def _fitting(word: str, room: int) -> str:
    size = 0
    for at, char in enumerate(word):
        size += cell_len(char)
        if size > room:
            return word[: max(1, at)]
    return word


# --- verdicts --------------------------------------------------------------------------------
def verdict_block(
    verdict: Verdict,
    workers: Sequence[str],
    about: str = "",
    places: Mapping[str, str] | None = None,
) -> Iterator[Text]:
    """The verdict, for somebody who sees one for the first time.

    ``about``: what was run, after the verdict's name. ``places``: file and line of steps by their
    path, where they are known.
    """
    head = Text()
    head.append(outcome_name(verdict.kind, verdict.failure), COLOURS.get(verdict.kind, "bold"))
    if about:
        head.append(f"  {about}")
    yield head
    for text, at, more in said_of(verdict, workers):
        place = (places or {}).get(at) if at is not None else None
        where = f" at {clean(at)}" if at is not None else ""
        yield Text(f"  {text}{where}" + (f"  ({clean(place)})" if place else ""))
        yield from (Text(f"    {line}", "dim") for line in more)
    if verdict.state:
        yield Text(f"  final state: {state_text(verdict.state)}")


def header_lines(facts: Sequence[tuple[str, Any]]) -> Iterator[Text]:
    """Names and values, one a line, the values under each other; None values are left out."""
    kept = [(name, value) for name, value in facts if value is not None]
    width = max((len(name) for name, _ in kept), default=0)
    for name, value in kept:
        yield Text.assemble((f"{name}:".ljust(width + 1), "dim"), f" {clean(str(value))}")
