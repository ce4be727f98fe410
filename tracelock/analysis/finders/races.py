"""Data races: two accesses to one variable, one of them a write, that nothing keeps apart.

Two accesses race where they have no lock in common and neither comes before the other by the must
order (O'Callahan and Choi, PPoPP 2003). Whether they also race by what was observed, which is the
classic definition (Lamport 1978; Flanagan and Freund, *FastTrack*, PLDI 2009), is told in the
explanation: then even this run's locks did not order them. As in FastTrack only the latest access
of each kind is kept: if an older one races with a new one, so does the latest.

A variable that is changed indivisibly (``fetch_add``, ``compare_exchange``) is there to
synchronise and has no data races, as the atomics of other languages. Tasks have none at all: they
switch only where they say so (see ``atomicity`` for what can happen there); that the *order* of
their accesses decides the result they have in common with threads.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Final

from tracelock.analysis.derived.facts import Facts, base_of
from tracelock.analysis.derived.happens_before import Order
from tracelock.analysis.findings import NOTE, WARNING, Finding
from tracelock.ops import READ, WRITE

__all__ = ["MOST", "order_violations", "races"]

#: Races reported for one variable.
MOST: Final = 20

#: Worker, locks held, the step's shape: accesses that agree in these are alike.
_Alike = tuple[int, frozenset[str], int]


@dataclass(slots=True)
class _Accesses:
    """The last access of a worker with some locks held, and the last by each step's shape."""

    last: int
    steps: dict[int, int]


def races(facts: Facts, *, tolerant: bool = False, merged: bool = False) -> list[Finding]:
    """A finding (``data-race``) for each pair of steps that race on a variable.

    ``tolerant``: who follows a flag (see ``flags``) has waited for it, and races on flags
    themselves are notes. Not for a run that failed: there, no race is presumed to be harmless.
    ``merged``: races that are alike (see `Facts.alike`) are one finding, which stands here as often
    as there are races.
    """
    if facts.steps.cooperative:
        return []
    order = facts.tolerant if tolerant else facts.must
    steps = facts.steps
    found = []
    worded: dict[tuple[Hashable, ...], Finding] = {}
    for name, first, second in _pairs(facts, order, None):
        # findings that are merged in the end are worded once
        key = (
            base_of(name), steps.at(first), steps.at(second), facts.observed.before(first, second)
        ) if merged else (first, second)  # fmt: skip
        if key not in worded:
            worded[key] = _finding(facts, name, first, second, tolerant)
        found.append(worded[key])
    return found


def order_violations(facts: Facts, names: frozenset[str]) -> Iterator[Finding]:
    """The same among tasks, for the variables on which a failed check depended."""
    steps = facts.steps
    for name, first, second in _pairs(facts, facts.must, names):
        yield facts.finding(
            "order-violation", WARNING,
            f"Nothing decides which comes first: two accesses to {name}",
            f"{steps.name(first)} {facts.verb(first)} {name} {facts.cite(first)}, and "
            f"{steps.name(second)} {facts.verb(second)} it {facts.cite(second)}. Tasks are not "
            "interrupted between two awaits, but nothing says which of these two comes first, "
            "and the check that failed depends on it. Let the second wait for the first: "
            "join it, or wait for an event that it sets.",
            (first, second), (name,), shows=(((second, first),),),
            diagnosis=f"nothing decides whether {steps.name(first)} or {steps.name(second)} comes "
            f"first to {facts.say(second)}",
        )  # fmt: skip


def _pairs(facts: Facts, order: Order, names: frozenset[str] | None) -> list[tuple[str, int, int]]:
    """(variable, earlier, later) for pairs that nothing keeps apart, each pair of steps once."""
    steps, locks = facts.steps, facts.locks
    kinds, targets, workers, shapes = steps.kinds, steps.targets, steps.workers, steps.shapes
    atomics = steps.atomics
    # by locks held, then worker: its latest access of all, and the latest of each step
    latest: dict[str, dict[frozenset[str], dict[int, _Accesses]]]
    latest = defaultdict(lambda: defaultdict(dict))
    done: set[tuple[_Alike, _Alike]] = set()
    counts: dict[str, int] = defaultdict(int)
    found: list[tuple[str, int, int]] = []
    for seq, kind in enumerate(kinds):
        if kind > WRITE:
            continue
        name = targets[seq]
        if name is None or name in atomics or counts[name] >= MOST:
            continue
        if names is not None and name not in names:
            continue
        worker, shape = workers[seq], shapes[seq]
        held = locks.at(seq)
        mine = (worker, held, shape)
        known = latest[name]
        for others, by_worker in known.items():
            if held & others:
                continue
            for other, accesses in by_worker.items():
                # what a worker did before an access that comes before this one does so too
                if other == worker or order.before(accesses.last, seq):
                    continue
                for step, before in accesses.steps.items():
                    if kind == READ and kinds[before] == READ:
                        continue
                    pair = ((other, others, step), mine)
                    if pair in done or order.before(before, seq):
                        continue
                    done.add(pair)
                    done.add((pair[1], pair[0]))
                    counts[name] += 1
                    if counts[name] <= MOST:
                        found.append((name, before, seq))
        group = known[held]
        if worker not in group:
            group[worker] = _Accesses(seq, {})
        group[worker].last = seq
        group[worker].steps[shape] = seq
    return found


def _finding(facts: Facts, name: str, first: int, second: int, tolerant: bool) -> Finding:
    steps = facts.steps
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
    flag = facts.flags.get(name) if tolerant else None
    if flag is None:
        severity = WARNING if certain else NOTE
        end = f", so they can come in either order, and the result may differ.{only}"
        end += f" Guard every access to {name} with one lock, or make one wait for the other."
    else:
        severity = NOTE
        end = (
            f". But {name} is used as a flag: {flag}. Steps come in one order here, so this is "
            "likely meant and harmless; an event or a lock would say so to the reader, and hold "
            "without a GIL too."
        )
    explanation = (
        f"{steps.name(first)} {facts.verb(first)} {name} {facts.cite(first)}, {steps.name(second)} "
        f"{facts.verb(second)} it {facts.cite(second)}. {why}, and nothing makes one wait for the "
        f"other{end}"
    )
    return facts.finding(
        "data-race",
        severity,
        f"Data race on {name}" + ("" if flag is None else ", which is used as a flag"),
        explanation,
        (first, second),
        (name,),
        shows=(((second, first),),),
        diagnosis=f"{steps.name(first)} and {steps.name(second)} use {facts.say(second)} without "
        "a common lock, in either order",
    )
