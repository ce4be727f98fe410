"""What the tasks that never end wait for, as the ops of a verdict."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tracelock.engine.open import OpenController
from tracelock.instrument.loops.awaits import awaiting, stack
from tracelock.objects.waits import AwaitedModel
from tracelock.ops import JOIN, WAIT, ObjectSpec, Op

if TYPE_CHECKING:
    from tracelock.instrument.loops.tasks import LoopTasks, TaskWorker


def waits_for(tasks: LoopTasks, controller: OpenController) -> None:
    """Nobody can go on: put what each task waits for in the place of its next step."""
    if tasks.watches():
        told = [
            f"{worker.label} at\n{stack(worker.coro)}"
            for worker in tasks.order
            if worker.number in controller.active
        ]
        controller.limit = "only real input and output is left to wait for: " + "; ".join(told)
        return
    for worker in tasks.order:
        if worker.number in controller.active and not tasks.done(worker):
            controller.pending[worker.number] = _op(tasks, worker, controller)


def _op(tasks: LoopTasks, worker: TaskWorker, controller: OpenController) -> Op:
    found = awaiting(worker.coro)
    if found.thing is not None:
        number = tasks.thing(found.thing, worker)
        return Op(found.kind, number, found.at)
    future = getattr(worker.task, "_fut_waiter", None)
    if isinstance(future, asyncio.Task):
        return Op(JOIN, _number(tasks, future), found.at)
    children = [child for child in getattr(future, "_children", ()) if not child.done()]
    names = [_name(tasks, child) for child in children]
    label = f"gather({', '.join(names)})" if names else "a future" if future else "a wake-up"
    hub = tasks.hub
    number = hub.thing(ObjectSpec(hub.bind(future or worker, label), "awaited"))
    model = controller.models[number]
    if isinstance(model, AwaitedModel):
        model.held = tuple(
            _number(tasks, child) for child in children if isinstance(child, asyncio.Task)
        )
    return Op(WAIT, number, found.at)


def _name(tasks: LoopTasks, future: Any) -> str:
    return (
        tasks.hub.layout.workers[_number(tasks, future)].name
        if isinstance(future, asyncio.Task)
        else "a future"
    )


def _number(tasks: LoopTasks, task: Any) -> int:
    """The number of the worker that an asyncio task is."""
    worker_of: Any = tasks.worker_of  # type: ignore[attr-defined]
    return int(worker_of(task).number)
