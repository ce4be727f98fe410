"""Events that are cleared before anybody has seen that they were set again.

A worker that waits for an event, looks at what it is about and clears it only then also clears a
set that came in between, and with it the news that this was to bring.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tracelock.analysis.derived.facts import Facts
from tracelock.analysis.finders.signals import between
from tracelock.analysis.findings import NOTE, WARNING, Finding
from tracelock.ops import CLEAR, READ, SET, WAIT, WAKE

__all__ = ["cleared"]

#: Findings in one trace.
MOST: Final = 20


def cleared(facts: Facts) -> Iterator[Finding]:
    """A finding (``cleared-event``) for each set by another that a worker cleared unseen.

    None where it looks afterwards at something that was changed before the set. A warning where it
    had looked at that before and does not look again; else a note.
    """
    steps = facts.steps
    found = 0
    for target, events in list(steps.by_object.items()):
        if steps.type_of(target) != "event":
            continue
        unseen = -1  # the last set since anybody waited or looked
        seen: dict[int, int] = {}  # by worker: where it last found it set
        for seq in events:
            kind, worker = steps.kinds[seq], steps.workers[seq]
            if kind == SET:
                unseen = seq
            elif kind in (WAIT, WAKE, READ) and steps.results[seq] is True:
                seen[worker] = seq
                unseen = -1
            elif kind == CLEAR:
                before = seen.get(worker, -1)
                other = unseen >= 0 and steps.workers[unseen] != worker
                if other and 0 <= before < unseen and found < MOST:
                    one = _cleared(facts, target, before, unseen, seq)
                    if one is not None:
                        found += 1
                        yield one
                unseen = -1


def _cleared(facts: Facts, target: str, woke: int, set_: int, clear: int) -> Finding | None:
    steps = facts.steps
    worker, setter = steps.workers[clear], steps.workers[set_]
    own = steps.by_worker[worker]
    told = {
        name for seq in between(steps.by_worker[setter], woke, set_) for name in steps.written(seq)
    }  # fmt: skip
    until = next(
        (seq for seq in own if seq > clear and steps.kinds[seq] == WAIT), len(steps)
    )  # fmt: skip
    if any(not told.isdisjoint(steps.read(seq)) for seq in between(own, clear, until)):
        return None
    looked = [seq for seq in between(own, woke, clear) if not told.isdisjoint(steps.read(seq))]
    name, other, what = steps.names[worker], steps.names[setter], facts.said(target, clear)
    return facts.finding(
        "cleared-event", WARNING if looked else NOTE,
        f"{name} clears {target} that {other} has just set",
        f"{name} finds {target} set {facts.cite(woke)}; {other} sets it again {facts.cite(set_)}, "
        f"and {name} clears it {facts.cite(clear)} without having seen that: what the second set "
        "was to tell is lost, and the next wait lasts until a third. Clear the event first and "
        "look at the state then, or use a queue or a semaphore, which count.",
        (woke, set_, clear), (target,), (worker, setter),
        diagnosis=f"{what} was set again after {name} had waited for it, and cleared unseen",
        cure="call `clear` before the state is looked at, not after it, or use a queue",
    )  # fmt: skip
