"""What a model of a shared object is, and what a backend may say about its rules.

A model is a pure state machine. The controller asks it whether an op could happen now and, if
the scheduler agrees, tells it that it did; the model answers with the result that the real
object must give. An op that begins to wait is *parked* in its object and ends later.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tracelock.ops import EMPTY, GET, Op, Value


class _Parked:
    """The answer of an op that has begun to wait; its result comes from ``finish``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "parked"


PARKED: Final = _Parked()


class Model:
    """One shared object as a state machine. ``worker`` is always the number of a worker.

    An op lives through two phases. Before it has begun: ``enabled`` (could its event happen in
    this state?) and ``apply`` (make it happen; the result, or ``PARKED``). Once parked:
    ``ready`` (could it end?) and ``finish`` (end it; ``PARKED`` if it has to wait again, for
    a lock say). ``expire`` and ``interrupt`` end it early, in either phase. Objects of tasks
    are told of a cancellation twice: ``strike`` when it is asked for, ``interrupt`` when it
    reaches the waiting task, since others can go on in between.
    """

    __slots__ = ()
    #: The snapshot of the initial state.
    initial: Any
    #: Whether the last ``apply`` or ``finish`` suspends its task once more after its event.
    paused = False

    def __init__(self) -> None:
        self.restore(self.initial)

    def enabled(self, op: Op, worker: int) -> bool:
        """Whether ``op`` of ``worker``, not begun yet, could happen in this state: as it always
        can where an op that has to wait does so parked."""
        return True

    def apply(self, op: Op, worker: int) -> Value:
        """Let ``op`` happen. Returns its result, a ``Raised``, or ``PARKED``."""
        raise NotImplementedError

    def ready(self, op: Op, worker: int) -> bool:
        """Whether the parked ``op`` could end now."""
        return False

    def finish(self, op: Op, worker: int) -> Value:
        """End the parked ``op``. Returns its result, or ``PARKED`` where it waits again."""
        raise NotImplementedError

    def may_expire(self, op: Op, worker: int, parked: bool) -> bool:
        """Whether the timer of ``op`` still matters (not once the wait is over)."""
        return True

    def expire(self, op: Op, worker: int, parked: bool) -> Value:
        """The timer of ``op`` fires. Returns its result, or ``PARKED`` (a lock to take back)."""
        return EMPTY if op.kind == GET else False

    def interrupt(self, op: Op, worker: int, parked: bool) -> Value:
        """A cancellation reaches ``op``. Returns None, or ``PARKED`` as ``expire`` does."""
        return None

    def strike(self, op: Op, worker: int) -> bool:
        """Somebody asks that the parked ``op`` be cancelled. Whether that will reach it: where
        it has been woken already it may be too late."""
        return True

    def leave(self, worker: int) -> None:
        """``worker`` has ended, holding whatever it holds."""

    def candidates(self, op: Op, worker: int) -> Sequence[int]:
        """For notify where any waiter may wake: those among whom the scheduler chooses."""
        return ()

    def choose(self, waiters: Sequence[int]) -> None:
        """The waiters that the next ``notify`` shall wake, in this order."""

    def holders(self) -> tuple[int, ...]:
        """The workers that hold this object now (for reports)."""
        return ()

    def waiters(self) -> tuple[int, ...]:
        """The workers parked here, first in line first (for reports)."""
        return ()

    def reset(self) -> None:
        """Back to the initial state."""
        self.restore(self.initial)

    def snapshot(self) -> Any:
        """The whole state as an immutable value; see ``frozen`` for comparing two."""
        raise NotImplementedError

    def restore(self, state: Any) -> None:
        """Back to a state that ``snapshot`` gave."""
        raise NotImplementedError


def frozen(value: Any) -> Hashable:
    """A value made hashable, keeping apart what Python's ``==`` does not (1, 1.0 and True)."""
    if isinstance(value, (list, tuple)):
        return tuple(frozen(item) for item in value)
    if isinstance(value, (bool, float)):
        return (value.__class__, value)
    return value  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Rules:
    """How one backend's objects and switches differ from another's.

    ``family``: which set of models (``plain`` for threads and processes, where the first to
    come takes a free lock; ``asyncio``; ``anyio``). ``cooperative``: a worker goes on until it
    suspends; ``before`` and ``after`` are the kinds of op at which it does so on its own,
    before or after their event (a parked op always suspends). ``notify_any``: any waiter of a
    condition may be the one that wakes. ``event_rechecks``: a woken event wait looks at the
    flag again and may return False. ``over_release``: what releasing a free lock raises,
    ``not_owner``: what releasing another's rlock, or waiting and notifying without the lock,
    raises. ``level_triggered``: a cancelled worker is cancelled again at every point where it
    could be, not once. ``passes_notify_on``: a cancelled waiter of a condition notifies the
    next, as the notification might have been lost with it. ``wakes_all``: a semaphore's waiter
    that goes on or is cancelled wakes as many as there are permits for, not one. ``leaves``: an
    object notices when its holder ends. ``refuses``: features that the backend does not have,
    each with the reason. ``blocks``: between some steps of a worker nobody else may come in.
    """

    backend: str
    family: str = "plain"
    cooperative: bool = False
    before: frozenset[int] = frozenset()
    after: frozenset[int] = frozenset()
    notify_any: bool = False
    event_rechecks: bool = False
    over_release: str = "RuntimeError"
    not_owner: str = "RuntimeError"
    level_triggered: bool = False
    passes_notify_on: bool = False
    wakes_all: bool = False
    leaves: bool = False
    blocks: bool = False
    refuses: dict[str, str] = field(default_factory=dict)
