"""The cells of a comparison in words: the same in the terminal and in the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracelock.report.comparison.picture import duration, interval, place_of, three_digits
from tracelock.report.wording import clean


def can(cell: dict[str, Any] | None) -> str:
    """Whether it can happen: ``possible, 1 switch``, ``impossible``, ``not found in 504``."""
    if cell is None:
        return "refused"
    if cell["can"] == "possible":
        switches = cell.get("switches")
        if switches is None:
            return "possible"
        return f"possible, {switches} switch" + ("" if switches == 1 else "es")
    if cell["can"] == "not found":
        return f"not found in {cell['tried']:,}"
    return str(cell["can"])


def did(cell: dict[str, Any] | None) -> str:
    """How often it did, with the interval: ``3 % (1-8)``."""
    if cell is None or not cell.get("runs"):
        return ""
    low, high = (percent(cell[key]).removesuffix(" %") for key in ("low", "high"))
    return f"{percent(cell['share'])} ({low}-{high})"


def percent(share: float) -> str:
    """A share in per cent, with a digit where it is small."""
    value = 100 * share
    if 0 < value < 1 or 99 < value < 100:
        return f"{min(max(value, 0.1), 99.9):.1f} %"
    return f"{value:.0f} %"


def spread_of(one: dict[str, Any] | None, kind: str) -> tuple[str, str]:
    """A spread as (median, interval); empty where it was not measured."""
    if one is None:
        return "", ""
    show = {
        "seconds": duration,
        "share": percent,
        "held": lambda value: duration(value / 1e6),
        "speed": speed,
    }[kind]
    low, high = show(one["low"]), show(one["high"])
    return show(one["median"]), "" if low == high else interval(low, high)


def speed(value: float) -> str:
    """So many a second: ``1.23 M/s``."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size * 0.9995:
            return f"{three_digits(value / size)} {unit}/s"
    return f"{value:.3g}/s"


def summary(data: dict[str, Any]) -> str:
    """The comparison in a few sentences: first of all what went wrong where it ran freely."""
    rows = data["outcomes"]["rows"]
    happened = [*_free_runs(data), *_measured(data)]
    differ = [row for row in rows if row["differs"] and row["kind"] != "passed"]
    wrong = [row for row in rows if row["kind"] not in ("passed", "unfinished")]
    if differ:
        row = differ[0]
        yes = [b for b, cell in row["cells"].items() if cell["can"] == "possible"]
        no = [b for b, cell in row["cells"].items() if cell["can"] == "impossible"]
        text = f"It depends on the backend. “{clean(row['outcome'])}” is possible on "
        text += f"{listed(yes)} and impossible on {listed(no)}."
        gil = row.get("gil")
        if gil and gil["can"] == "impossible":
            text += f" On threads {gil['why']}"
    elif any(cell["can"] == "possible" for row in wrong for cell in row["cells"].values()):
        text = "It can go wrong, and the backends do not differ in that as far as was seen."
    else:
        text = "Nothing goes wrong on any of the backends, as far as was seen."
        if happened:
            text = f"As it is written, {text[0].lower()}{text[1:]}"
    text = " ".join([*happened, text])
    if not data["complete"]:
        text += " The comparison is not complete; see the notes."
    return text


def _free_runs(data: dict[str, Any]) -> list[str]:
    """How often free runs of the scenario as it is went wrong."""
    told = []
    for backend in data["backends"]:
        cells = [
            row["cells"][backend]
            for row in data["outcomes"]["rows"]
            if row["kind"] not in ("passed", "unfinished")
        ]
        seen = sum(cell["seen"] for cell in cells)
        if seen:
            told.append(f"in {seen} of {cells[0]['runs']} on {backend}")
    return [f"Free runs went wrong: {listed(told)}."] if told else []


def _measured(data: dict[str, Any]) -> list[str]:
    """How often timed runs of its other forms did: with fewer locks, for one."""
    forms: dict[str, list[str]] = {}
    for row in data["costs"]["rows"]:
        wrong = sum(row["ends"].get(end, 0) for end in ("failed", "deadlock"))
        if wrong and not row["own"] and row["switch_interval"] is None:
            place = place_of({**row, "other": True}) if not row.get("gil", True) else row["backend"]
            forms.setdefault(row["variant"], []).append(
                f"in {wrong} of {sum(row['ends'].values())} on {place}"
            )
    return [
        f"With {clean(form)} it went wrong where it ran freely: {listed(told)}."
        for form, told in forms.items()
    ]


def listed(names: Sequence[str]) -> str:
    """``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def check(data: Any) -> dict[str, Any]:
    """``data`` if it is a comparison. Raises TraceError for anything else."""
    from tracelock.errors import TraceError

    if not isinstance(data, dict) or data.get("format") != "tracelock-comparison/1":
        raise TraceError("this is no comparison (tracelock-comparison/1)")
    parts = {"outcomes": dict, "costs": dict, "leftovers": list, "backends": list,
             "scenario": dict, "notes": list, "refused": dict}  # fmt: skip
    for name, kind in parts.items():
        if not isinstance(data.get(name), kind):
            raise TraceError(f"the comparison is damaged: {name} is missing")
    return data
