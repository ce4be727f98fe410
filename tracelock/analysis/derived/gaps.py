"""Where others came in between two steps of one worker.

A failing schedule that was made small has no switch to spare: without any of its preemptions it
would not fail. So what went wrong lies around one of them (Choi and Zeller, *Isolating
failure-inducing thread schedules*, ISSTA 2002).
"""

from __future__ import annotations

from dataclasses import dataclass

from tracelock.analysis.derived.steps import Steps

__all__ = ["Absence", "gaps_of"]


@dataclass(frozen=True, slots=True)
class Absence:
    """``worker`` made event ``before``, then others made events, then it made ``after`` (the
    trace's length where it made none any more). ``preempted``: it could have gone on at once."""

    worker: int
    before: int
    after: int
    preempted: bool


def gaps_of(steps: Steps) -> list[Absence]:
    """All gaps of a trace, in the order of ``before``; where there are preemptive ones, those."""
    events, end = steps.events, len(steps)
    chosen = [frozenset(one or ()) for one in events.choice_table]
    found: list[Absence] = []
    left: dict[int, Absence] = {}  # by worker: it has not come back yet
    for seq in range(1, end):
        worker, last = steps.workers[seq], steps.workers[seq - 1]
        if worker == last:
            continue
        able = events.choices is not None and last in chosen[events.choices[seq]]
        left[last] = Absence(last, seq - 1, end, able)
        gap = left.pop(worker, None)
        if gap is not None:
            found.append(Absence(worker, gap.before, seq, gap.preempted))
    found += left.values()
    found.sort(key=lambda gap: gap.before)
    return [gap for gap in found if gap.preempted] or found
