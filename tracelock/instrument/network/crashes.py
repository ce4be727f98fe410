"""Crashes of hosts: their workers are gone, their sockets too, and they may be started again.

A worker that is gone stays where it is, and makes no other step: no code of it runs, no
``finally`` either, until the schedule is over. Others go on as if its host had been switched off. A
crash is one step, which depends on every other: of whoever is gone any step could have come before
it, or not. Tasks on a loop that others use cannot stay in the middle of a step of theirs, in which
the loop would wait for them: there a crash comes between two steps, by somebody else.
"""

from __future__ import annotations

import contextlib
import inspect
import threading
from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from typing import Any, Final

from tracelock.engine.recording import EVERYTHING
from tracelock.errors import UsageError
from tracelock.instrument.callers import caller
from tracelock.instrument.crashes.below import lose_below
from tracelock.instrument.hub import Hub
from tracelock.instrument.network.ends import End
from tracelock.instrument.network.membership import HOST
from tracelock.instrument.network.partitions import LENGTHS, under_control
from tracelock.instrument.network.steps import number_of, reset_by_unknown, tell
from tracelock.instrument.network.table import Network, network_of
from tracelock.instrument.primitives import LockStandIn
from tracelock.instrument.worker import Uncontrolled, Worker
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
    this on that host is gone too. A loop is gone with its thread. Of a loop that other hosts use
    the tasks of this host are gone, with its timers, callbacks and deadlines; whoever waits for one
    of them (a group of tasks, a nursery) goes on as if it had returned None. For workers of an
    exploration. Raises UsageError for what is no host, where the caller is a task of the host on
    such a loop, where a task of another host is in a nursery of a task of this one, and elsewhere.
    """
    worker, network = under_control("crash")
    name = network.hosts.one(host, "crash")
    if connections is not None and connections not in ENDINGS:
        raise UsageError(f"crash: connections are {', '.join(ENDINGS)} or None")
    go_down(worker, network, name, connections)


def restart(host: object, main: Callable[..., Any], *arguments: Any) -> Any:
    """Start the host again: a thread on it calls ``main`` with these arguments. One that has not
    crashed does so first. Whoever still has a connection with what was there before learns that as
    soon as he sends something (RFC 9293, 3.5.1). The thread. A coroutine function becomes a task of
    the loop that the host was on with others, or else of the caller's; the task then, None where
    that is the loop of another thread. On trio it is in the nursery that the host was started in
    first, as long as that is open, else in one around all others. Raises UsageError as ``crash``
    does, and for a coroutine function where there is no such loop: a function may call
    ``asyncio.run`` or ``trio.run``."""
    worker, network = under_control("restart")
    name = network.hosts.one(host, "restart")
    if not callable(main):
        raise UsageError(f"restart: main is a function or a coroutine function, not {main!r}")
    if inspect.iscoroutinefunction(main) and _loop_for(worker, network, name) is None:
        raise UsageError(
            f"restart: there is no loop for a coroutine function, which {name} was on with others: "
            "main is a function, which may call asyncio.run or trio.run"
        )
    if name not in network.hosts.down:
        if network.hosts.members.get(worker.number) == name:
            raise UsageError(f"restart: {name} cannot restart itself; a worker elsewhere can")
        go_down(worker, network, name, None)
    return start(worker, network, name, main, arguments)


def start(
    worker: Worker, network: Network, name: str, main: Callable[..., Any],
    arguments: tuple[Any, ...] = (),
) -> Any:  # fmt: skip
    """Start a host that is down."""
    loop = _loop_for(worker, network, name)
    network.hosts.down.discard(name)
    for peer in network.silent.pop(name, []):
        _unknown(worker, peer)
    token = HOST.set(name)
    try:
        if inspect.iscoroutinefunction(main):
            return loop.start_on(main, arguments, copy_context())
        thread = threading.Thread(target=main, args=arguments, name=f"{name} again")
        thread.start()
    finally:
        HOST.reset(token)
    return thread


def _loop_for(worker: Worker, network: Network, name: str) -> Any:
    """The loop on which a task of this host starts; None for none that can do that."""
    tasks = network.shared.get(name) or getattr(worker, "tasks", None)
    return tasks if tasks is not None and hasattr(tasks, "start_on") and tasks.open else None


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


def who_may_crash(worker: Worker, network: Network, own: str, other: str | None) -> str:
    """The host that may crash where ``worker`` does something on the host ``own``, with ``other``;
    "" for none. That is its own, or, on a loop that hosts share, the one at the other end."""
    hosts = network.hosts
    for name in (own, other) if hosts else ():
        if not name or name not in hosts or name in hosts.down or _refusal(worker, name):
            continue
        shares = any(tasks for _, tasks in _sharing(worker.hub, name))
        if name != own:
            if shares:
                return name
        elif not shares and (hosts.members.get(worker.number) == name or not worker.own_thread):
            return name
    return ""


def go_down_by_fault(worker: Worker, network: Network, name: str) -> None:
    """This host crashes, and is started again where it says by what; after how long is a choice."""
    main = network.hosts.restarts.get(name)
    then = None if main is None else _restarting(worker, network, name, main)
    with contextlib.suppress(UsageError):  # it may have come onto such a loop just now
        go_down(worker, network, name, None, then)


def _restarting(
    worker: Worker, network: Network, name: str, main: Callable[..., Any]
) -> Callable[[], object]:
    """What has a host that crashes start again, after a time that is a choice."""
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
    return lambda: network.background.add(seconds, again)


# --- the step --------------------------------------------------------------------------------
def go_down(
    worker: Worker, network: Network, name: str, connections: str | None,
    then: Callable[[], object] | None = None,
) -> None:  # fmt: skip
    """The host crashes, and ``then`` is called, in one step; does not return where ``worker`` is on
    the host. Raises UsageError where it cannot."""
    hub = worker.hub
    _check(worker, name)
    if hub.unrecorded is not None:  # what comes of it is kept in the record alone
        worker.give_up()  # type: ignore[attr-defined]
    if connections is None:
        op = Op(CHOOSE, -1, caller(worker), body=Alternatives(_ENDING, 3, list(ENDINGS)))
        op.remark = ENDINGS[0]
        number: Any = worker.do(op)
        connections = op.remark = ENDINGS[number]
    _name_ways(worker, network, name)
    step = CrashStep(len(hub.layout.names))
    worker.step(Op(ATOMIC, network.hosts.number(name), caller(worker), body=step, remark="crashed"))
    worker.record({**hub.controller.result, EVERYTHING: True})
    _check(worker, name)
    network.hosts.down.add(name)
    network.hosts.crashes[name] += 1
    if name in network.hosts.disks:
        lose_below(worker, caller(worker), network.hosts.disks[name])
    sharing = list(_sharing(hub, name))
    gone = _workers(hub, network, name)
    _name_ways(worker, network, name)
    learn = _disconnect(network, name, connections)
    with Uncontrolled(worker):
        for loop, tasks in sharing:
            loop.lose(tasks, name, network.buried)
            gone |= tasks
            if tasks:
                network.shared[name] = loop
    for one in sorted(gone):
        hub.controller.lose(one)
        network.hosts.members.pop(one, None)
    _free_locks(hub, gone)
    if then is not None:
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


def _check(worker: Worker, name: str) -> None:
    """Raise UsageError where this host cannot crash by ``worker``."""
    why = _refusal(worker, name)
    if why:
        raise UsageError(f"crash: {why}")


def _refusal(worker: Worker, name: str) -> str:
    """Why this host cannot crash by ``worker``, "" where it can."""
    for loop, tasks in _sharing(worker.hub, name):
        why = loop.keeps(tasks) if tasks else ""
        if why:
            return f"{name} is on a loop that others use, and cannot be gone alone: {why}"
        if worker.number not in loop.members and (tasks or _serves(worker.hub, loop, name)):
            return (
                f"{name} is on a loop that others use, which may be in the middle of a step of it "
                f"when {worker.label} calls this: have a task on that loop call it, or give the "
                "host a thread with a loop of its own (asyncio.run, in a function on it)"
            )
        if worker.number in tasks or (worker.number in loop.members and HOST.get() == name):
            return (
                f"{worker.label} is on {name} itself, on a loop that others use, which cannot go "
                "on in the middle of its step: have code on another host, or on none, call it, or "
                "give the host a thread with a loop of its own (asyncio.run, in a function on it)"
            )
    return ""


def _serves(hub: Hub, loop: Any, name: str) -> bool:
    """Whether this loop waits for sockets of this host."""
    return any(
        getattr(watcher, "tasks", None) is loop
        for end in network_of(hub).ends.values() if end.host == name
        for watcher in end.watchers
    )  # fmt: skip


def _sharing(hub: Hub, name: str) -> Iterator[tuple[Any, set[int]]]:
    """The loops that run and are not this host's alone, and which tasks on them are on it."""
    members = network_of(hub).hosts.members
    own = [
        one.baton
        for one in hub.workers.values()
        if one.own_thread and members.get(one.number) == name
    ]
    loops = {id(one.tasks): one.tasks for one in hub.workers.values() if hasattr(one, "tasks")}
    loops.update((id(loop), loop) for loop in hub.own_loops)
    for loop in loops.values():
        if loop.open and not any(loop.baton is baton for baton in own):
            yield loop, {
                one.number for one in loop.order
                if one.context is not None and one.context.get(HOST) == name
                and not hub.controller.ended[one.number]
            }  # fmt: skip


def _name_ways(worker: Worker, network: Network, name: str) -> None:
    """The directions of this host's connections are objects, used or not: what is sent there later
    could have been sent before the crash."""
    for end in _ends(network, name):
        for way in (end.incoming, end.outgoing):
            if way is not None:
                number_of(worker, way)


def _ends(network: Network, name: str) -> list[End]:
    """The ends of this host's connections, those too that it has not accepted yet."""
    found = [end for end in network.ends.values() if end.host == name]
    for port in network.ports.values():
        if port.end is not None and port.end.host == name and port.end.stream:
            found += port.end.arrived
    return list(dict.fromkeys(found))


def _disconnect(network: Network, name: str, connections: str) -> list[End]:
    """The sockets of the host are gone. The ends that may be ready for something else now."""
    models: Any = network.hub.controller.models
    mine = _ends(network, name)
    for descriptor in [fd for fd, end in network.ends.items() if end.host == name]:
        del network.ends[descriptor]
    for port in network.ports.values():
        if port.end is not None and port.end.host == name:
            port.end.listens, port.end = False, None
            models[port.number].arrived, models[port.number].limit = 0, -1
    learn = []
    for end in mine:
        drops = [one.drop(end) for one in end.watchers if hasattr(one, "drop")]
        network.buried += drops
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
