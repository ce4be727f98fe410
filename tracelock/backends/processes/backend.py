"""The multiprocessing backend: real processes, real ``multiprocessing`` objects.

Each worker's machine runs in a process of its own, in a pool that serves many schedules and
runs (``pool``). In controlled runs the controller is in the parent (``driver``, and ``control``
in the workers); in free runs nothing is decided (``free``, and ``free_worker`` in the workers).
Shared variables live in ``store``.

As processes are pooled, ``spawn`` lets a waiting process begin and ``join`` waits for the end of
a worker's part, not of its process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tracelock.backends.base import Backend, Begun, Options, nobody
from tracelock.backends.rules import MULTIPROCESSING_RULES
from tracelock.engine.controller import Controller
from tracelock.engine.cores import one_core
from tracelock.engine.limits import INTERRUPTED
from tracelock.engine.linearise.history import FreeRun
from tracelock.errors import UsageError, exhausted

if TYPE_CHECKING:
    from tracelock.backends.processes.pool import ProcessPool
    from tracelock.scenario.program import Program


class MultiprocessingBackend(Backend):
    """Processes, pooled. Raises UsageError where there is no such start method.

    ``start_method`` is the one in use; see ``pool.start_method`` for the default.
    """

    rules = MULTIPROCESSING_RULES

    def __init__(self, program: Program, options: Options) -> None:
        super().__init__(program, options)
        if os.name != "posix":
            raise UsageError("the multiprocessing backend needs a POSIX system")
        from tracelock.backends.processes.driver import Driver
        from tracelock.backends.processes.pool import start_method

        self.start_method = start_method(options.start_method)
        self.pool: ProcessPool | None = None
        self._driver = Driver(program, options)
        self._clean: list[Any] = []

    # --- the pool ----------------------------------------------------------------------------
    def ready(self) -> ProcessPool:
        """The pool, started if need be, all its processes alive."""
        if self.pool is not None and len(self.pool.pids()) < len(self.pool.up):
            self.discard()
        if self.pool is None:
            from tracelock.backends.processes.pool import ProcessPool

            try:
                self.pool = ProcessPool(self.program, self.start_method, self.options.limits.steps)
            except OSError as problem:
                if exhausted(problem):
                    raise
                raise UsageError(
                    f"cannot start processes: {problem.strerror or problem}; their semaphores need "
                    "a /dev/shm that can be written: make it so, or choose another --backend"
                ) from problem
            self._driver.unusable = False
        return self.pool

    def _processes(self) -> list[int]:
        return [] if self.pool is None else self.pool.pids()

    def discard(self) -> None:
        """Kill the pool; the next run starts another."""
        if self.pool is not None:
            self.pool.kill()
            self.pool = None

    def close(self) -> None:
        if self.pool is not None:
            self.pool.close()
            self.pool = None

    # --- runs --------------------------------------------------------------------------------
    def controlled(self, controller: Controller, done: Callable[[Controller], bool]) -> None:
        driver = self._driver
        objects = [model for model in controller.models if model is not None]
        try:
            self.ready()
            with one_core(self._processes):
                while controller.begin():
                    if not self._clean:
                        self._clean = [model.snapshot() for model in objects]
                    pool = self.pool or self.ready()
                    try:
                        driver.schedule(controller, pool)
                    except KeyboardInterrupt:
                        controller.limit = INTERRUPTED
                        driver.unusable = True
                    stale = controller.active or controller.crashed or driver.unusable
                    if stale or [model.snapshot() for model in objects] != self._clean:
                        self._restore(pool)
                    controller.scheduler.end(len(controller.log))
                    if done(controller) or controller.limit is INTERRUPTED:
                        return
        except BaseException:
            self.discard()
            raise

    def _restore(self, pool: ProcessPool) -> None:
        if not self._driver.restore(pool):
            self.discard()

    def free(self, record: bool = True, begun: Begun = nobody) -> FreeRun:
        from tracelock.backends.processes.free import FreeProcesses

        pool = self.ready()
        try:
            run = FreeProcesses(self.program, self.options, pool)
            result = run.run(record, begun)
            if run.unusable:
                self.discard()
            else:
                self._restore(pool)
        except BaseException:
            self.discard()
            raise
        return result
