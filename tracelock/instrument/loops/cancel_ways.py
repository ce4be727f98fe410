"""In which ways tasks of asyncio may be cancelled beside ``Task.cancel()``: deadlines that have
come already, and the scopes of anyio."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tracelock.instrument.contexts import identity
from tracelock.instrument.loops.awaits import anyio_on_asyncio
from tracelock.instrument.loops.cancelling import Way
from tracelock.instrument.loops.tasks import EPOCH, TaskWorker


def deadlines(scheduled: list[Any], worker: TaskWorker) -> Iterator[Way]:
    """The deadlines of ``asyncio.timeout``, of ``wait_for`` and of their like that the task of
    ``worker`` is under, the first to come first."""
    if not scheduled:
        return
    task = worker.task
    found = [
        handle for handle in scheduled
        if not handle._cancelled and handle._when != math.inf and _is_of(handle, task)
    ]  # fmt: skip
    found.sort(key=lambda handle: handle._when)
    for number, handle in enumerate(found):
        name = f"the deadline of {worker.label} at {round(handle._when - EPOCH, 6):g} s"
        same = sum(other._when == handle._when for other in found[:number])
        yield Way(name + f" #{same + 1}" * bool(same), partial(_run_out, handle), True)


def _is_of(handle: Any, task: Any) -> bool:
    """Whether the timer cuts short what ``task`` does."""
    callback = handle._callback
    name = getattr(callback, "__name__", "")
    if name == "_on_timeout":
        return getattr(getattr(callback, "__self__", None), "_task", None) is task
    return bool(name == "_release_waiter" and handle._args[0] is task._fut_waiter)  # Python 3.11


def _run_out(handle: Any) -> None:
    callback, arguments, context = handle._callback, handle._args, handle._context
    handle.cancel()
    context.run(callback, *arguments)


# --- anyio -----------------------------------------------------------------------------------
def scopes(worker: TaskWorker, groups: bool) -> Iterator[Way]:
    """The cancel scopes of anyio that the task of ``worker`` has entered, the outermost first.
    ``groups``: those of groups of tasks too."""
    backend = anyio_on_asyncio()
    state = None if backend is None else backend._task_states.get(worker.task)
    scope = None if state is None else state.cancel_scope
    own = []
    while scope is not None and scope._host_task is worker.task:
        own.append(scope)
        scope = scope._parent_scope
    known = worker.hub.group_scopes
    for number, scope in enumerate(reversed(own), 1):
        late = scope._deadline != math.inf
        if scope._cancel_called or (scope._shield and not late):
            continue
        if not late and identity(scope) in known and not groups:
            continue
        name = f"the scope around {worker.label}"
        if scope is not worker.scope:
            name = f"scope {number} of {worker.label}"
        yield Way(name, partial(_leave, worker, scope) if late else scope.cancel, late)


def _leave(worker: TaskWorker, scope: Any) -> None:
    scope.deadline = worker.tasks.now()


def redelivers(handle: Any) -> bool:
    """Whether this is that a scope of anyio which is cancelled looks for whom it has to cancel."""
    callback = handle._callback
    named = getattr(callback, "__name__", "") == "_deliver_cancellation"
    return named and hasattr(getattr(callback, "__self__", None), "_child_scopes")


def idle(handle: Any) -> bool:
    """Whether it would find nobody, and only look again later."""
    if handle._cancelled:
        return False
    acts, waits = _effect(handle._callback.__self__)
    return waits and not acts


def finds(handle: Any) -> bool:
    """Whether it would find somebody."""
    return not handle._cancelled and _effect(handle._callback.__self__)[0]


def _effect(scope: Any) -> tuple[bool, bool]:
    """Whether it would cancel a task, and whether it has one to wait for."""
    acts = waits = False
    for task in scope._tasks:
        if not task.done():
            waits = True
            waiter = task._fut_waiter
            able = not isinstance(waiter, asyncio.Future) or not waiter.done()
            begun = task is scope._host_task or _suspended(task.get_coro())
            acts = acts or (able and begun and not task._must_cancel)
    for inner in scope._child_scopes:
        if not inner._shield and not inner._cancel_called:
            more = _effect(inner)
            acts, waits = acts or more[0], waits or more[1]
    return acts, waits


def _suspended(coro: Any) -> bool:
    return inspect.getcoroutinestate(coro) == inspect.CORO_SUSPENDED


async def in_scope(worker: TaskWorker, work: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """A worker that is cancelled as anyio does it."""
    from anyio import CancelScope

    with CancelScope() as scope:
        worker.scope = scope
        return await work(*arguments)


def forget(task: Any) -> None:
    """anyio's state of a task that was ended from outside. Only the task would let go of it, and it
    has the task, so that both would stay for ever."""
    backend = anyio_on_asyncio()
    if backend is not None:
        backend._task_states.pop(task, None)
