"""A bound on what is evaluated at a prompt: an expression may block, as on a lock that a worker
holds which stands still."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType
from typing import Final

#: Seconds that an evaluation may take, and after which one is told again that has not ended.
SECONDS: Final = 5.0
AGAIN: Final = 0.5


class EvaluationTooLong(BaseException):
    """An expression took longer than the debugger waits for: what it waits for is held by a worker
    that stands still, or it takes its time. No ``Exception``, which code of a ``__repr__`` may
    catch."""


@contextmanager
def bounded(seconds: float = SECONDS) -> Iterator[None]:
    """While this is entered, EvaluationTooLong is raised after ``seconds``: by a signal, which ends
    waits for locks too, but no other call into C. On another thread than the main one, where no
    signal comes, there is no bound."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    running = True

    def ring(number: int, frame: FrameType | None) -> None:
        if not running:
            return
        raise EvaluationTooLong(
            f"ended after {seconds:g} s: it takes its time, or waits for what a worker holds that "
            "stands still"
        )

    begun = monotonic()
    handler = signal.signal(signal.SIGALRM, ring)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        yield
    finally:
        running = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:  # that of somebody else, such as pytest-timeout
            signal.setitimer(signal.ITIMER_REAL, max(0.01, left - (monotonic() - begun)), interval)
