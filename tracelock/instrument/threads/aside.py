"""User code that is no worker's: ``setup`` and ``check``, and what a loop does at its end.

Nothing is explored meanwhile, and the record of the schedule stays as it is. Made at least once for
each schedule, so that these are classes: a generator takes three times as long.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from tracelock.engine.open import OpenController
from tracelock.instrument.hub import Phase, contexts, get_ident
from tracelock.instrument.worker import Main

if TYPE_CHECKING:
    from tracelock.instrument.backend import PythonBackend

_own_thread: Final = attrgetter("own_thread")


class Aside:
    """While this is entered, in a ``phase``, such code may run; it gives the worker that does."""

    __slots__ = ("_backend", "_controller", "_kept", "_last", "_main", "_phase")

    _main: Main
    _last: tuple[bool, bool]

    def __init__(self, backend: PythonBackend, controller: OpenController, phase: int) -> None:
        self._backend, self._controller, self._phase = backend, controller, phase
        self._kept: Any = None

    def __enter__(self) -> Main:
        backend, controller, phase = self._backend, self._controller, self._phase
        hub, number = backend.hub, backend.setup_number
        main = self._main = Main(hub, number, hub.batons[-1])
        main.own_thread = False
        kept = controller.scheduler, controller.observer, controller.log, {**controller.shut_out}
        self._kept = kept
        # of the last step of the schedule: a search asks for it when that is over
        self._last = controller.fired, controller.forced
        if phase is Phase.SETUP:
            self._last = False, False
        controller.aside = kept[:3] if phase is Phase.SETUP else None
        controller.scheduler, controller.observer, controller.log = backend.no_choice, None, []
        controller.ended[number] = False
        controller.essential.add(number)
        hub.workers[number], hub.batons[number] = main, main.baton
        hub.over, hub.phase = False, phase
        main.ident = get_ident()
        contexts[main.ident] = main
        return main

    def __exit__(self, *exc: object) -> None:
        hub, controller, number = self._backend.hub, self._controller, self._backend.setup_number
        contexts.pop(self._main.ident, None)
        if controller.pending[number] is not None or number in controller.essential:
            controller.ask(number, None)
        controller.ended[number] = True
        hub.workers.pop(number, None)
        hub.batons.pop(number, None)
        hub.phase = Phase.IDLE
        hub.over = False
        controller.scheduler, controller.observer, controller.log, controller.shut_out = self._kept
        controller.aside, controller.current = None, -1
        controller.fired, controller.forced = self._last


class LoopAside(Aside):
    """The same in the thread of a loop, whose tasks go on in the loop's own order meanwhile."""

    __slots__ = ("_before", "_tasks")

    _before: tuple[Any, ...]

    def __enter__(self) -> Main:
        backend: Any = self._backend
        controller = self._controller
        tasks = self._tasks = backend.tasks
        self._before = (
            controller.failure, controller.limit, controller.threads, [*controller.active]
        )  # fmt: skip
        controller.threads = True  # this one
        controller.failure = None
        main = super().__enter__()
        tasks.wake_all()
        tasks.gate.inside = main.number  # the loop's thread is busy with this
        return main

    def __exit__(self, *exc: object) -> None:
        hub, controller = self._backend.hub, self._controller
        phase = hub.phase
        super().__exit__(*exc)
        hub.phase = phase
        failure, limit, threads, active = self._before
        controller.threads = threads or any(map(_own_thread, hub.workers.values()))
        controller.failure, controller.limit = failure, limit
        if self._phase is Phase.CHECK:
            controller.active[:] = active  # no task goes on after that
        self._tasks.leave()
