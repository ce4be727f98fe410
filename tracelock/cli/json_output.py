"""The JSON objects that ``--json`` prints, as data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracelock.report.timeline import Timeline
    from tracelock.session import ReplayResult
    from tracelock.trace import Trace, Verdict


def run_object(verdict: Verdict, trace: str | None, events: int, seconds: float) -> dict[str, Any]:
    """``{"verdict", "trace", "events", "seconds"}``: path or None; seconds of real time."""
    return {
        "verdict": verdict.to_data(), "trace": trace, "events": events,
        "seconds": round(seconds, 6),
    }  # fmt: skip


def runs_object(
    first: dict[str, Any], runs: int, outcomes: Sequence[tuple[str, str | None, int, str | None]]
) -> dict[str, Any]:
    """The same for the run that tells most, and all outcomes: kind, failure, count, trace."""
    keys = ("kind", "failure", "count", "trace")
    return {
        **first, "runs": runs,
        "outcomes": [dict(zip(keys, outcome, strict=True)) for outcome in outcomes],
    }  # fmt: skip


def replay_object(result: ReplayResult) -> dict[str, Any]:
    """``{"reproduced", "diverged", "verdict"}``."""
    diverged = result.diverged
    return {
        "reproduced": result.reproduced,
        "diverged": None if diverged is None else {
            "seq": diverged.seq, "expected": diverged.expected, "got": diverged.got,
            "why": diverged.why,
        },
        "verdict": result.verdict.to_data(),
    }  # fmt: skip


def show_object(trace: Trace, line: Timeline) -> dict[str, Any]:
    """A trace's header, the rows asked for with the reason of each switch, and the verdict."""
    rows = []
    for row in line.rows:
        switch = row.switch
        rows.append(
            {
                **row.event.to_data(), "text": row.text,
                "switch": None if switch is None else
                {"left": switch.left, "kind": switch.kind, "why": switch.text},
            }
        )  # fmt: skip
    header = trace.header()
    del header["scenario"]
    return {
        **header, "name": trace.scenario.get("name"), "events": line.events,
        "switches": line.switches, "preemptions": line.preemptions, "rows": rows,
        "verdict": trace.verdict.to_data(),
    }  # fmt: skip
