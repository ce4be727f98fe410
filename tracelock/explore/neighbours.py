"""The schedules around an old one, on a program that may have changed since.

A fix changes the steps of its workers, so that an old trace cannot be followed to the letter. What
can be followed is its intent: which worker went to which op, in which order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tracelock.engine.recording import target_name
from tracelock.explore.running import Guide
from tracelock.ops import CHOOSE, NAMES, Layout, Op
from tracelock.schedulers.base import OPTION, WORKER, Choice, Scheduler, Wrapper
from tracelock.schedulers.sampling import mix
from tracelock.trace import Event

#: New steps that a worker may make before the op that the old trace has next for it.
PATIENCE: Final = 200


class IntentScheduler(Wrapper):
    """Takes each worker to the ops of an old trace, in the trace's order, as far as that can be.

    A worker that has new steps before its next old op makes them then; one that is blocked, or no
    longer comes to that op, is passed over. ``until``: from this event on ``then`` decides (None:
    the worker that runs goes on).
    ``followed``: how many of the old events happened in their order.
    """

    name = "intent"

    def __init__(
        self,
        events: Sequence[Event],
        layout: Layout,
        *,
        until: int | None = None,
        then: Scheduler | None = None,
    ) -> None:
        numbers = {worker.name: number for number, worker in enumerate(layout.workers)}
        self.layout = layout
        self.events = [event for event in events if event.op != "request"]
        self.until = len(self.events) if until is None else until
        super().__init__(then or Guide())
        self.known = len(numbers)
        self.followed = 0
        self._begun = False

    def begin(self) -> bool:
        if self._begun:
            return False
        self._begun = True
        self._at = 0
        self._extra = 0
        self.followed = 0
        return bool(self.inner.begin())

    def pick(self, choice: Choice) -> int:
        options = choice.options
        if choice.kind == OPTION:
            return self._value(choice)
        if choice.kind != WORKER:
            return self.inner.pick(choice) if self._at >= self.until else options[0]
        while self._at < self.until:
            event = self.events[self._at]
            worker = event.worker
            op = choice.pending[worker] if worker < self.known else None
            if op is None or self._extra > PATIENCE:
                self._next()
                continue
            if worker not in options:
                # what it waits for may be a step that the fix has put in: let the holder go on
                self._extra += 1
                return choice.current if choice.current in options else options[0]
            if self._is(op, event):
                self.followed += 1
                self._next()
            else:
                self._extra += 1
            return worker
        return self.inner.pick(choice)

    def _value(self, choice: Choice) -> int:
        """The value that was chosen in the trace, as long as that is followed."""
        event = self.events[self._at - 1] if 0 < self._at <= len(self.events) else None
        op = choice.pending[choice.worker]
        if (
            event is None or op is None or event.op != NAMES[CHOOSE]
            or event.worker != choice.worker or event.n != op.body.count
            or event.result not in choice.options
        ):  # fmt: skip
            return self.inner.pick(choice)
        return int(event.result)

    def _next(self) -> None:
        self._at += 1
        self._extra = 0

    def _is(self, op: Op, event: Event) -> bool:
        name = NAMES[op.kind]
        same = name == event.op or (name == "wait" and event.op == "wake")
        return same and target_name(self.layout, op.kind, op) == event.target


def cut_points(length: int, count: int, seed: int) -> list[int]:
    """``count`` places of a trace of ``length`` events at which to leave it, spread evenly."""
    if length == 0:
        return [0] * count
    return [mix(mix(seed) ^ number) % (length + 1) for number in range(count)]
