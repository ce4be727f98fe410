"""``tracelock report`` and ``attach``: a trace or a comparison as a page, or for an issue."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import zlib
from typing import Any, Final

from tracelock.cli.output import Output
from tracelock.cli.outputs import is_standard
from tracelock.errors import TraceError, UsageError
from tracelock.instrument.rewrite.sites import project_root
from tracelock.report.about import Subject
from tracelock.report.attach import attachment
from tracelock.report.redaction.redacting import Redacted, redacted
from tracelock.report.render import as_shown, form_of, render
from tracelock.report.sources import sources_below
from tracelock.report.wording import clean
from tracelock.trace import Trace, load_trace
from tracelock.trace.outputs import write_whole
from tracelock.trace.verdict import FAILED

#: What a comparison's file has for its format.
COMPARISON: Final = "tracelock-comparison/1"
_PEEK: Final = 4_096
_LARGEST_COMPARISON: Final = 64 << 20


def report_command(options: argparse.Namespace, out: Output) -> int:
    """Write the report that ``options`` ask for."""
    path = options.output
    if path is None and options.form is None:
        raise UsageError("where to? -o FILE (or -o - for standard output, with --as FORM)")
    if is_standard(path) and options.form is None:
        raise UsageError("standard output has no name to go by: say --as FORM")
    form = options.form or form_of(path)
    comparison = _comparison(options.trace)
    if comparison is not None:
        if form != "html":
            raise UsageError(f"a comparison is rendered as html, not as {form}")
        from tracelock.report.comparison.page import comparison_html

        text = comparison_html(comparison)
    else:
        trace = load_trace(options.trace)
        # what another tool draws holds every event, and no findings
        plain = form in ("chrome", "shiviz")
        if plain:
            kept = _kept(options, [trace], out)
            text = render(Subject(as_shown(kept.traces)[0]), form)
        else:
            text = render(subject_of(options, trace, out), form)
    if path is None:
        out.text(text)
        return 0
    size = write_whole(path, [text])
    if not is_standard(path):
        out.note(f"{clean(path)}: {form}, {size / 1_000:,.0f} kB")
    return 0


def attach_command(options: argparse.Namespace, out: Output) -> int:
    """Print the Markdown report, with the trace folded in if it is small."""
    out.text(attachment(subject_of(options, load_trace(options.trace), out)))
    return 0


def subject_of(options: argparse.Namespace, trace: Trace, out: Output) -> Subject:
    """What the report is about: the trace, what is found in it, its twin."""
    from tracelock.analysis.analyze import analyze

    around = options.around
    if around is not None and around >= len(trace.events):
        raise UsageError(f"there is no event {around} in {len(trace.events):,} events")
    twin = None
    if options.twin is not None:
        twin = load_trace(options.twin)
        if twin.scenario.get("name") != trace.scenario.get("name"):
            raise UsageError(f"{options.twin} is of another scenario than {options.trace}")
    elif options.find_twin:
        twin = _find_twin(trace, options.allow_call)
    kept = _kept(options, [trace] if twin is None else [trace, twin], out)
    more: dict[str, Any] = {} if options.events is None else {"most": options.events}
    # the name alone: a report is for others, whom the folders of this machine do not concern
    name = os.path.basename(options.trace)
    seen, *twins = as_shown(kept.traces)
    return Subject.of(
        seen, analyze(seen), around=around, record=kept.traces[0], path=name, sources=kept.sources,
        twin=twins[0] if twins else None, **more,
    )  # fmt: skip


def _kept(options: argparse.Namespace, traces: list[Trace], out: Output) -> Redacted:
    """The traces and the sources of the first, without the values that ``--redact`` names."""
    sources = sources_below(traces[0], *_folders(options.sources))
    kept = redacted(traces, options.redact or (), sources)
    for name in kept.unused:
        out.note(f"--redact {name}: nothing in the trace or its source is called that")
    return kept


def _find_twin(trace: Trace, allow_call: bool) -> Trace:
    """The passing schedule nearest to the trace's own: of a scenario found on the models, of Python
    code, which that runs, under control."""
    from tracelock.explore.shrink.twin import Twin
    from tracelock.session.shrinking import shrink

    if trace.verdict.kind not in FAILED:
        raise UsageError(f"the trace ended {trace.verdict.kind}: there is no failure to avoid")
    small = shrink(trace, confirm=0, allow_call=allow_call)
    if not isinstance(small.twin, Twin):
        proved = small.twin.proved
        raise UsageError("no schedule passes" if proved else "no schedule was found that passes")
    return small.trace_of(small.twin.passing)


def _folders(given: str | None) -> list[str]:
    """Where source files are looked for: where the user says, or here and in the project."""
    return [given] if given else [".", project_root() or "."]


# --- comparisons -----------------------------------------------------------------------------
def _comparison(path: str) -> dict[str, Any] | None:
    """The data of a comparison, None where the file is no such thing (or cannot be read)."""
    packed = path.endswith(".gz")
    try:
        with gzip.open(path, "rb") if packed else open(path, "rb") as file:
            start = file.read(_PEEK)
            if COMPARISON.encode() not in start:
                return None
            content = start + file.read(_LARGEST_COMPARISON)
            if len(content) > _LARGEST_COMPARISON:
                raise TraceError(f"{path}: larger than any comparison is")
            data = json.loads(content)
    except (OSError, EOFError, zlib.error):
        return None  # reading it as a trace says what is wrong
    except (ValueError, RecursionError) as problem:
        raise TraceError(f"{path}: not readable as a comparison: {problem}") from None
    if not isinstance(data, dict) or data.get("format") != COMPARISON:
        return None
    return data
