"""``tracelock analyze``: what a trace shows, each finding with the events that prove it."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from tracelock.analysis.analyze import Analysis, analyze
from tracelock.analysis.derived.usage import LockUse
from tracelock.analysis.finders.turns import duration
from tracelock.analysis.findings import Finding
from tracelock.cli.output import Output
from tracelock.names import for_display
from tracelock.report.wording import clean, counted, describe, outcome_name
from tracelock.trace import load_trace

if TYPE_CHECKING:
    from rich.text import Text


_STYLES: Final = {"error": "bold red", "warning": "bold yellow", "note": "cyan"}
#: Text is not made wider than this, however wide the terminal is: longer lines read badly.
_WIDEST: Final = 100
_LOCKS: Final = 12
_EVENTS: Final = 12
_ALSO: Final = 12


def analyze_command(options: argparse.Namespace, out: Output) -> int:
    """Print the findings of a trace, the gravest first; 0, whatever they are."""
    trace = load_trace(options.trace)
    if options.json:
        out.json(analyze(trace).to_data())
        return 0
    analysis = analyze(for_display(trace))
    width = min(out.style.width, _WIDEST)
    out.lines(_header(analysis, width))
    told, folded = _folded(analysis, options.all)
    for finding in told:
        out.line()
        out.lines(_finding(analysis, finding, width))
    out.lines(_also_seen(folded, width))
    out.lines(_locks(analysis, width))
    out.line()
    out.line(_summary(analysis))
    return 0


def _folded(analysis: Analysis, every: bool) -> tuple[Sequence[Finding], Sequence[Finding]]:
    """What is told in full, and what in one line each: all but the root, where there is one."""
    if every or not any(one.root for one in analysis):
        return analysis.findings, ()
    return analysis.findings[:1], analysis.findings[1:]


def _also_seen(folded: Sequence[Finding], width: int) -> Iterator[Text]:
    from rich.text import Text

    if not folded:
        return
    yield Text("")
    yield Text("also seen (--all tells them in full)", style="bold")
    for finding in folded[:_ALSO]:
        line = Text(f"  {finding.severity}: ", style=_STYLES[finding.severity])
        line.append(clean(finding.title))
        line.append(f" [{finding.kind}]", style="dim")
        yield from _wrapped(line, width)
    if len(folded) > _ALSO:
        yield Text(f"  ... and {len(folded) - _ALSO} more")


def _header(analysis: Analysis, width: int) -> Iterator[Text]:
    from rich.text import Text

    from tracelock.report.terminal import header_lines

    trace = analysis.trace
    verdict = trace.verdict
    how = "free run" if trace.mode == "recorded" else "controlled"
    text = outcome_name(verdict.kind, verdict.failure)
    text += clean(f": {verdict.message}") if verdict.message else ""
    lines = textwrap.wrap(text, max(20, width - 10), break_on_hyphens=False)
    facts: list[tuple[str, object]] = [
        ("scenario", trace.scenario.get("name", "(no name)")),
        ("backend", f"{trace.backend}, {how}, {counted(len(trace.events), 'event')}"),
        ("verdict", lines[0]),
    ]
    yield from header_lines(facts)
    for line in lines[1:]:
        yield Text(" " * 10 + line)


def _finding(analysis: Analysis, finding: Finding, width: int) -> Iterator[Text]:
    from rich.text import Text

    title = Text(f"{finding.severity}: ", style=_STYLES[finding.severity])
    title.append(clean(finding.title), style="bold")
    title.append(f" [{finding.kind}]", style="dim")
    yield from _wrapped(title, width)
    for word, sentence in (("", finding.diagnosis), ("cure: ", finding.cure)):
        text = clean(f"{word}{sentence}.")
        for number, line in enumerate(textwrap.wrap(text, width - 4, break_on_hyphens=False)):
            yield Text(("  " if number == 0 else "    ") + line, style="bold" if not word else "")
    for line in textwrap.wrap(
        clean(finding.explanation), width - 2, break_long_words=False, break_on_hyphens=False
    ):
        yield Text("  " + line)
    for seq in finding.events[:_EVENTS]:
        yield Text("  " + _event(analysis, seq, width - 2), style="dim")
    if len(finding.events) > _EVENTS:
        yield Text(f"  ... and {len(finding.events) - _EVENTS} more events", style="dim")


def _wrapped(title: Text, width: int) -> Iterator[Text]:
    """A title on as many lines as it needs, later ones indented."""
    lines = textwrap.wrap(title.plain, width, subsequent_indent="    ", break_on_hyphens=False)
    if len(lines) <= 1:
        yield title
        return
    place = 0
    for number, line in enumerate(lines):
        text = line if number == 0 else line[4:]
        start = title.plain.index(text, place)
        place = start + len(text)
        piece = title[start:place]
        yield piece if number == 0 else type(title)("    ").append_text(piece)


def _event(analysis: Analysis, seq: int, width: int) -> str:
    event = analysis.trace.events[seq]
    name = analysis.trace.workers[event.worker]
    text = clean(f"#{seq:<5} {name}: {describe(event, analysis.trace.workers)}")
    at = clean(f"  {event.at}")
    if len(text) + len(at) > width:
        at = ""
    return (text if len(text) <= width else text[: width - 3] + "...") + at


def _locks(analysis: Analysis, width: int) -> Iterator[Text]:
    """The table of locks, where there is more than one turn to tell of."""
    from rich.text import Text

    used = [use for use in analysis.locks if use.taken + use.failed > 1]
    if not used:
        return
    clock = "" if analysis.trace.clock == "real" else "; the clock is virtual"
    yield Text("")
    yield Text(f"locks (times: median / 99% / longest{clock})", style="bold")
    room = max(8, width - 62)
    head = f"  {'name':<{room}} {'taken':>7} {'waited':>6} {'wait':>21} {'held':>21}"
    yield Text(head, style="dim")
    for use in used[:_LOCKS]:
        name = clean(use.name)
        name = name if len(name) <= room else name[: room - 2] + ".."
        yield Text(
            f"  {name:<{room}} {use.taken:>7,} {use.waited:>6,} "
            f"{_spread(use, wait=True):>21} {_spread(use, wait=False):>21}"
        )
    if len(used) > _LOCKS:
        yield Text(f"  ... and {len(used) - _LOCKS} more (--json lists them all)", style="dim")


def _spread(use: LockUse, *, wait: bool) -> str:
    spread = use.wait if wait else use.held
    if not spread.max:
        return "-"
    return " / ".join(
        duration(ns).replace(" ", "") for ns in (spread.p50, spread.p99, spread.max)
    )  # fmt: skip


def _summary(analysis: Analysis) -> str:
    counts = [
        (sum(one.severity == severity for one in analysis), severity)
        for severity in ("error", "warning", "note")
    ]
    parts = [f"{n} {word}{'' if n == 1 else 's'}" for n, word in counts if n]
    if not parts:
        return "nothing is found in this trace; that is no proof: see tracelock explore"
    return ", ".join(parts)
