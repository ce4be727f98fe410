"""The tasks of one asyncio loop in a schedule of which nothing is wanted but its end.

The same choices as with a record, and the same ends (``tests/conformance/test_sampled.py`` compares
them), with each step made in one function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from tracelock.engine.choosing import offered
from tracelock.engine.open import REST
from tracelock.instrument.hub import contexts
from tracelock.instrument.loops.asyncio_tasks import AsyncioTasks
from tracelock.instrument.loops.asyncio_unrecorded import UnrecordedAsyncioTasks
from tracelock.instrument.loops.sampled.queue import SampledLoop, SampledQueue
from tracelock.instrument.loops.sampled.workers import SampledCallbacks, SampledTask
from tracelock.instrument.loops.tasks import LoopWorker, TaskWorker
from tracelock.ops import Op
from tracelock.schedulers.base import LAST, OPTION, WORKER, Choice
from tracelock.schedulers.sampling import INCREMENT, MASK, MULTIPLIER, Sampler


class SampledAsyncioTasks(UnrecordedAsyncioTasks):
    """What runs on one loop of asyncio in such a schedule."""

    loop_class = SampledLoop
    loop_worker: ClassVar[type[LoopWorker]] = SampledCallbacks
    task_worker: ClassVar[type[TaskWorker]] = SampledTask
    ready: SampledQueue
    #: Whether sockets were waited for.
    used = False
    _pick: Callable[[Choice], int]

    def run_step(self, worker: TaskWorker) -> None:
        call = self.ready.calls.pop(worker.number, None)
        if call is None:
            super().run_step(worker)
        else:
            callback, args, context = call
            context.run(callback, *args)

    def choose(self, worker: Any, op: Op) -> int:
        """Which of the values that a step asks for: a choice like that of who goes on."""
        controller: Any = self.hub.controller
        choice = controller._choice
        choice.kind, choice.worker = OPTION, worker.number
        choice.options = offered(op.body.count, controller.scheduler.systematic)
        picked = self._pick(choice)
        choice.kind = WORKER
        self.picks.append(picked)
        return picked

    def go(self) -> bool:
        """See ``UnrecordedTasks.go``: the same without a function for each part of a step."""
        hub, gate, queue = self.hub, self.gate, self.ready
        controller: Any = hub.controller
        ready, members, pending = gate.ready, self.members, controller.pending
        calls, selector = queue.calls, self.polling
        essential: set[int] = controller.essential
        between, ident, plain = self.callbacks, self.ident, self.plain_step
        timers, callbacks = self.timers.number, between.number
        for worker in self.order:
            task: Any = worker.task
            pending[worker.number] = None if task is None or task.done() else plain
        pending[timers] = pending[callbacks] = plain
        choice, (pick, picks) = controller._choice, controller.scheduler.taking()
        # of a uniform draw, the two lines that it is: a call of one takes as long as three of them
        drawn = getattr(pick, "__func__", None) is Sampler.uniform
        sampler: Any = pick.__self__ if drawn else None
        self._pick, self.picks = pick, picks
        choice.kind, choice.pending = WORKER, pending
        current, settling, steps, most = -1, 0, 0, controller._look
        while True:
            if selector.kept or selector._begun:  # input and output is waited for
                self.used = True
                if selector._begun or not self.sockets:
                    self.beyond = True
                elif selector.hot:
                    self.loop.poll()
            if self.beyond or controller.limit is not None:
                return False
            first = gate.first
            if first == LAST:
                options = list(ready)
            else:
                options = [number for number, place in ready.items() if place <= first]
            if not essential:
                settling += 1
                for worker in self.order:
                    task = worker.task
                    if task is not None and not task.done():
                        break
                else:
                    return True
                if not options or settling > REST:
                    return False
            many = len(options)
            if many > 1:
                options.sort()
            elif not many:
                when = self.next_time()
                if when is None:
                    self.failed = True
                    return False
                controller.now = max(controller.now, when)
                options = [timers]
            if not drawn:
                choice.options, choice.current, choice.seq = options, current, steps
                current = pick(choice)
            elif many > 1:
                sampler._state = state = (sampler._state * MULTIPLIER + INCREMENT) & MASK
                current = options[(state >> 33) * many >> 31]
            else:
                current = options[0]
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
                AsyncioTasks.run_step(self, member)
            else:
                callback, args, context = call
                try:
                    context.run(callback, *args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException:  # which the loop would tell of: not here
                    self.beyond = True
                    return False
            task = member.task
            if task is None or task.done():
                pending[current] = None
                if current in essential:
                    error = None if task is None or task.cancelled() else task.exception()
                    if error is not None and not hub.excuses(error):
                        self.failed = not self.beyond
                        return False
                    essential.discard(current)
                else:
                    self.let_go(member)
            # a task that nobody has dies before the next step, as where each has a function's names
            task = call = callback = args = context = error = None
            gate.inside = -1
            between.uncontrolled = 1
            contexts[ident] = between
            if self._ended is not None:
                self.leave()
