"""Tasks of a host that has crashed, on a loop of asyncio that others use, too.

None of them makes another step: no code of theirs runs, no ``finally`` either, until the schedule
is over. What the loop had to do for the host is dropped: its timers, its callbacks, what its
sockets are ready for. Whoever waits for one of these tasks goes on as if it had returned None, as
whoever joins a thread that is gone does: a group of tasks, ``gather``, ``await``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

from tracelock.instrument.hub import get_ident
from tracelock.instrument.loops.asyncio_loop import stepping
from tracelock.instrument.loops.awaits import awaiting
from tracelock.instrument.network.membership import HOST
from tracelock.ops import ACQUIRE

if TYPE_CHECKING:
    from tracelock.instrument.loops.asyncio_tasks import AsyncioTasks

#: Modules whose callbacks tell somebody that a task has ended. That may be somebody on another host
#: though they were registered on this one: a group that has started a task there.
_TELLING: Final = frozenset({
    "asyncio.base_events", "asyncio.futures", "asyncio.taskgroups", "asyncio.tasks",
    "anyio._backends._asyncio",
})  # fmt: skip
#: Which of them are held by one task, and so are free when that is gone.
_LOCKS: Final = frozenset({asyncio.Lock})
#: Where objects of asyncio keep the futures of those who wait for them.
_LINES: Final = ("_waiters", "_getters", "_putters")


def lose_tasks(tasks: AsyncioTasks, gone: set[int], host: str, buried: list[Any]) -> None:
    """The tasks with these numbers are gone, and all that the loop has to do for ``host``.

    A part of the step in which the host crashes, on whatever thread that is made. ``buried``: what
    is dropped is kept there until the schedule is over, so that nothing of it dies, and runs code,
    before. A lock that one of these tasks holds is free.
    """
    lost = [worker for worker in tasks.order if worker.number in gone]
    for worker in lost:
        if worker.number not in tasks.gate.ready:
            tasks.hub.controller.rest(worker.number)  # it could not have come earlier
        tasks.gate.ready.pop(worker.number, None)
        _leave_line(worker)
    tasks.lost += lost
    ready = tasks.ready
    kept, ready.safely = ready.safely, True
    try:
        ready.wake()
        for worker in lost:
            asyncio.Future.set_result(worker.task, None)
        _free_locks(tasks, gone)
        _drop(tasks, host, buried)
        ready.settle()
    finally:
        ready.safely = kept


def _drop(tasks: AsyncioTasks, host: str, buried: list[Any]) -> None:
    """Nothing of what the loop was to do for ``host`` is done."""
    ready, loop = tasks.ready, tasks.loop
    for handle in list(loop._scheduled):
        if not handle._cancelled and handle._context.get(HOST) == host:
            buried.append((handle._callback, handle._args))
            handle.cancel()
    handles: list[Any] = [one for _, one, _ in ready.line]
    for handle in [*handles, *ready.steps.values()]:
        callback = handle._callback
        owner = stepping(callback)
        if owner is not None:
            drops = tasks.worker_of(owner) in tasks.lost
        else:
            module = getattr(callback, "__module__", None)
            drops = handle._context.get(HOST) == host and module not in _TELLING
        if drops:
            buried.append((callback, handle._args))
            handle.cancel()
    for worker in tasks.lost:
        ready.steps.pop(worker.number, None)
    for entry in [one for one in ready.line if one[1]._cancelled]:
        ready.line.remove(entry)


def _leave_line(worker: Any) -> None:
    """The task of ``worker`` waits for nothing any more: what comes is another's."""
    found, waits = awaiting(worker.coro), worker.task._fut_waiter
    thing = found.thing
    if found.kind < 0 or waits is None:
        return
    for name in _LINES:
        line = getattr(thing, name, None)
        if line is not None and waits in line:
            line.remove(waits)
    if waits.done() and found.kind == ACQUIRE and type(thing) in _LOCKS:
        thing._wake_up_first()  # it had been handed the lock, and has not taken it


def _free_locks(tasks: AsyncioTasks, gone: set[int]) -> None:
    """Locks that these hold are free: each host would have its own."""
    for thing, number in list(tasks._things.values()):
        model: Any = tasks.hub.controller.models[number]
        if type(thing) in _LOCKS and not gone.isdisjoint(model.holders()):
            model.held = tuple(one for one in model.held if one not in gone)
            thing._locked = False
            thing._wake_up_first()


def start_on(
    tasks: AsyncioTasks, main: Callable[..., Any], arguments: Any, context: Context
) -> Any:
    """Start a task in this context, from whatever thread: the task, None from another one."""
    if get_ident() == tasks.ident:
        return tasks.loop.create_task(main(*arguments), context=context)

    def starts() -> None:
        tasks.loop.create_task(main(*arguments), context=context)

    tasks.loop.call_soon_threadsafe(starts, context=context)
    return None
