"""A report to be pasted into an issue: Markdown, with the source and the trace folded in.

It is for others: the home folder of whoever made it becomes ``~`` wherever it stands.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from tracelock.report.about import Subject, how_to_replay
from tracelock.report.code import lines_of, place_of
from tracelock.report.markdown import TABLE, code, fenced, markdown
from tracelock.report.redaction.redacting import REDACTED
from tracelock.trace.text import visible
from tracelock.trace.token import token_of

__all__ = ["attachment", "without_home"]

#: Characters that an issue or comment may have on the trackers that allow the fewest (GitHub).
LIMIT: Final = 65_536
#: Left for what somebody writes above it.
_SPARE: Final = 4_000
#: Events of a trace above which it is not folded in.
_MOST_EVENTS: Final = 2_000
#: Lines of source around a place, where the whole file is too long.
_AROUND: Final = 12


def attachment(subject: Subject) -> str:
    """The Markdown report of ``subject``, under the limit of a comment: its rows are cut where they
    are too many; then the token, the source of what the trace ran through, and the whole trace,
    each in a fold, as far as they fit. A trace that does not is to be attached as a file."""
    trace = subject.record or subject.trace
    kept_out = REDACTED in trace.extra
    small = len(trace.events) <= _MOST_EVENTS and not kept_out
    text = visible(trace.to_text()) if small else ""
    fold = (
        "<details><summary>The trace: save it as <code>trace.json</code></summary>\n\n"
        f"{fenced(text, 'json')}\n\n</details>\n"
    )
    room = LIMIT - _SPARE
    report = _fitting(subject, room // 2)
    token = "" if kept_out else token_of(trace)
    if token:
        report += f"\nThe failing schedule as a token: {code(token)} (`tracelock replay --token`)\n"
    folded = bool(text) and len(report) + len(without_home(fold)) <= room
    if folded:
        command = how_to_replay(trace, "trace.json")
        report = report.replace(how_to_replay(trace, subject.path), command)
    elif kept_out:
        fold = (
            "The trace is not folded in here: values in it are kept out of this report, and a "
            "trace without them does not replay.\n"
        )
    else:
        name = code(subject.path or "the trace's file")
        fold = (
            f"The trace is too large to be folded in here: attach the file {name} "
            "to the issue (compressed as .json.gz it is much smaller, and replays as it is).\n"
        )
    sources = _sources(subject, room - len(report) - len(fold))
    return without_home(f"{report}\n{sources}{fold}")


def without_home(text: str) -> str:
    """``text`` with ``~`` in the place of the home folder, and so without the name of its user."""
    home = os.path.expanduser("~").rstrip("/\\")
    return text.replace(home, "~") if len(home) > 1 and home != "~" else text


def _fitting(subject: Subject, room: int) -> str:
    """The report with as many rows as fit."""
    most = subject.most or TABLE
    report = markdown(subject)
    while len(report) > room and most > 5:
        most //= 2
        report = markdown(replace(subject, most=most))
    if len(report) > room:  # a message without an end, hundreds of findings
        report = report[: room - 100].rpartition("\n")[0]
        report += "\n\n(cut here: the report is too long)\n"
        if report.count("```") % 2:
            report += "```\n"
    return report


def _sources(subject: Subject, room: int) -> str:
    """The source that the trace ran through, in a fold: whole files where they fit, else the lines
    around its places; "" where there is no room."""
    if not subject.sources:
        return ""
    for cut in (False, True):
        parts = []
        for name, text in sorted(subject.sources.items()):
            shown = _around(text, _lines(subject, name)) if cut else text
            parts.append(f"{code(name)}\n\n{fenced(visible(shown), 'python')}\n")
        fold = "\n".join(["<details><summary>The source</summary>\n", *parts, "</details>\n", ""])
        if len(fold) <= room:
            return fold
    return ""


def _lines(subject: Subject, name: str) -> Iterator[int]:
    """The lines of a file that the trace has events of."""
    for at in {shape.at for shape in subject.trace.events.table}:
        place = place_of(at)
        if place is not None and place[0] == name:
            yield place[1]


def _around(text: str, lines: Iterator[int]) -> str:
    """These lines and those around them, with their numbers."""
    rows = lines_of(text)
    near = {row for line in lines for row in range(line - _AROUND, line + _AROUND)}
    kept = sorted(row for row in near if 0 < row <= len(rows))
    shown: list[str] = []
    for place, row in enumerate(kept):
        if place and row != kept[place - 1] + 1:
            shown.append("     ...")
        shown.append(f"{row:>4} {rows[row - 1]}")
    return "\n".join(shown)
