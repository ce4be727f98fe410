"""A trace as Markdown for an issue tracker (GitHub's and GitLab's dialect).

It is read by people who have nothing installed, so it says what happened, who held what and what
to change, before it says how to run it again. Names and values of a trace are literal text: in
code spans where that is readable, escaped elsewhere; they mention nobody and link nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from tracelock.analysis.findings import Finding
from tracelock.report.about import Subject, facts, how_to_replay, needs_calls, scenario_name
from tracelock.report.code import listing
from tracelock.report.mermaid import mermaid
from tracelock.report.timeline import Row, Timeline, timeline
from tracelock.report.turning import TurningPoint
from tracelock.report.wording import clean, describe, outcome_name, said_of, state_text, step_of
from tracelock.trace import Trace

__all__ = ["code", "fenced", "markdown", "plain"]

#: Events in the diagram, around the failure.
DIAGRAM: Final = 60
#: Rows of the table where nobody asked for another number.
TABLE: Final = 100
FINDINGS: Final = 10
STEPS: Final = 60
#: A table of more columns cannot be read; then it is a list.
COLUMNS: Final = 8
#: What a tracker would turn into a mention, a reference or a link.
_LINKS: Final = re.compile(r"@\w|#\d|GH-\d|://|www\.", re.IGNORECASE)
_WORD: Final = re.compile(r"\S+")
_ESCAPED: Final = re.compile(
    r"([\\`*<|~&]|!(?=\[)|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|\](?=[(\[:]))"
)


def plain(text: str) -> str:
    """``text`` as running text, on one line: nothing in it is Markdown."""
    text = clean(text)
    if _LINKS.search(text):  # only the words that would be links
        return _WORD.sub(lambda found: _unlinked(found[0]), text)
    return _escaped(text)


def _unlinked(word: str) -> str:
    if not _LINKS.search(word):
        return _escaped(word)
    end = len(word.rstrip(",.;:)"))
    return code(word[:end]) + word[end:]


def _escaped(text: str) -> str:
    text = _ESCAPED.sub(r"\\\1", text)
    return re.sub(r"^(\s*)([-+#=>]|\d+(?=[.)]))", lambda m: m[1] + _first(m[2]), text)


def _first(begin: str) -> str:
    """The beginning of a list or a heading, made harmless."""
    return f"\\{begin}" if not begin.isdigit() else f"{begin[:-1]}&#{ord(begin[-1])};"


def code(text: str, *, cell: bool = False) -> str:
    """``text`` as a code span, also within a table's ``cell``."""
    text = clean(text)
    if cell and "|" in text and "\\" in text:
        # pipes and backslashes together are read differently everywhere: by number
        return f"<code>{''.join(_numbered(char) for char in text)}</code>"
    if cell:
        text = text.replace("|", "\\|")
    if "`" not in text:
        return f"`{text}`" if text.strip() else "` `"
    fence = "`" * (max(map(len, re.findall("`+", text))) + 1)
    return f"{fence} {text} {fence}"


def _numbered(char: str) -> str:
    return char if char.isalnum() or char == " " else f"&#{ord(char)};"


def fenced(text: str, language: str = "") -> str:
    """A code block whose fence is longer than any in the text."""
    fence = "`" * max(3, max(map(len, re.findall("`+", text)), default=0) + 1)
    end = "" if text.endswith("\n") else "\n"
    return f"{fence}{language}\n{text}{end}{fence}"


def markdown(subject: Subject, *, title: bool = True) -> str:
    """The report. ``title``: with a heading that says what it is about.

    Raises UsageError where the twin is of other workers than the trace.
    """
    trace = subject.trace
    turn = subject.turn()
    most = subject.most or TABLE
    line = timeline(trace, subject.window(turn, most))
    parts: list[str] = []
    if title:
        verdict = trace.verdict
        outcome = outcome_name(verdict.kind, verdict.failure)
        parts.append(f"## {plain(outcome)}: {code(scenario_name(trace))} on {plain(trace.backend)}")
    parts += _verdict(trace, turn)
    parts += _findings(subject)
    parts += _interleaving(trace, line, turn, "What happened, in this order")
    if subject.twin is not None:
        around = min(turn.seq if turn is not None else 0, max(0, len(subject.twin.events) - 1))
        beside = Subject(subject.twin, around=around)
        other = timeline(subject.twin, beside.window(None, most))
        parts += _interleaving(subject.twin, other, None, "The same, where it passes")
    small = timeline(trace, subject.window(turn, DIAGRAM))
    if len(small.rows) > DIAGRAM:  # what lies far off has no place in a diagram
        focus = subject.focus()
        rows = [row for row in small.rows if abs(row.seq - focus) <= DIAGRAM // 2][:DIAGRAM]
        small = replace(small, rows=rows)
    if small.rows:
        parts.append("### Sequence diagram")
        parts.append(fenced(mermaid(trace, small, turn), "mermaid"))
    parts += _steps(subject)
    parts += _environment(subject, line)
    return "\n\n".join(parts) + "\n"


# --- parts ---------------------------------------------------------------------------------------
def _verdict(trace: Trace, turn: TurningPoint | None) -> Iterator[str]:
    lines = []
    for said, at, more in said_of(trace.verdict, trace.workers):
        where = f" at {code(at)}" if at is not None else ""
        lines.append(f"- **{plain(said)}**{where}")
        if more:
            lines += [f"  {line}" for line in fenced("\n".join(more)).split("\n")]
    if trace.verdict.state:
        lines.append(f"- final state: {code(state_text(trace.verdict.state))}")
    if turn is not None:
        lines.append(f"- **{turn.label}** is before event {turn.seq}: {plain(turn.text)}")
    if lines:
        yield "\n".join(lines)
    about = trace.scenario.get("description")
    if isinstance(about, str) and about.strip():
        yield f"> {plain(' '.join(about.split())[:1_000])}"


def _findings(subject: Subject) -> Iterator[str]:
    if not subject.findings:
        return
    yield f"### {subject.heading}"
    for number, finding in enumerate(subject.findings[:FINDINGS], 1):
        yield "\n".join(_finding(number, finding, subject.trace))
    if len(subject.findings) > FINDINGS:
        yield f"{len(subject.findings) - FINDINGS} more: `tracelock analyze`"


def _finding(number: int, finding: Finding, trace: Trace) -> Iterator[str]:
    yield f"{number}. **{plain(finding.title)}** ({finding.severity})"
    for line in finding.explanation.split("\n"):
        if line.strip():
            yield f"   {plain(line.strip())}"
    for seq in list(dict.fromkeys(finding.events))[:8]:
        if 0 <= seq < len(trace.events):
            event = trace.events[seq]
            who = plain(trace.workers[event.worker])
            what = code(describe(event, trace.workers))
            yield f"   - event {seq}: {who} {what} at {code(event.at)}"


def _interleaving(
    trace: Trace, line: Timeline, turn: TurningPoint | None, title: str
) -> Iterator[str]:
    yield f"### {title}"
    if not line.rows:
        yield "(no events)"
        return
    left = line.events - len(line.rows)
    if left:
        yield f"{len(line.rows):,} of {line.events:,} events, the part around the failure."
    yield "\n".join(_table(line, turn) if len(line.workers) <= COLUMNS else _list(line, turn))


def _table(line: Timeline, turn: TurningPoint | None) -> Iterator[str]:
    count = len(line.workers)
    yield "| # | " + " | ".join(code(name, cell=True) for name in line.workers) + " | step |"
    yield "|--:|" + ":--|" * (count + 1)
    expected = 0
    for row in line.rows:
        if row.seq != expected:
            yield _cells("", [f"*{row.seq - expected:,} events left out*"] + [""] * (count - 1), "")
        expected = row.seq + 1
        if row.switch is not None:
            cells = [""] * count
            cells[row.switch.left] = _switch(row, turn)
            yield _cells("", cells, "")
        cells = [""] * count
        cells[row.worker] = code(row.text, cell=True)
        yield _cells(str(row.seq), cells, code(step_of(row.at), cell=True))
    if expected < line.events:
        left = f"*{line.events - expected:,} events left out*"
        yield _cells("", [left] + [""] * (count - 1), "")
    elif any(end.text for end in line.ends):
        yield _cells("end", [f"*{_cell(end.text)}*" if end.text else "" for end in line.ends], "")


def _cells(first: str, cells: list[str], last: str) -> str:
    return f"| {first} | {' | '.join(cells)} | {last} |"


def _switch(row: Row, turn: TurningPoint | None) -> str:
    assert row.switch is not None
    reason = row.switch.text.replace(" (", ", ").replace(")", "")
    said = f"*switch ({_cell(reason)})*"
    return f"{said} **{turn.label}**" if turn is not None and turn.seq == row.seq else said


def _cell(text: str) -> str:
    """Running text in a cell. Stars around a code span stay what they are."""
    return plain(text) if not _LINKS.search(text) else code(text, cell=True)


def _list(line: Timeline, turn: TurningPoint | None) -> Iterator[str]:
    """More workers than a table has room for: one event a line."""
    expected = 0
    for row in line.rows:
        if row.seq != expected:
            yield f"- *{row.seq - expected:,} events left out*"
        expected = row.seq + 1
        if row.switch is not None:
            yield f"- {plain(line.workers[row.switch.left])}: {_switch(row, turn)}"
        yield f"- {row.seq} {plain(line.workers[row.worker])}: {code(row.text)}"
    if expected < line.events:
        yield f"- *{line.events - expected:,} events left out*"
        return
    for name, end in zip(line.workers, line.ends, strict=True):
        if end.kind in ("blocked", "failed", "died"):
            yield f"- end, {plain(name)}: *{plain(end.text)}*"


def _steps(subject: Subject) -> Iterator[str]:
    """What the workers do, with the names that the table gives to the steps."""
    trace = subject.trace
    lines: list[str] = []
    seen: set[tuple[object, ...]] = set()
    for name, own in zip(trace.workers, listing(trace, subject.sources), strict=True):
        key = tuple(own)
        if key in seen or not own:
            continue
        seen.add(key)
        group = name.partition("[")[0]
        alike = [one for one in trace.workers if one.partition("[")[0] == group]
        who = f"  # {', '.join(map(clean, alike[:8]))}" if len(alike) > 1 else ""
        lines.append(f"{clean(group if len(alike) > 1 else name)}:{who}")
        written = [("  " * (line.indent + 1) + line.text, clean(step_of(line.at))) for line in own]
        width = min(70, max(len(said) for said, _ in written))
        for said, at in written:
            mark = at if at and not said.lstrip().startswith(at.rpartition(":")[2]) else ""
            lines.append(f"{said:<{width}}  # {mark}" if mark else said)
    if not lines:
        return
    cut = lines[:STEPS]
    if len(lines) > STEPS:
        cut.append(f"... ({len(lines) - STEPS} more lines)")
    yield "### The steps of the workers"
    yield fenced("\n".join(cut), "" if trace.scenario.get("python") else "yaml")


def _environment(subject: Subject, line: Timeline) -> Iterator[str]:
    trace = subject.trace
    yield "### Environment"
    rows = facts(trace, line.switches, line.preemptions)
    yield "\n".join(
        ["| | |", "|:--|:--|", *(f"| {name} | {code(value, cell=True)} |" for name, value in rows)]
    )
    yield "### Replay it"
    yield fenced(how_to_replay(trace, subject.path), "sh")
    said = "It runs the recorded interleaving again, event by event, and compares every result."
    if needs_calls(trace):
        said += " It runs Python code that the trace names: read that code first."
    yield said
