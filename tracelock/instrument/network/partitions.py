"""Partitions: between two hosts nothing arrives until it is healed.

What was sent before stays where it is; what is sent meanwhile waits, as do the ends of connections,
and datagrams are lost. Each direction of a connection is cut, and healed, in a step of its own: on
a real network these are not at the same time either.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any, Final

from tracelock.errors import UsageError
from tracelock.instrument.callers import caller
from tracelock.instrument.network.ends import Direction, End
from tracelock.instrument.network.steps import agree, number_of, tell
from tracelock.instrument.network.table import Network, network_of
from tracelock.instrument.worker import Worker, here
from tracelock.objects.streams import CUT, HEALED
from tracelock.ops import CHOOSE, CLEAR, SET, Alternatives, Op


def partition(a: object, b: object) -> None:
    """From now on nothing arrives between the hosts ``a`` and ``b``, in either direction: what is
    sent waits, who connects does so until its time is up, datagrams are lost. For workers of an
    exploration, and its setup. ``a``, ``b``: names, or what ``tracelock.host`` gives. Where there
    is a partition already nothing is done. Raises UsageError for what is no host, and elsewhere.
    """
    worker, network = under_control("partition")
    names = network.hosts.pair(a, b, "partition")
    cut(worker, network, *names)


def heal(a: object, b: object) -> None:
    """The partition between the hosts ``a`` and ``b`` is over: all that was sent meanwhile arrives.
    Where there is none nothing is done. Raises UsageError as ``partition`` does."""
    worker, network = under_control("heal")
    names = network.hosts.pair(a, b, "heal")
    join(worker, network, *names)


def under_control(what: str) -> tuple[Worker, Network]:
    worker = here()
    if worker is None or worker.elsewhere:
        raise UsageError(
            f"{what}: only a worker of an exploration, in the process of that, or its setup can do "
            "that: elsewhere there is no network in memory"
        )
    return worker, network_of(worker.hub)


# --- the two steps ---------------------------------------------------------------------------
def cut(worker: Worker, network: Network, a: str, b: str) -> None:
    """Begin a partition."""
    hosts = network.hosts
    worker.step(Op(SET, hosts.link(a, b), caller(worker), 1, remark="a partition"))
    if hosts.apart(a, b):
        return
    hosts.parted.add(frozenset((a, b)))
    for _, way in _between(network, a, b):
        worker.step(Op(SET, number_of(worker, way), caller(worker), CUT, remark=CUT))
        way.cut = True


def join(worker: Worker, network: Network, a: str, b: str) -> None:
    """End it."""
    hosts = network.hosts
    worker.step(Op(CLEAR, hosts.link(a, b), caller(worker)))
    if not hosts.apart(a, b):
        return
    hosts.parted.discard(frozenset((a, b)))
    for end, way in _between(network, a, b):
        if way.cut:
            arrives(worker, end, way)
    left, network.waiting_for = network.waiting_for, []
    for end, there in left:
        if {end.host, there} != {a, b}:
            network.waiting_for.append((end, there))
        elif end.connecting is not None and end.connecting[1] is not None:
            end.connecting[1](worker, end)


def arrives(worker: Worker, end: End, way: Direction) -> None:
    """All that was sent arrives."""
    worker.step(Op(SET, number_of(worker, way), caller(worker), HEALED, remark=HEALED))
    if way.cut:
        way.heal()
        agree(worker, way)
        tell(worker, end, end.peer)


def _between(network: Network, a: str, b: str) -> Iterator[tuple[End, Direction]]:
    """The directions of the connections between two hosts. Also of those that have ended: what was
    done there could have come after this, and so depends on it."""
    for one in list(network.crossing):
        if {one.end.host, one.there} == {a, b}:
            for way in one.ways:
                yield one.end, way


# --- as a fault ------------------------------------------------------------------------------
#: How long a partition lasts that the search makes, in seconds, in words. Of no time at all: until
#: the network comes to it, at any step; the longest outlasts what programs wait for.
LENGTHS: Final = {0.0: "for a moment", 10.0: "for 10 seconds", 3_600.0: "for an hour"}
_LENGTH: Final = "length of a partition"


def may_part(network: Network, a: str, b: str | None) -> list[str]:
    """The faults that may come in between two hosts."""
    if b is None or a == b or not network.hosts or network.hosts.apart(a, b):
        return []
    return ["partition"] if a in network.hosts and b in network.hosts else []


def part(worker: Worker, network: Network, a: str, b: str) -> None:
    """A partition comes in; how long it lasts is a choice."""
    told = list(LENGTHS.values())
    op = Op(CHOOSE, -1, caller(worker), body=Alternatives(_LENGTH, len(told), told))
    op.remark = told[0]
    number: Any = worker.do(op)
    op.remark = told[number]
    cut(worker, network, a, b)
    seconds = list(LENGTHS)[number]
    network.background.after(worker, seconds, lambda by: join(by, network, a, b))


# --- who connects meanwhile ------------------------------------------------------------------
#: So long Linux goes on asking for a connection, in seconds: 1 + 2 + 4 + ... + 64 (RFC 6298, 5.7).
ASKS: Final = 127.0


def gives_up(worker: Worker, end: End) -> None:
    """``end`` does not wait for its connection: if nobody answers for too long it learns of it."""

    def late(by: Worker) -> None:
        if end.connecting is not None and end.connecting[1] is not None:
            end.connecting = None
            end.error = errno.ETIMEDOUT
            tell(by, end)

    network_of(worker.hub).background.after(worker, ASKS, late)
