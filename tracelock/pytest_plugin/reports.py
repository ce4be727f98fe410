"""``pytest --tracelock-report DIR``: of each failing test its trace, a page and Markdown."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracelock.trace import Trace


def write_reports(trace: Trace, kept: Path, folder: str, root: str) -> list[str]:
    """Write the trace, its page and its Markdown into ``folder``, under the name that the trace has
    where it is ``kept``. ``root``: the folder that the trace's sources lie below. Raises UsageError
    where they cannot be written. Returns their paths."""
    from tracelock.analysis.analyze import analyze
    from tracelock.report.about import Subject
    from tracelock.report.attach import attachment, without_home
    from tracelock.report.render import as_shown, render
    from tracelock.report.sources import sources_below
    from tracelock.trace.files import parts_of
    from tracelock.trace.outputs import write_whole

    [seen] = as_shown([trace])
    subject = Subject.of(
        seen, analyze(seen), path=kept.name, sources=sources_below(trace, root), record=trace
    )
    written: list[str] = []

    def write(ending: str, parts: Any) -> None:
        path = os.path.join(folder, f"{kept.stem}{ending}")
        write_whole(path, parts, make_folder=True)
        written.append(path)

    write(".json", parts_of(trace.header(), trace.events, trace.verdict))
    write(".html", [without_home(render(subject, "html"))])
    write(".md", [attachment(subject)])
    return written
