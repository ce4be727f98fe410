"""A comparison as lines for a terminal, 80 columns wide if it must be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

from tracelock.report.comparison.picture import groups_of, wrong
from tracelock.report.comparison.words import can, did, spread_of, summary
from tracelock.report.wording import clean

if TYPE_CHECKING:
    from rich.text import Text

    from tracelock.report.terminal import Style

#: Each in as many characters as it had, so that columns stay columns.
_PLAIN: Final = str.maketrans({"µ": "u", "“": '"', "”": '"', "…": "~", "✗": "x"})

Cell = tuple[str, str]  # text, rich style


def comparison_lines(data: dict[str, Any], style: Style) -> Iterator[Text | str]:
    """All of a comparison, in tables."""
    for line in _all(data, max(60, min(style.width, 110))):
        if style.unicode:
            yield line
        else:
            yield from _ascii(line)


def _ascii(line: Text | str) -> Iterator[Text | str]:
    """The line in characters that any terminal has."""
    if isinstance(line, str):
        yield line.translate(_PLAIN)
        return
    made = line.copy()
    made.plain = line.plain.translate(_PLAIN)
    yield made


def _all(data: dict[str, Any], width: int) -> Iterator[Text | str]:
    yield from wrap(summary(data), width)
    yield from _outcomes(data, width)
    yield from _costs(data, width)
    yield from _leftovers(data, width)
    if data["notes"] or data["costs"]["noise"]:
        yield ""
    for note in [*data["notes"], *[one["text"] for one in data["costs"]["noise"]]]:
        yield from wrap(f"note: {clean(str(note))}", width, subsequent_indent="      ")


def _outcomes(data: dict[str, Any], width: int) -> Iterator[Text | str]:
    rows = data["outcomes"]["rows"]
    if not rows:
        return
    backends = data["backends"]
    room = max(17, (width - 2) // len(backends) - 1)
    yield ""
    yield _line([("What can happen", "bold")])
    yield ""
    yield _columns([(name, "bold") for name in backends], [room] * len(backends), "  ")
    for row in rows:
        tone = "green" if row["kind"] == "passed" else "red"
        yield _line([(clean(row["outcome"]), f"bold {tone}"),
                     ("  (the backends differ)" if row["differs"] else "", "yellow")])  # fmt: skip
        cells = [row["cells"][name] for name in backends]
        told = [can(cell) if room > 20 else can(cell).partition(",")[0] for cell in cells]
        tones = [_tone(cell, tone) for cell in cells]
        yield _columns(list(zip(told, tones, strict=True)), [room] * len(cells), "  ")
        shares = [did(cell) for cell in cells]
        if any(shares):
            yield _columns([(share, "dim") for share in shares], [room] * len(cells), "  ")
        if row["why"]:
            for part in wrap(clean(row["why"]), width - 2):
                yield f"  {part}"
        if row.get("gil"):
            for part in wrap(f"threading: {clean(row['gil']['why'])}", width - 2):
                yield f"  {part}"
    for name, reason in data["refused"].items():
        yield from wrap(f"{clean(name)} refuses it: {clean(reason)}", width)
    runs = {row["cells"][name].get("runs") for row in rows for name in backends} - {None, 0}
    if runs:
        least, most = min(runs), max(runs)
        yield _line([(f"shares of {least if least == most else f'{least} to {most}'} free runs, "
                      "with a 95 % interval (Wilson)", "dim")])  # fmt: skip


def _tone(cell: dict[str, Any], tone: str) -> str:
    other = "green" if tone == "red" else "red"
    return {"possible": tone, "impossible": other}.get(cell["can"], "yellow")


def _costs(data: dict[str, Any], width: int) -> Iterator[Text | str]:
    rows = data["costs"]["rows"]
    if not rows:
        return
    yield ""
    yield _line(
        [("What it costs", "bold"), ("  (medians, and the 95 % interval of the time)", "dim")]
    )
    yield ""
    sizes = [23, 9, 18, 9, 7, 8, 7]
    heads = ["", "per run", "", "rounds", "waits", "held", "again"]
    yield _columns([(head, "bold") for head in heads], sizes, "")
    for place, bars in groups_of(rows):
        yield _line([(place, "bold")])
        for row in bars:
            seconds, interval = spread_of(row["seconds"], "seconds")
            cells = [
                (f"  {clean(row['variant'])}", "bold" if row["own"] else ""),
                (seconds, "cyan"), (interval, "dim"),
                (spread_of(row["rounds_per_second"], "speed")[0], ""),
                (spread_of(row["waiting"], "share")[0], ""),
                (spread_of(row["held_us"], "held")[0], ""),
                (spread_of(row["again"], "share")[0], ""),
            ]  # fmt: skip
            yield _columns(cells, sizes, "")
            if wrong(row):
                yield _line([(f"    {wrong(row)}", "red")])


def _leftovers(data: dict[str, Any], width: int) -> Iterator[Text | str]:
    rows = data["leftovers"]
    if not rows:
        return
    backends = data["backends"]
    room = max(16, (width - 12) // len(backends) - 1)
    yield ""
    yield _line([("Crash and cancel", "bold"),
                 ("  (what is left of a lock when its holder ...)", "dim")])  # fmt: skip
    yield ""
    sizes = [10, *[room] * len(backends)]
    yield _columns([("", ""), *[(name, "bold") for name in backends]], sizes, "  ")
    before = None
    for row in rows:
        if row["what"] != before:
            yield _line([(f"... {clean(row['what'])}", "")])
            before = row["what"]
        cells: list[Cell] = [(row["kind"], "")]
        for name in backends:
            cell = row["cells"][name]
            words = {"held": "held for ever", "free": "free", "refused": "-", "unknown": "?"}
            text = words.get(cell["left"], "the next fails")
            tone = {"held": "red", "error": "red", "free": "green"}.get(cell["left"], "dim")
            cells.append((text, tone))
        yield _columns(cells, sizes, "  ")


def _columns(cells: Sequence[Cell], sizes: Sequence[int], lead: str) -> Text:
    """One line of cells; what is too long is cut."""
    parts: list[Cell] = [(lead, "")]
    for (text, tone), size in zip(cells, sizes, strict=True):
        shown = text if len(text) < size else text[: size - 2] + "…"
        parts += [(shown, tone), (" " * (size - len(shown)), "")]
    return _line(parts)


def _line(parts: Sequence[Cell]) -> Text:
    from rich.text import Text

    line = Text()
    for text, tone in parts:
        line.append(text, style=tone or None)
    line.rstrip()
    return line
