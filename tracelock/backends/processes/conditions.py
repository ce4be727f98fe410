"""Stand-ins for the two semaphores of a ``multiprocessing.Condition``, by which it wakes waiters.

A waiter counts itself, releases its lock and sleeps on one semaphore; when it is awake it says so
on the other, for which the notifier waits, and then takes its lock back. Both steps are the
worker's to control or to record. ``Event`` and ``Barrier`` are built on conditions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Protocol

from tracelock.errors import InternalError

#: Seconds for a handshake between a notifier and those it wakes, where all of them run.
HANDSHAKE: Final = 10.0


class Waiter(Protocol):
    """The worker in whose process a condition is used."""

    #: How long a notifier waits for one that it has woken; None: for ever.
    patience: float | None

    def sleep(self, real: Any, timeout: float | None) -> bool:
        """Sleep on the semaphore ``real``; False where the time was up first."""

    def awake(self, real: Any) -> None:
        """Say on ``real`` that the worker is awake; the lock is taken back afterwards."""


class SleepSemaphore:
    """Stands in for the semaphore on which a condition's waiters sleep."""

    def __init__(self, real: Any, worker: Waiter) -> None:
        self.real = real
        self.worker = worker
        self.release = real.release

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """A try is the notifier's own; anything else is a waiter's sleep."""
        return self.worker.sleep(self.real, timeout) if block else bool(self.real.acquire(False))


class WokenSemaphore:
    """Stands in for the semaphore with which waiters tell the notifier that they are awake."""

    def __init__(self, real: Any, worker: Waiter) -> None:
        self.real = real
        self.worker = worker

    def acquire(self, block: bool = True) -> bool:
        """Of the notifier: wait for one that it has woken."""
        if not block:
            return bool(self.real.acquire(False))
        if not self.real.acquire(True, self.worker.patience):
            raise InternalError("a notified process did not wake")
        return True

    def release(self) -> None:
        """Of a waiter."""
        self.worker.awake(self.real)


def install(conditions: Iterable[Any], worker: Waiter) -> None:
    """Put the stand-ins into conditions of this process."""
    for condition in conditions:
        condition._wait_semaphore = SleepSemaphore(condition._wait_semaphore, worker)
        condition._woken_count = WokenSemaphore(condition._woken_count, worker)


def remove(conditions: Iterable[Any]) -> None:
    """Give conditions their own semaphores back."""
    for condition in conditions:
        condition._wait_semaphore = condition._wait_semaphore.real
        condition._woken_count = condition._woken_count.real


def untimed_wait_for(condition: Any) -> Any:
    """``Condition.wait_for`` without a clock: time under control is virtual."""

    def wait_for(predicate: Any, timeout: float | None = None) -> Any:
        result = predicate()
        while not result:
            if not condition.wait(timeout):
                return predicate()
            result = predicate()
        return result

    return wait_for
