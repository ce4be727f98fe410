"""Models of a mutex and a semaphore."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from tracelock.errors import UsageError
from tracelock.history.models.base import WAITS, CallResult, Sequential, raises, returns


class MutexSpec(Sequential):
    """A lock: ``acquire(blocking=True, timeout=-1)``, ``release``, ``locked``, ``with``.
    ``reentrant``: it belongs to the worker that has it, who may take it again, as of ``RLock``."""

    aliases: ClassVar[Mapping[str, str]] = {
        "__enter__": "acquire", "lock": "acquire", "unlock": "release", "__aenter__": "enter",
        "__aexit__": "__exit__",
    }  # fmt: skip

    def __init__(self, reentrant: bool = False) -> None:
        self.reentrant = reentrant

    def initial(self) -> tuple[str, int]:
        return "", 0  # who has it, how often

    def on_acquire(
        self, state: Any, blocking: bool = True, timeout: float = -1, *, worker: str
    ) -> Sequence[CallResult]:
        owner, times = state
        if not times or (self.reentrant and owner == worker):
            return returns(True, (worker if self.reentrant else "", times + 1))
        if not blocking or timeout >= 0:
            return returns(False, state)
        return WAITS

    def on_release(self, state: Any, *, worker: str) -> Sequence[CallResult]:
        owner, times = state
        if not times or (self.reentrant and owner != worker):
            return raises(RuntimeError, state)
        return returns(None, (owner if times > 1 else "", times - 1))

    def on___exit__(self, state: Any, *details: Any, worker: str) -> Sequence[CallResult]:
        return self.on_release(state, worker=worker)

    def on_enter(self, state: Any, *, worker: str) -> Sequence[CallResult]:
        """``async with`` gives nothing."""
        return [CallResult(None, one.state) for one in self.on_acquire(state, worker=worker)]

    def on_locked(self, state: Any) -> Sequence[CallResult]:
        return returns(state[1] > 0, state)


class SemaphoreSpec(Sequential):
    """A semaphore: ``acquire(blocking=True, timeout=None)``, ``release(n=1)``, ``locked``,
    ``with``. ``bounded``: a release above the value of the start raises ValueError."""

    aliases: ClassVar[Mapping[str, str]] = {
        "__enter__": "acquire", "__aenter__": "enter", "__aexit__": "__exit__",
    }  # fmt: skip

    def __init__(self, value: int = 1, bounded: bool = False) -> None:
        if value < 0:
            raise UsageError(f"a semaphore begins with 0 or more, not {value}")
        self.value, self.bounded = value, bounded

    def initial(self) -> int:
        return self.value

    def on_acquire(
        self, state: int, blocking: bool = True, timeout: float | None = None
    ) -> Sequence[CallResult]:
        if state > 0:
            return returns(True, state - 1)
        return returns(False, state) if not blocking or timeout is not None else WAITS

    def on_enter(self, state: int) -> Sequence[CallResult]:
        """``async with`` gives nothing."""
        return [CallResult(None, one.state) for one in self.on_acquire(state)]

    def on_release(self, state: int, n: int = 1) -> Sequence[CallResult]:
        if n < 1 or (self.bounded and state + n > self.value):
            return raises(ValueError, state)
        return returns(None, state + n)

    def on___exit__(self, state: int, *details: Any) -> Sequence[CallResult]:
        return self.on_release(state)

    def on_locked(self, state: int) -> Sequence[CallResult]:
        return returns(state == 0, state)
