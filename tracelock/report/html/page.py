"""A trace as one self-contained HTML page: the lanes, the state at every step, the findings.

Whatever a stranger put into names and values is text here: the template escapes it. A content
security policy with the digest of the page's own script and style says so to the browser too: no
other script runs, and nothing is loaded from anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tracelock.analysis.derived.usage import LockUse
from tracelock.analysis.findings import Finding
from tracelock.report.about import (
    Subject,
    facts,
    how_to_replay,
    needs_calls,
    scenario_name,
    summary,
)
from tracelock.report.frames import MOST_WORKERS, story
from tracelock.report.html.run import PageRun
from tracelock.report.templates import asset, digest, fill, markup, script_data
from tracelock.report.timeline import Timeline
from tracelock.report.turning import TurningPoint
from tracelock.report.wording import clean, describe, outcome_name, said_of, state_text

__all__ = ["MOST_FINDINGS", "beside", "filled", "html_report", "most_rows"]

#: Findings listed; the gravest come first.
MOST_FINDINGS: Final = 50
#: Events shown where nobody asked for another number.
MOST: Final = 1_000
_CELLS: Final = 12_500
_MOST_LOCKS: Final = 50
_TONES: Final = {
    "failed": "bad", "deadlock": "bad", "crashed": "bad", "passed": "good", "unfinished": "open",
}  # fmt: skip


def html_report(subject: Subject) -> str:
    """The page. Raises UsageError where the twin is of other workers than the trace."""
    turn = subject.turn()
    runs = _runs(subject, turn)
    return filled(
        "report", subject, turn, runs[0].timeline,
        shown=runs[0].shown, runs=runs, data=[run.data() for run in runs],
    )  # fmt: skip


def filled(
    page: str,
    subject: Subject,
    turn: TurningPoint | None,
    line: Timeline,
    *,
    shown: set[int],
    runs: Sequence[object],
    data: Sequence[dict[str, Any]],
    **more: Any,
) -> str:
    """A page on ``base.html``. ``page``: the name of its template, script and style; ``shown``: the
    events that have a row; ``data``: of each run, what the script steps through."""
    trace, verdict = subject.trace, subject.trace.verdict
    about = trace.scenario.get("description")
    script = "".join(map(asset, ("theme.js", "stepping.js", f"{page}.js")))
    style = "".join(map(asset, dict.fromkeys(("report.css", f"{page}.css"))))
    policy = (
        f"default-src 'none'; script-src '{digest(script)}'; style-src '{digest(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    heads = ["lock", "taken", "had to wait", "same worker again"]
    real = trace.clock == "real"
    heads += ["median wait", "longest wait", "median hold", "longest hold"] if real else []
    return fill(
        f"{page}.html",
        title=summary(trace), policy=markup(policy), style=markup(style), script=markup(script),
        name=scenario_name(trace), backend=trace.backend,
        description=" ".join(about.split())[:2_000] if isinstance(about, str) else "",
        tone=_TONES[verdict.kind], outcome=outcome_name(verdict.kind, verdict.failure),
        story=said_of(verdict, trace.workers), turn=turn,
        state=state_text(verdict.state) if verdict.state else "",
        heading=subject.heading, findings=subject.findings[:MOST_FINDINGS],
        more_findings=len(subject.findings) - MOST_FINDINGS,
        quoted=lambda finding: _quoted(finding, subject, shown), runs=runs,
        locks=[(one.name, _use(one, real)) for one in subject.locks[:_MOST_LOCKS]],
        lock_heads=heads, environment=facts(trace, line.switches, line.preemptions),
        command=how_to_replay(trace, subject.path), calls=needs_calls(trace),
        data=markup(script_data({"runs": data, "at": subject.focus()})), **more,
    )  # fmt: skip


def most_rows(subject: Subject) -> int:
    """So many events are shown: many lanes make long rows, and the page shall not grow with
    them."""
    lanes = max(1, min(len(subject.trace.workers), MOST_WORKERS))
    return subject.most or min(MOST, _CELLS // lanes)


def beside(subject: Subject, turn: TurningPoint) -> tuple[Subject, TurningPoint]:
    """The twin as a subject of its own, and where it parts."""
    twin = subject.twin
    assert twin is not None
    around = turn.seq if subject.around is None else subject.around
    around = min(around, max(0, len(twin.events) - 1))
    return Subject(twin, around=around), TurningPoint(
        turn.seq, "here it goes another way", turn.text, True
    )


def _runs(subject: Subject, turn: TurningPoint | None) -> list[PageRun]:
    """The run, and its twin beside it if there is one."""
    trace, most = subject.trace, most_rows(subject)
    marked = frozenset(seq for one in subject.findings[:MOST_FINDINGS] for seq in one.events)
    shown = story(trace, subject.window(turn, most))
    runs = [PageRun("a", trace, shown, turn, subject.sources, marked)]
    if subject.twin is not None and turn is not None:
        twin, other = beside(subject, turn)
        shown = story(twin.trace, twin.window(None, most))
        runs.append(PageRun("b", twin.trace, shown, other, subject.sources))
    return runs


def _quoted(finding: Finding, subject: Subject, shown: set[int]) -> list[dict[str, Any]]:
    """The events that prove a finding, the first twelve."""
    trace = subject.trace
    seqs = [seq for seq in list(dict.fromkeys(finding.events))[:12] if 0 <= seq < len(trace.events)]
    return [
        {"seq": seq, "shown": seq in shown,
         "text": f"{clean(trace.workers[trace.events.workers[seq]])}: "
         f"{describe(trace.events[seq], trace.workers)}"}
        for seq in seqs
    ]  # fmt: skip


def _use(one: LockUse, real: bool) -> Sequence[str]:
    """How a lock was used, with times where they were measured."""
    cells = [f"{one.taken:,}", f"{one.waited:,}", f"{one.again:,}"]
    times = (one.wait.p50, one.wait.max, one.held.p50, one.held.max) if real else ()
    return cells + [f"{time / 1_000:,.1f} \N{MICRO SIGN}s" for time in times]
