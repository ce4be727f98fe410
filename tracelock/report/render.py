"""One trace in any form: :func:`render`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from tracelock.errors import UsageError
from tracelock.names import display_names
from tracelock.report.about import Subject
from tracelock.report.code import is_code
from tracelock.report.redaction.redacting import redacted, without_homes

if TYPE_CHECKING:
    from tracelock.analysis.derived.usage import LockUse
    from tracelock.analysis.findings import Finding
    from tracelock.trace import Trace

__all__ = ["FORMS", "as_shown", "form_of", "render", "render_report"]

#: The forms of a report by name, each with the endings of file names that stand for it.
FORMS: Final[Mapping[str, tuple[str, ...]]] = {
    "html": (".html", ".htm"),
    "markdown": (".md", ".markdown"),
    "chrome": (".json", ".json.gz"),
    "shiviz": (".shiviz", ".log"),
    "text": (".txt",),
}


#: Rows of the text form where nobody asked for another number.
ROWS: Final = 200


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
        if is_code(subject.trace):
            from tracelock.report.panes.page import code_report

            return code_report(subject)
        from tracelock.report.html.page import html_report

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


def render_report(
    trace: Trace,
    form: str = "html",
    *,
    twin: Trace | None = None,
    findings: Sequence[Finding] | None = None,
    events: int | None = None,
    around: int | None = None,
    sources: Mapping[str, str] | None = None,
    path: str | None = None,
    redact: Sequence[str] = (),
) -> str:
    """A report of ``trace``: ``html``, ``markdown``, ``chrome`` (trace event JSON, for Perfetto),
    ``shiviz`` or ``text``.

    ``twin``: a passing run of the same scenario, to be set beside it. ``findings``: what to tell
    of it; without, everything that ``analyze`` finds. ``events``: how many are shown at most, the
    part around the failure or around number ``around``; Chrome's and ShiViz's forms hold all.
    ``sources``: texts of Python files by the names the trace has, of a trace of Python code.
    ``path``: of the trace's file, for the command that replays it. ``redact``: names of variables,
    attributes and arguments whose values are kept out.

    Raises UsageError for an unknown form, an event that is not there, and a twin of other workers.
    """
    if around is not None and not 0 <= around < len(trace.events):
        raise UsageError(f"there is no event {around} in {len(trace.events):,} events")
    if events is not None and events < 1:
        raise UsageError(f"a report shows at least one event, not {events}")
    both = [trace] if twin is None else [trace, twin]
    kept = redacted(both, redact, sources or {})
    record = kept.traces[0]
    trace, *others = as_shown(kept.traces)
    locks: Sequence[LockUse] = ()
    if findings is None:
        from tracelock.analysis.analyze import analyze

        analysis = analyze(trace)
        findings, locks = analysis.findings, analysis.locks
    twin = others[0] if others else None
    subject = Subject(trace, findings, locks, twin, events, around, kept.sources, path, record)
    return render(subject, form)


def as_shown(traces: Sequence[Trace]) -> list[Trace]:
    """Traces of one program as reports show them: with short names for their workers and objects,
    and without the names of users in paths."""
    names = display_names(*traces)
    return [without_homes(names.of(trace)) for trace in traces]


def _text(subject: Subject) -> str:
    from tracelock.report.about import facts
    from tracelock.report.terminal import Style, header_lines, table, verdict_block
    from tracelock.report.timeline import timeline
    from tracelock.report.wording import clean

    trace = subject.trace
    line = timeline(trace, subject.window(subject.turn(), subject.most or ROWS))
    lines = [one.plain for one in header_lines(facts(trace, line.switches, line.preemptions))]
    lines += ["", *(one.plain for one in table(line, Style(120))), ""]
    lines += [one.plain for one in verdict_block(trace.verdict, trace.workers)]
    for finding in subject.findings:
        lines += ["", clean(f"{finding.severity}: {finding.title}")]
        lines += [f"  {clean(one)}" for one in finding.explanation.split("\n")]
    return "\n".join(lines) + "\n"
