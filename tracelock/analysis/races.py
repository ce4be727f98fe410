"""Data races: two accesses to one variable, one of them a write, that nothing keeps apart.

Two accesses race where they have no lock in common and neither comes before the other by the must
order (O'Callahan and Choi, PPoPP 2003). Whether they also race by what was observed, which is the
classic definition (Lamport 1978; Flanagan and Freund, *FastTrack*, PLDI 2009), is told in the
explanation: then even this run's locks did not order them. As in FastTrack only the latest access
of each kind is kept: if an older one races with a new one, so does the latest.

A variable that is changed indivisibly (``fetch_add``, ``compare_exchange``) is there to
synchronise and has no data races, as the atomics of other languages. Tasks have none at all: they
switch only where they say so (see ``atomicity`` for what can happen there).
"""

from __future__ import annotations

from typing import Final

from tracelock.analysis.facts import Facts
from tracelock.analysis.findings import NOTE, WARNING, Finding
from tracelock.ops import READ, WRITE

__all__ = ["MOST", "races"]

#: Races reported for one variable.
MOST: Final = 20

#: Worker, the step's shape, locks held: accesses that agree in these are alike.
_Alike = tuple[int, int, frozenset[str]]


def races(facts: Facts) -> list[Finding]:
    """A finding (``data-race``) for each pair of steps that race on a variable."""
    steps, locks = facts.steps, facts.locks
    if steps.cooperative:
        return []
    must = facts.must
    kinds, targets, workers, shapes = steps.kinds, steps.targets, steps.workers, steps.shapes
    atomics = steps.atomics
    latest: dict[str, dict[_Alike, int]] = {}
    done: set[tuple[_Alike, _Alike]] = set()
    counts: dict[str, int] = {}
    found: list[Finding] = []
    for seq, kind in enumerate(kinds):
        if kind > WRITE:
            continue
        name = targets[seq]
        if name is None or name in atomics:
            continue
        worker = workers[seq]
        held = locks.at(seq)
        alike = (worker, shapes[seq], held)
        known = latest.get(name)
        if known is None:
            latest[name] = {alike: seq}
            continue
        for other, before in known.items():
            if other[0] == worker or (kind == READ and kinds[before] == READ):
                continue
            pair = (other, alike)
            if pair in done or held & other[2] or must.before(before, seq):
                continue
            done.add(pair)
            done.add((alike, other))
            counts[name] = counts.get(name, 0) + 1
            if counts[name] <= MOST:
                found.append(_finding(facts, name, before, seq))
        known[alike] = seq
    return found


def _finding(facts: Facts, name: str, first: int, second: int) -> Finding:
    steps = facts.steps
    verbs = ["writes" if steps.kinds[seq] == WRITE else "reads" for seq in (first, second)]
    certain = not facts.observed.before(first, second)
    held = [sorted(facts.locks.at(seq)) for seq in (first, second)]
    if any(held):
        who = [
            f"{steps.name(seq)} holds {', '.join(mine) or 'no lock'}"
            for seq, mine in zip((first, second), held, strict=True)
        ]
        why = f"They have no lock in common ({who[0]}, {who[1]})"
    else:
        why = "Neither holds a lock"
    only = (
        ""
        if certain
        else " In this run other synchronisation happened to order them; in another it need not."
    )
    explanation = (
        f"{steps.name(first)} {verbs[0]} {name} {facts.told(first)}, {steps.name(second)} "
        f"{verbs[1]} it {facts.told(second)}. {why}, and nothing makes one wait for the other, so "
        f"they can come in either order, and the result may differ.{only}"
    )
    return Finding(
        "data-race",
        f"Data race on {name}",
        explanation,
        (first, second),
        (steps.workers[first], steps.workers[second]),
        (name,),
        WARNING if certain else NOTE,
        shows=(((second, first),),),
    )
