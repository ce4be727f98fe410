"""Tasks of a host that has crashed, on a loop of trio that others use, too.

None of them makes another step: no code of theirs runs, no ``finally`` either, until the schedule
is over. trio is told as if each had returned None: the nursery that it was started in waits for the
others alone. Its cancel scopes are nobody's any more, and their deadlines never come. It leaves the
line of whatever it waits for, by what trio itself calls when a task is cancelled there.
"""

from __future__ import annotations

import functools
import gc
import math
from collections.abc import Callable, Iterator
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final, NoReturn

import outcome
import trio
from trio._core import _parking_lot
from trio._sync import _LockImpl

from tracelock.instrument.contexts import identity
from tracelock.instrument.hub import Phase, get_ident
from tracelock.instrument.loops.awaits import frames
from tracelock.instrument.network.membership import HOST

if TYPE_CHECKING:
    from tracelock.instrument.loops.trio_tasks import TrioTasks

#: Whose functions take a task out of the line that it is in: no code of the program's.
_LIBRARIES: Final = frozenset({"anyio", "tracelock", "trio"})
#: By task the lines of the locks that it holds.
_BREAKERS: Final[dict[Any, list[Any]]] = _parking_lot.GLOBAL_PARKING_LOT_BREAKER
_THREAD: Final = "to_thread_run_sync"


def survivor(tasks: TrioTasks, gone: set[int]) -> str:
    """A task that is not gone, in a nursery of one that is; "" for none."""
    for worker in tasks.order:
        if worker.number in gone or tasks.done(worker):
            continue
        nursery = worker.task.parent_nursery
        parent = None if nursery is None else tasks.workers.get(identity(nursery.parent_task))
        if parent is not None and parent.number in gone:
            return worker.label
    return ""


def lose_tasks(tasks: TrioTasks, gone: set[int], host: str) -> None:
    """The tasks with these numbers are gone, and all that the loop has to do for them.

    A part of the step in which the host crashes, which a task of this loop makes. There is no
    ``survivor``. A lock that one of these tasks holds is free.
    """
    lost = [worker for worker in tasks.order if worker.number in gone]
    tasks.lost += lost
    for worker in lost:
        if worker.number not in tasks.gate.ready:
            tasks.hub.controller.rest(worker.number)  # it could not have come earlier
        tasks.gate.ready.pop(worker.number, None)
        tasks.exited.add(identity(worker.task))
        _leave_line(tasks, worker.task)
        _leave_scopes(tasks, worker.task)
    _free_locks(tasks, lost)
    for worker in lost:
        _free_thread(worker)
    known = {identity(worker.task) for worker in lost}
    for worker in lost:
        _end(tasks, worker.task, known, host)


def _leave_line(tasks: TrioTasks, task: Any) -> None:
    """The task waits for nothing any more: what comes is another's."""
    abort, task._abort_func = task._abort_func, None
    if abort is not None and (abort.__module__ or "").partition(".")[0] in _LIBRARIES:
        abort(_cancelled)
    task._next_send_fn = task._next_send = None
    tasks.run_queue.waiting.pop(identity(task), None)


def _cancelled() -> NoReturn:
    raise BaseException.__new__(trio.Cancelled)


def _leave_scopes(tasks: TrioTasks, task: Any) -> None:
    """The scopes that the task has entered are below no other's any more, and never late."""
    status, top, around = task._cancel_status, None, task._parent_nursery._cancel_status
    while status is not None and status is not around:
        scope = status._scope
        if scope._registered_deadline != math.inf:
            tasks.runner.deadlines.remove(scope._registered_deadline, scope)
            scope._registered_deadline = math.inf
        top, status = status, status._parent
    if top is not None and top._parent is not None:
        top.parent = None
    task._activate_cancel_status(None)


def _end(tasks: TrioTasks, task: Any, lost: set[int], host: str) -> None:
    """trio is told that the task has returned None, and its nursery, where that is another's."""
    runner, nursery = tasks.runner, task._parent_nursery
    runner.tasks.discard(task)
    if task is runner.main_task:
        runner.main_task_outcome = outcome.Value(None)
    nursery._children.discard(task)
    if identity(nursery._parent_task) not in lost:
        tasks.homes.setdefault(host, nursery)
        nursery._check_nursery_closed()


def _free_locks(tasks: TrioTasks, lost: list[Any]) -> None:
    """Locks that these hold are free: each host would have its own."""
    gone = {worker.number for worker in lost}
    for thing, number in list(tasks._things.values()):
        model: Any = tasks.hub.controller.models[number]
        if isinstance(thing, _LockImpl) and not gone.isdisjoint(model.holders()):
            model.held = tuple(one for one in model.held if one not in gone)
    for worker in lost:
        for lot in _BREAKERS.pop(worker.task, []):
            lock = next(_locks(tasks, lot), None)
            if lock is None or lock._owner is not worker.task:
                continue  # a line of the program's own
            lock._owner = None
            if lot:
                (lock._owner,) = lot.unpark(count=1)
                _parking_lot.add_parking_lot_breaker(lock._owner, lot)


def _locks(tasks: TrioTasks, lot: Any) -> Iterator[Any]:
    """The lock of a line: one that has a name, or one that was taken without waiting."""
    known = [one for one, _ in tasks._things.values()]
    holders = known + gc.get_referrers(lot)
    for one in holders:
        if type(one) is dict and one.get("_lot") is lot:  # the attributes of an object
            holders = holders + gc.get_referrers(one)
    yield from (one for one in holders if isinstance(one, _LockImpl) and one._lot is lot)


def _free_thread(worker: Any) -> None:
    """The thread that the task waits for is gone as well, and counts for no limit any more."""
    for frame in frames(worker.coro):
        if frame.f_code.co_name == _THREAD:
            found = frame.f_locals
            limiter, thread = found.get("limiter"), found.get("placeholder")
            if isinstance(limiter, trio.CapacityLimiter) and thread in limiter._borrowers:
                limiter.release_on_behalf_of(thread)


# --- again -------------------------------------------------------------------------------------
def start_on(
    tasks: TrioTasks, main: Callable[..., Any], arguments: tuple[Any, ...], context: Context
) -> Any:
    """Start a task of a host in this context, from whatever thread: the task, None from another
    one. It is in the nursery that the host was started in, as long as that is open, else in one
    around all others."""

    def starts() -> Any:
        nursery, work = tasks.homes.get(context.get(HOST, "")), main
        if nursery is None or nursery is tasks.nursery or nursery._closed:
            nursery = tasks.nursery or tasks.runner.system_nursery
            work = _reported(tasks, main)
        return tasks.runner.spawn_impl(work, arguments, nursery, None, context=context)

    if get_ident() == tasks.ident:
        return starts()
    tasks.runner.entry_queue.run_sync_soon(starts)
    return None


def _reported(tasks: TrioTasks, main: Callable[..., Any]) -> Callable[..., Any]:
    """Nobody waits for this one: what it raises is a failure, and ends no other."""

    @functools.wraps(main)
    async def alone(*arguments: Any) -> None:
        try:
            await main(*arguments)
        except Exception as error:
            if tasks.hub.phase is not Phase.RUN:
                raise
            name = getattr(main, "__name__", "main")
            told = f"{name}, started again, has failed: {type(error).__name__}: {error}"
            tasks.errors.append(told)
            tasks.raised.append((told, error))

    return alone
