"""A bound on what the main thread does: ``setup`` and ``check`` are the user's code too.

Workers are watched by the main thread. The main thread itself is watched by a thread of ours that
looks at it a few times a second and, when ``setup`` or ``check`` has not come on for too long,
raises in it what it takes: an exception between two instructions of a loop in Python, a signal
where it is inside a call that signals can interrupt.
"""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
from collections.abc import Callable
from typing import Final

from tracelock.instrument.failures import stack_of
from tracelock.instrument.hub import get_ident

#: How often it looks, in seconds.
LOOK: Final = 0.25
_new_event: Final = threading.Event
_wait: Final = threading.Event.wait
_set: Final = threading.Event.set
_is_set: Final = threading.Event.is_set


def raise_in(ident: int, error: type[BaseException]) -> None:
    """Raise an exception in a thread that runs Python code, where the interpreter can."""
    set_exception = getattr(ctypes.pythonapi, "PyThreadState_SetAsyncExc", None)
    if set_exception is not None:
        set_exception(ctypes.c_ulong(ident), ctypes.py_object(error))


class Watchdog:
    """Watches the thread that enters it. ``progress()`` gives a number that changes when it comes
    on, or None while there is nothing to watch. ``bite`` is raised in it after ``patience``
    seconds without. ``bitten``: the stack that it was in, "" before.
    """

    def __init__(
        self, progress: Callable[[], int | None], bite: type[BaseException], patience: float
    ) -> None:
        self.progress = progress
        self.bite = bite
        self.patience = patience
        self.bitten = ""
        self._over = _new_event()
        self._ident = 0

    def __enter__(self) -> Watchdog:
        self._ident = get_ident()
        self._thread = threading.Thread(target=self._watch, name="tracelock watchdog", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        _set(self._over)
        self._thread.join()

    def _watch(self) -> None:
        seen: int | None = None
        still = 0.0
        while not _wait(self._over, LOOK):
            now = self.progress()
            still = still + LOOK if now is not None and now == seen else 0.0
            seen = now
            if still >= self.patience:
                self._bite()
                still = 0.0

    def _bite(self) -> None:
        frame = sys._current_frames().get(self._ident)
        if not self.bitten and frame is not None:
            self.bitten = stack_of(frame)
        raise_in(self._ident, self.bite)
        # a call that waits comes back for a signal whose handler raises, and for no other
        if self._ident == threading.main_thread().ident and callable(
            signal.getsignal(signal.SIGINT)
        ):
            signal.pthread_kill(self._ident, signal.SIGINT)
