"""The backend that runs real code on threads, one at a time, under a controller."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tracelock.engine.open import OpenController
from tracelock.errors import UsageError
from tracelock.instrument.backend import PythonBackend, Stuck
from tracelock.instrument.hub import Phase, contexts
from tracelock.instrument.worker import Main, Worker


class ThreadBackend(PythonBackend):
    """Each worker on a thread of the pool; ``setup`` and ``check`` on the main thread."""

    def _schedule(self, controller: OpenController) -> None:
        hub, program = self.hub, self.program
        self._sweep()
        hub.begin(controller)
        program.outcome.failure = None
        state = self._set_up(controller)
        hub.phase = Phase.RUN
        try:
            hub.launch_all(self._workers(state))
            self._await()
        except Stuck:
            pass
        self._unwind(controller)
        if self._completed(controller):
            self._check(controller, state)

    def _workers(self, state: Any) -> Iterator[tuple[Worker, Callable[[], object]]]:
        for number, work in enumerate(self.program.workers):
            worker = Worker(self.hub, number)
            body = self._body(self._patches.now(work), state)
            yield worker, partial(self._pooled(number).take, worker, body)

    def _body(self, work: Callable[..., Any], state: Any) -> Callable[[], Any]:
        if inspect.iscoroutinefunction(work):
            raise UsageError("coroutine functions are workers of the asyncio and trio backends")
        return partial(work, *self.program.arguments(state))

    @contextlib.contextmanager
    def _aside(self, controller: OpenController, phase: Phase) -> Iterator[Main]:
        """The main thread runs the code, and nothing is chosen."""
        hub = self.hub
        main = Main(hub, self.setup_number, hub.main)
        kept = controller.scheduler, controller.observer, controller.log
        controller.scheduler, controller.observer, controller.log = self._no_choice, None, []
        ended = controller.ended[main.number]
        controller.ended[main.number] = False
        controller.essential.add(main.number)
        hub.enter(main.number, main)
        hub.over = False
        hub.phase = phase
        main.own_thread = False
        main.attach()
        try:
            yield main
        finally:
            contexts.pop(main.ident, None)
            controller.ask(main.number, None)
            controller.ended[main.number] = ended
            del hub.workers[main.number], hub.batons[main.number]
            hub.phase = Phase.IDLE
            hub.over = False
            controller.scheduler, controller.observer, controller.log = kept
            controller.current = -1
