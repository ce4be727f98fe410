"""In which ways tasks of trio may be cancelled: the scope around a worker, and scopes of the
program's own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import trio

from tracelock.instrument.contexts import identity
from tracelock.instrument.loops.awaits import frames
from tracelock.instrument.loops.cancelling import Way

if TYPE_CHECKING:
    from tracelock.instrument.loops.tasks import TaskWorker
    from tracelock.instrument.loops.trio_tasks import TrioTasks


_NO_SCOPE: Final = (
    "a task is in the block that no scope of trio is around, so that nothing can cancel it there: "
    "start it in a nursery, or put the block into a CancelScope"
)
_SLEEP: Final = trio.sleep_until.__code__


def ways(tasks: TrioTasks, worker: TaskWorker) -> Iterator[Way]:
    """The scope around the worker that was given, and those that its task has entered, the
    outermost first. In a block of a run that the program starts itself, where nobody was given, the
    scope of the nursery that the task is in: one of its siblings may fail."""
    aim, task = tasks.hub.aim, worker.task
    whole = _given(tasks, worker) if aim.blocks else worker if worker.given else None
    if whole is not None and whole.scope is not None and not whole.scope.cancel_called:
        yield Way("", partial(_cancel, tasks, worker, whole.scope))
    groups = {identity(nursery.cancel_scope) for nursery in task.child_nurseries}
    entered = _entered(task)
    if aim.blocks and whole is None:
        around = _around(tasks, task)
        if around is None:
            if len(entered) == _of_sleep(task):
                tasks.hub.names.doubts.setdefault("tracelock.cancellable()", _NO_SCOPE)
        elif not around.cancel_called:
            name = f"the nursery of {worker.label}"
            yield Way(name, partial(_cancel, tasks, worker, around))
    for number, scope in enumerate(entered, 1):
        late = scope.deadline != math.inf
        if scope is worker.scope or scope.cancel_called or (scope.shield and not late):
            continue
        if not late and identity(scope) in groups and not aim.scopes:
            continue
        yield Way(
            f"scope {number} of {worker.label}", partial(_cancel, tasks, worker, scope, late), late
        )


def _around(tasks: TrioTasks, task: Any) -> Any:
    """The scope of the nursery that a task of the program has been started in by another; None for
    the main task, and for tasks of trio's own nursery."""
    nursery = task.parent_nursery
    if nursery is None or identity(nursery.parent_task) not in tasks.workers:
        return None
    return nursery.cancel_scope


def _of_sleep(task: Any) -> int:
    """How many of the scopes that a task has entered are those by which trio lets it sleep."""
    return sum(frame.f_code is _SLEEP for frame in frames(task.coro))


def _entered(task: Any) -> list[Any]:
    """The scopes that a task has entered, the outermost first."""
    found, status, end = [], task._cancel_status, task.parent_nursery._cancel_status
    while status is not None and status is not end:
        found.append(status._scope)
        status = status._parent
    return found[::-1]


def _given(tasks: TrioTasks, worker: TaskWorker) -> TaskWorker | None:
    """The worker of those that were given whose task, or child, this is."""
    task = worker.task
    while task is not None:
        found = tasks.workers.get(identity(task))
        if found is not None and found.given:
            return found
        task = None if task.parent_nursery is None else task.parent_nursery.parent_task
    return None


def _cancel(tasks: TrioTasks, worker: TaskWorker, scope: Any, late: bool = False) -> None:
    """Cancel a scope; ``late``: because its deadline has come."""
    for other in tasks.order:
        if other is not worker and not tasks.done(other) and _is_inside(other.task, scope):
            tasks.injections.reached(tasks, other)
    if late:
        scope.deadline = tasks.now()
    scope.cancel()


def _is_inside(task: Any, scope: Any) -> bool:
    status = task._cancel_status
    while status is not None:
        if status._scope is scope:
            return True
        status = status._parent
    return False
