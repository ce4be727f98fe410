"""A part of a timeline as a Mermaid sequence diagram, for issue trackers that draw them.

Mermaid takes ``;``, ``#``, ``%%``, quotes and more as its own, wherever they stand. Whatever is not
plainly harmless is written by its number (``#35;``), which Mermaid turns back into the character.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from tracelock.report.arrows import Message, messages
from tracelock.report.timeline import Row, Timeline
from tracelock.report.turning import TurningPoint
from tracelock.report.wording import clean, waits
from tracelock.trace import Trace

__all__ = ["mermaid", "quoted"]

#: Columns for objects and variables beside those of the workers; the others' events stay with
#: their workers.
MOST_TARGETS: Final = 6
#: Mermaid draws no more than so many workers in a readable width.
MOST_WORKERS: Final = 8
_LONGEST: Final = 80
_PLAIN: Final = re.compile(r"[^A-Za-z0-9 .,_=+/()!?'\u00c0-\u024f-]")


def quoted(text: str) -> str:
    """``text`` for a diagram: nothing in it means anything to Mermaid."""
    text = clean(text)
    text = text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
    text = _PLAIN.sub(lambda found: f"#{ord(found[0])};", text.strip()) or "#32;"
    # two dashes or an arrow's head in a row could be read as an arrow
    return text.replace("--", "-#45;")


def mermaid(trace: Trace, line: Timeline, turn: TurningPoint | None = None) -> str:
    """The rows of ``line`` as a diagram; the caller sees to it that they are few."""
    present = {row.worker for row in line.rows}
    present |= {row.switch.left for row in line.rows if row.switch is not None}
    blocked = [one for one in trace.verdict.blocked if one.worker in trace.workers]
    present |= {trace.workers.index(one.worker) for one in blocked}
    workers = sorted(present)[:MOST_WORKERS]
    targets = _targets(trace, line)
    came: dict[int, list[Message]] = {}
    for message in messages(trace):
        at = message.source if message.dest < 0 else message.dest
        came.setdefault(at, []).append(message)
    lines = ["sequenceDiagram"]
    lines += [f"    participant w{worker} as {quoted(line.workers[worker])}" for worker in workers]
    lines += [f"    participant o{place} as {quoted(name)}" for name, place in targets.items()]
    expected = line.rows[0].seq if line.rows else 0
    if expected and workers:
        lines.append(f"    Note over w{workers[0]}: {expected} events before")
    for row in line.rows:
        if row.worker not in workers:
            continue
        if row.seq != expected:
            lines.append(f"    Note over w{row.worker}: {row.seq - expected} events left out")
        expected = row.seq + 1
        if row.switch is not None and row.switch.left in workers:
            reason = f"switch, {row.switch.text}"
            if turn is not None and turn.seq == row.seq:
                reason = f"{turn.label}, {row.switch.text}"
            lines.append(f"    Note over w{row.switch.left}: {quoted(reason)}")
        lines.append(_message(row, targets))
        for sent in came.get(row.seq, ()):
            source = trace.events.workers[sent.source]
            if sent.dest < 0:
                lines.append(f"    w{row.worker}-xw{row.worker}: {quoted(f'{sent.what} lost')}")
            elif source in workers:
                told = f"{sent.what} of {sent.source}"
                lines.append(f"    w{source}-)w{row.worker}: {quoted(told)}")
    if expected == line.events:
        for one in blocked:
            worker = trace.workers.index(one.worker)
            if worker not in workers:
                continue
            place = targets.get(one.target)
            if place is None:
                lines.append(f"    Note over w{worker}: {quoted(waits(one))}")
            else:
                lines.append(f"    w{worker}-xo{place}: {quoted(waits(one))}")
    elif workers:
        lines.append(f"    Note over w{workers[0]}: {line.events - expected} events after")
    return "\n".join(lines) + "\n"


def _targets(trace: Trace, line: Timeline) -> dict[str, int]:
    """The objects and variables that get a column: those used most, in the order of first use."""
    counts = Counter(row.event.target or "" for row in line.rows)
    for one in trace.verdict.blocked:  # what the end is about comes first
        counts[one.target] += len(line.rows) + 1
    for name in ("", *trace.workers):
        del counts[name]
    most = [name for name, _ in counts.most_common(MOST_TARGETS)]
    return {name: place for place, name in enumerate(name for name in counts if name in most)}


def _message(row: Row, targets: dict[str, int]) -> str:
    event = row.event
    place = targets.get(event.target) if event.target is not None else None
    if place is None:
        return f"    w{row.worker}->>w{row.worker}: {quoted(f'{row.seq} {row.text}')}"
    said = row.text
    head = f"{clean(event.op)} {clean(event.target or '')}"
    if said.startswith(head):  # the arrow says to what
        said = clean(event.op) + said[len(head) :]
    arrow = "-->>" if event.op == "release" else "->>"
    return f"    w{row.worker}{arrow}o{place}: {quoted(f'{row.seq} {said}')}"
