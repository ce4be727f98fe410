"""Waits that got on by nothing but their timeout, and the lost wake-ups that this hides."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from tracelock.analysis.derived.facts import Facts
from tracelock.analysis.finders.signals import BACK, FEW, LOOP, between, on, wrote_between
from tracelock.analysis.findings import NOTE, WARNING, Finding
from tracelock.ops import (
    ACQUIRE,
    CLEAR,
    JOIN,
    NOTIFY,
    READ,
    REQUEST,
    SET,
    TIMEOUT,
    WAIT,
    WAKE,
)
from tracelock.trace import MISSING

__all__ = ["timeouts"]

#: Time-outs of one step that are looked into.
MOST: Final = 500


def timeouts(facts: Facts) -> list[Finding]:
    """A finding for each place where a wait got on by nothing but its timeout.

    ``lost-wakeup`` where a signal had come before the wait and after the last look at what it was
    about; else ``timeout-only``, a note.
    """
    steps = facts.steps
    places: dict[tuple[str, int], list[int]] = defaultdict(list)
    for seq, kind in enumerate(steps.kinds):
        target, timeout = steps.targets[seq], steps.events.table[steps.shapes[seq]].timeout
        if kind == TIMEOUT:  # of one with a target the wake or the acquire that it ends tells
            in_vain = target is None
        else:
            timed = kind in (WAIT, WAKE, ACQUIRE, JOIN) and timeout is not MISSING and timeout
            in_vain = timed and steps.results[seq] is False
        if in_vain:
            places[target or "", steps.shapes[seq]].append(seq)
    found = []
    for (target, _), seqs in places.items():
        hidden = next((one for seq in seqs[:MOST] if (one := _hidden(facts, target, seq))), None)
        found.append(hidden or _timed_out(facts, target, seqs))
    return found


def _began(facts: Facts, seq: int) -> int:
    """Where the wait that ended with event ``seq`` began."""
    steps = facts.steps
    before = steps.before(seq)
    while before >= 0 and steps.targets[before] == steps.targets[seq]:
        if steps.kinds[before] in (WAIT, REQUEST):
            return before
        if steps.kinds[before] != TIMEOUT:
            break
        before = steps.before(before)
    return seq


def _hidden(facts: Facts, target: str, seq: int) -> Finding | None:
    steps = facts.steps
    if steps.kinds[seq] not in (WAIT, WAKE):
        return None
    worker = steps.workers[seq]
    start = _began(facts, seq)
    own = steps.by_worker[worker]
    mine = list(own[max(0, steps.locals[start] - BACK) : steps.locals[start] - 1])
    if steps.type_of(target) == "condition":
        look = next((one for one in reversed(mine) if steps.kinds[one] == READ), -1)
        lost = [
            one for one in between(on(facts, target, NOTIFY), look, start)
            if steps.workers[one] != worker and steps.results[one] == []
        ]  # fmt: skip
        if not lost or (look >= 0 and not wrote_between(facts, look, lost[-1])):
            return None
        signal, then = lost[-1], []
        what = "notifies"
    elif steps.type_of(target) == "event":
        woken = next((one for one in reversed(mine) if steps.targets[one] == target), -1)
        sets = between(on(facts, target, SET), woken, start)
        clears = between(on(facts, target, CLEAR), sets[-1], start) if sets else []
        if not clears or worker in (steps.workers[sets[-1]], steps.workers[clears[-1]]):
            return None
        look, signal, then, what = -1, sets[-1], [clears[-1]], "sets"
    else:
        return None
    name = steps.names[worker]
    cleared = f" and it is cleared {facts.cite(then[0])}" if then else ""
    return facts.finding(
        "lost-wakeup", WARNING, f"Lost wake-up of {name} at {target}, hidden by a timeout",
        f"{steps.name(signal)} {what} {target} {facts.cite(signal)}{cleared} before {name} waits "
        f"there {facts.cite(start)}: the signal is lost, and the wait ends only because it runs "
        f"out of time {facts.cite(seq)}. Without the timeout {name} would wait for ever. {LOOP}",
        (look, signal, *then, start, seq), (target,), (worker,),
    )  # fmt: skip


def _timed_out(facts: Facts, target: str, seqs: list[int]) -> Finding:
    steps = facts.steps
    first = seqs[0]
    start = _began(facts, first)
    name = steps.name(first)
    times = "" if len(seqs) == 1 else f", {len(seqs)} times"
    what = f"the wait for {target}" if target else "the block with a timeout"
    holder = ""
    for worker in range(len(steps.names)):
        if worker == steps.workers[first] or steps.kinds[first] != ACQUIRE:
            continue
        taken = facts.held_at(worker, steps.lock_of(target), first)
        if taken >= 0:
            holder = f" {steps.names[worker]} held it (since event {taken})."
    return facts.finding(
        "timeout-only", NOTE, f"{name} got on by nothing but a timeout: {what}",
        f"{what[0].upper()}{what[1:]} ended because its time was up {facts.cite(first)}{times}, "
        f"not because it got what it waited for.{holder} That may be meant (giving way, a poll); "
        "if not, the time is lost in every such run, and a slower machine decides otherwise: make "
        "sure that somebody signals or releases it.",
        [start, *seqs[:FEW]], (target,) if target else (), [steps.workers[seq] for seq in seqs],
    )  # fmt: skip
