"""How one library runs tasks: the adapter between the workers of a run and its event loop."""

from __future__ import annotations

import contextlib
import types
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from typing import Any, ClassVar, Protocol

from tracelock.backends.real import Attempts, Makers, build
from tracelock.ops import EMPTY, GET, Layout, Op, Value

#: What a timed operation gives where its time ran out.
LATE = object()

#: What becomes of a task at the end of ``work``.
AGAIN, REPLACE, DONE = range(3)

Trap = Any  # what a coroutine yields to its loop
Steps = Generator[Trap, Any, Any]
Coroutines = Mapping[int, Callable[[Any, Op], Coroutine[Any, Any, Any]]]


class Crew(Protocol):
    """The workers of a run, as their loop sees them."""

    layout: Layout
    group: Any

    def work(self, me: int) -> Steps:
        """One schedule of worker ``me``; what becomes of its task then."""


class Loop(ABC):
    """One object serves one run of the loop. A *trap* is what a coroutine yields to the loop when
    it is suspended; a *timer* is an ``asyncio.timeout`` or a cancel scope.
    """

    #: What is thrown into a task that is cancelled.
    cancelled: ClassVar[type[BaseException]]
    #: Whether a cancelled task is cancelled again wherever it could wait.
    level_triggered: ClassVar[bool] = False
    #: Kinds whose real operation begins with a checkpoint.
    first: ClassVar[frozenset[int]] = frozenset()

    makers: ClassVar[Makers]
    condition: ClassVar[type[Any]]
    #: Each kind of op as a try, by kind.
    attempts: ClassVar[Attempts]
    #: By kind, the coroutine of an op that may wait.
    coroutines: ClassVar[Coroutines]

    def __init__(self, crew: Crew) -> None:
        self.crew = crew
        self.layout = crew.layout
        self.aborted: set[int] = set()  # workers whose guarded traps a cancellation ended

    # --- objects and operations --------------------------------------------------------------
    def objects(self) -> list[Any]:
        """Fresh real objects by number, None for variables."""
        return build(self.layout, self.makers, self.condition)

    def dispose(self, objects: list[Any]) -> None:  # noqa: B027 - there may be nothing to close
        """Objects of an earlier schedule are not used any more."""

    def start(self, op: Op, target: Any) -> Coroutine[Any, Any, Any]:
        """The coroutine of ``op``, which may wait."""
        return self.coroutines[op.kind](target, op)

    def shielded(self, trap: Trap) -> bool:
        """Whether ``trap`` only lets others run, and cannot be cancelled."""
        return False

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

    async def keep_time(self) -> None:  # noqa: B027 - the loop may do so itself
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

    async def quiet(self) -> None:  # noqa: B027 - it may tell all
        """Wait until no task can go on, as far as ``wait_is_over`` cannot tell."""

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

    def forget(self, trap: Trap) -> None:  # noqa: B027 - it may need no care
        """The current task will not wait in ``trap`` after all."""

    def wait_is_over(self, trap: Trap) -> bool:
        """Whether the real wait ``trap`` is over as far as can be seen."""
        return True

    @abstractmethod
    def take_cancellation(self) -> Steps:
        """The cancellation that is due for the current task, or None."""

    def check_cancelled(self) -> Steps:
        """The same, without suspending it more than need be."""
        yield from ()

    def withdraw_requests(self, me: int) -> int:
        """Withdraw the requests to cancel the current task; how many there were."""
        return 0

    def repeat_requests(self, me: int, requests: int) -> Steps:
        """Make them again; the cancellation that this is, or None."""
        yield from ()

    def settle(self, me: int) -> Steps:
        """Worker ``me`` has ended: no cancellation that it did not notice is left."""
        yield from ()

    @abstractmethod
    async def work(self, me: int) -> None:
        """The task of worker ``me``: runs ``crew.work(me)``, again while that gives ``AGAIN``."""


@types.coroutine
def awaitable_work(crew: Crew, me: int) -> Steps:
    """``crew.work(me)`` as something to await."""
    return (yield from crew.work(me))


def abandon(work: Coroutine[Any, Any, Any]) -> None:
    """Close a coroutine that is in the middle of something.

    A condition's wait takes its lock back on the way out, which may suspend it again, or fail.
    """
    for _ in range(3):
        with contextlib.suppress(Exception):
            work.close()
            return
