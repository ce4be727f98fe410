"""The page of a trace of real code: source in the middle, lanes beside it, the story, the state."""

from __future__ import annotations

from tracelock.report.about import Subject
from tracelock.report.failure.slicing import root_of
from tracelock.report.html.page import MOST_FINDINGS, beside, filled, most_rows
from tracelock.report.panes.run import PanesRun

__all__ = ["code_report"]


def code_report(subject: Subject) -> str:
    """The page. Raises UsageError where the twin is of other workers than the trace."""
    turn = subject.turn()
    root = root_of(subject.findings)
    marked = frozenset(seq for one in subject.findings[:MOST_FINDINGS] for seq in one.events)
    most = most_rows(subject)
    runs = [
        PanesRun("a", subject.trace, subject.window(turn, most), subject.sources, root=root,
                 turn=turn, marked=marked)
    ]  # fmt: skip
    if subject.twin is not None and turn is not None:
        twin, other = beside(subject, turn)
        runs.append(PanesRun("b", twin.trace, twin.window(None, most), subject.sources, turn=other))
    return filled(
        "panes", subject, turn, runs[0].line,
        shown=runs[0].shown, runs=runs, data=[run.data() for run in runs], root=root,
    )  # fmt: skip
