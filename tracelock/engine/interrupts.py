"""Cancellations and deadlines of tasks: who is cut off, where, and what is raised there.

A cancellation has two moments. When it is *asked for* (a ``cancel`` step, or a deadline that
passes) the objects are told, since a waiting task that is cancelled no longer counts in some of
them. When it *reaches* its task, the wait ends and the error is raised. Between the two other
tasks may go on.

On asyncio a request is delivered once, at the next point where the task is suspended, and each
``asyncio.timeout`` decides by counting requests whether it is its own (``Task.uncancel``). On trio
a cancelled scope is a state: every checkpoint inside raises, until the scope is left; an outer
scope goes before an inner one.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from tracelock.errors import Cancelled, ScopeExpired
from tracelock.objects import PARKED, Model, Rules
from tracelock.ops import (
    ACQUIRE,
    ATOMIC,
    CANCELLED,
    CHECKPOINT,
    EMPTY,
    GET,
    JOIN,
    PUT,
    REQUEST,
    SLEEP,
    TIMEOUT,
    WAIT,
    WAKE,
    Layout,
    Op,
    Raised,
    Value,
)
from tracelock.schedulers.base import Entry

#: Kinds at which a task may be suspended, and so be cancelled.
SUSPENDING: Final = frozenset({ACQUIRE, WAIT, PUT, GET, SLEEP, CHECKPOINT, JOIN})

#: What ``Interrupts`` says of a cut: event kind, result, what is thrown, the op of the event.
Cut = tuple[int, Value, BaseException | None, Op]


@dataclass(slots=True, eq=False)
class TimeoutBlock:
    """A ``timeout`` block that a worker is in.

    ``entry``: the requests there were before it. ``fresh``: it begins with the pending op.
    """

    deadline: float
    at: str
    entry: int
    fired: bool = False
    fresh: bool = True

    def copy(self) -> TimeoutBlock:
        return TimeoutBlock(self.deadline, self.at, self.entry, self.fired, self.fresh)


@dataclass(slots=True, eq=False)
class Task:
    """What is known of one worker that has been cancelled, or is in a ``timeout`` block."""

    requests: int = 0  # asked for, and not taken back by the block that asked
    cancelled: bool = False  # by a cancel step
    due: bool = False  # it asked that of itself, and has not been suspended since
    blocks: dict[int, TimeoutBlock] = field(default_factory=dict)  # by uid, outermost first
    entry: int = 0  # requests when the pending op was asked for
    late: bool = False  # the pending op has run out of time
    unwinding: bool = False  # cut off, but it has its lock to take back first

    def copy(self) -> Task:
        blocks = {uid: block.copy() for uid, block in self.blocks.items()}
        return Task(
            self.requests, self.cancelled, self.due, blocks, self.entry, self.late, self.unwinding
        )  # fmt: skip

    def enter(self, scopes: Sequence[Any], now: float) -> None:
        """The worker has come to an op inside ``scopes`` (see ``Machine.scopes``)."""
        blocks = self.blocks
        if blocks:
            inside = {scope.uid for scope in scopes}
            for uid in [uid for uid in blocks if uid not in inside]:
                self.requests -= blocks.pop(uid).fired
            for block in blocks.values():
                block.fresh = False
        for scope in scopes:
            if scope.uid not in blocks:
                blocks[scope.uid] = TimeoutBlock(now + scope.seconds, scope.at, self.requests)
        self.entry = self.requests
        self.late = False

    @property
    def effective(self) -> bool:
        """Whether it is inside something cancelled, as trio sees it."""
        return self.cancelled or any(block.fired for block in self.blocks.values())

    def raised(self, level_triggered: bool) -> BaseException | None:
        """What is raised where the pending op was cut off; None: it has run out of time."""
        late, self.late = self.late, False
        error = self._outermost(late) if level_triggered else self._counted(late)
        if late:
            self.requests -= 1
        return error

    def _outermost(self, late: bool) -> BaseException | None:
        if self.cancelled:
            return Cancelled()
        for uid, block in self.blocks.items():
            if block.fired:
                return ScopeExpired(uid)
        return None if late else Cancelled()

    def _counted(self, late: bool) -> BaseException | None:
        count = self.requests - late
        if late and count <= self.entry:
            return None
        for uid, block in reversed(self.blocks.items()):
            if block.fired:
                count -= 1
                if count <= block.entry:
                    return ScopeExpired(uid)
        return Cancelled()

    def key(self, now: float) -> Hashable:
        blocks = tuple(
            (b.at, b.deadline - now, b.entry, b.fired, b.fresh) for b in self.blocks.values()
        )
        return (
            self.requests, self.cancelled, self.due, self.entry, self.late, self.unwinding, blocks
        )  # fmt: skip


class TaskRun(Protocol):
    """What a cancellation looks at and changes of its run, see ``state``."""

    layout: Layout
    rules: Rules
    models: list[Model | None]
    pending: list[Op | None]
    waiting: list[bool]
    timers: dict[int, float]
    log: list[Entry]
    now: float
    current: int
    suspended: bool
    stillborn: bool


class Interrupts:
    """All of that for one controller whose workers are tasks."""

    def __init__(self, controller: TaskRun, level_triggered: bool) -> None:
        self._controller = controller
        self._level = level_triggered
        self.tasks: dict[int, Task] = {}
        self.cut: set[int] = set()  # workers whose next event is the end of their pending op

    def reset(self) -> None:
        self.tasks.clear()
        self.cut.clear()

    def enter(self, worker: int, op: Op, scopes: Sequence[Any]) -> None:
        """``worker`` has come to ``op``, inside ``scopes`` (see ``Machine.scopes``)."""
        task = self.tasks.get(worker)
        if task is None:
            if not scopes:
                return
            task = self.tasks[worker] = Task()
        controller = self._controller
        task.enter(scopes, controller.now)
        if self._level:
            if task.effective and cancellable(op, self._controller.layout):
                self.cut.add(worker)
                if worker == controller.current:
                    controller.suspended = True
        elif task.due and worker == controller.current and controller.suspended:
            task.due = False
            self.cut.add(worker)

    def leave(self, worker: int) -> None:
        """``worker`` has ended."""
        self.tasks.pop(worker, None)
        self.cut.discard(worker)

    # --- a cancellation is asked for ---------------------------------------------------------
    def cancel(self, target: int, by: int) -> None:
        """The worker ``by`` cancels ``target``, which has been started and not ended."""
        task = self.tasks.setdefault(target, Task())
        task.requests += 1
        task.cancelled = True
        if target != by:
            self._strike(target)
        elif not self._level:
            task.due = True

    def parked(self, worker: int) -> None:
        """``worker`` has begun to wait: a request that it made of itself reaches it there."""
        task = self.tasks.get(worker)
        if task is not None and task.due:
            task.due = False
            self._strike(worker)

    def _strike(self, worker: int) -> None:
        controller = self._controller
        op = controller.pending[worker]
        assert op is not None
        if controller.waiting[worker]:
            model = controller.models[op.target]
            assert model is not None
            if model.strike(op, worker):
                self.cut.add(worker)
        elif not self._level or cancellable(op, self._controller.layout):
            self.cut.add(worker)

    # --- deadlines ---------------------------------------------------------------------------
    def timers(self, worker: int) -> list[tuple[float, int, str]]:
        """What may fire for ``worker``: (deadline, uid of the block or -1 for its op, path).

        Outer blocks first, the op last. Empty once the worker is cut off: another deadline
        would change nothing until that has reached it.
        """
        if worker in self.cut:
            return []
        controller = self._controller
        task = self.tasks.get(worker)
        found: list[tuple[float, int, str]] = []
        if task is not None:
            # a task that has not gone on to its op yet is not in the block around that either
            inside = controller.waiting[worker] or self._begun(worker)
            found += [
                (block.deadline, uid, block.at)
                for uid, block in task.blocks.items()
                if not block.fired and (inside or not block.fresh)
            ]
        deadline = controller.timers.get(worker)
        if deadline is not None:
            op = controller.pending[worker]
            assert op is not None
            model = controller.models[op.target] if ATOMIC < op.kind < SLEEP else None
            if model is None or model.may_expire(op, worker, controller.waiting[worker]):
                found.append((deadline, -1, op.at))
        return found

    def _begun(self, worker: int) -> bool:
        """Whether the pending op of a worker is one in which a task is suspended before its event:
        nothing is lost if such a task is taken to have come to it as soon as it could."""
        op = self._controller.pending[worker]
        assert op is not None
        return op.kind in self._controller.rules.before and cancellable(op, self._controller.layout)

    def fire(self, worker: int, op: Op, timer: tuple[float, int, str]) -> Cut:
        """The deadline ``timer`` of ``worker`` passes."""
        controller = self._controller
        deadline, uid, at = timer
        controller.now = max(controller.now, deadline)
        if uid < 0:
            controller.timers.pop(worker)
            if op.kind == SLEEP:
                return SLEEP, None, None, op
            if not controller.waiting[worker]:
                return op.kind, EMPTY if op.kind == GET else False, None, op
            task = self.tasks.setdefault(worker, Task())
            task.late = True
            shown = op
        else:
            task = self.tasks[worker]
            task.blocks[uid].fired = True
            shown = Op(TIMEOUT, -1, at)
        task.requests += 1
        self._strike(worker)
        return TIMEOUT, PARKED, None, shown

    # --- a cancellation reaches its worker ---------------------------------------------------
    def deliver(self, worker: int, op: Op) -> Cut:
        """End the pending ``op`` of ``worker``, which is cut off."""
        controller = self._controller
        self.cut.discard(worker)
        task = self.tasks[worker]
        if controller.waiting[worker]:
            model = controller.models[op.target]
            assert model is not None
            answer = model.interrupt(op, worker, True)
            if answer is PARKED:
                task.unwinding = True
                return REQUEST, PARKED, None, op
            controller.waiting[worker] = False
            if answer.__class__ is Raised:
                return WAKE, answer, None, op
        elif (
            not self._level
            and not self._begun(worker)
            and not any(entry[0] == worker for entry in controller.log)
        ):
            # a task that is cancelled before its first step never runs at all
            controller.stillborn = True
        kind = WAKE if op.kind == WAIT else op.kind
        return (*self._raised(task, op, kind, None), op)

    def unwound(
        self, worker: int, op: Op, kind: int, result: Value
    ) -> tuple[int, Value, BaseException | None]:
        """``worker`` has ended its wait; if that was cut off before, the error comes now."""
        task = self.tasks.get(worker)
        if task is None or not task.unwinding or result.__class__ is Raised:
            return kind, result, None
        task.unwinding = False
        return self._raised(task, op, kind, result)

    def _raised(
        self, task: Task, op: Op, kind: int, result: Value
    ) -> tuple[int, Value, BaseException | None]:
        """What the end of ``op`` is: the op ran out of time, or an error is raised in it."""
        error = task.raised(self._level)
        if error is None:
            return kind, EMPTY if kind == GET else False, None
        return CANCELLED, None, error

    # --- going back in time ------------------------------------------------------------------
    def snapshot(self) -> Any:
        """The whole state, for ``restore``."""
        if not self.tasks and not self.cut:
            return None
        return {w: task.copy() for w, task in self.tasks.items()}, self.cut.copy()

    def restore(self, state: Any) -> None:
        """Back to a state that ``snapshot`` gave."""
        self.reset()
        if state is not None:
            self.tasks.update((w, task.copy()) for w, task in state[0].items())
            self.cut.update(state[1])

    def key(self, now: float) -> Hashable:
        """Equal keys, equal futures."""
        if not self.tasks:
            return None
        return (
            tuple((w, self.tasks[w].key(now)) for w in sorted(self.tasks)), frozenset(self.cut)
        )  # fmt: skip


def cancellable(op: Op, layout: Layout) -> bool:
    """Whether a task can be suspended in ``op``, and so be cancelled there."""
    if op.kind not in SUSPENDING:
        return False
    if op.kind == WAIT and layout.spec(op.target).type != "event":
        return True  # even with no time to spare it lets go of its lock, or arrives
    return op.blocking and (op.timeout is None or op.timeout > 0)
