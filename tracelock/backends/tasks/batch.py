"""A batch of schedules of tasks: the baton, the way from schedule to schedule, and real timers.

Between two schedules every worker is idle. The last to become idle, whichever that is, begins the
next schedule; so in the usual case, where all workers end by themselves, that costs no switch.
A worker that is in a real wait at the end of a schedule has to be got out of it: it is *leaving*.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio

from tracelock.backends.base import Backend, mismatch
from tracelock.backends.tasks.loop import Loop, Steps
from tracelock.backends.tasks.workers import TaskWorkers
from tracelock.engine.controller import Controller
from tracelock.errors import InternalError, ModelMismatch
from tracelock.ops import NAMES, TIMEOUT
from tracelock.scenario.program import Machine


class Batch(TaskWorkers):
    """The workers of one batch of schedules: where they are. What they do is in ``control``."""

    def __init__(
        self, backend: Backend, adapter: type[Loop], controller: Controller,
        done: Callable[[Controller], bool],
    ) -> None:  # fmt: skip
        super().__init__(backend, adapter)
        n = self.count
        self.program = backend.program
        self.controller = controller
        self.done = done
        self.holder = -1  # who has the baton
        self.replaced = -1  # whose next task passes it on
        self.idle: set[int] = set()  # workers that are in no schedule
        self.over = True  # the schedule is: everybody becomes idle
        self.begun = False
        self.leaving = [False] * n  # to leave its schedule, wherever it is
        self.in_schedule = [False] * n
        self.resumed = [False] * n  # from its real wait, without the baton
        self.timers: list[Any] = [None] * n  # of the ops under way
        self.fired_early: list[set[int]] = [set() for _ in range(n)]  # before they were entered
        #: Models of the locks that notice the end of their owner.
        self.locks: list[Any] = []
        self.finished: anyio.Event

    # --- the batch ---------------------------------------------------------------------------
    async def run(self) -> None:
        """Run schedules until there are no more, or enough. Raises the error of a worker."""
        self.finished = anyio.Event()
        if self.backend.rules.leaves:
            self.locks = [model for model in self.controller.models if hasattr(model, "broken")]
        async with anyio.create_task_group() as self.group:
            for worker in range(self.count):
                self.group.start_soon(self.loop.work, worker)
            try:
                await self._watch()
            except BaseException as error:
                # raised when the group has ended, so that it is not wrapped in a group of errors
                self.abort(error)
        self.loop.dispose(self.objects)
        if self.error is not None:
            raise self.error

    async def _watch(self) -> None:
        seen: tuple[int, int] | None = None
        while not self.closing:
            with anyio.move_on_after(self.limits.stall):
                await self.finished.wait()
            log = getattr(self.controller, "log", ())
            if not self.closing and seen == (id(log), len(log)):
                self.abort(self._stuck())
            seen = (id(log), len(log))

    def _stuck(self) -> InternalError:
        name = self.layout.workers[self.holder].name if self.holder >= 0 else "nobody"
        op = self.controller.op
        return ModelMismatch(
            f"{name} was to go on at {op.at} ({NAMES[op.kind]}) and did not: "
            f"the real object still waits, or a step takes very long"
        )

    def abort(self, error: BaseException) -> None:
        """The batch ends with ``error``."""
        if self.error is None:
            self.error = error
        self._close()

    def _close(self) -> None:
        self.closing = True
        self.finished.set()
        for worker in range(self.count):
            self.leaving[worker] = True
            self._get_out(worker)

    def _get_out(self, worker: int) -> None:
        still = not self.resumed[worker]
        if self.traps[worker] is not None:
            still = self.loop.recall(worker, self.traps[worker])
        self.loop.wake(worker)
        if not still and not self.closing and self.controller.limit is None:
            op = self.controller.pending[worker]
            assert op is not None
            raise mismatch(self.layout, worker, op, "still waits", "has been woken")

    def workers_out(self) -> int:
        return len(self.idle)

    def leave_batch(self, me: int) -> None:
        """The task of worker ``me`` ends with the batch."""
        self.idle.add(me)
        self.check_released()

    def _stay_idle(self, me: int) -> Steps:
        self.idle.add(me)
        self.leaving[me] = False
        self.check_released()
        while self.over and len(self.idle) == self.count and not self.closing:
            self._begin_next()
        caught = None
        while self.holder != me and not self.closing:
            caught = (yield from self.loop.wait(me)) or caught
        if self.closing:
            return None
        self.idle.discard(me)
        self.in_schedule[me] = True
        return caught

    def _begin_next(self) -> None:
        """Everybody is idle: the next schedule begins."""
        controller = self.controller
        if self.begun:
            self.begun = False
            controller.scheduler.end(len(controller.log))
            if self.done(controller):
                self._close()
                return
        if self.interrupted or not controller.begin():
            self._close()
            return
        self.begun = True
        self.over = self.released = False
        self.holder = -1
        self.loop.dispose(self.objects)
        self.objects = self.loop.objects()
        self.values = list(self.layout.initial)
        self.machines = [self.program.machine(worker) for worker in range(self.count)]
        controller.start_automatic(self.machines)
        self._pass_on()

    # --- the baton ---------------------------------------------------------------------------
    def _pass_on(self) -> None:
        """Decide who goes on, and give that worker the baton; none when the schedule is over.

        An error ends the batch, and is not raised here: the task that decides may be in the
        middle of a real operation, and leaves that as every other does.
        """
        try:
            self._decide()
        except BaseException as error:
            self.abort(error)

    def _decide(self) -> None:
        controller = self.controller
        while True:
            worker = controller.next()
            if worker < 0:
                break
            if controller.kind == TIMEOUT:
                self._fire(worker)
                continue
            self.holder = worker
            if self.traps[worker] is not None and not self.loop.wait_is_over(self.traps[worker]):
                raise mismatch(self.layout, worker, controller.op, controller.result, "still waits")
            self.loop.wake(worker)
            return
        self.holder = -1
        self.over = True
        for worker in range(self.count):
            if self.in_schedule[worker] and not controller.ended[worker]:
                self.leaving[worker] = True
                self._get_out(worker)

    def _fire(self, worker: int) -> None:
        uid = self.controller.fired_uid
        if uid < 0:
            self.loop.fire(self.timers[worker])
        elif uid in self.blocks[worker]:
            self.loop.fire(self.blocks[worker][uid])
        else:
            self.fired_early[worker].add(uid)

    def _gate(self, me: int) -> Steps:
        """Wait for the baton; the cancellation that came meanwhile, or None."""
        caught = None
        while self.holder != me and not self.leaving[me]:
            caught = (yield from self.loop.wait(me)) or caught
        return caught

    # --- timeout blocks ----------------------------------------------------------------------
    def _update_blocks(self, me: int, machine: Machine) -> None:
        """Leave and enter real timers, so that they are those of the pending op."""
        scopes = () if self.controller.ended[me] else machine.scopes
        self.leave_blocks(me, scopes)
        self.enter_blocks(me, scopes)
        blocks = self.blocks[me]
        for uid in self.fired_early[me]:
            if uid in blocks:
                self.loop.fire(blocks[uid])
        self.fired_early[me].clear()

    def _drop_blocks(self, me: int) -> None:
        blocks = self.blocks[me]
        for uid in list(reversed(blocks)):
            self.loop.leave(blocks.pop(uid), None)
        self.in_flight[me] = None
