"""What it means that workers wait for ever after one of them was cancelled.

A consumer whose producer was cancelled waits for ever, and rightly so: nobody has promised it the
message. But a lock that the cancelled one held has to be free for the others, and a wake-up that
was its own has to go on to the next. So of each worker that waits it is asked what could still let
it go on:

- a *lock*, a semaphore, a limiter: whoever holds it. Is that the one that was cancelled, and has
  ended, the lock is lost: a failure. So it is where nobody holds it, since then somebody was
  to be woken and was not. Is it another worker that waits, the same is asked of that one; where
  this goes round it is a deadlock like any other.
- a task, a group of tasks, what ``gather`` gives: the tasks that have not ended, in the same way.
- a *message*: the item of a queue or stream, an event, a notification of a condition, a barrier, a
  future. Nobody holds these: what the cancelled one would have given does not come. That is
  *starvation*, and expected. It is a failure where the message is there all the same (an item in
  the queue), and where the wake-up had been handed to the one that was cancelled: it waited for
  the same (the same condition; of futures, at the same place in the code) and could already go on.
- a queue that is used as a *pool* (in this schedule, or in the first one of all, some worker has
  taken an item and put it back), from which the cancelled one has taken more than it has put: a
  lost connection, a failure.

Where all of them starve they are cancelled too, and ``check`` is called, which may know better: a
pool that the program has written itself and that has one connection too few, say.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from tracelock.instrument.loops.awaits import Innermost, frames, innermost
from tracelock.instrument.loops.tasks import LoopTasks, TaskWorker
from tracelock.ops import ACQUIRE, GET, JOIN, PUT, WAIT, Op

#: Functions of libraries in which a task waits for the tasks of a group.
_GROUPS: Final = frozenset({"__aexit__", "_nested_child_finished"})


class Starving:
    """The workers that wait at the end of one schedule with cancellations, on all its loops."""

    def __init__(self, hub: Any, loops: Iterable[LoopTasks]) -> None:
        self.hub = hub
        self.controller = hub.controller
        self.struck = hub.injections.struck
        self.gone = {one.worker.number for one in self.struck}
        self.tasks: dict[int, TaskWorker] = {}
        self.numbers: dict[int, int] = {}  # of the worker, by identity of its task
        for loop in loops:
            for worker in loop.order:
                self.numbers[id(worker.task)] = worker.number
                if not loop.done(worker):
                    self.tasks[worker.number] = worker
        self.left = set(self.controller.active)
        self.lost: list[str] = []

    def expected(self) -> bool:
        """Whether all of them wait for what the cancelled ones would have given; else ``lost``
        tells of what was lost, as far as that is known."""
        leads: dict[int, set[int] | None] = {}
        for number in sorted(self.left):
            leads[number] = self._leads(number)
        explained = {number for number, to in leads.items() if to is None}
        while True:
            more = {n for n, to in leads.items() if n not in explained and to and to & explained}
            if not more:
                break
            explained |= more
        return not self.lost and explained == self.left

    def _leads(self, number: int) -> set[int] | None:
        """The workers that could let this one go on; None: a message could, which does not come."""
        op: Op | None = self.controller.pending[number]
        worker = self.tasks.get(number)
        if worker is None or worker.tasks.gate.inside == number:  # it blocks the thread of its loop
            return self._thread(number, op)
        where = innermost(worker.coro)
        members = self._members(worker.coro)
        if members is not None:
            return members
        if where.kind == ACQUIRE:
            return self._lock(worker, where)
        if op is not None and op.kind == JOIN:
            return {op.target}
        if where.kind < 0 and op is not None and op.target >= 0 and op.kind == WAIT:
            held = self.controller.models[op.target].holders()
            if held:  # what ``gather`` gives
                return {*held} & self.left
        self._message(worker, where)
        return None

    def _thread(self, number: int, op: Op | None) -> set[int] | None:
        """The same of a thread, or of one in which a loop runs."""
        own = {worker.number for worker in self.tasks.values() if _host(worker) == number}
        if own or op is None:
            return own or None
        if op.kind == JOIN:
            return {op.target}
        model = self.controller.models[op.target] if op.target >= 0 else None
        holders = () if model is None or op.kind != ACQUIRE else model.holders()
        if op.kind == ACQUIRE and not self.left.intersection(holders):
            self._lose(number, op.target, holders)
            return set()
        return {*holders} & self.left or None

    # --- locks -------------------------------------------------------------------------------
    def _lock(self, worker: TaskWorker, where: Innermost) -> set[int] | None:
        """Who can let a task go on that waits for a lock or a permit."""
        lock = where.thing
        holders = self._holders(worker, lock)
        signal = hasattr(lock, "_value")  # a semaphore may be released by anybody
        ended = [
            one for one in holders if one not in self.left and (not signal or one in self.gone)
        ]
        target = worker.tasks.thing(lock, worker)
        if ended:
            self._lose(worker.number, target, ended)
        elif _free(lock) or (not holders and self._handed(worker, where, False)):
            self._lose(worker.number, target, ())
        else:
            live = {one for one in holders if one in self.left}
            return live or None
        return set()

    def _holders(self, worker: TaskWorker, lock: Any) -> list[int]:
        """The workers that hold a lock, as the lock itself knows it, or the record."""
        lock = getattr(lock, "_original", lock)  # anyio's, on trio
        owner = getattr(lock, "_owner_task", None) or getattr(lock, "_owner", None)
        owners = [owner] if owner is not None else list(getattr(lock, "_borrowers", ()))
        known = [self.numbers[id(one)] for one in owners if id(one) in self.numbers]
        if known:
            return known
        return list(self.controller.models[worker.tasks.thing(lock, worker)].holders())

    # --- messages ----------------------------------------------------------------------------
    def _message(self, worker: TaskWorker, where: Innermost) -> None:
        """A task waits for a message: note it where that was lost."""
        thing, names = where.thing, self.hub.layout.names
        if where.kind in (GET, PUT) and thing is not None:
            queue = worker.tasks.thing(thing, worker)
            if _ready(thing, where.kind):
                self.lost.append(f"{worker.label} was not woken for {names[queue]}")
            elif where.kind == GET:
                self._pool(worker, queue)
        elif self._handed(worker, where, True):
            what = names[worker.tasks.thing(thing, worker)] if thing is not None else where.at
            by = ", ".join(dict.fromkeys(one.worker.label for one in self.struck if one.ready))
            self.lost.append(
                f"the wake-up for {what} was handed to {by}, which was cancelled and did not pass "
                f"it on to {worker.label}"
            )

    def _handed(self, worker: TaskWorker, where: Innermost, before: bool) -> bool:
        """Whether one that was cancelled had been woken from where ``worker`` waits. ``before``: of
        a thing with a name only where ``worker`` waited there already, as a notification that
        nobody waits for is nobody's."""
        for one in self.struck:
            if not one.ready or one.worker is worker or one.where.kind != where.kind:
                continue
            if where.thing is not None:
                if one.where.thing is where.thing and (not before or worker.since <= one.seq):
                    return True
            elif where.kind < 0 and where.spot is not None and one.where.spot == where.spot:
                return True
        return False

    def _pool(self, worker: TaskWorker, queue: int) -> None:
        """Note it where a queue that is a pool has lost an item to one that was cancelled."""
        name = self.hub.layout.names[queue]
        pools, taken = pools_in(self.controller)
        kept = [by for by in sorted(self.gone) if by not in self.left and taken.get((queue, by), 0)]
        if (name in pools or name in self.hub.aim.pools) and kept:
            self._lose(worker.number, queue, kept)

    # --- groups ------------------------------------------------------------------------------
    def _members(self, coro: Any) -> set[int] | None:
        """The tasks of the group that a coroutine waits for, None where it waits for none."""
        for frame in frames(coro):
            if frame.f_code.co_name not in _GROUPS:
                continue
            group = frame.f_locals.get("self")
            tasks = getattr(group, "_children", None) or getattr(group, "_tasks", None)
            if tasks:
                return {self.numbers[id(one)] for one in tasks if id(one) in self.numbers}
        return None

    def _lose(self, waits: int, target: int, holders: Iterable[int]) -> None:
        layout = self.hub.layout
        what = layout.names[target] if target >= 0 else "a lock"
        names = ", ".join(layout.workers[one].name for one in holders)
        how = f"{names} has ended and not given it back" if names else "nobody holds it"
        self.lost.append(f"{layout.workers[waits].name} waits for {what}: {how}")


def judge(backend: Any, controller: Any, loops: Iterable[LoopTasks]) -> bool:
    """At the end of a schedule: whether nobody can go on because of what a cancelled one would have
    given, and that is as it should be. What there is to tell of its cancellations goes into the
    story."""
    hub = backend.hub
    aim, told, starved = hub.aim, hub.injections.told, False
    cut = controller.limit is not None or controller.failure is not None
    if told and controller.active and controller.essential and not cut:
        starving = Starving(hub, loops)
        starved = starving.expected()
        controller.heard.extend(starving.lost)
        backend.starved += starved and backend.counted
    controller.heard.extend(told)
    if aim.budget and not aim.learned:
        aim.pools, _ = pools_in(controller)
        aim.learned = True
    return starved


def pools_in(controller: Any) -> tuple[set[str], dict[tuple[int, int], int]]:
    """The queues into which a worker has put something back in this schedule, by name, and how
    many items each worker has taken from each queue and not put back."""
    pools: set[str] = set()
    taken: dict[tuple[int, int], int] = {}
    for by, kind, op, _, _, _ in controller.log:
        if kind == GET:
            taken[op.target, by] = taken.get((op.target, by), 0) + 1
        elif kind == PUT and taken.get((op.target, by)):
            pools.add(controller.layout.names[op.target])
            taken[op.target, by] -= 1
    return pools, taken


def _host(worker: TaskWorker) -> int:
    host = worker.host
    return -1 if host is None else int(host.number)


def _free(lock: Any) -> bool:
    """Whether a lock could be had, or a permit."""
    lock = getattr(lock, "_original", lock)
    for name, free in (("_locked", False), ("_owner_task", None), ("_owner", None)):
        if hasattr(lock, name):
            return bool(getattr(lock, name) is free)
    if hasattr(lock, "_borrowers"):
        return bool(len(lock._borrowers) < lock.total_tokens)
    return bool(getattr(lock, "_value", 0) > 0)


def _ready(queue: Any, kind: int) -> bool:
    """Whether there is an item in a queue, or room for one."""
    items = getattr(queue, "_queue", None)
    if items is not None:
        return bool(items) if kind == GET else bool(0 < queue._maxsize > len(items))
    state = getattr(queue, "_state", None)  # of a stream: trio's, anyio's
    items = getattr(state, "data", getattr(state, "buffer", None))
    return kind == GET and bool(items)
