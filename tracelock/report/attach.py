"""A report to be pasted into an issue: Markdown, with the trace itself folded in if it is small."""

from __future__ import annotations

from typing import Final

from tracelock.report.about import Subject, how_to_replay
from tracelock.report.markdown import code, fenced, markdown
from tracelock.report.redaction.redacting import REDACTED
from tracelock.trace.text import visible

__all__ = ["attachment"]

#: Characters that an issue or comment may have on the trackers that allow the fewest (GitHub).
LIMIT: Final = 65_536
#: Left for what somebody writes above it.
_SPARE: Final = 4_000


def attachment(subject: Subject) -> str:
    """The Markdown report of ``subject``; the whole trace in a fold where both fit in one comment,
    else a sentence that says to attach the file."""
    trace = subject.record or subject.trace
    report = markdown(subject)
    kept_out = REDACTED in trace.extra
    small = len(trace.events) <= 2_000 and not kept_out
    text = visible(trace.to_text()) if small else ""
    fold = (
        "<details><summary>The trace: save it as <code>trace.json</code></summary>\n\n"
        f"{fenced(text, 'json')}\n\n</details>\n"
    )
    if text and len(report) + len(fold) <= LIMIT - _SPARE:
        command = how_to_replay(trace, "trace.json")
        return report.replace(how_to_replay(trace, subject.path), command) + "\n" + fold
    if kept_out:
        return (
            f"{report}\nThe trace is not folded in here: values in it are kept out of this report, "
            "and a trace without them does not replay.\n"
        )
    name = code(subject.path or "the trace's file")
    return (
        f"{report}\nThe trace is too large to be folded in here: attach the file {name} "
        "to the issue (compressed as .json.gz it is much smaller, and replays as it is).\n"
    )
