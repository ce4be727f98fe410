"""The steps of a trace as a table, each worker a column; of Python code with its source lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from tracelock.names import for_display
from tracelock.session.targets import python_of
from tracelock.trace import Trace

if TYPE_CHECKING:
    from rich.text import Text

    from tracelock.report.terminal import Style
    from tracelock.report.timeline import Timeline


def steps(
    trace: Trace, style: Style, select: Iterable[range] | None = None, *, sources: bool = True
) -> Iterator[Text]:
    """The lines of the table. ``select``: which events (the first and the last hundred);
    ``sources``: whether to show source lines."""
    from tracelock.report.terminal import table

    lines = None
    if sources and python_of(trace) is not None:
        from tracelock.instrument.source_lines import source_lines

        lines = source_lines(trace)
    yield from table(timeline_of(trace, select), style, lines)


def timeline_of(trace: Trace, select: Iterable[range] | None = None) -> Timeline:
    """The timeline of a trace; of Python code without the workers that do nothing in it."""
    from tracelock.report.timeline import selection, timeline, without_idle

    trace = for_display(trace)
    line = timeline(trace, list(selection(len(trace.events)) if select is None else select))
    if python_of(trace) is not None:
        line = without_idle(line, set(trace.events.workers))
    return line
