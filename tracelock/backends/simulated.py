"""The simulated backend: the controller and the worker machines in one loop, nothing else."""

from __future__ import annotations

from collections.abc import Callable

from tracelock.backends.base import Backend, Begun, Options, nobody
from tracelock.engine.controller import Controller
from tracelock.engine.limits import INTERRUPTED
from tracelock.engine.linearise.history import FreeRun
from tracelock.errors import Cancelled, InternalError, LimitReached, StepFailure
from tracelock.objects import Rules
from tracelock.ops import ATOMIC, CRASH, SPAWN, Raised
from tracelock.scenario.program import Program


class SimulatedBackend(Backend):
    """Runs a program under any backend's rules without starting anything."""

    def __init__(self, program: Program, options: Options, rules: Rules) -> None:
        super().__init__(program, options)
        self.rules = rules

    def controlled(self, controller: Controller, done: Callable[[Controller], bool]) -> None:
        program = self.program
        count = len(self.layout.workers)
        ask, step, advance = controller.ask, controller.next, controller.advance
        while controller.begin():
            machines = [program.machine(n) for n in range(count)]
            try:
                controller.start_automatic(machines)
                while (worker := step()) >= 0:
                    if controller.parked:
                        continue
                    if controller.thrown is not None or controller.result.__class__ is Raised:
                        advance(machines[worker], worker)
                        continue
                    kind = controller.kind
                    if kind == SPAWN:
                        target = controller.op.target
                        controller.start(machines[target], target)
                    elif kind == CRASH:
                        controller.crash(worker, "crash")
                        continue
                    elif kind == ATOMIC:
                        # the model only rehearsed it: now on the worker's own locals, with
                        # what it read then (its writes are in the model already)
                        seen = dict(controller.result["reads"])
                        controller.op.body.run(seen.__getitem__, seen.__setitem__)
                    # the common case, inlined: see Controller.advance
                    machine = machines[worker]
                    try:
                        op = machine.resume(controller.result)
                    except StepFailure as failure:
                        controller.fail(worker, failure)
                    except LimitReached as limit:
                        controller.stop(worker, limit)
                    except Cancelled:  # on through a block that released something
                        ask(worker, None)
                    else:
                        ask(worker, op, machine.scopes)
            except KeyboardInterrupt:
                controller.limit = INTERRUPTED
            controller.scheduler.end(len(controller.log))
            if done(controller) or controller.limit is INTERRUPTED:
                return

    def free(self, record: bool = True, begun: Begun = nobody) -> FreeRun:
        raise InternalError("the simulated backend has no free runs: nothing runs by itself")
