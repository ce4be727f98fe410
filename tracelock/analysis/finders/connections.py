"""Who waits for whom across connections: circles of workers that talk to each other.

Who waits for bytes of a direction of a connection waits for whoever has used its other end: has
sent there, or has read what comes back. With these edges the wait-for graph of ``stuck`` has
circles that lead over several connections, and over locks too.
"""

from __future__ import annotations

from dataclasses import replace

from tracelock.analysis.derived.ending import Pending
from tracelock.analysis.derived.facts import Facts
from tracelock.analysis.derived.objects import is_direction
from tracelock.analysis.finders.signals import on
from tracelock.analysis.findings import ERROR, WARNING, Finding
from tracelock.ops import GET, JOIN, PUT
from tracelock.trace.events import ACCEPTED
from tracelock.trace.network import ANSWERED, OPPOSITE

__all__ = ["across", "deadlock", "with_peers"]


def _connection(target: str) -> tuple[str, str]:
    """A direction as its connection and which of the two it is."""
    name, dot, way = target.rpartition(".")
    return name, dot + way


def with_peers(facts: Facts, waits: dict[int, Pending]) -> dict[int, Pending]:
    """The same, where who waits at a connection has for holders those at its other end: if all of
    them wait as well, for else one may yet send something."""
    found = {}
    for worker, one in waits.items():
        if is_direction(one.target) and one.op in (GET, PUT) and not one.holders:
            peers = _peers(facts, one)
            if peers and all(peer in waits for peer in peers):
                one = replace(one, holders=peers)
        found[worker] = one
    return found


def _peers(facts: Facts, one: Pending) -> tuple[int, ...]:
    """Who has used the other end of the connection at which ``one`` waits."""
    name, way = _connection(one.target)
    mine, theirs = (GET, PUT) if one.op == GET else (PUT, GET)
    steps = facts.steps
    used = [*on(facts, one.target, theirs), *on(facts, name + OPPOSITE[way], mine)]
    if way == ANSWERED:  # of who has connected, and nobody else: who has accepted it
        extras = facts.trace.events.extras.items()
        used += [seq for seq, extra in extras if extra.get(ACCEPTED) == one.target]
    return tuple(sorted({steps.workers[seq] for seq in used} - {one.worker}))


def across(circle: list[Pending]) -> bool:
    """Whether a circle leads over more than one connection, or a connection and something else.
    Two ends that wait for each other at one are told as what each of them waits for."""
    over = {_connection(one.target)[0] if is_direction(one.target) else "" for one in circle}
    return over != {""} and len(over) > 1


def deadlock(facts: Facts, circle: list[Pending], final: bool) -> Finding:
    """The finding (``deadlock``) of such a circle."""
    names = facts.steps.names
    parts, told = [], []
    for place, one in enumerate(circle):
        after = names[circle[(place + 1) % len(circle)].worker]
        what = facts.said(one.target, one.since)
        if not is_direction(one.target):
            does = "to end" if one.op == JOIN else f", which {after} holds"
            verb = f"waits for {one.target} {does}" if one.op == JOIN else f"waits for {what}{does}"
        elif one.op == GET:
            verb = f"waits for {after} to send bytes ({what})"
        else:
            verb = f"waits for {after} to read ({what} is full)"
        parts.append(f"{names[one.worker]} {verb} (at {facts.place(one.at)})")
        told.append(f"{names[one.worker]} {verb}")
    ring = " -> ".join(names[one.worker] for one in [*circle, circle[0]])
    cure = (
        "have one of them answer before it asks, serve requests in a worker of their own, or give "
        "the wait a timeout"
    )
    when = "No one of them can go on" if final else "When the trace was cut off none could go on"
    return facts.finding(
        "deadlock", ERROR if final else WARNING, f"Deadlock across connections: {ring}",
        f"{'; '.join(parts)}. {when}: each waits for what the next one has to do first. "
        f"{cure[:1].upper()}{cure[1:]}.",
        [one.since for one in circle], [one.target for one in circle],
        [one.worker for one in circle], diagnosis=", ".join(told), cure=cure,
        places=[one.at for one in circle],
    )  # fmt: skip
