"""What the backends of tasks share: each run in an event loop of its own."""

from __future__ import annotations

import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import anyio

from tracelock.backends.base import Backend, Begun, nobody
from tracelock.backends.tasks.control import GrantedTasks
from tracelock.backends.tasks.free import FreeTasks
from tracelock.backends.tasks.loop import Loop
from tracelock.engine.controller import Controller
from tracelock.engine.limits import INTERRUPTED
from tracelock.engine.linearise.history import FreeRun
from tracelock.scenario.compile.rounds import SharedRounds, rounds_here


class TaskBackend(Backend):
    """Tasks of one event loop. ``controlled`` pools them; ``free`` starts new ones."""

    library: ClassVar[str]
    adapter: ClassVar[type[Loop]]

    def controlled(self, controller: Controller, done: Callable[[Controller], bool]) -> None:
        crew = GrantedTasks(self, self.adapter, controller, done)
        try:
            self._in_loop(crew.run, crew)
        except KeyboardInterrupt:
            if not hasattr(controller, "log"):
                raise
            controller.limit = INTERRUPTED
            controller.scheduler.end(len(controller.log))
            done(controller)

    def free(self, record: bool = True, begun: Begun = nobody) -> FreeRun:
        crew = FreeTasks(self, self.adapter, record)
        begun(crew)
        try:
            self._in_loop(crew.run, crew)
        except KeyboardInterrupt:
            crew.left.limit = INTERRUPTED
        return crew.result()

    def _in_loop(self, main: Callable[[], Awaitable[None]], crew: Any) -> None:
        """Run ``main`` to its end in an event loop of its own.

        Called from inside a running loop, that is one in a thread of its own, since a thread
        cannot run two; the caller's loop stands still meanwhile.
        """
        if not in_a_loop():
            anyio.run(main, backend=self.library)
            return
        failure: list[BaseException] = []
        rounds = rounds_here()

        def body() -> None:
            try:
                with SharedRounds(rounds):
                    anyio.run(main, backend=self.library)
            except BaseException as error:
                failure.append(error)

        thread = threading.Thread(target=body, name="tracelock:loop", daemon=True)
        thread.start()
        try:
            thread.join()
        except BaseException:
            crew.interrupted = True
            thread.join(10)
            raise
        if failure:
            raise failure[0]


def in_a_loop() -> bool:
    """Whether this thread is running an event loop already."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and asyncio._get_running_loop() is not None:
        return True
    trio = sys.modules.get("trio")
    if trio is None:
        return False
    try:
        trio.lowlevel.current_root_task()
    except RuntimeError:
        return False
    return True
