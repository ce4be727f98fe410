"""What the tasks that never end wait for, as the ops of a verdict."""

from __future__ import annotations

from tracelock.engine.open import OpenController
from tracelock.instrument.loops.awaits import awaiting, stack
from tracelock.instrument.loops.tasks import LoopTasks
from tracelock.ops import Op


def waits_for(tasks: LoopTasks, controller: OpenController) -> None:
    """No worker can go on: put what each task waits for in the place of its next step."""
    if tasks.watches():
        shown = [
            f"{worker.label} at\n{stack(worker.coro)}"
            for worker in tasks.order
            if worker.number in controller.active
        ]
        controller.limit = "only real input and output is left to wait for: " + "; ".join(shown)
        return
    for worker in tasks.order:
        if worker.number in controller.active and not tasks.done(worker):
            found = awaiting(worker.coro)
            if found.thing is None:
                op = tasks.unknown_wait(worker, found.at)
            else:
                op = Op(found.kind, tasks.thing(found.thing, worker), found.at)
            controller.pending[worker.number] = op
