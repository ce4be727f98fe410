"""The tasks of one asyncio loop in a schedule of which it is known what each step touches."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import NoneType
from typing import Any, ClassVar, Final

from tracelock.engine.open import REST
from tracelock.instrument.hub import Hub, contexts
from tracelock.instrument.loops.asyncio_loop import ControlledFuture, ControlledTask
from tracelock.instrument.loops.asyncio_unrecorded import UnrecordedAsyncioTasks
from tracelock.instrument.loops.footprints.collecting import (
    END,
    Collecting,
    Collector,
    NamesTold,
    cancels_none,
)
from tracelock.instrument.loops.footprints.loop import CollectingLoop, CollectingQueue
from tracelock.instrument.loops.footprints.rows import COLLECTORS, GATHERING, TellingRows
from tracelock.instrument.loops.tasks import LoopWorker, TaskWorker
from tracelock.instrument.loops.unrecorded import UnrecordedLoop, UnrecordedTask
from tracelock.schedulers.base import LAST, WORKER

#: What a task may wait for.
_KNOWN: Final = frozenset({NoneType, ControlledFuture, ControlledTask, GATHERING})


class CollectingTask(Collecting, UnrecordedTask):
    """A task whose accesses are told."""


class CollectingCallbacks(Collecting, UnrecordedLoop):
    """What a loop does beside its tasks, whose accesses are told."""


class CollectingTasks(UnrecordedAsyncioTasks):
    """What runs on one loop. ``collector.steps`` are those of the picks, in their order."""

    loop_class = CollectingLoop
    loop_worker: ClassVar[type[LoopWorker]] = CollectingCallbacks
    task_worker: ClassVar[type[TaskWorker]] = CollectingTask
    ready: CollectingQueue

    def __init__(self, hub: Hub, *arguments: Any, **options: Any) -> None:
        self.collector = hub.collector = Collector(hub)
        super().__init__(hub, *arguments, **options)
        self.collector.lined = self._lined
        #: Whether steps are made that the scheduler chooses, which those of fixtures are not.
        self.collects = False
        #: Whether it is known what each step of the schedule has touched.
        self.complete = False
        #: Of the calls that steps make; what is between two steps is our own.
        self.profile = hub.recorder.profile
        COLLECTORS[self.ident] = self.collector
        hub.controller.steps = self.collector.steps

    def close(self) -> None:
        COLLECTORS.pop(self.ident, None)
        super().close()
        self.hub.collector = None
        self.collector.lined = cancels_none  # or all of a schedule would wait for a collection

    def go(self) -> bool:
        self.profile.off()
        self.collects = True
        try:
            well = self._steps()
        finally:
            self.collects = False
        self.beyond = self.beyond or self.collector.beyond
        self.complete = not self.beyond and self._ended_by_itself()
        return well

    def _steps(self) -> bool:
        """See ``UnrecordedTasks.go``: the same without a function for each part of a step."""
        hub, gate, queue, collector = self.hub, self.gate, self.ready, self.collector
        controller: Any = hub.controller
        ready, members, pending = gate.ready, self.members, controller.pending
        calls, places, selector = queue.calls, queue.places, self.polling
        essential: set[int] = controller.essential
        between, ident, plain = self.callbacks, self.ident, self.plain_step
        timers, callbacks = self.timers.number, between.number
        for worker in self.order:
            pending[worker.number] = None if self.done(worker) else plain
        pending[timers] = pending[callbacks] = plain
        choice, (pick, picks) = controller._choice, controller.scheduler.taking()
        self.picks = picks
        choice.kind, choice.pending = WORKER, pending
        current, settling, steps, most = -1, 0, 0, controller._look
        on, off, is_done = self.profile.on, self.profile.off, asyncio.Task.done
        while True:
            if selector.kept or selector._begun:  # input and output is waited for
                self.beyond = True
            if self.beyond or collector.beyond or controller.limit is not None:
                return False
            first = gate.first
            if first == LAST:
                options = list(ready)
            else:
                options = [number for number, place in ready.items() if place <= first]
            if not essential:
                settling += 1
                if all(map(self.done, self.order)):
                    return True
                if not options or settling > REST:
                    return False
            if len(options) > 1:
                options.sort()
            elif not options:
                when = self.next_time()
                if when is None:
                    self.failed = True
                    return False
                controller.now = max(controller.now, when)
                options = [timers]
            choice.options, choice.current, choice.seq = options, current, steps
            current = pick(choice)
            picks.append(current)
            controller.current = current
            steps += 1
            controller.unrecorded = steps
            if steps > most:
                if controller._over(steps - 1):
                    return False
                most = controller._look
            if current == timers:
                self.fire_timers()
                continue
            gate.inside = current
            contexts[ident] = member = members[current]
            if current == callbacks:
                member.uncontrolled = 0
                self.run_callbacks()
                self.leave()
                self.callbacks_ran()
                continue
            del ready[current]
            member.begun = True
            call: Any = calls.pop(current, None)
            if call is None:
                self.run_step(member)
            else:
                callback, args, context = call
                collector.begin(current, places.pop(current))
                collector.now.touched["pc", current] = True
                on()
                try:
                    context.run(callback, *args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException:  # which the loop would tell of: not here
                    self.beyond = True
                    return False
                finally:
                    off()
                self._looked_at(member)
            task: Any = member.task
            if task is None or is_done(task):
                pending[current] = None
                if current in essential:
                    if not hub.excuses(self.error_of(member)):
                        self.failed = not (self.beyond or collector.beyond)
                        return False
                    essential.discard(current)
                else:
                    self.let_go(member)
            # a task that nobody has dies before the next step, as where each has a function's names
            task = call = callback = args = context = None
            gate.inside = -1
            between.uncontrolled = 1
            contexts[ident] = between
            if self._ended is not None:
                self.leave()
            collector.end()

    def _ended_by_itself(self) -> bool:
        """Whether no task was cut off. A callback may have been, when the last task had ended: it
        counts as one more step, which may come before that."""
        gate, controller = self.gate, self.hub.controller
        if controller.limit is not None:
            return False
        callbacks = self.callbacks.number
        able = {number for number, place in gate.ready.items() if place <= gate.first}
        if callbacks in able and all(map(self.done, self.order)):
            self._callback(self.ready.line[0][0])
            self.collector.end()
            able.discard(callbacks)
        return not able and (not controller.essential or self.next_time() is None)

    def _lined(self, handle: object) -> bool:
        """Whether a task cancels what stands in the line."""
        inside = self.gate.inside
        return inside != self.callbacks.number and any(
            one is handle for _, one, _ in self.ready.line
        )

    # --- steps -------------------------------------------------------------------------------
    def done(self, worker: TaskWorker) -> bool:
        return worker.task is None or asyncio.Task.done(worker.task)

    def start(
        self, worker: TaskWorker, name: Any = None, context: Any = None, **kwargs: Any
    ) -> ControlledTask:
        if context is not None or kwargs:  # it may share its variables, or begin at once
            self.collector.beyond = True
        with self.collector.ours:
            return super().start(worker, name, context, **kwargs)

    def run_step(self, worker: TaskWorker) -> None:
        collector, ready, number = self.collector, self.ready, worker.number
        if not self.collects:
            ready.places.pop(number, None)
            call = ready.calls.pop(number, None)
            if call is None:
                super().run_step(worker)
            else:
                callback, args, context = call
                context.run(callback, *args)
            return
        starts = bool(ready.line) and ready.line[0][2] == number
        collector.begin(number, ready.places.pop(number), lines=starts)
        collector.touch(("pc", number), True)
        self.profile.on()
        super().run_step(worker)
        self.profile.off()
        self._looked_at(worker)

    def _looked_at(self, worker: TaskWorker) -> None:
        """A step has been made: whether it was the last of its task, or for what that waits."""
        collector, number, task = self.collector, worker.number, worker.task
        if asyncio.Task.done(task):
            collector.touch(("done", number), True)
            collector.touch(END, False)
        elif type(task._fut_waiter) not in _KNOWN:
            collector.beyond = True

    def _callback(self, place: int) -> None:
        self.collector.begin(self.callbacks.number, place, lines=True)
        self.collector.touch(END, True)

    def run_callbacks(self) -> None:
        if not self.collects:
            super().run_callbacks()
            return
        self._callback(self.ready.line[0][0])
        self.profile.on()
        super().run_callbacks()
        self.profile.off()

    def fire_timers(self) -> None:
        if self.collects:
            self.collector.begin(self.timers.number, -1, last=True)
        super().fire_timers()
        self.collector.end()

    def leave(self) -> None:
        super().leave()
        self.collector.end()


@contextmanager
def collected(hub: Hub) -> Iterator[None]:
    """While this is entered, schedules may be run whose steps tell what they touch."""
    with ExitStack() as stack:
        stack.enter_context(NamesTold(hub))
        stack.enter_context(TellingRows())
        try:
            yield
        finally:
            hub.collector = None
            COLLECTORS.clear()
