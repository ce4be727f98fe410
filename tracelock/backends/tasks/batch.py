"""A batch of schedules of tasks: the baton, the way home, and real timers.

Between two schedules every worker is at home. The last to come home, whoever that is, begins the
next schedule; so in the usual case, where all workers end by themselves, that costs no switch.
Who is stuck in a real wait at the end of a schedule is a *stray* and is called home.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

import anyio

from tracelock.backends.base import mismatch
from tracelock.backends.simulated import start
from tracelock.backends.tasks.values import abandon
from tracelock.engine.controller import Controller
from tracelock.errors import InternalError, ModelMismatch
from tracelock.ops import NAMES, TIMEOUT, WAIT, Op, Value
from tracelock.scenario.program import Machine

if TYPE_CHECKING:
    from tracelock.backends.tasks.backend import TaskBackend

Steps = Generator[Any, Any, Any]


class Batch:
    """The workers of one batch of schedules: where they are, and what they hold for real.

    What they do is in ``tasks_control``.
    """

    def __init__(
        self, backend: TaskBackend, controller: Controller, done: Callable[[Controller], bool]
    ) -> None:
        self.backend = backend
        self.layout = backend.layout
        self.program = backend.program
        self.controller = controller
        self.done = done
        self.count = n = len(self.layout.workers)
        self.loop = backend.adapter(self)
        self.interrupted = False  # by the thread that waits for this one
        self.closing = False
        self.error: BaseException | None = None
        self.holder = -1  # who has the baton
        self.heir = -1  # whose next task passes it on
        self.home: set[int] = set()  # workers that are in no schedule
        self.over = True  # the schedule is: everybody goes home
        self.begun = False
        self.stray = [False] * n  # to leave its schedule, wherever it is
        self.away = [False] * n
        self.traps: list[Any] = [None] * n  # the real waits
        self.back = [False] * n  # from its real wait, without the baton
        self.timers: list[Any] = [None] * n  # of the ops under way
        self.blocks: list[dict[int, Any]] = [{} for _ in range(n)]  # timers by uid, entered
        self.early: list[set[int]] = [set() for _ in range(n)]  # fired before they were entered
        self.flying: list[tuple[BaseException, int] | None] = [None] * n  # and whose block's
        self.objects: list[Any] = []
        self.values: list[Value] = []
        self.machines: list[Machine] = []
        #: Models of locks whose owner is somebody to them, by number.
        self.locks: list[tuple[int, Any]] = []
        self.mourning = 0  # strays that still have something to close
        self.released = False  # all strays have let go of their locks
        self.graves: list[tuple[Coroutine[Any, Any, Any], Any] | None] = [None] * n
        self.group: Any = None
        self.finished: anyio.Event

    # --- the batch ---------------------------------------------------------------------------
    async def run(self) -> None:
        """Run schedules until there are no more, or enough. Raises what a worker came to."""
        self.finished = anyio.Event()
        if self.backend.rules.leaves:
            self.locks = [
                (number, model)
                for number, model in enumerate(self.controller.models)
                if hasattr(model, "broken")
            ]
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
            with anyio.move_on_after(self.backend.options.limits.stall):
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
            self.stray[worker] = True
            self._call_home(worker)

    def _call_home(self, worker: int) -> None:
        still = not self.back[worker]
        if self.traps[worker] is not None:
            still = self.loop.recall(worker, self.traps[worker])
        self.loop.wake(worker)
        if not still and not self.closing and self.controller.limit is None:
            op = self.controller.pending[worker]
            assert op is not None
            raise mismatch(self.layout, worker, op, "still waits", "has been woken")

    def gone(self, me: int) -> None:
        """The task of worker ``me`` ends with the batch."""
        self.home.add(me)
        self._check_released()

    def _stay_home(self, me: int) -> Steps:
        self.home.add(me)
        self.stray[me] = False
        self._check_released()
        while self.over and len(self.home) == self.count and not self.closing:
            self._turn_over()
        caught = None
        while self.holder != me and not self.closing:
            caught = (yield from self.loop.wait(me)) or caught
        if self.closing:
            return None
        self.home.discard(me)
        self.away[me] = True
        return caught

    def _turn_over(self) -> None:
        """Everybody is home: the next schedule begins."""
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
        for worker, spec in enumerate(self.layout.workers):
            if not spec.manual:
                start(controller, self.machines[worker], worker)
        self._pass_on()

    # --- the baton ---------------------------------------------------------------------------
    def _pass_on(self) -> None:
        """Decide who goes on, and give that worker the baton; nobody when the run is over."""
        controller = self.controller
        while True:
            worker = controller.next()
            if worker < 0:
                break
            if controller.kind == TIMEOUT:
                self._fire(worker)
                continue
            self.holder = worker
            if self.traps[worker] is not None and not self.loop.came(self.traps[worker]):
                raise mismatch(self.layout, worker, controller.op, controller.result, "still waits")
            self.loop.wake(worker)
            return
        self.holder = -1
        self.over = True
        for worker in range(self.count):
            if self.away[worker] and not controller.ended[worker]:
                self.stray[worker] = True
                self._call_home(worker)

    def _fire(self, worker: int) -> None:
        uid = self.controller.fired_uid
        if uid < 0:
            self.loop.fire(self.timers[worker])
        elif uid in self.blocks[worker]:
            self.loop.fire(self.blocks[worker][uid])
        else:
            self.early[worker].add(uid)

    def _gate(self, me: int) -> Steps:
        """Wait for the baton; the cancellation that came meanwhile, or None."""
        caught = None
        while self.holder != me and not self.stray[me]:
            caught = (yield from self.loop.wait(me)) or caught
        return caught

    # --- leaving a schedule that is over -----------------------------------------------------
    def _abandon(self, me: int, op: Op, work: Coroutine[Any, Any, Any]) -> None:
        """``work`` will not be finished."""
        self._let_go(me)
        if self.locks and op.kind == WAIT and self.layout.spec(op.target).type == "condition":
            # on its way out it takes its lock, which may be another stray's still
            lock = self.objects[self.layout.spec(op.target).lock]
            self.graves[me] = (work, lock)
            return
        abandon(work)
        self._drop_blocks(me)

    def _let_go(self, me: int) -> None:
        for number, lock in self.locks:
            if lock.owner == me:
                with contextlib.suppress(RuntimeError):
                    self.objects[number].release()

    def _check_released(self) -> None:
        if self.mourning and len(self.home) + self.mourning == self.count:
            self.released = True
            for worker in range(self.count):
                if self.graves[worker] is not None:
                    self.loop.wake(worker)

    def _bury(self, me: int) -> Steps:
        """When every stray has let go of its locks, close what was left open."""
        grave = self.graves[me]
        assert grave is not None
        self.mourning += 1
        self._check_released()
        while not self.released:
            yield from self.loop.wait(me)
        self.graves[me] = None
        abandon(grave[0])
        with contextlib.suppress(RuntimeError):
            grave[1].release()
        self._drop_blocks(me)
        self.mourning -= 1

    # --- timeout blocks ----------------------------------------------------------------------
    def _update_blocks(self, me: int, machine: Machine) -> None:
        """Leave and enter real timers, so that they are those of the pending op."""
        blocks = self.blocks[me]
        scopes = () if self.controller.ended[me] else machine.scopes
        inside = {scope.uid for scope in scopes}
        error, whose = self.flying[me] or (None, -1)
        for uid in [uid for uid in reversed(blocks) if uid not in inside]:
            if self.loop.leave(blocks.pop(uid), error):
                if uid != whose:
                    raise ModelMismatch(
                        f"{self.layout.workers[me].name}: a timeout block took a cancellation "
                        "for its own that is another's by the model"
                    )
                error, whose = None, -1
                self.flying[me] = None
        for scope in scopes:
            if scope.uid not in blocks:
                blocks[scope.uid] = timer = self.loop.timer()
                self.loop.enter(timer)
        for uid in self.early[me]:
            if uid in blocks:
                self.loop.fire(blocks[uid])
        self.early[me].clear()

    def _drop_blocks(self, me: int) -> None:
        blocks = self.blocks[me]
        for uid in list(reversed(blocks)):
            self.loop.leave(blocks.pop(uid), None)
        self.flying[me] = None
