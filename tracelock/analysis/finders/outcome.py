"""How the run ended, as a finding: the failure itself, with the events that it rests on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from tracelock.analysis.derived.facts import Facts
from tracelock.analysis.findings import ERROR, NOTE, Finding
from tracelock.ops import ATOMIC, CRASH, ON_VARIABLE, READ

__all__ = ["outcome", "suspects"]

#: Events quoted at most.
_FEW: Final = 8
_NAME: Final = re.compile(r"[A-Za-z_]\w*")


def outcome(facts: Facts, *, explained: bool = True) -> Iterator[Finding]:
    """One finding for a run that failed, crashed or was cut off; none for one that passed.

    ``explained``: whether other findings name a cause of the failure.
    """
    verdict, steps = facts.trace.verdict, facts.steps
    if verdict.kind == "unfinished":
        yield Finding(
            "unfinished", "The run was ended before it was over",
            f"It was ended from outside or by a limit ({verdict.message or 'no reason given'}) "
            "after so many events. What is told here holds as far as the trace goes; whether "
            "the run would have passed is not known.",
            (), (), (), NOTE,
        )  # fmt: skip
        return
    if verdict.kind == "crashed":
        crashes = tuple(seq for seq, kind in enumerate(steps.kinds) if kind == CRASH)
        yield Finding(
            "crash", f"A worker died: {_first(verdict.message)}",
            f"{verdict.message}. Nothing unwinds when a process is killed: no 'finally' and "
            "no 'with' runs, and what it held stays held. Keep what others need out of its "
            "hands, or start the others afresh too.",
            crashes, tuple(dict.fromkeys(steps.workers[seq] for seq in crashes)), (), ERROR,
        )  # fmt: skip
        return
    if verdict.kind != "failed":
        return  # a deadlock is told by ``stuck``
    names = suspects(facts)
    events = _events(facts, names)
    worker = (verdict.worker,) if verdict.worker is not None else ()
    at = "" if verdict.at is None else f" at {facts.place(verdict.at)}"
    who = "" if verdict.worker is None else f" in {steps.names[verdict.worker]}"
    last = f" The events that led there: {', '.join(map(str, events))}." if events else ""
    cause = (
        "The check is what went wrong last; the cause is an earlier event: see what the other "
        "findings say."
        if explained
        else "No other finding explains it: follow the events before it (tracelock show)."
    )
    if verdict.failure == "error":
        yield Finding(
            "worker-error", f"A worker failed{who}: {_first(verdict.message)}",
            f"The run failed with {_flat(verdict.message)}{who}{at}.{last} Where another "
            "finding names a cause, mend that first.",
            events, worker, (), ERROR,
        )  # fmt: skip
        return
    what = {
        "assert": "An assertion failed", "always": "An invariant was broken",
        "finally": "What must hold at the end does not",
    }[verdict.failure or "assert"]  # fmt: skip
    yield Finding(
        "failed-check", f"{what}{who}: {_first(verdict.message)}",
        f"{_flat(verdict.message)}{who}{at}.{last} {cause}",
        events, worker, tuple(sorted(names))[:_FEW], ERROR,
    )  # fmt: skip


def _first(message: str) -> str:
    """The first line, and not too much of it."""
    line = message.split("\n", 1)[0]
    return line if len(line) <= 160 else line[:157] + "..."


def _flat(message: str) -> str:
    """All lines of a message in one."""
    return "; ".join(line.strip() for line in message.splitlines() if line.strip())


def suspects(facts: Facts) -> frozenset[str]:
    """The variables on which the failed check depended, as far as the trace tells."""
    verdict, steps = facts.trace.verdict, facts.steps
    if verdict.kind != "failed":
        return frozenset()
    if verdict.worker is not None:
        if verdict.failure == "error":
            return frozenset()
        seqs = steps.by_worker[verdict.worker]
        read: set[str] = set()
        for seq in reversed(seqs):
            if steps.at(seq) != verdict.at and read:
                break
            if steps.kinds[seq] in ON_VARIABLE or steps.kinds[seq] == ATOMIC:
                read.update(steps.read(seq))
                if steps.at(seq) != verdict.at:
                    break  # it judged a local: what it read last is the best that is known
        return frozenset(read)
    mentioned = set(_NAME.findall(verdict.message))
    known = {shape.target for shape in steps.events.table if shape.target is not None}
    return frozenset(name for name in known if name.partition("[")[0] in mentioned)


def _events(facts: Facts, names: frozenset[str]) -> tuple[int, ...]:
    """The last look of the failing worker, or the last changes of what was judged."""
    verdict, steps = facts.trace.verdict, facts.steps
    if verdict.worker is not None:
        seqs = steps.by_worker[verdict.worker]
        at = [seq for seq in seqs[-_FEW:] if steps.at(seq) == verdict.at]
        return tuple(at or seqs[-1:])
    found: list[int] = []
    for seq in range(len(steps) - 1, -1, -1):
        if steps.kinds[seq] != READ and not names.isdisjoint(steps.written(seq)):
            found.append(seq)
            if len(found) == _FEW // 2:
                break
    return tuple(reversed(found))
