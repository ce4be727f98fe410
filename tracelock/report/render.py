"""One trace in any form: :func:`render`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tracelock.errors import UsageError
from tracelock.report.about import Subject

__all__ = ["FORMS", "form_of", "render"]

#: The forms of a report by name, each with the endings of file names that stand for it.
FORMS: Final[Mapping[str, tuple[str, ...]]] = {
    "html": (".html", ".htm"),
    "markdown": (".md", ".markdown"),
    "chrome": (".json", ".json.gz"),
    "shiviz": (".shiviz", ".log"),
    "text": (".txt",),
}


def form_of(path: str) -> str:
    """The form that a file's name stands for. Raises UsageError where it stands for none."""
    lower = path.lower()
    for form, endings in FORMS.items():
        if lower.endswith(endings):
            return form
    known = ", ".join(ending for endings in FORMS.values() for ending in endings)
    raise UsageError(f"what {path} is to be is not clear from its name ({known}): say --as FORM")


def render(subject: Subject, form: str) -> str:
    """``subject`` in a form. Raises UsageError for an unknown one, and for a twin of other
    workers."""
    if form == "html":
        from tracelock.report.html import html_report

        return html_report(subject)
    if form == "markdown":
        from tracelock.report.markdown import markdown

        return markdown(subject)
    if form == "chrome":
        from tracelock.report.chrome import chrome_trace

        return chrome_trace(subject.trace)
    if form == "shiviz":
        from tracelock.report.shiviz import shiviz

        return shiviz(subject.trace)
    if form == "text":
        return _text(subject)
    raise UsageError(f"unknown form {form!r}: there are {', '.join(FORMS)}")


def _text(subject: Subject) -> str:
    from tracelock.report.about import facts
    from tracelock.report.terminal import Style, header_lines, table, verdict_block
    from tracelock.report.timeline import timeline

    trace = subject.trace
    line = timeline(trace, subject.window(subject.turn()))
    lines = [one.plain for one in header_lines(facts(trace, line.switches, line.preemptions))]
    lines += ["", *(one.plain for one in table(line, Style(120))), ""]
    lines += [one.plain for one in verdict_block(trace.verdict, trace.workers)]
    for finding in subject.findings:
        lines += ["", f"{finding.severity}: {finding.title}", f"  {finding.explanation}"]
    return "\n".join(lines) + "\n"
