"""A story in source lines, drawn for a terminal of any width, with or without UTF-8."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from tracelock.analysis.findings import Finding
from tracelock.report.failure.telling import StoryLine
from tracelock.report.terminal import Style
from tracelock.report.timeline import Switch
from tracelock.report.wording import clean

__all__ = ["conclusion", "drawn"]

_COLOURS: Final = ("cyan", "magenta", "green", "blue", "yellow")
#: With more workers than these there is no column for each.
_MOST_COLUMNS: Final = 8
#: A source line gets at least this much; where that does not fit, its value stands below it.
_LEAST: Final = 30
_GAP: Final = 2


def drawn(
    lines: Sequence[StoryLine], workers: Sequence[str], style: Style,
    source: Callable[[str], str], function: Callable[[str], str],
) -> Iterator[Text]:  # fmt: skip
    """The lines, a column for each worker with a mark where it acts, and a line to it from that of
    the worker of which a message came there. ``source``: the text of a
    place, with the blanks before it, "" where it is not known; ``function``: what it is in."""
    order = list(dict.fromkeys(line.worker for line in lines))
    column = {worker: place for place, worker in enumerate(order)}
    places = max((cell_len(_place(line.at)) for line in lines), default=0)
    texts = _dedented([(function(line.at), _source(source(line.at))) for line in lines])
    gutter = 2 * len(order) if len(order) <= _MOST_COLUMNS else 0
    start = 1 + gutter + places + _GAP
    room = max(8, style.width - start)
    aligned = _aligned(lines, texts, room)
    before: StoryLine | None = None
    for line, text in zip(lines, texts, strict=True):
        if before is None or before.worker != line.worker:
            reason = _reason(line.why, workers, before)
            yield _turn(line, column, gutter, workers, reason, style)
        before = line
        yield from _line(line, text, column, gutter, places, room, aligned, style)


def _turn(
    line: StoryLine, column: dict[int, int], gutter: int, workers: Sequence[str], reason: str,
    style: Style,
) -> Text:  # fmt: skip
    """The line above those of a worker: its name, and why another one did not go on."""
    row = _gutter(None, column, gutter, style)
    name = _cut(clean(workers[line.worker]), max(4, style.width // 2))
    row.append(name, f"bold {_colour(column[line.worker])}")
    if reason:
        room = max(0, style.width - cell_len(row.plain))
        rest = f"   {style.stop}{reason}"
        if cell_len(rest) > room:  # what a preemption is, is said only where there is room
            rest = rest.partition(" (")[0]
        row.append(_cut(rest, room), "dim")
    return row


def _line(
    line: StoryLine, text: str, column: dict[int, int], gutter: int, places: int, room: int,
    aligned: int, style: Style,
) -> Iterator[Text]:  # fmt: skip
    row = _gutter(line, column, gutter, style)
    row.append(set_cell_size(_place(line.at), places) + " " * _GAP, "dim")
    tone = "bold red" if line.failing else ""
    said = line.said
    if not said:
        row.append(_cut(text, room), tone)
        row.rstrip()
        yield row
        return
    colour = "bold red" if line.failing else "yellow"
    if aligned and cell_len(text) <= aligned and aligned + _GAP + cell_len(said) <= room:
        row.append(set_cell_size(text, aligned) + " " * _GAP, tone)
        row.append(said, colour)
        yield row
        return
    if text:
        row.append(_cut(text, room), tone)
        row.rstrip()
        yield row
        row = _gutter(None, column, gutter, style)
        mark = "╰ " if style.unicode else "^ "
        said, wide = mark + said, room + places
        if cell_len(said) <= room or wide > style.width:
            row.append(" " * (places + _GAP))
        else:  # where a terminal is narrow it stands below the place
            row.append(" " * _GAP)
            room = wide
    row.append(_cut(said, room), colour)
    yield row


def _aligned(lines: Sequence[StoryLine], texts: Sequence[str], room: int) -> int:
    """How wide the source is where the values stand in a column at its right: so that most lines
    have theirs there and not far off; 0 where none does."""
    both = zip(lines, texts, strict=True)
    pairs = [(cell_len(text), cell_len(line.said)) for line, text in both if line.said]
    best, most = 0, 0.0
    for width, _ in pairs:
        fitting = [other for other, said in pairs if other <= width and width + _GAP + said <= room]
        score = len(fitting) - sum(width - other for other in fitting) / room
        if score > most:
            best, most = width, score
    return best


def _gutter(line: StoryLine | None, column: dict[int, int], gutter: int, style: Style) -> Text:
    row = Text(" ")
    if not gutter:
        return row
    dot, bar, dash, right, left, both = "●│─├┤┼" if style.unicode else "*|-|||"
    at = column[line.worker] if line is not None else -1
    start = column.get(line.source, at) if line is not None else -1  # of a message that came here
    low, high = sorted((start, at))
    for place in range(len(column)):
        between = low <= place < high
        sign = bar
        if place == at:
            sign = dot
        elif low <= place <= high:
            sign = both if low < place < high else right if place == low else left
        tone = _colour(at) if place == at or low <= place <= high else "dim"
        row.append(sign, tone)
        row.append(dash if between else " ", tone)
    return row


def _reason(why: Switch | None, workers: Sequence[str], before: StoryLine | None) -> str:
    if why is None:
        return ""
    return f"{clean(workers[why.left])}: {_said(why)}"


#: What is said of switches of tasks, which have words of the scheduler's otherwise.
_SAID: Final = {"suspended": "awaits"}


def _said(why: Switch) -> str:
    return _SAID.get(why.kind, why.text)


def _colour(place: int) -> str:
    return _COLOURS[place % len(_COLOURS)]


def _place(at: str) -> str:
    return _shortened(clean(at))


def _shortened(at: str) -> str:
    """A place without the folders that all know: those of a file far below."""
    parts = at.split("/")
    return at if len(at) <= 24 else "/".join(["...", *parts[-2:]]) if len(parts) > 2 else parts[-1]


def _source(text: str) -> str:
    return clean(text.replace("\t", "    ").rstrip())


def _dedented(texts: Sequence[tuple[str, str]]) -> list[str]:
    """The lines of each function without the blanks that all of them begin with."""
    least: dict[str, int] = {}
    for function, text in texts:
        if text:
            blanks = len(text) - len(text.lstrip())
            least[function] = min(blanks, least.get(function, blanks))
    return [text[least.get(function, 0) :] for function, text in texts]


def conclusion(root: Finding | None, style: Style) -> Iterator[Text]:
    """What is wrong, and what to change, of the finding that says why the run failed."""
    if root is None:
        return
    what = root.diagnosis or root.title
    yield Text()
    for name, text, colour in (("why", what, "bold red"), ("fix", root.cure, "bold green")):
        if not text:
            continue
        lines = textwrap.wrap(clean(text), max(20, style.width - 6), break_on_hyphens=False)
        for number, line in enumerate(lines):
            yield Text.assemble((f"{name}: " if not number else "     ", colour), line)


def _cut(text: str, width: int) -> str:
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 1)).rstrip() + "~" if width > 0 else ""
