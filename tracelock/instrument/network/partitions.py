"""Partitions: between two hosts nothing arrives until it is healed.

What was sent before stays where it is; what is sent meanwhile waits, as do the ends of connections,
and datagrams are lost. Each direction of a connection is cut, and healed, in a step of its own: on
a real network these are not at the same time either.
"""

from __future__ import annotations

import errno
from typing import Any, Final

from tracelock.errors import UsageError
from tracelock.instrument.callers import caller
from tracelock.instrument.network.ends import Direction, End
from tracelock.instrument.network.faults import Condition
from tracelock.instrument.network.hosts import Partition
from tracelock.instrument.network.steps import agree, number_of, tell
from tracelock.instrument.network.table import Network, network_of
from tracelock.instrument.worker import Worker, here
from tracelock.objects.streams import CUT, HEALED
from tracelock.ops import CHOOSE, CLEAR, READ, SET, Alternatives, Op


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
def cut(worker: Worker, network: Network, a: str, b: str, asked: bool = True) -> Partition | None:
    """Begin a partition; None where there is one, which is the program's own from now on if this
    one is (``asked``)."""
    hosts = network.hosts
    link = hosts.link(a, b)
    worker.step(Op(SET, link, caller(worker), 1, remark="a partition"))
    known = hosts.parted.get(frozenset((a, b)))
    if known is not None:
        known.asked = known.asked or asked
        return None
    # what is cut is known in this step; each of these is healed as often as it was cut
    ways = [
        (one.end, way) for one in network.crossing if {one.end.host, one.there} == {a, b}
        for way in one.ways
    ]  # fmt: skip
    begun = hosts.parted[frozenset((a, b))] = Partition(ways, asked)
    for _, way in ways:
        worker.step(Op(SET, number_of(worker, way), caller(worker), CUT, remark=CUT))
        way.cuts += 1
    return begun


def join(
    worker: Worker, network: Network, a: str, b: str, only: Partition | None = None
) -> None:  # fmt: skip
    """End it. ``only``: if it is this one, and nobody has asked for it since."""
    hosts, key = network.hosts, frozenset((a, b))
    link = hosts.link(a, b)
    worker.step(Op(CLEAR, link, caller(worker)))
    there = hosts.parted.get(key)
    if there is None:
        return
    if only is not None and (there is not only or there.asked):
        worker.hub.controller.models[link].limit = 1  # type: ignore[union-attr]
        return
    del hosts.parted[key]
    left = [one for one in network.waiting_for if {one[0].host, one[1]} == key]
    network.waiting_for = [one for one in network.waiting_for if one not in left]
    for end, way in there.ways:
        arrives(worker, end, way)
    for end, to in left:
        worker.step(Op(READ, link, caller(worker)))
        if hosts.apart(a, b):  # there is another one
            network.waiting_for.append((end, to))
        elif end.connecting is not None and end.connecting[1] is not None:
            end.connecting[1](worker, end)


def arrives(worker: Worker, end: End, way: Direction) -> None:
    """All that was sent arrives, if nothing else holds it up."""
    other = end.incoming if way is end.outgoing else end.outgoing
    # an end that is learnt of now may be a reset, which those at the other direction learn of too
    seen = (number_of(worker, other),) if other is not None else None
    at = caller(worker)
    worker.step(Op(SET, number_of(worker, way), at, HEALED, body=seen, remark=HEALED))
    way.heal()
    agree(worker, way)
    tell(worker, end, end.peer)


# --- as a fault ------------------------------------------------------------------------------
#: How long a partition lasts that the search makes, in seconds, in words. Of no time at all: until
#: the network comes to it, at any step; the longest outlasts what programs wait for.
LENGTHS: Final = {0.0: "for a moment", 10.0: "for 10 seconds", 3_600.0: "for an hour"}
_LENGTH: Final = "length of a partition"


def may_part(network: Network, a: str, b: str | None) -> dict[str, Condition]:
    """The faults that may come in between two hosts, if no partition lies there already."""
    hosts = network.hosts
    if b is None or a == b or a not in hosts or b not in hosts:
        return {}
    return {"partition": Condition(lambda: (hosts.link(a, b),), lambda: not hosts.apart(a, b))}


def part(worker: Worker, network: Network, a: str, b: str) -> None:
    """A partition comes in; how long it lasts is a choice."""
    told = list(LENGTHS.values())
    op = Op(CHOOSE, -1, caller(worker), body=Alternatives(_LENGTH, len(told), told))
    op.remark = told[0]
    number: Any = worker.do(op)
    op.remark = told[number]
    begun = cut(worker, network, a, b, asked=False)
    if begun is not None:
        seconds = list(LENGTHS)[number]
        network.background.after(worker, seconds, lambda by: join(by, network, a, b, begun))


# --- who connects meanwhile ------------------------------------------------------------------
#: So long Linux goes on asking for a connection, in seconds: 1 + 2 + 4 + ... + 64 (RFC 6298, 5.7).
ASKS: Final = 127.0


def gives_up(worker: Worker, end: End) -> None:
    """``end`` does not wait for its connection: if nobody answers for too long it learns of it."""

    def late(by: Worker) -> None:
        if end.connecting is None:
            return
        port = network_of(by.hub).port(end, end.connecting[0])
        by.step(Op(SET, port.number, caller(by)))  # who looks at it learns of it, or does not yet
        if end.connecting is not None and end.connecting[1] is not None:
            end.connecting = None
            end.error = errno.ETIMEDOUT
            tell(by, end)

    network_of(worker.hub).background.after(worker, ASKS, late)
