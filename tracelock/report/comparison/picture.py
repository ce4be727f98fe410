"""The picture of what a scenario costs: bars with their spread, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import ceil, floor, log10
from typing import Any, Final

from tracelock.report.wording import clean

WIDTH: Final = 780
LEFT: Final = 172  # where the bars begin
RIGHT: Final = 560  # where they end at most
ROW: Final = 21
GAP: Final = 30

STYLE: Final = """
.tl-pic{font:12px system-ui,-apple-system,"Segoe UI",sans-serif}
.tl-pic text{fill:#24292f}.tl-pic .tl-dim{fill:#57606a}.tl-pic .tl-bad{fill:#b42318}
.tl-pic .tl-head{font-weight:600}.tl-pic .tl-grid{stroke:#d0d7de}
.tl-pic .tl-whisker{stroke:#24292f;stroke-width:1.5}
.tl-pic .tl-v0{fill:#8c959f}.tl-pic .tl-v1{fill:#d97706}.tl-pic .tl-v2{fill:#2563eb}
@media(prefers-color-scheme:dark){
.tl-pic text{fill:#e6edf3}.tl-pic .tl-dim{fill:#9da7b3}.tl-pic .tl-bad{fill:#ff8a80}
.tl-pic .tl-grid{stroke:#30363d}.tl-pic .tl-whisker{stroke:#e6edf3}
.tl-pic .tl-v0{fill:#6e7681}.tl-pic .tl-v1{fill:#e8912d}.tl-pic .tl-v2{fill:#5b8def}}
"""


def duration(seconds: float) -> str:
    """A time for people: three digits and a unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size * 0.9995 or unit == "µs":
            value = seconds / size
            digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
            return f"{value:.{digits}f} {unit}"
    return f"{seconds:g} s"


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
    told = []
    if ends.get("failed"):
        told.append(f"wrong in {ends['failed']} of {total}")
    if ends.get("deadlock"):
        told.append(f"hangs in {ends['deadlock']} of {total}")
    return ", ".join(told)


def costs_svg(data: dict[str, Any]) -> str:
    """The picture of a comparison's ``costs``, a whole SVG document with a text alternative."""
    costs = data["costs"]
    rows = [row for row in costs["rows"] if row["seconds"] is not None or wrong(row)]
    timed = [row for row in rows if row["seconds"] is not None]
    name = escape(clean(str(data["scenario"].get("name", "scenario"))))
    if not timed:
        return ""
    low = floor(log10(max(1e-7, min(row["seconds"]["low"] for row in timed))))
    high = max(low + 1, ceil(log10(max(row["seconds"]["high"] for row in timed))))
    names = [variant["name"] for variant in costs["variants"]]

    def x(seconds: float) -> float:
        share = (log10(max(seconds, 10.0**low)) - low) / (high - low)
        return round(LEFT + share * (RIGHT - LEFT), 1)

    groups = groups_of(rows)
    top = 62
    height = top + sum(len(bars) * ROW + GAP for _, bars in groups) + 26
    parts = [
        f'<svg class="tl-pic" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-labelledby="tl-t tl-d">',
        f'<title id="tl-t">What {name} costs</title>',
        f'<desc id="tl-d">{escape(alternative(data))}</desc>',
        f"<style>{STYLE}</style>",
        f'<text x="0" y="16" class="tl-head">{name}: time per run</text>',
        '<text x="0" y="34" class="tl-dim">bar: median; line: 95 % interval of the median; '
        "logarithmic scale</text>",
    ]
    for decade in range(low, high + 1):
        at = x(10.0**decade)
        parts.append(
            f'<line class="tl-grid" x1="{at}" x2="{at}" y1="{top - 8}" y2="{height - 24}"/>'
            f'<text class="tl-dim" x="{at}" y="{height - 8}" text-anchor="middle">'
            f"{_decade(decade)}</text>"
        )
    y = top
    for place, bars in groups:
        parts.append(f'<text x="0" y="{y + 4}" class="tl-head">{escape(place)}</text>')
        y += 10
        for row in bars:
            parts += _bar(row, y, x, names)
            y += ROW
        y += GAP - 10
    parts.append("</svg>")
    return "\n".join(parts)


def _decade(power: int) -> str:
    return {-7: "0.1 µs", -6: "1 µs", -5: "10 µs", -4: "0.1 ms", -3: "1 ms", -2: "10 ms",
            -1: "0.1 s", 0: "1 s", 1: "10 s", 2: "100 s"}.get(power, f"1e{power} s")  # fmt: skip


def _bar(row: dict[str, Any], y: int, x: Any, names: list[str]) -> list[str]:
    place = names.index(row["variant"]) if row["variant"] in names else 0
    shade = 2 if len(names) == 1 else min(place, 2)
    middle = y + ROW / 2
    label = escape(clean(row["variant"]))
    weight = ' class="tl-head"' if row["own"] else ""
    parts = [f'<text x="{LEFT - 8}" y="{middle + 4}" text-anchor="end"{weight}>{label}</text>']
    after = LEFT
    told = wrong(row)
    if row["seconds"] is not None:
        one = row["seconds"]
        end = x(one["median"])
        parts.append(
            f'<rect class="tl-v{shade}" x="{LEFT}" y="{y + 3}" width="{max(1.0, end - LEFT):.1f}" '
            f'height="{ROW - 6}" rx="2"/>'
        )
        a, b = x(one["low"]), x(one["high"])
        parts.append(
            f'<path class="tl-whisker" fill="none" d="M{a} {middle}H{b}M{a} {middle - 4}v8'
            f'M{b} {middle - 4}v8"/>'
        )
        after = max(end, b)
        parts.append(f'<text x="{after + 8}" y="{middle + 4}">{duration(one["median"])}'
                     + (f' <tspan class="tl-bad">✗ {escape(told)}</tspan>' if told else "")
                     + "</text>")  # fmt: skip
    elif told:
        parts.append(
            f'<text class="tl-bad" x="{after + 8}" y="{middle + 4}">✗ {escape(told)}</text>'
        )
    return parts


def alternative(data: dict[str, Any]) -> str:
    """The picture in words."""
    told = []
    for place, bars in groups_of(data["costs"]["rows"]):
        for row in bars:
            if row["seconds"] is None:
                continue
            one = row["seconds"]
            text = (
                f"{place}, {clean(row['variant'])}: {duration(one['median'])} "
                f"({interval(duration(one['low']), duration(one['high']))})"
            )
            told.append(text + (f", {wrong(row)}" if wrong(row) else ""))
    return "; ".join(told)
