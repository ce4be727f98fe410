"""What came in between, where no finding with a name of its own tells it.

Of two steps of one worker, with another in between, the first left something that the other used
or changed, or the second used something that the other had changed. On one variable these are the
unserialisable patterns of Lu and others (*AVIO*, ASPLOS 2006); on two it is a state of several
variables that was seen half done (Lu and others, *MUVI*, SOSP 2007).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from tracelock.analysis.derived.facts import Facts
from tracelock.analysis.derived.gaps import Absence
from tracelock.analysis.findings import WARNING, Finding
from tracelock.ops import ACQUIRE

__all__ = ["interference"]

#: Gaps that are looked into, the last ones, and accesses on each side of one.
GAPS: Final = 40
ACCESSES: Final = 60


def interference(facts: Facts) -> Iterator[Finding]:
    """A finding (``interference``) for each gap of a failing run into which a conflicting access
    came: the nearest such access on each side of it."""
    if facts.trace.verdict.kind == "passed":
        return
    for gap in facts.gaps[-GAPS:]:
        found = _around(facts, gap)
        if found is not None:
            yield found


def _around(facts: Facts, gap: Absence) -> Finding | None:
    steps = facts.steps
    own = steps.by_worker[gap.worker]
    place = bisect_right(own, gap.before)
    earlier = list(own[max(0, place - ACCESSES) : place])
    later = list(own[place : place + ACCESSES])
    between = range(gap.after - 1, gap.before, -1)
    inside = (seq for seq in between if steps.workers[seq] != gap.worker)
    others = _Others(facts, islice(inside, 20 * ACCESSES))
    first = _nearest(earlier[::-1], others)
    last = _nearest([seq for seq in later if steps.kinds[seq] != ACQUIRE], others)
    if first is not None and steps.kinds[first[0]] == ACQUIRE and last is None:
        return None
    if first is None or (last is None and (gap.after < len(steps) or not gap.preempted)):
        return None
    return _finding(facts, first, last)


def _nearest(own: Sequence[int], others: _Others) -> tuple[int, int] | None:
    """The first of these steps with which one of the others' conflicts, and that one."""
    for seq in own:
        other = others.conflicting(seq)
        if other >= 0:
            return seq, other
    return None


class _Others:
    """The last of the others' accesses in a gap, by what each does. ``seqs``: the last first."""

    def __init__(self, facts: Facts, seqs: Iterable[int]) -> None:
        self.steps = steps = facts.steps
        self.written: dict[str, int] = {}
        self.read: dict[str, int] = {}
        self.taken: dict[str | None, int] = {}
        for seq in seqs:
            for name in steps.written(seq):
                self.written.setdefault(name, seq)
            for name in steps.read(seq):
                self.read.setdefault(name, seq)
            if steps.kinds[seq] == ACQUIRE:
                self.taken.setdefault(steps.targets[seq], seq)

    def conflicting(self, seq: int) -> int:
        """The last access that conflicts with this one, one of them a write; -1."""
        steps = self.steps
        if steps.kinds[seq] == ACQUIRE:  # under one lock each, and not for both of its steps
            return self.taken.get(steps.targets[seq], -1)
        reads, writes = steps.read(seq), steps.written(seq)
        if not steps.atomics.isdisjoint((*reads, *writes)):
            return -1
        hits = [self.written.get(name, -1) for name in (*reads, *writes)]
        hits += [self.read.get(name, -1) for name in writes]
        return max(hits, default=-1)


def _finding(facts: Facts, first: tuple[int, int], last: tuple[int, int] | None) -> Finding:
    steps = facts.steps
    before, seen = first
    mine, other = steps.name(before), steps.name(seen)
    events = [before, seen]
    name = steps.targets[before] or ""
    where = f"{mine} {_verb(facts, before)} {name} {facts.cite(before)}"
    what = facts.say(before)
    if last is None:
        story = (
            f"{where} and has not gone on when {other} {_verb(facts, seen)} it {facts.cite(seen)}"
        )
        diagnosis = f"{other} came to {what} when {mine} was not done with it"
    else:
        after, changed = last
        second = steps.targets[after] or ""
        events += [changed, after]
        story = f"{where} and {_verb(facts, after)} {second} {facts.cite(after)}; in between "
        story += f"{steps.name(seen)} {_verb(facts, seen)} {name} {facts.cite(seen)}"
        if changed != seen:
            did = f"{_verb(facts, changed)} {second} {facts.cite(changed)}"
            story += f", and {steps.name(changed)} {did}"
        both = what if second == name else f"{what} and {facts.say(after)}"
        diagnosis = (
            f"{steps.name(changed)} came to {both} between two steps of {mine} that belong together"
        )
    return facts.finding(
        "interference", WARNING,
        f"{other} comes in between two steps of {mine}",
        f"{story}. Nothing keeps the two together, and without this switch the run would not have "
        f"ended so. Hold one lock, {mine} from the first step to the last, {other} around its own.",
        events, {name: None, (steps.targets[events[-1]] or name): None},
        (steps.workers[before],), diagnosis=diagnosis,
        cure=f"hold one lock from the first of the two steps to the last, and where {other} "
        "uses the same",
        places=(
            *map(facts.own_place, (before, *(last or ())[:1])),
            *([failed] if last is None and (failed := facts.trace.verdict.at) else []),
        ),
    )  # fmt: skip


def _verb(facts: Facts, seq: int) -> str:
    return "takes" if facts.steps.kinds[seq] == ACQUIRE else facts.verb(seq)
