"""In which ways tasks of trio may be cancelled: the scope around a worker, and scopes of the
program's own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from tracelock.instrument.contexts import identity
from tracelock.instrument.loops.cancelling import Way

if TYPE_CHECKING:
    from tracelock.instrument.loops.tasks import TaskWorker
    from tracelock.instrument.loops.trio_tasks import TrioTasks


def ways(tasks: TrioTasks, worker: TaskWorker) -> Iterator[Way]:
    """The scope around the worker that was given, and those that its task has entered, the
    outermost first."""
    aim, task = tasks.hub.aim, worker.task
    whole = _given(tasks, worker) if aim.blocks else worker if worker.given else None
    if whole is not None and whole.scope is not None and not whole.scope.cancel_called:
        yield Way("", partial(_cancel, tasks, worker, whole.scope))
    groups = {identity(nursery.cancel_scope) for nursery in task.child_nurseries}
    for number, scope in enumerate(_entered(task), 1):
        late = scope.deadline != math.inf
        if scope is worker.scope or scope.cancel_called or (scope.shield and not late):
            continue
        if not late and identity(scope) in groups and not aim.scopes:
            continue
        yield Way(
            f"scope {number} of {worker.label}", partial(_cancel, tasks, worker, scope, late), late
        )


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
