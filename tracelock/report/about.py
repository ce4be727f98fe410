"""What every form of report says of a trace besides its events: where it ran, how to run it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tracelock.analysis.analyze import Analysis
from tracelock.analysis.derived.usage import LockUse
from tracelock.analysis.findings import ERROR, WARNING, Finding
from tracelock.report.redaction.redacting import REDACTED
from tracelock.report.turning import TurningPoint, turning_point
from tracelock.report.window import focus, window
from tracelock.report.wording import clean, counted, outcome_name
from tracelock.trace import Trace

__all__ = ["Subject", "facts", "how_recorded", "how_to_replay", "needs_calls", "summary"]


@dataclass(frozen=True, slots=True)
class Subject:
    """What a report is about, and how much of it is to be shown.

    ``findings``: of ``trace``, the gravest first; ``locks``: their use. ``twin``: a passing run
    of the same scenario, or None. ``most``: rows at most (None: as many as the form is good for);
    ``around``: the event in their middle,
    None for the failure. ``sources``: Python files by the names that the trace has. ``path``: of
    the trace, for the command that replays it. ``record``: the trace as it is saved, where
    ``trace`` has other names for its workers and objects.
    """

    trace: Trace
    findings: Sequence[Finding] = ()
    locks: Sequence[LockUse] = ()
    twin: Trace | None = None
    most: int | None = None
    around: int | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    path: str | None = None
    record: Trace | None = None

    @classmethod
    def of(cls, trace: Trace, analysis: Analysis, **more: Any) -> Subject:
        """The subject with everything that an analysis found."""
        return cls(trace, analysis.findings, analysis.locks, **more)

    @property
    def heading(self) -> str:
        """What stands above the findings."""
        grave = {finding.severity for finding in self.findings}
        if ERROR in grave:
            return "What is wrong, and what to change"
        return "What can go wrong, and what to change" if WARNING in grave else "Worth knowing"

    def turn(self) -> TurningPoint | None:
        """The switch that matters."""
        return turning_point(self.trace, self.twin, self.findings)

    def focus(self) -> int:
        """The event that the report is about."""
        return focus(self.trace, self.findings) if self.around is None else self.around

    def window(self, turn: TurningPoint | None, most: int) -> list[range]:
        """At most so many rows around the focus, with what the findings and the turn name."""
        also = [seq for finding in self.findings[:20] for seq in finding.events]
        if turn is not None:
            also.append(turn.seq)
        if self.around is not None:
            also = []
        return window(len(self.trace.events), self.focus(), most, also)


def summary(trace: Trace) -> str:
    """The outcome on one line: ``deadlock: bank-transfer on threading``."""
    verdict = trace.verdict
    outcome = outcome_name(verdict.kind, verdict.failure)
    return f"{outcome}: {scenario_name(trace)} on {clean(trace.backend)}"


def scenario_name(trace: Trace) -> str:
    name = trace.scenario.get("name")
    return clean(name) if isinstance(name, str) and name else "(no name)"


def how_recorded(trace: Trace) -> str:
    """``free run``, or ``controlled: auto, seed 0; virtual clock``."""
    if trace.mode != "controlled":
        return "free run: the system chose the order"
    strategy = trace.strategy or {}
    words = [str(strategy.get("name", "a strategy"))]
    words += [f"{key} {value}" for key, value in strategy.items() if key != "name"]
    return clean(f"controlled: {', '.join(words)}; {trace.clock} clock")


def facts(trace: Trace, switches: int, preemptions: int | None) -> list[tuple[str, str]]:
    """Names and values: where the trace comes from, and how large it is."""
    environment = trace.environment
    parts = [environment.get("implementation"), environment.get("python")]
    python = " ".join(str(part) for part in parts if part is not None)
    if environment.get("gil") is False:
        python += " (free-threaded)"
    count = f"{counted(len(trace.events), 'event')}, {counted(switches, 'switch', 'es')}"
    if preemptions is not None:
        count += f", {preemptions:,} of them preemptive"
    rows = [
        ("scenario", scenario_name(trace)),
        ("backend", clean(trace.backend)),
        ("recorded", how_recorded(trace)),
        ("Python", clean(python)),
        ("platform", clean(str(environment.get("platform") or ""))),
        ("start method", clean(str(environment.get("start_method") or ""))),
        ("tracelock", clean(trace.tracelock)),
        ("run", count),
        ("kept out", clean(", ".join(map(str, _kept_out(trace))))),
    ]
    return [(name, value) for name, value in rows if value]


def _kept_out(trace: Trace) -> Sequence[object]:
    """The names of what has its values redacted."""
    names = trace.extra.get(REDACTED)
    return [f"values of {name}" for name in names] if isinstance(names, list) else []


def needs_calls(trace: Trace) -> bool:
    """Whether a replay runs Python code that the trace names, which the user must allow."""
    if isinstance(trace.scenario.get("python"), Mapping):
        return True
    return any(shape.op == "call" for shape in trace.events.table)


def how_to_replay(trace: Trace, path: str | None = None) -> str:
    """The command that runs the trace again."""
    allow = " --allow-call" if needs_calls(trace) else ""
    return f"tracelock replay {shlex.quote(clean(path or 'trace.json'))}{allow}"
