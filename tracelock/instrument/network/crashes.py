"""Crashes of hosts: their workers are gone, their sockets too, and they may be started again.

A worker that is gone stays where it is, and makes no other step: no code of it runs, no
``finally`` either, until the schedule is over. Others go on as if its host had been switched off. A
crash is one step, which depends on every other: of whoever is gone any step could have come before
it, or not.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

from tracelock.engine.recording import EVERYTHING
from tracelock.errors import UsageError
from tracelock.instrument.callers import caller
from tracelock.instrument.hub import Hub
from tracelock.instrument.network.ends import End
from tracelock.instrument.network.membership import HOST
from tracelock.instrument.network.partitions import LENGTHS, under_control
from tracelock.instrument.network.steps import number_of, reset_by_unknown, tell
from tracelock.instrument.network.table import Network, network_of
from tracelock.instrument.primitives import LockStandIn
from tracelock.instrument.worker import Worker
from tracelock.ops import ATOMIC, CHOOSE, CLEAR, Alternatives, AtomicBody, Op
from tracelock.schedulers.base import LAST

#: What those learn who were connected with a host that has crashed.
ENDINGS: Final = ("closed", "reset", "silent")
UNKNOWN: Final = "unknown there"
_ENDING: Final = "connections of a crashed host"


class CrashStep(AtomicBody):
    """A step that depends on all others: it touches all things that there are."""

    __slots__ = ("touches",)

    def __init__(self, things: int) -> None:
        self.touches = frozenset(range(things))

    def rehearse(self, read: Callable[[int], Any], write: Callable[[int, Any], None]) -> None:
        for number in self.touches:
            write(number, read(number))

    run = rehearse


def crash(host: object, connections: str | None = None) -> None:
    """All workers of this host are gone at once, as by ``kill -9`` or a cut of its power: no
    ``finally`` runs. Its ports are free, and nobody is there. Locks that they hold are free: what
    hosts have in common in this process each would have for itself.

    ``connections``: what those learn who are connected with it: ``closed`` (the system closes its
    sockets: an end, or a reset where something was not read), ``reset``, or ``silent`` (nothing:
    nothing is answered, until it is started again); None: that is a choice of the search. Who calls
    this on that host is gone too. For workers of an exploration, on threads; a loop is gone with
    its thread. Raises UsageError for what is no host, for tasks of a loop that others use, and
    elsewhere.
    """
    worker, network = under_control("crash")
    name = network.hosts.one(host, "crash")
    if connections is not None and connections not in ENDINGS:
        raise UsageError(f"crash: connections are {', '.join(ENDINGS)} or None")
    go_down(worker, network, name, connections)


def restart(host: object, main: Callable[..., Any], *arguments: Any) -> threading.Thread:
    """Start the host again: a thread on it calls ``main`` with these arguments. One that has not
    crashed does so first. Whoever still has a connection with what was there before learns that as
    soon as he sends something (RFC 9293, 3.5.1). The thread. Raises UsageError as ``crash`` does,
    and for a coroutine function: have a function call ``asyncio.run`` or ``trio.run``."""
    worker, network = under_control("restart")
    name = network.hosts.one(host, "restart")
    if inspect.iscoroutinefunction(main) or not callable(main):
        raise UsageError(
            "restart: main is a function, which may call asyncio.run or trio.run, not "
            f"{'a coroutine function' if callable(main) else repr(main)}"
        )
    if name not in network.hosts.down:
        if network.hosts.members.get(worker.number) == name:
            raise UsageError(f"restart: {name} cannot restart itself; a worker elsewhere can")
        go_down(worker, network, name, None)
    return start(worker, network, name, main, arguments)


def start(
    worker: Worker, network: Network, name: str, main: Callable[..., Any],
    arguments: tuple[Any, ...] = (),
) -> threading.Thread:  # fmt: skip
    """Start a host that is down."""
    network.hosts.down.discard(name)
    for peer in network.silent.pop(name, []):
        _unknown(worker, peer)
    token = HOST.set(name)
    try:
        thread = threading.Thread(target=main, args=arguments, name=f"{name} again")
        thread.start()
    finally:
        HOST.reset(token)
    return thread


def _unknown(worker: Worker, peer: End) -> None:
    """What ``peer`` sends, again and again, comes to a host that knows nothing of its connection
    (RFC 9293, 3.5.1): a reset is the answer, at once or to what comes next."""
    there, back = peer.outgoing, peer.incoming
    assert there is not None and back is not None
    worker.step(Op(CLEAR, number_of(worker, there), caller(worker), remark=UNKNOWN))
    there.gone = True
    if there.buffer:
        reset_by_unknown(worker, peer)


# --- as a fault ------------------------------------------------------------------------------
_LENGTH: Final = "seconds until a crashed host is started again"


def may_crash(worker: Worker, network: Network, name: str) -> list[str]:
    """The faults that may come in where ``worker`` does something on this host."""
    hosts = network.hosts
    if not hosts or name not in hosts or _shared(worker.hub, name):
        return []
    return ["crash"] if hosts.members.get(worker.number) == name or not worker.own_thread else []


def go_down_by_fault(worker: Worker, network: Network, name: str) -> None:
    """The host that ``worker`` is on crashes, and is started again where it says by what; after how
    long is a choice."""
    main = network.hosts.restarts.get(name)
    if main is None:
        go_down(worker, network, name, None)
        return
    told = list(LENGTHS.values())
    op = Op(CHOOSE, -1, caller(worker), body=Alternatives(_LENGTH, len(told), told))
    op.remark = told[0]
    number: Any = worker.do(op)
    op.remark = told[number]
    network.background.begin(worker)

    def again(by: Worker) -> None:
        if name in network.hosts.down:
            start(by, network, name, main)

    seconds = list(LENGTHS)[number]
    go_down(worker, network, name, None, lambda: network.background.add(seconds, again))


# --- the step --------------------------------------------------------------------------------
def go_down(
    worker: Worker, network: Network, name: str, connections: str | None,
    then: Callable[[], object] = lambda: None,
) -> None:  # fmt: skip
    """The host crashes, and ``then`` is called, in one step; does not return where ``worker`` is on
    the host."""
    hub = worker.hub
    _refuse_shared(hub, name)
    if connections is None:
        op = Op(CHOOSE, -1, caller(worker), body=Alternatives(_ENDING, 3, list(ENDINGS)))
        op.remark = ENDINGS[0]
        number: Any = worker.do(op)
        connections = op.remark = ENDINGS[number]
    step = CrashStep(len(hub.layout.names))
    worker.step(Op(ATOMIC, network.hosts.number(name), caller(worker), body=step, remark="crashed"))
    worker.record({**hub.controller.result, EVERYTHING: True})
    _refuse_shared(hub, name)
    network.hosts.down.add(name)
    gone = _workers(hub, network, name)
    learn = _disconnect(network, name, connections)
    for one in gone:
        hub.controller.lose(one)
        network.hosts.members.pop(one, None)
    _free_locks(hub, gone)
    then()
    if worker.number in gone:
        to = hub.decide()
        hub.hand_over(to)
        worker.wait()
        raise AssertionError("a worker that is gone has come to a step")  # pragma: no cover
    for end in learn:
        tell(worker, end)


def _workers(hub: Hub, network: Network, name: str) -> set[int]:
    """The workers on this host: threads, and what runs on the loops of these."""
    members, ended = network.hosts.members, hub.controller.ended
    gone = {
        number for number, worker in hub.workers.items()
        if worker.own_thread and members.get(number) == name and not ended[number]
    }  # fmt: skip
    batons = [hub.workers[number].baton for number in gone]
    for loop in hub.own_loops:  # those that do not run just now too
        if any(loop.baton is baton for baton in batons):
            gone.update(number for number in loop.members if not ended[number])
            loop.open = False
            gate = loop.gate
            gate.inside, gate.first, gate.void = -1, LAST, False
            gate.ready.clear()
    return gone


def _refuse_shared(hub: Hub, name: str) -> None:
    """Raise UsageError where a task of this host is on a loop that others use."""
    label = _shared(hub, name)
    if label:
        raise UsageError(
            f"crash: {label} is a task of {name} on a loop that others use: give the host a "
            "thread with a loop of its own (asyncio.run or trio.run, in a function on it)"
        )


def _shared(hub: Hub, name: str) -> str:
    """A task of this host that is on a loop that others use; "" for none."""
    members = network_of(hub).hosts.members
    own = [
        one.baton
        for one in hub.workers.values()
        if one.own_thread and members.get(one.number) == name
    ]
    for worker in hub.workers.values():
        context, tasks = getattr(worker, "context", None), getattr(worker, "tasks", None)
        if context is None or context.get(HOST) != name or hub.controller.ended[worker.number]:
            continue
        if tasks is None or not any(tasks.baton is baton for baton in own):
            return worker.label
    return ""


def _disconnect(network: Network, name: str, connections: str) -> list[End]:
    """The sockets of the host are gone. The ends that may be ready for something else now."""
    models: Any = network.hub.controller.models
    mine = [end for end in network.ends.values() if end.host == name]
    mine = list(dict.fromkeys(mine))
    for descriptor in [fd for fd, end in network.ends.items() if end.host == name]:
        del network.ends[descriptor]
    for port in network.ports.values():
        if port.end is not None and port.end.host == name:
            mine += port.end.arrived if port.end.stream else ()
            port.end.listens, port.end = False, None
            models[port.number].arrived, models[port.number].limit = 0, -1
    learn = []
    for end in mine:
        end.watchers, end.connecting = [], None
        peer = end.peer
        if end.closed or peer is None or end.incoming is None or end.outgoing is None:
            end.closed = True
            continue
        if connections == "silent" and peer.host != name:
            end.closed = True
            network.silent.setdefault(name, []).append(peer)
            continue
        resets = end.leave() or connections == "reset"
        if resets and not peer.closed:
            end.tell(end.outgoing, peer.reset)
        end.end_sending()
        for way in (end.outgoing, end.incoming):
            if way.number >= 0:
                model = models[way.number]
                model.late, model.ended = model.late or way.cut, model.ended or not way.cut
        learn.append(peer)
    return learn


def _free_locks(hub: Hub, gone: Iterable[int]) -> None:
    """Locks that these hold are free."""
    for lock in hub.to_free:
        if isinstance(lock, LockStandIn) and lock.schedule == hub.schedule:
            model: Any = hub.controller.models[lock.number]
            if not {*model.holders()}.isdisjoint(gone):
                model.reset()
                lock.free()
