"""The workers of a run of tasks: what controlled and free runs share."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Sequence
from typing import Any

import anyio

from tracelock.backends.base import Backend
from tracelock.backends.tasks.loop import Loop, Steps, abandon
from tracelock.engine.effects import raised
from tracelock.engine.interrupts import cancellable
from tracelock.errors import ModelMismatch
from tracelock.ops import ACQUIRE, GET, PUT, WAIT, Op, Value
from tracelock.scenario.program import Machine


class TaskWorkers(ABC):
    """The tasks of one run of a loop, and the real objects and timers they are at."""

    def __init__(self, backend: Backend, adapter: type[Loop]) -> None:
        self.backend = backend
        self.layout = backend.layout
        self.limits = backend.options.limits
        self.allow_call = backend.options.allow_call
        self.count = n = len(self.layout.workers)
        self.loop = adapter(self)
        self.level = self.loop.level_triggered
        self.group: Any = None
        self.interrupted = False  # by the thread that waits for this one
        self.closing = False
        self.error: BaseException | None = None
        self.values: list[Value] = list(self.layout.initial)
        self.objects: list[Any] = []
        self.machines: list[Machine] = []
        self.traps: list[Any] = [None] * n  # the real waits
        self.blocks: list[dict[int, Any]] = [{} for _ in range(n)]  # timers by uid, entered
        self.unclosed: set[int] = set()  # they have a wait to close
        self.released = False  # all have let go of their locks
        #: The cancellation under way in each worker, and the uid of the block whose it is.
        self.in_flight: list[tuple[BaseException, int] | None] = [None] * n

    @abstractmethod
    def work(self, me: int) -> Steps:
        """One schedule of worker ``me``; what becomes of its task then."""

    def can_wait(self, op: Op) -> bool:
        """Whether ``op`` is one that can wait in an object."""
        return op.kind in (WAIT, ACQUIRE, PUT, GET) and cancellable(op, self.layout)

    def attempt(self, op: Op) -> Value:
        """Do an op that does not wait; its result, a ``Raised`` where the object raises."""
        attempt = self.loop.attempts[op.kind]
        try:
            return attempt(self.objects[op.target], op)
        except Exception as error:
            return raised(error)

    # --- leaving a run that is over ----------------------------------------------------------
    @abstractmethod
    def workers_out(self) -> int:
        """How many workers are out of the run."""

    def check_released(self) -> None:
        """Where the workers that are left only have a wait to close, they can do so now."""
        if self.unclosed and self.workers_out() + len(self.unclosed) == self.count:
            self.released = True
            for worker in sorted(self.unclosed):
                self.loop.wake(worker)

    def give_up(self, me: int, op: Op, work: Coroutine[Any, Any, Any]) -> Steps:
        """Leave the run in the middle of ``work``, the coroutine of ``op``."""
        self.let_go()
        if self.level and op.kind == WAIT and self.layout.spec(op.target).type == "condition":
            # on its way out it takes its lock: not before everybody has let go of that
            self.unclosed.add(me)
            self.check_released()
            while not self.released:
                yield from self.loop.wait(me)
            abandon(work)
            self.let_go()
            self.unclosed.discard(me)
        else:
            abandon(work)

    def let_go(self) -> None:
        """The current task releases its locks; those of asyncio have no owner."""
        if self.level:
            for real in self.objects:
                if isinstance(real, anyio.Lock):
                    with contextlib.suppress(RuntimeError):
                        real.release()

    # --- timeout blocks ----------------------------------------------------------------------
    def leave_blocks(self, me: int, scopes: Sequence[Any]) -> None:
        """Leave the real timers of the blocks that are not among ``scopes``."""
        blocks = self.blocks[me]
        inside = {scope.uid for scope in scopes}
        error, whose = self.in_flight[me] or (None, -1)
        for uid in [uid for uid in reversed(blocks) if uid not in inside]:
            timer = blocks.pop(uid)
            self.block_left(me, uid)
            if self.loop.leave(timer, error):
                if uid != whose and not self.closing:
                    raise ModelMismatch(
                        f"{self.layout.workers[me].name}: a timeout block took a cancellation "
                        "for its own that is another's by the model"
                    )
                error, whose = None, -1
                self.in_flight[me] = None

    def enter_blocks(self, me: int, scopes: Sequence[Any]) -> None:
        """Enter real timers, so that they are those of ``scopes``."""
        blocks = self.blocks[me]
        for scope in scopes:
            if scope.uid not in blocks:
                blocks[scope.uid] = timer = self.loop.timer()
                self.loop.enter(timer)
                self.block_entered(me, scope)

    def block_left(self, me: int, uid: int) -> None:  # noqa: B027 - for free runs
        """The block ``uid`` is about to be left."""

    def block_entered(self, me: int, scope: Any) -> None:  # noqa: B027 - for free runs
        """The block of ``scope`` has just been entered."""
