"""The steps of a trace as a table, each worker a column; of Python code with its source lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from tracelock.names import for_display
from tracelock.session.targets import python_of
from tracelock.trace import Trace
from tracelock.trace.verdict import FAILED

if TYPE_CHECKING:
    from rich.text import Text

    from tracelock.report.terminal import Style
    from tracelock.report.timeline import Timeline


def told(
    trace: Trace, style: Style, select: Iterable[range] | None = None, *, every: bool = False
) -> Iterator[Text]:
    """How a run went: a failure of Python code in the source lines that matter, anything else as
    the table of its steps; with ``every``, that of all events."""
    story = [] if every else failure_story(trace, style)
    yield from story or steps(trace, style, select, plumbing=every)


def steps(
    trace: Trace, style: Style, select: Iterable[range] | None = None, *, sources: bool = True,
    plumbing: bool = False,
) -> Iterator[Text]:  # fmt: skip
    """The lines of the table. ``select``: which events (the first and the last hundred);
    ``sources``: whether to show source lines; ``plumbing``: also the events of Python code that
    only starting, joining and the loop are made of."""
    from rich.text import Text

    from tracelock.report.terminal import table
    from tracelock.report.wording import counted

    lines = None
    if sources and python_of(trace) is not None:
        from tracelock.instrument.source_lines import source_lines

        lines = source_lines(trace)
    line = timeline_of(trace, select, plumbing=plumbing)
    yield from table(line, style, lines)
    if line.folded:
        yield Text(
            f"({counted(len(line.folded), 'event')} of starting, joining, looking up objects and "
            "the loop not shown: --all-events)", "dim",
        )  # fmt: skip


def failure_story(trace: Trace, style: Style) -> list[Text]:
    """A failing run of Python code in the source lines that matter, a column for each worker; then
    what is wrong and what to change. [] where there is no such story to tell."""
    if python_of(trace) is None or trace.verdict.kind not in FAILED:
        return []
    from tracelock.analysis.analyze import analyze
    from tracelock.instrument.source_lines import source_lines
    from tracelock.report.code import places_of
    from tracelock.report.failure.drawing import conclusion, drawn
    from tracelock.report.failure.slicing import root_of, slice_of
    from tracelock.report.failure.telling import Teller, after_all, story_lines

    seen = for_display(trace)
    source, places = source_lines(seen, indented=True), places_of(seen)
    root = root_of(analyze(seen))
    teller = Teller(seen, slice_of(seen, root), "→" if style.unicode else "->")
    lines = story_lines(teller, known=lambda at: bool(source(at)) or at in places)
    if not lines:
        return []
    drawing = drawn(
        lines, [*seen.workers, after_all(seen)], style, source, lambda at: str(places.get(at, ""))
    )
    return [*drawing, *conclusion(root, style)]


def timeline_of(
    trace: Trace, select: Iterable[range] | None = None, *, plumbing: bool = False
) -> Timeline:
    """The timeline of a trace; of Python code without the workers that do nothing in it, and
    without ``plumbing``: see ``steps``."""
    from tracelock.report.delivered import with_messages
    from tracelock.report.plumbing import plumbing_of, without_plumbing
    from tracelock.report.timeline import selection, timeline, without_idle

    trace = for_display(trace)
    line = timeline(trace, list(selection(len(trace.events)) if select is None else select))
    line = with_messages(trace, line, callbacks=plumbing)
    if python_of(trace) is not None:
        if not plumbing:
            line = without_plumbing(line, plumbing_of(trace))
        line = without_idle(line, {row.worker for row in line.rows})
    return line
