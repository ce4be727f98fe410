"""Ctrl-C: once is once, even where it arrives twice."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType
from typing import Final

AGAIN: Final = 1.0  # seconds after which another Ctrl-C counts


@contextmanager
def one_interrupt() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt as ever, but what comes within a second of it is ignored.

    A shell or a supervisor that signals the process and its group would otherwise interrupt the
    saving of the trace that the first signal was answered with.
    """
    before = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or before is not signal.default_int_handler:
        yield
        return
    last = -AGAIN

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal last
        now = monotonic()
        if now - last < AGAIN:
            return
        last = now
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
