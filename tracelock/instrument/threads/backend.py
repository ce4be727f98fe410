"""The backend that runs real code on threads, one at a time, under a controller."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tracelock.engine.limits import RunLimits
from tracelock.engine.open import OpenController
from tracelock.errors import UsageError
from tracelock.instrument.backend import PythonBackend
from tracelock.instrument.crashes.points import crash_at_end
from tracelock.instrument.failures import hear
from tracelock.instrument.gil.worker import Gil
from tracelock.instrument.given_up import Stuck
from tracelock.instrument.hub import Phase
from tracelock.instrument.patches import COMMON, LOOPING
from tracelock.instrument.program import PythonProgram
from tracelock.instrument.threads.plain import PlainThread
from tracelock.instrument.worker import Worker


class ThreadBackend(PythonBackend):
    """Each worker on a thread of the pool; ``setup`` and ``check`` on the main thread.

    When the workers have ended, background threads come to rest, and live on while ``check`` runs.
    """

    settles = True
    patch_groups = (*COMMON, *LOOPING)

    def __init__(self, program: PythonProgram, limits: RunLimits) -> None:
        super().__init__(program, limits)
        self.hub.gil = Gil(PlainThread)
        if any(map(inspect.iscoroutinefunction, program.workers)):
            raise UsageError("coroutine functions are workers of the asyncio and trio backends")

    def close(self) -> None:
        super().close()
        if self.hub.gil is not None:
            self.hub.gil.close()

    def _schedule(self, controller: OpenController) -> None:
        hub, program = self.hub, self.program
        self._sweep()
        hub.begin(controller)
        controller.settles = self.settles
        program.outcome.failure = None
        try:
            state = self._set_up(controller)
        except BaseException:
            hub.unwind()  # threads that it has started
            raise
        self.kept.set_up()
        hub.phase = Phase.RUN
        with contextlib.suppress(Stuck):
            self._run(state)
        hub.block_loops()
        crash_at_end(hub)
        if hub.own_loops and hub.own_loops[0].starved(self):
            controller.active.clear()
            controller.essential.clear()
        if self.settles and hub.error is None and self._completed(controller):
            self._check_apart(controller, state)
        for loop in hub.own_loops:
            hear(self, controller, loop)
        self._unwind(controller)
        if not self.settles and self._completed(controller):
            self._check_apart(controller, state)
        self.kept.ran()

    def _run(self, state: Any) -> None:
        """Let the workers run until nobody can go on."""
        controller = self.hub.controller
        controller.picking(True)
        try:
            self.hub.launch_all(self._workers(state))
            self._await()
        finally:
            controller.picking(False)

    def _check_apart(self, controller: OpenController, state: Any) -> None:
        """Call ``check``, and tell what it changes from what the workers have changed."""
        if self.program.checks:
            self.kept.ran()
            self._check(controller, state)
            self.kept.checked()
        self._exit(controller)

    def _workers(self, state: Any) -> Iterator[tuple[Worker, Callable[[], object]]]:
        for number, work in enumerate(self.program.workers):
            worker = self.hub.gil.worker(self.hub, number)
            body = self._body(self._patches.now(work), state)
            yield worker, partial(self._pooled(number).take, worker, body)

    def _body(self, work: Callable[..., Any], state: Any) -> Callable[[], Any]:
        return partial(work, *self.program.arguments(state))
