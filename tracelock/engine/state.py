"""What a run is at one moment: all of it but the scheduler and the worker machines.

It can be taken as a snapshot and put back, which is what lets a search go back in time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final

from tracelock.engine.interrupts import Interrupts, Task
from tracelock.engine.limits import DEFAULT_SECONDS, DEFAULT_STEPS
from tracelock.errors import StepFailure
from tracelock.objects import Model, Rules, frozen, make_models
from tracelock.ops import (
    ATOMIC,
    CALL,
    CANCEL,
    CANCELLED,
    CHECKPOINT,
    CHOOSE,
    CLEAR,
    CRASH,
    NAMES,
    NOTIFY,
    RELEASE,
    SET,
    SPAWN,
    Layout,
    Op,
    Value,
)
from tracelock.schedulers.base import Choice, Entry, Gate, Scheduler

#: Kinds that can always happen: nothing has to be true first.
ALWAYS: Final = tuple(
    kind <= ATOMIC
    or kind in (RELEASE, NOTIFY, SET, CLEAR, CHECKPOINT, SPAWN, CANCEL, CANCELLED, CRASH, CALL)
    or kind == CHOOSE
    for kind in range(len(NAMES))
)
Caller = Callable[[str, list[Value]], Value]


__all__ = ["ALWAYS", "Caller", "Entry", "RunState"]


class RunState:
    """The state of one schedule, and the fixed things that it is about."""

    #: Whose process something outside has ended and how, in words: no schedule does that. Of the
    #: class, for one whose schedules run apart and that never begins one itself.
    killed = ""

    def __init__(
        self,
        layout: Layout,
        rules: Rules,
        scheduler: Scheduler,
        *,
        clock: str = "virtual",
        max_steps: int = DEFAULT_STEPS,
        max_seconds: float = DEFAULT_SECONDS,
        check: Callable[[Sequence[Value]], StepFailure | None] | None = None,
        observer: Callable[[int, int, int, Op, Value], None] | None = None,
        call: Caller | None = None,
    ) -> None:
        self.layout = layout
        self.rules = rules
        self.scheduler = scheduler
        self.adversarial = clock == "adversarial"
        self.clock = clock
        self.max_steps = max_steps
        self.max_seconds = max_seconds
        self.check = check
        self.observer = observer
        self.call = call
        #: Called before each step; a replay kills here whom something outside killed.
        self.before: Callable[[Any], None] | None = None
        self.models: list[Model | None] = make_models(layout, rules)
        self._objects = [model for model in self.models if model is not None]
        self._workers = len(layout.workers)
        self._choice = Choice()
        self._cooperative = rules.cooperative
        self._interrupts = Interrupts(self, rules.level_triggered) if rules.cooperative else None
        none: tuple[dict[int, Task], set[int]] = ({}, set())
        interrupts = self._interrupts
        #: Workers in ``timeout`` blocks or cancelled, and those who are cut off where they wait.
        self._tasks, self._cut_off = (
            none if interrupts is None else (interrupts.tasks, interrupts.cut)
        )
        #: The cancelled worker has not made its first step, so that its machine never runs.
        self.stillborn = False
        # The grant: what the last ``next`` decided.
        self.op: Op
        self.kind = 0
        self.result: Value = None
        self.parked = False
        self.fired = False
        self.forced = False  # it did because nothing else could happen: time went on for it
        self.late = False  # whether timers fire although others can go on, see OpenController
        #: The number of the event before which nobody else may come in, see ``Run``.
        self.goes_on = -1
        self.prelude = 0
        self.steps: list[Any] | None = None
        self.thrown: BaseException | None = None
        #: Whose timer fired: the uid of a ``timeout`` block, -1 for that of the op.
        self.fired_uid = -1
        self._fires: tuple[float, int, str] | None = None  # the timer that was chosen
        #: Of real code: the gate of the loop that a task shares with others; what there is to say
        #: of a thing that somebody waits for in vain; what was heard of besides, for the verdict.
        self.loops: dict[int, Gate] = {}
        #: What those would have done next whose loop, or the schedule, has ended before that.
        self.shut_out: dict[int, Op] = {}
        self.remarks: dict[int, str] = {}
        self.heard: list[str] = []
        scheduler.attach(self)

    def _fresh(self) -> None:
        """Back to the initial state."""
        for model in self._objects:
            model.reset()
        n = self._workers
        self.values: list[Value] = list(self.layout.initial)
        self.pending: list[Op | None] = [None] * n
        self.waiting = [False] * n  # parked in an object
        self.active: list[int] = []  # started and not ended, in order
        self.ended = [False] * n
        self.timers: dict[int, float] = {}
        if self._interrupts is not None:
            self._interrupts.reset()
        self.crashed: list[tuple[int, str]] = []
        self.killed = ""
        self.failure: tuple[int, StepFailure] | None = None
        self.limit: str | None = None
        self.now = 0.0
        self._deadline = 0.0
        self._look = min(1024, self.max_steps)
        self.current = -1
        self._paused = False  # others go on though the last event was the end of its op
        self.suspended = True
        self.log: list[Entry] = []
        self.shut_out = {}
        self.prelude = 0

    def snapshot(self) -> tuple[Any, ...]:
        """The whole state but the log, the worker machines and the scheduler; see ``restore``."""
        return (
            self.values.copy(),
            [model.snapshot() for model in self._objects],
            self.pending.copy(),
            self.waiting.copy(),
            self.active.copy(),
            self.ended.copy(),
            self.timers.copy(),
            None if self._interrupts is None else self._interrupts.snapshot(),
            self.crashed.copy(),
            self.failure,
            self.limit,
            self.now,
            self.current,
            self.suspended,
            len(self.log),
        )

    def restore(self, state: tuple[Any, ...]) -> None:
        """Back to a state that ``snapshot`` gave, on this path of the search or an earlier one.

        The log is cut to its length then, which is right as long as it has only grown since.
        """
        (values, objects, pending, waiting, active, ended, timers, interrupts,
         crashed, self.failure, self.limit, self.now, self.current, self.suspended, seq,
         ) = state  # fmt: skip
        self.values = values.copy()
        for model, kept in zip(self._objects, objects, strict=True):
            model.restore(kept)
        self.pending = pending.copy()
        self._choice.pending = self.pending
        self.waiting = waiting.copy()
        self.active = active.copy()
        self.ended = ended.copy()
        self.timers = timers.copy()
        if self._interrupts is not None:
            self._interrupts.restore(interrupts)
        self.crashed = crashed.copy()
        del self.log[seq:]

    def key(self) -> Hashable:
        """What decides the future, the machines aside: equal keys, equal futures.

        Deadlines count from now, so that two moments that differ only in time are one state.
        """
        now = self.now
        return (
            frozen(tuple(self.values)),
            tuple([frozen(model.snapshot()) for model in self._objects]),
            tuple(self.waiting),
            tuple(self.active),
            tuple(self.ended),
            tuple(sorted((worker, when - now) for worker, when in self.timers.items())),
            self._interrupts.key(now) if self._tasks else None,  # type: ignore[union-attr]
            tuple(self.crashed),
            self.failure is not None,
            # only where a switch needs a suspension does it matter who ran last
            (self.current, self.suspended) if self._cooperative else None,
        )
