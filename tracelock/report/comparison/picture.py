"""The picture of what a scenario costs: bars with their spread, as SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, floor, log10
from typing import Any, Final

from tracelock.report.templates import asset, fill, markup
from tracelock.report.wording import clean

WIDTH: Final = 780
LEFT: Final = 172  # where the bars begin
RIGHT: Final = 560  # where they end at most
ROW: Final = 21
GAP: Final = 30
TOP: Final = 62  # where the first group begins

_DECADES: Final = {
    -7: "0.1 µs", -6: "1 µs", -5: "10 µs", -4: "0.1 ms", -3: "1 ms", -2: "10 ms", -1: "0.1 s",
    0: "1 s", 1: "10 s", 2: "100 s",
}  # fmt: skip


def duration(seconds: float) -> str:
    """A time for people: three digits and a unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size * 0.9995 or unit == "µs":
            break
    return f"{three_digits(seconds / size)} {unit}"


def three_digits(value: float) -> str:
    """A quantity below 1000 in three digits."""
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"


def interval(low: str, high: str) -> str:
    """Two quantities as an interval; a unit that both have is written once."""
    number, _, unit = low.rpartition(" ")
    other, _, same = high.rpartition(" ")
    return f"{number}-{other} {unit}" if unit == same and number else f"{low} to {high}"


def place_of(row: dict[str, Any]) -> str:
    """Where a bar was measured: the backend, and what was not as usual."""
    parts = [row["backend"]]
    if row.get("switch_interval") is not None:
        parts.append(f"switch {duration(row['switch_interval'])}")
    if not row.get("gil", True):
        parts.append(f"{row['python']} without GIL")
    elif row.get("other"):
        parts.append(str(row["python"]))
    return clean(", ".join(parts))


def groups_of(rows: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Bars by where they were measured, in the order of the document."""
    usual = next((row["python"] for row in rows if row["python"]), "")
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        other = bool(row["python"]) and row["python"] != usual
        found.setdefault(place_of({**row, "other": other}), []).append(row)
    return list(found.items())


def wrong(row: dict[str, Any]) -> str:
    """What was not right about the runs of a bar, in a few words; empty where all was."""
    if row.get("error"):
        return clean(str(row["error"]))[:60]
    ends = row["ends"]
    total = sum(ends.values())
    words = (("failed", "wrong"), ("deadlock", "hangs"))
    return ", ".join(f"{word} in {ends[end]} of {total}" for end, word in words if ends.get(end))


def costs_svg(data: dict[str, Any]) -> str:
    """The picture of a comparison's ``costs``, a whole SVG document with a text alternative."""
    costs = data["costs"]
    rows = [row for row in costs["rows"] if row["seconds"] is not None or wrong(row)]
    timed = [row for row in rows if row["seconds"] is not None]
    if not timed:
        return ""
    low = floor(log10(max(1e-7, min(row["seconds"]["low"] for row in timed))))
    high = max(low + 1, ceil(log10(max(row["seconds"]["high"] for row in timed))))
    names = [variant["name"] for variant in costs["variants"]]

    def x(seconds: float) -> float:
        share = (log10(max(seconds, 10.0**low)) - low) / (high - low)
        return round(LEFT + share * (RIGHT - LEFT), 1)

    y = TOP
    groups = []
    for place, bars in groups_of(rows):
        first = y + 10
        drawn = [_bar(row, first + number * ROW, x, names) for number, row in enumerate(bars)]
        groups.append({"place": place, "y": y + 4, "bars": drawn})
        y += len(bars) * ROW + GAP
    decades = range(low, high + 1)
    return fill(
        "costs.svg",
        name=data["scenario"].get("name", "scenario"), alternative=alternative(data),
        style=markup(asset("costs.css")), width=WIDTH, height=y + 26, top=TOP, left=LEFT,
        thickness=ROW - 6, groups=groups,
        decades=[(x(10.0**one), _DECADES.get(one, f"1e{one} s")) for one in decades],
    ).rstrip("\n")  # fmt: skip


def _bar(
    row: dict[str, Any], y: int, x: Callable[[float], float], names: list[str]
) -> dict[str, Any]:
    """Where one bar is drawn, and what is written beside it."""
    place = names.index(row["variant"]) if row["variant"] in names else 0
    bar = {
        "label": row["variant"], "own": row["own"], "wrong": wrong(row), "y": y,
        "middle": y + ROW / 2, "shade": 2 if len(names) == 1 else min(place, 2), "median": "",
        "after": LEFT + 8,
    }  # fmt: skip
    one = row["seconds"]
    if one is not None:
        end, low, high = x(one["median"]), x(one["low"]), x(one["high"])
        bar |= {
            "median": duration(one["median"]), "length": f"{max(1.0, end - LEFT):.1f}",
            "low": low, "high": high, "after": max(end, high) + 8,
        }  # fmt: skip
    return bar


def alternative(data: dict[str, Any]) -> str:
    """The picture in words."""
    told = []
    for place, bars in groups_of(data["costs"]["rows"]):
        for row in bars:
            if row["seconds"] is None:
                continue
            one = row["seconds"]
            between = interval(duration(one["low"]), duration(one["high"]))
            text = f"{place}, {clean(row['variant'])}: {duration(one['median'])} ({between})"
            told.append(text + (f", {wrong(row)}" if wrong(row) else ""))
    return "; ".join(told)
