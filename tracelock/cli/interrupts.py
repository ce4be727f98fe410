"""Ctrl-C: once is once, even where it arrives twice."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType
from typing import Final

AGAIN: Final = 1.0  # seconds after which another Ctrl-C counts

#: Whether an exception stands for an interrupt.
Interrupted = Callable[[BaseException], bool]


@contextmanager
def one_interrupt() -> Iterator[Interrupted]:
    """SIGINT raises KeyboardInterrupt as ever, but what comes within a second of it is ignored.

    Gives what says whether an exception is what an interrupt was turned into: one that arrives in
    an import meets code in C, which may make an ImportError of it, or a panic.

    A shell or a supervisor that signals the process and its group would otherwise interrupt the
    saving of the trace that the first signal was answered with.
    """
    before = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or before is not signal.default_int_handler:
        yield lambda problem: False
        return
    last = -AGAIN

    def recent() -> bool:
        return monotonic() - last < AGAIN

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal last
        if recent():
            return
        last = monotonic()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield lambda problem: recent() and _of_import(problem)
    finally:
        signal.signal(signal.SIGINT, before)


def _of_import(problem: BaseException) -> bool:
    """Whether it comes from the middle of an import."""
    frames = problem.__traceback__
    while frames is not None:
        if "importlib._bootstrap" in frames.tb_frame.f_code.co_filename:
            return True
        frames = frames.tb_next
    return False
