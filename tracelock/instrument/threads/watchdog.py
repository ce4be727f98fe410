"""A bound on what the main thread does: ``setup`` and ``check`` are the user's code too.

Workers are watched by the main thread. The main thread itself is watched by a thread that looks at
its progress a few times a second. Where ``setup`` or ``check`` has made none for too long, or
the exploration is over, it raises an exception in the main thread, by a signal: that ends a loop in
Python, and a call that signals can interrupt.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

from tracelock.instrument.bounds import HURRY, Bounds
from tracelock.instrument.failures import stack_of
from tracelock.instrument.hub import get_ident

#: How often it looks, in seconds.
LOOK: Final = 0.25
_new_event: Final = threading.Event
_wait: Final = threading.Event.wait
_set: Final = threading.Event.set


def raise_in(ident: int, error: type[BaseException]) -> None:
    """Raise an exception in a thread that runs Python code, where the interpreter can."""
    set_exception = getattr(ctypes.pythonapi, "PyThreadState_SetAsyncExc", None)
    if set_exception is not None:
        set_exception(ctypes.c_ulong(ident), ctypes.py_object(error))


class _Settled(BaseException):
    """Raised and caught in one place, see ``raise_and_wait``."""


def raise_and_wait(ident: int, error: type[BaseException], baton: Any, seconds: float) -> bool:
    """The same, by a thread that waits for ``baton``. Whether it has got that meanwhile.

    While such an exception is pending in a call into C, Python 3.11 never gets into a function
    whose thread is profiled or traced. So none is called, and none stays pending, in such a one.
    """
    set_exception = getattr(ctypes.pythonapi, "PyThreadState_SetAsyncExc", None)
    watched = sys.getprofile() is not None or sys.gettrace() is not None
    if set_exception is None or not watched or sys.version_info >= (3, 12):
        raise_in(ident, error)
        return False
    there, here = ctypes.c_ulong(ident), ctypes.c_ulong(get_ident())
    raised, settled = ctypes.py_object(error), ctypes.py_object(_Settled)
    acquire = baton.acquire
    set_exception(there, raised)
    got = acquire(True, seconds)
    try:  # as ``take_back`` does, which could not be called now
        set_exception(there, None)
        set_exception(here, settled)  # what is raised here takes the note of it away
        bool(got)
    except _Settled:
        pass
    return bool(got)


def take_back(ident: int) -> None:
    """No exception is pending any more in a thread that is in a call into C and left behind, on
    Python 3.11: in the next exploration too, functions are profiled."""
    set_exception = getattr(ctypes.pythonapi, "PyThreadState_SetAsyncExc", None)
    watched = sys.getprofile() is not None or sys.gettrace() is not None
    if set_exception is None or watched or sys.version_info >= (3, 12):
        return
    there, here = ctypes.c_ulong(ident), ctypes.c_ulong(get_ident())
    settled = ctypes.py_object(_Settled)
    try:
        set_exception(there, None)
        set_exception(here, settled)  # what is raised here takes the note of it away
        bool(ident)
    except _Settled:
        pass


class Watchdog:
    """Watches the thread that enters it. ``progress()`` gives a number that changes when it makes
    progress, None while there is nothing to watch. ``error`` is raised in it after ``patience``
    seconds without. ``stack``: where it was then, "" before.
    """

    def __init__(
        self,
        progress: Callable[[], int | None],
        error: type[BaseException],
        patience: float,
        bounds: Bounds,
    ) -> None:
        self.progress = progress
        self.error = error
        self.patience = patience
        self.bounds = bounds
        self.stack = ""
        self._over = _new_event()
        self._ident = 0

    def __enter__(self) -> Watchdog:
        self._ident = get_ident()
        self._thread = threading.Thread(target=self._watch, name="tracelock watchdog", daemon=True)
        self._thread._tracelock_own = True  # type: ignore[attr-defined]
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        _set(self._over)
        self._thread.join()
        del self._thread, self._over, self.progress  # which leads back to who watches

    def _watch(self) -> None:
        seen: int | None = None
        still = 0.0
        over = self._over
        while not _wait(over, LOOK):
            now = self.progress()
            still = still + LOOK if now is not None and now == seen else 0.0
            seen = now
            if still >= (HURRY if now is not None and self.bounds.why() else self.patience):
                self._interrupt()
                still = 0.0

    def _interrupt(self) -> None:
        frame = sys._current_frames().get(self._ident)
        if not self.stack and frame is not None:
            self.stack = stack_of(frame)
        if self.bounds.handles:  # a call that waits comes back for a signal whose handler raises
            self.bounds.raise_here(self._ident, self.error)
        else:
            raise_in(self._ident, self.error)
