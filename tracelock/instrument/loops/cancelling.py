"""Cancellations that come in from outside: at which task, in which way, and what they have
reached.

They are choices of the scheduler: after each step, of each task that may be cancelled (see
``aim``), whether it is, and in which way. Each library's own ways are in its tasks
(``LoopTasks.ways``):

- asyncio: ``Task.cancel()``; a deadline of the task (``asyncio.timeout``, ``wait_for``) that has
  come already;
- trio: the scope around the worker; a scope of the program's own, or its deadline;
- anyio: the same two, on asyncio beside ``Task.cancel()``. A scope cancels again and again until
  it is left.

A scope that shields is cancelled by its own deadline alone, and one of a group of tasks (a nursery)
only where the program's code speaks of ``cancel_scope``: else nobody could cancel it by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tracelock.instrument.hub import contexts
from tracelock.instrument.loops.awaits import Innermost, innermost
from tracelock.ops import CANCELLED, ObjectSpec, Op

if TYPE_CHECKING:
    from tracelock.instrument.loops.tasks import LoopTasks, TaskWorker

#: Errors that end a task which was cancelled, by the way; trio's own stand beside its tasks.
_CANCELLED: Final[tuple[type[BaseException], ...]] = (asyncio.CancelledError,)


_OUT_OF_REACH: Final = (
    "a task is in the block that no worker, nor a task of a worker's, has started, so that it is "
    "not cancelled there"
)


class Way(NamedTuple):
    """One way in which a task may be cancelled. ``name``: of what is cancelled or runs out, ""
    for the task itself; ``do`` does it; ``late``: as a deadline that has come."""

    name: str
    do: Callable[[], object]
    late: bool = False


@dataclass(frozen=True, slots=True)
class Struck:
    """A task that a cancellation has reached. ``where``: what it waited for; ``ready``: it could go
    on, so that what it waited for had come; ``seq``: after how many events that was."""

    worker: Any
    where: Innermost
    ready: bool
    seq: int


class Injections:
    """The cancellations of one schedule, of all its loops. ``struck``: the tasks that one has
    reached since the first one came in, in order; ``told``: one line for each that came in."""

    def __init__(self, budget: int) -> None:
        self.left = budget
        self.struck: list[Struck] = []
        self.told: list[str] = []
        self.excused: tuple[type[BaseException], ...] = ()

    def offer(self, tasks: LoopTasks) -> None:
        """Let the scheduler choose whether one of the tasks is cancelled where it is."""
        hub, controller = tasks.hub, tasks.hub.controller
        if not controller.log:
            return
        by, aim = controller.log[-1][0], hub.aim
        for worker in list(tasks.order):
            if not worker.begun or tasks.done(worker):
                continue
            if not aim.admits(worker.context):
                if aim.misses(worker.context):
                    hub.names.doubts.setdefault("tracelock.cancellable()", _OUT_OF_REACH)
                continue
            for way in tasks.ways(worker):
                if aim.plain and (way.name or not worker.given):
                    continue
                target = -1
                if way.name:
                    target = hub.number_for(ObjectSpec(way.name, "awaited"))
                aim.places += 1
                if controller.inject(by, worker.at, worker.number, target):
                    self._strike(tasks, worker, way, target)
                    if not self.left:
                        return
                    break

    def _strike(self, tasks: LoopTasks, worker: TaskWorker, way: Way, target: int) -> None:
        hub = tasks.hub
        self.left -= 1
        how = f" ({way.name})" if way.name else ""
        what = "timed out" if way.late else "cancelled"
        self.told.append(f"{what} here: {worker.label} at {whereabouts(worker)}{how}")
        late = tasks.late_errors if way.late else ()
        self.excused = (*_CANCELLED, *tasks.cancelled_errors, *self.excused, *late)
        self.reached(tasks, worker)
        tasks.gate.inside = worker.number
        contexts[tasks.ident] = worker
        worker.step(Op(CANCELLED, target, worker.at))
        way.do()
        hub.controller.ask(worker.number, tasks.op(worker.at))
        tasks.leave()

    def reached(self, tasks: LoopTasks, worker: TaskWorker) -> None:
        """``worker`` is cancelled now."""
        ready = worker.number in tasks.gate.ready
        seq = len(tasks.hub.controller.log)
        self.struck.append(Struck(worker, innermost(worker.coro), ready, seq))

    def excuses(self, error: BaseException | None) -> bool:
        """Whether ``error`` is nothing but what a cancellation that came in makes of a task."""
        return bool(self.excused) and all(isinstance(e, self.excused) for e in leaves(error))


def whereabouts(worker: TaskWorker) -> str:
    """Where a task waits, in the code that uses the libraries."""
    return innermost(worker.coro).at or worker.at


def leaves(error: BaseException | None) -> Iterator[BaseException | None]:
    """The errors that a group consists of, or the error itself."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from leaves(one)
    else:
        yield error
