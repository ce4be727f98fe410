"""What the two backends of tasks share: their event loop, and what they need to know of it."""

from __future__ import annotations

import sys
import threading
import types
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, ClassVar

import anyio

from tracelock.backends.base import Backend, FreeRun
from tracelock.backends.tasks.control import Crew
from tracelock.backends.tasks.free import FreeCrew
from tracelock.engine.controller import Controller
from tracelock.engine.limits import INTERRUPTED
from tracelock.ops import EMPTY, GET, Op, Value

#: What a timed operation gives where its time ran out.
LATE = object()

Trap = Any  # what a coroutine yields to its loop
Steps = Generator[Trap, Any, Any]


class Loop(ABC):
    """How one library runs tasks: the adapter between a crew of workers and its event loop.

    One object serves one run of the loop. A *trap* is what a coroutine yields to the loop when
    it is suspended; a *timer* is an ``asyncio.timeout`` or a cancel scope.
    """

    #: What is thrown into a task that is cancelled.
    cancelled: ClassVar[type[BaseException]]
    #: Whether a cancelled task is cancelled again wherever it could wait.
    level_triggered: ClassVar[bool] = False
    #: Kinds whose real operation begins with a checkpoint.
    first: ClassVar[frozenset[int]] = frozenset()

    def __init__(self, crew: Any) -> None:
        self.crew = crew
        self.aborted: set[int] = set()  # workers whose guarded traps a cancellation ended

    # --- objects and operations --------------------------------------------------------------
    @abstractmethod
    def objects(self) -> list[Any]:
        """Fresh real objects by number, None for variables."""

    @abstractmethod
    def dispose(self, objects: list[Any]) -> None:
        """Objects of an earlier schedule are not used any more."""

    @abstractmethod
    def attempt(self, op: Op, target: Any) -> Value:
        """A try of ``op``. Raises what the object raises."""

    @abstractmethod
    def start(self, op: Op, target: Any) -> Coroutine[Any, Any, Any]:
        """The coroutine of ``op``, which may wait."""

    @abstractmethod
    def shielded(self, trap: Trap) -> bool:
        """Whether ``trap`` only lets others run, and cannot be cancelled."""

    def outcome(self, kind: int, value: Value) -> Value:
        """What the coroutine of an op of ``kind`` returned, as the op's result."""
        if value is LATE:
            return EMPTY if kind == GET else False
        return value if kind == GET else True

    # --- timers ------------------------------------------------------------------------------
    @abstractmethod
    def timer(self) -> Any:
        """A timer that never fires by itself."""

    @abstractmethod
    def timed(self, work: Awaitable[Any], timer: Any) -> Coroutine[Any, Any, Any]:
        """``work`` under ``timer``: its value, or ``LATE``."""

    @abstractmethod
    def fire(self, timer: Any) -> None:
        """The deadline of ``timer``, whose block has been entered, passes."""

    @abstractmethod
    def enter(self, timer: Any) -> None:
        """The current task enters the block of ``timer``."""

    @abstractmethod
    def leave(self, timer: Any, error: BaseException | None) -> bool:
        """It leaves it, with ``error`` under way; whether the block makes that a timeout."""

    # --- free runs ---------------------------------------------------------------------------
    @abstractmethod
    def after(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Have ``call`` called when ``seconds`` have passed; returns what prevents that."""

    @abstractmethod
    async def keep_time(self) -> None:
        """A task that ``after`` needs, if any."""

    @abstractmethod
    def event(self) -> Any:
        """The library's own event."""

    @abstractmethod
    def join(self, event: Any) -> Coroutine[Any, Any, None]:
        """Wait for ``event``; a cancellation gets in before its end."""

    @abstractmethod
    def sleep(self, seconds: float) -> Coroutine[Any, Any, None]:
        """The library's own sleep."""

    @abstractmethod
    def checkpoint(self) -> Coroutine[Any, Any, None]:
        """The library's own way to let others run."""

    @abstractmethod
    async def quiet(self) -> None:
        """Wait until no task can go on, as far as ``came`` cannot tell."""

    @abstractmethod
    def stuck(self, trap: Trap) -> bool:
        """Whether somebody else has to end ``trap``, after ``quiet``."""

    def guarded(self, me: int, trap: Trap) -> Trap:
        """``trap``, noting in ``aborted`` when a cancellation ends it."""
        return trap

    # --- tasks -------------------------------------------------------------------------------
    @abstractmethod
    def wait(self, me: int) -> Steps:
        """Suspend worker ``me`` until ``wake``; the cancellation that came meanwhile, or None."""

    @abstractmethod
    def wake(self, worker: int) -> None:
        """End the ``wait`` of a worker, if it is in one."""

    @abstractmethod
    def cancel(self, worker: int) -> None:
        """A ``cancel`` step."""

    @abstractmethod
    def recall(self, worker: int, trap: Trap) -> bool:
        """Get a worker out of ``trap``, a real wait, when its schedule is over.

        False where it has been woken, and will come by itself.
        """

    @abstractmethod
    def forget(self, trap: Trap) -> None:
        """The current task will not wait in ``trap`` after all."""

    @abstractmethod
    def came(self, trap: Trap) -> bool:
        """Whether the real wait ``trap`` is over as far as can be seen."""

    @abstractmethod
    def collect(self) -> Steps:
        """The cancellation that is due for the current task, or None."""

    @abstractmethod
    def glance(self) -> Steps:
        """The same, without suspending it more than need be."""

    def take_back(self, me: int) -> int:
        """Withdraw the requests to cancel the current task; how many there were."""
        return 0

    def ask_again(self, me: int, requests: int) -> Steps:
        """Make them again; the cancellation that this is, or None."""
        yield from ()

    @abstractmethod
    def settle(self, me: int) -> Steps:
        """Worker ``me`` has ended: no cancellation that it did not notice is left."""

    @abstractmethod
    async def work(self, me: int) -> None:
        """The task of worker ``me``: runs ``crew.work(me)``."""


@types.coroutine
def life(crew: Any, me: int) -> Steps:
    """One life of a worker, as something to await."""
    return (yield from crew.work(me))


class TaskBackend(Backend):
    """Tasks of one event loop. ``controlled`` pools them; ``free`` starts new ones."""

    library: ClassVar[str]
    adapter: ClassVar[type[Loop]]

    def controlled(self, controller: Controller, done: Callable[[Controller], bool]) -> None:
        crew = Crew(self, controller, done)
        try:
            self._in_loop(crew.run, crew)
        except KeyboardInterrupt:
            if not hasattr(controller, "log"):
                raise
            controller.limit = INTERRUPTED
            controller.scheduler.end(len(controller.log))
            done(controller)

    def free(self, record: bool = True) -> FreeRun:
        crew = FreeCrew(self, record)
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

        def body() -> None:
            try:
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
