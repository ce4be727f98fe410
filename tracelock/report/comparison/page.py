"""A comparison as one page of HTML that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tracelock.report.comparison.picture import costs_svg, groups_of, wrong
from tracelock.report.comparison.words import can, check, did, spread_of, summary
from tracelock.report.templates import asset, fill, markup
from tracelock.report.wording import describe
from tracelock.trace import Event

__all__ = ["comparison_html"]

#: Columns of the table of costs: heading, key of a row, how it is written.
_COLUMNS: Final = (
    ("time per run", "seconds", "seconds"),
    ("rounds a second", "rounds_per_second", "speed"),
    ("waiting for a lock", "waiting", "share"),
    ("held each time", "held_us", "held"),
    ("same worker again", "again", "share"),
)


def comparison_html(data: dict[str, Any]) -> str:
    """The page of a comparison (``tracelock-comparison/1``), self-contained, without scripts.

    Raises TraceError for data that is no comparison.
    """
    check(data)
    scenario, costs, refused = data["scenario"], data["costs"]["rows"], data["refused"]
    outcomes = data["outcomes"]["rows"]
    # of each outcome one schedule is enough: those of other backends show the same
    schedules = [
        next(((row["outcome"], backend, cell["trace"]) for backend, cell in row["cells"].items()
              if cell.get("trace")), None)
        for row in outcomes
    ]  # fmt: skip
    return fill(
        "comparison.html",
        style=markup(asset("comparison.css") + asset("costs.css")),
        name=scenario.get("name", "scenario"), summary=summary(data), notes=data["notes"],
        about=" ".join(str(scenario.get("description", "")).split()),
        outcomes=outcomes, asked=[*data["backends"], *refused], refused=refused,
        tone=_tone, can=can, did=did, schedules=filter(None, schedules), steps=_steps,
        costs=groups_of(costs), picture=markup(costs_svg(data)), wrong=wrong, spread_of=spread_of,
        columns=[one for one in _COLUMNS if any(row[one[1]] is not None for row in costs)],
        noise=data["costs"]["noise"], leftovers=data["leftovers"], backends=data["backends"],
        left={"held": "held", "error": "error", "free": "free"},
        setting=_setting(data.get("environment") or {}), version=data.get("tracelock", ""),
    )  # fmt: skip


def _tone(row: dict[str, Any], cell: dict[str, Any]) -> str:
    if cell["can"] == "not found":
        return "open"
    return f"{cell['can']}-{'ok' if row['kind'] == 'passed' else 'bad'}"


def _steps(trace: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """Each event of a schedule: its worker, and what it did."""
    workers = [str(name) for name in trace["workers"]]
    for one in trace["events"]:
        known = {key: one[key] for key in Event._fields if key in one}
        event = Event(**{"target": None, "at": "", **known})
        yield event.worker, describe(event, workers)


def _setting(environment: dict[str, Any]) -> list[str]:
    known = [environment.get(key) for key in ("implementation", "python", "platform")]
    parts = [str(part) for part in known if part]
    if environment.get("cpus"):
        parts.append(f"{environment['cpus']} CPUs")
    if environment.get("gil") is False:
        parts.append("without GIL")
    return parts
