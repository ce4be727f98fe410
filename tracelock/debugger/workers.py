"""What the workers of a replay are about to do where it stands, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from tracelock.debugger.frames import Stack, stack_of
from tracelock.debugger.stops import BREAKPOINT, EVENT, FAILURE, LINE, Standstill
from tracelock.engine.recording import target_name
from tracelock.instrument.callers import place_of
from tracelock.instrument.hub import Phase
from tracelock.instrument.naming import SETUP
from tracelock.ops import CHECKPOINT, NAMES, ON_WORKER, Op

#: What a loop does beside its tasks has no code of the user's.
_BESIDE: Final = ("loop:callbacks", "loop:timers")


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One worker where the replay stands. ``at``: the place in the user's code, "" without one;
    ``state``: what it is about to do, or waits for; ``goes_on``: it makes the next step."""

    number: int
    name: str
    state: str
    at: str
    stack: Stack
    goes_on: bool


def is_beside(name: str) -> bool:
    """Whether this is what a loop does beside its tasks, not a thread or a task."""
    return name.endswith(_BESIDE)


def states(hub: Any, stop: Standstill) -> list[WorkerState]:
    """All threads and tasks that have begun, by their number."""
    found = []
    for number, worker in sorted(hub.workers.items()):
        if is_beside(worker.label):
            continue
        next_ = worker is stop.worker
        name = name_in(hub, worker)
        ended = hub.controller.ended[number]
        if worker.elsewhere:
            found.append(WorkerState(number, name, "in another process", "", [], next_))
            continue
        stack = [] if ended else stack_of(worker)
        at = (place_of(stack[-1][0]) or "") if stack else ""
        if next_ and stop.kind == FAILURE and stop.text:
            fails = stop.error is not None
            state = f"fails: {stop.text.splitlines()[0]}" if fails else _state(hub, worker)
        else:
            # the models are where they are after that event: who makes it waits for nothing
            state = "has ended" if ended else _state(hub, worker, next_ and stop.kind == EVENT)
            if next_ and stop.kind in (LINE, BREAKPOINT):
                state = "runs"
        found.append(WorkerState(number, name, state, at, stack, next_))
    return found


def name_in(hub: Any, worker: Any) -> str:
    """What a worker is called: the main thread is in the setup or in the check."""
    return "check" if worker.label == SETUP and hub.phase == Phase.CHECK else str(worker.label)


def _state(hub: Any, worker: Any, granted: bool = False) -> str:
    controller, number = hub.controller, worker.number
    op: Op | None = controller.pending[number]
    if op is None:
        return "runs"
    if op.kind == CHECKPOINT:
        return "goes on"
    target = target_name(controller.layout, op.kind, op)
    what = f"{NAMES[op.kind]} {target}" if target else NAMES[op.kind]
    if op.kind not in ON_WORKER and 0 <= op.target < len(controller.models):
        model = controller.models[op.target]
        if granted or model is None:
            return what
        if controller.waiting[number] and not model.ready(op, number):
            return f"waits: {what}{_held(controller, model, number)}"
        if not controller.waiting[number] and not model.enabled(op, number):
            return f"waits: {what}{_held(controller, model, number)}"
    return what


def _held(controller: Any, model: Any, number: int) -> str:
    holders = [one for one in model.holders() if one != number]
    if not holders:
        return ""
    workers = controller.layout.workers
    return f", held by {', '.join(workers[one].name for one in holders)}"
