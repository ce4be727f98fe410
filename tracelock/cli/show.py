"""``tracelock show``: print a trace without running it."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from tracelock.cli.output import Output
from tracelock.errors import UsageError
from tracelock.names import for_display
from tracelock.trace import Trace, load_trace

if TYPE_CHECKING:
    from rich.text import Text

    from tracelock.report.timeline import Timeline


def show_command(options: argparse.Namespace, out: Output) -> int:
    """Print a trace's steps and verdict as the file has them."""
    from tracelock.report.terminal import verdict_block
    from tracelock.report.timeline import timeline

    trace = load_trace(options.trace)
    around = options.around
    if around is not None and around >= len(trace.events):
        raise UsageError(f"there is no event {around} in {len(trace.events):,} events")
    if options.step:
        from tracelock.cli.stepper import step_through

        step_through(trace, around, out)
        return 0
    if options.json:
        line = timeline(trace, selected(trace, options.all, around))
        out.json(show_object(trace, line))
        return 0
    out.lines(facts(trace))
    out.line()
    plumbing = options.all_events
    out.lines(steps(trace, out, every=options.all, around=around, sources=True, plumbing=plumbing))
    out.line()
    seen = for_display(trace)
    out.lines(verdict_block(seen.verdict, seen.workers))
    return 0


def show_object(trace: Trace, line: Timeline) -> dict[str, Any]:
    """A trace's header, the rows asked for with the reason of each switch, and the verdict."""
    rows = []
    for row in line.rows:
        switch = row.switch
        rows.append(
            {
                **row.event.to_data(), "text": row.text,
                "switch": None if switch is None else
                {"left": switch.left, "kind": switch.kind, "why": switch.text},
            }
        )  # fmt: skip
    header = trace.header()
    del header["scenario"]
    return {
        **header, "name": trace.scenario.get("name"), "events": line.events,
        "switches": line.switches, "preemptions": line.preemptions, "rows": rows,
        "verdict": trace.verdict.to_data(),
    }  # fmt: skip


def facts(trace: Trace, replayed_on: str | None = None) -> Iterator[Text]:
    """What a trace is of: the lines above its steps."""
    from tracelock.report.about import how_recorded
    from tracelock.report.terminal import header_lines

    environment = trace.environment
    parts = [environment.get("implementation"), environment.get("python")]
    python = " ".join(str(part) for part in parts if part is not None)
    rest = [python, environment.get("platform"), environment.get("start_method")]
    where = ", ".join(str(part) for part in rest if part)
    how = how_recorded(trace) if trace.mode == "controlled" else "free run"
    elsewhere = f"{trace.backend}, replayed on {replayed_on}"
    backend = elsewhere if replayed_on not in (None, trace.backend) else trace.backend
    yield from header_lines(
        [
            ("scenario", trace.scenario.get("name", "(no name)")),
            ("backend", backend),
            ("recorded", f"{how} ({where})" if where else how),
        ]
    )


def selected(trace: Trace, every: bool, around: int | None) -> Iterable[range]:
    """Which events to print."""
    from tracelock.report.timeline import selection

    if every and around is None:
        return [range(len(trace.events))]
    return list(selection(len(trace.events), around=around))


def say(sentence: str, out: Output) -> None:
    """Print a sentence, on as many lines as the terminal makes of it at blanks."""
    start = sentence[: len(sentence) - len(sentence.lstrip())]
    out.lines(
        textwrap.wrap(
            sentence, max(20, out.style.width), subsequent_indent=f"{start}  ",
            break_long_words=False, break_on_hyphens=False,
        )
    )  # fmt: skip


def told(trace: Trace, out: Output, *, plumbing: bool, every: bool = False) -> Iterator[Any]:
    """How a run went: a failure of Python code in the source lines that matter, unless all events
    are wanted; anything else as the table of its steps."""
    from tracelock.session import story

    lines = [] if plumbing or every else story.failure_story(trace, out.style)
    yield from lines or steps(trace, out, every=every, sources=True, plumbing=plumbing)


def steps(
    trace: Trace,
    out: Output,
    *,
    every: bool = False,
    around: int | None = None,
    sources: bool = False,
    plumbing: bool = False,
) -> Iterator[Any]:
    """The lines of the table of steps; of Python code with ``sources`` the source lines too, and
    with ``plumbing`` the events too that only starting, joining and the loop are made of."""
    from tracelock.session import story

    if not trace.events:
        yield "(no events)"
    select = list(selected(trace, every, around))
    yield from story.steps(trace, out.style, select, sources=sources, plumbing=plumbing)
    if sum(map(len, select)) < len(trace.events) and around is None:
        yield "(--all prints every event, show --around N those near event N)"
