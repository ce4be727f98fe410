"""When an exploration of real code ends whatever it is doing: its time is up, or it is interrupted.

Ctrl-C raises nothing in the middle of our own work: it is noted, and the schedule that runs ends at
its next step. Where no step comes, the watchdog and the waiting main thread see to it.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from time import monotonic
from types import FrameType
from typing import Any, Final

from tracelock.engine.limits import INTERRUPTED, TIME_UP, Interrupted, TimeUp

#: Seconds after which another Ctrl-C raises KeyboardInterrupt wherever that is.
AGAIN: Final = 1.0
#: Seconds that a schedule may go on when its time is up, before it is told to end.
LATE: Final = 0.25
#: Seconds without a step after which a worker that should end counts as stuck.
HURRY: Final = 0.5


def _nothing(why: str) -> None:
    """There is no schedule any more that could be ended."""


class Bounds:
    """The bounds of one exploration. A context manager, in whose thread Ctrl-C is noted.

    ``deadline``: on the monotonic clock, None for none. ``stop(why)`` is called when Ctrl-C comes.
    """

    def __init__(self, stop: Callable[[str], None]) -> None:
        self.deadline: float | None = None
        self.handles = False
        self._catches = False
        self._stop = stop
        self._interrupted = 0.0
        self._raises: type[BaseException] | None = None
        self._before: Any = None

    def __enter__(self) -> Bounds:
        self._before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and callable(self._before):
            self.handles = True
            signal.signal(signal.SIGINT, self._noted)
        return self

    def __exit__(self, *exc: object) -> None:
        if self.handles and signal.getsignal(signal.SIGINT) == self._noted:
            signal.signal(signal.SIGINT, self._before)
        self.handles = False
        self._stop = _nothing

    def _noted(self, number: int, frame: FrameType | None) -> None:
        error, self._raises = self._raises, None
        if error is not None:
            if self._catches:  # it comes from another thread, and so may come too late
                raise error
            return
        now = monotonic()
        if self._interrupted and now - self._interrupted > AGAIN:
            raise KeyboardInterrupt
        self._interrupted = self._interrupted or now
        self._stop(INTERRUPTED)

    def interrupted(self) -> None:
        """A KeyboardInterrupt was caught."""
        self._interrupted = self._interrupted or monotonic()

    def raise_here(self, ident: int, error: type[BaseException]) -> None:
        """Raise ``error`` in the main thread, also in a call that waits, if it is in a call by
        ``catching``. From another thread."""
        self._raises = error
        signal.pthread_kill(ident, signal.SIGINT)

    def catching(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call this, where what ``raise_here`` raises is caught around it."""
        self._catches = True
        try:
            return function(*arguments)
        finally:
            self._catches = False

    def why(self, late: float = LATE) -> str:
        """Why a schedule that runs has to end now, "" where it need not."""
        if self._interrupted:
            return INTERRUPTED
        if self.deadline is not None and monotonic() > self.deadline + late:
            return TIME_UP
        return ""

    def check(self) -> None:
        """Before a schedule: raises Interrupted or TimeUp where there is to be none."""
        if self._interrupted:
            raise Interrupted
        if self.deadline is not None and monotonic() > self.deadline:
            raise TimeUp
