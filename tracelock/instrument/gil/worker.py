"""Workers that know, at each step, whether another thread could have come in since the last one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CodeType, FrameType, FunctionType, MethodType
from typing import Any, Final

from tracelock.instrument.contexts import identity
from tracelock.instrument.files.access import FILE
from tracelock.instrument.gil import gaps, originals
from tracelock.instrument.gil.gaps import CAN, NO, UNSURE, route
from tracelock.instrument.gil.originals import CALL, ENTER, LEAVE, READ, WRITE, place_of
from tracelock.instrument.gil.values import Values
from tracelock.instrument.gil.watching import (
    HOOKS,
    OURS,
    STANDARD,
    FrameWatch,
    codes,
    is_ours,
    whose,
)
from tracelock.instrument.hub import Hub
from tracelock.instrument.worker import Worker
from tracelock.interpreter.instructions import span_at
from tracelock.interpreter.switches import CodeFlow, SwitchClass
from tracelock.objects import VARIABLE
from tracelock.ops import ACQUIRE, ATOMIC, RELEASE, Op, Value
from tracelock.ops import READ as READS
from tracelock.ops import WRITE as WRITES

#: What a step is in the code, by the kind of its op; all others let other threads go on.
_STEPS: Final = {READS: READ, WRITES: WRITE, ATOMIC: CALL, ACQUIRE: ENTER, RELEASE: LEAVE}
_LOCKS: Final = frozenset({"lock", "rlock"})
#: How many frames are looked at, from the one of a step outwards.
_DEEP: Final = 6


@dataclass(slots=True)
class Gap:
    """What lies between a step of a worker and the one before: see ``interpreter.switches``.

    ``seq``: how many events there were when it came to the step; ``after``: where the step before
    was, "" where there was none.
    """

    seq: int
    worker: int
    level: SwitchClass
    why: str
    after: str
    at: str


@dataclass(slots=True)
class Gil:
    """What the workers of one program under the GIL share.

    ``holds``: whether nobody may come in where the interpreter lets nobody in; ``closed``: where
    nobody may in any case, by the places of the steps before and after. ``plain``: the class of
    workers of which nothing of that is asked.
    """

    plain: type[Worker]
    holds: bool = False
    closed: set[tuple[str, str]] = field(default_factory=set)
    watch: FrameWatch = field(default_factory=FrameWatch)

    def close(self) -> None:
        """The exploration is over."""
        self.watch.close()
        if originals.forget():
            gaps.forget()

    def worker(self, hub: Hub, number: int) -> Worker:
        """The worker of a thread."""
        if self.holds or self.closed or hub.gaps is not None:
            self.watch.hold()
            return GilWorker(hub, number, self)
        return self.plain(hub, number)


#: A frame: its identity, which is good while it lives, its code, the instruction, and whether that
#: is in a hook, which was called before the access itself.
Level = tuple[int, CodeType, int, bool]


class GilWorker(Worker):
    """A worker on a thread. ``frames``, ``calls``: see ``FrameWatch``."""

    __slots__ = ("_kind", "after", "calls", "frames", "gil", "stack")

    def __init__(self, hub: Hub, number: int, gil: Gil) -> None:
        super().__init__(hub, number)
        self.gil = gil
        self.frames = True
        self.calls: list[tuple[int, int]] = []
        self.stack: list[Level] = []  # at the last step
        self.after = ""
        self._kind = CALL

    def thread_of(self, number: int, thread: Any) -> Worker:
        return GilWorker(self.hub, number, self.gil)

    def watched(self, run: Callable[[], object]) -> None:
        recorder = self.hub.recorder
        if recorder is None:
            self.gil.watch.run(run)
        else:
            recorder.besides = self.gil.watch.told
            recorder.watch(run)

    @contextmanager
    def hosting(self) -> Iterator[None]:
        """Tasks make no switches that are classed: nothing need be told of what the loop does,
        which takes ten times as long."""
        watch, pausing = self.gil.watch, self.hub.recorder is None
        if pausing:
            watch.profile.off()
        try:
            yield
        finally:
            self.frames = True
            if pausing:
                watch.profile.on()

    def step(self, op: Op, parked: Callable[[], None] | None = None) -> Value:
        hub = self.hub
        watch = self.gil.watch
        pausing = hub.recorder is None
        if pausing:
            watch.profile.off()
        if hub.running and not self.uncontrolled:
            self.uncontrolled += 1
            try:
                level, why = self._gap(op, sys._getframe(1))
            finally:
                self.uncontrolled -= 1
            controller = hub.controller
            seq = len(controller.log)
            if hub.gaps is not None:
                hub.gaps.append(Gap(seq, self.number, level, why, self.after, op.at))
            gil = self.gil
            if level is NO and (gil.holds or (self.after, op.at) in gil.closed):
                controller.goes_on = seq
        else:
            self.stack = []
        self.after = op.at
        result = super().step(op, parked)
        self.frames = False
        self.calls.clear()
        if pausing:
            watch.profile.on()
        return result

    def _gap(self, op: Op, frame: FrameType | None) -> tuple[SwitchClass, str]:
        """The class of the way from the last step to this one, and why it is that."""
        last, kind = self.stack, self._kind
        self.stack, user = _stack(frame)
        step = _STEPS.get(op.kind)
        self._kind = CALL if step is None else step
        if not last or not self.stack or user is None:
            return CAN, "the thread begins"
        if not self.gil.watch.whole:
            return UNSURE, "not all that it called could be told"
        if step is None or self._in_python(op):
            return CAN, "what is called is Python code or waits"
        if self.frames:
            return CAN, "a frame of Python code begins or goes on"
        now = self.stack[0][0], user.f_lasti
        if any(call != now for call in self.calls):
            return CAN, "a check follows every call"
        return self._way(last, kind, step, user)

    def _in_python(self, op: Op) -> bool:
        """Whether the real object's method is Python code, or lets the GIL go at once."""
        layout = self.hub.layout
        if op.kind == ATOMIC:
            touched = op.body.touches
            return any(layout.names[number].startswith(FILE) for number in touched)
        if op.kind in (ACQUIRE, RELEASE):
            return layout.objects[op.target].type not in _LOCKS
        return (
            layout.objects[op.target].type not in (VARIABLE, *_LOCKS)
            or layout.names[op.target].startswith(FILE)
        )  # fmt: skip

    def _way(
        self, last: list[Level], kind: int, step: int, user: FrameType
    ) -> tuple[SwitchClass, str]:
        """The frames that the way leads through: from that of the last step out to this one's."""
        here = self.stack[0][0]
        place = place_of(*self.stack[0][1:])
        depth = next((k for k, level in enumerate(last) if level[0] == here), -1)
        if depth < 0 or place.flow is None:
            return UNSURE, "where it has gone is not known"
        worst, why = NO, ""
        for level in range(depth + 1):
            origin = place_of(*last[level][1:])
            if origin.flow is None:
                return UNSURE, f"the source of {origin.code.co_qualname} is not known"
            starts = origin.of(kind if level == 0 else CALL)
            stops = place.of(step) if level == depth else []
            if not starts or (level == depth and not stops):
                return UNSURE, "where it stands in the source is not known"
            python = level == depth > 0 and _calls_python(origin.flow, starts[0], user)
            found = route(origin.flow, starts, stops, python)
            judged, reason = found.level, found.why
            if level == depth:
                judged, reason = found.judge(user)
            elif judged is NO and (found.callees or found.operands):
                judged, reason = UNSURE, "what a frame has done at its end is not known"
            if judged > worst:
                worst, why = judged, reason
        return worst, why


def _calls_python(flow: CodeFlow, offset: int, frame: FrameType) -> bool:
    """Whether what was called there, and has returned, is a function of Python code, whose frame
    has nothing in C around it."""
    nodes = flow.operands("call", span_at(flow.instructions[offset]))
    function = Values(frame).of(nodes[0]) if nodes else None
    if isinstance(function, MethodType):
        function = function.__func__
    return isinstance(function, FunctionType)


def _stack(frame: FrameType | None) -> tuple[list[Level], FrameType | None]:
    """The frames of the program, from the one of a step outwards, and that one itself."""
    found: list[Level] = []
    innermost: FrameType | None = None
    hooked = False
    known = codes
    while frame is not None and len(found) < _DEEP:
        code = frame.f_code
        number = identity(code)
        kind = known[number][1] if number in known else whose(frame)
        if kind == OURS or (kind == STANDARD and is_ours(frame)):
            hooked = innermost is None and number in HOOKS
        else:
            if innermost is None:
                innermost = frame
            found.append((identity(frame), code, frame.f_lasti, hooked))
            hooked = False
        frame = frame.f_back
    return found, innermost
