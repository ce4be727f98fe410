"""Whether a thread lives, and how many do: whoever asks depends on how far they have got.

That a thread has ended is a step of its own only where somebody asks for it, as with any variable.
How many there are all threads change: that is no variable until somebody has asked.
"""

from __future__ import annotations

import threading
from typing import Any, Final

from tracelock.instrument.callers import caller
from tracelock.instrument.contexts import contexts
from tracelock.instrument.patching import patch
from tracelock.instrument.threads.imports import Here
from tracelock.instrument.worker import Worker
from tracelock.ops import READ, WRITE

_all: Final = threading.enumerate
_ALIVE: Final = "is_alive"
#: The variable of how many there are: its owner and its name.
_ALL: Final = (threading, "active_count")


def more_or_less(worker: Worker, at: str) -> None:
    """The worker starts a thread, or ends."""
    if worker.hub.counts_threads:
        worker.access(WRITE, *_ALL, Here(at))


def ends(worker: Worker, thread: Any, at: str) -> None:
    """The worker, which is this thread, has done its work. ``at``: where it was started."""
    worker.access(WRITE, thread, _ALIVE, Here(at))
    more_or_less(worker, at)


def asks(worker: Worker, thread: Any) -> None:
    """The worker asks whether this thread has ended."""
    worker.access(READ, thread, _ALIVE, Here(caller(worker)))


def _counts(worker: Worker) -> None:
    worker.hub.counts_threads = True
    worker.access(READ, *_ALL, Here(caller(worker)))


@patch("threading.active_count")
def active_count(worker: Worker, real: Any) -> int:
    _counts(worker)
    return len(_theirs())


@patch("threading.enumerate")
def all_threads(worker: Worker, real: Any) -> list[threading.Thread]:
    _counts(worker)
    return _theirs()


def _theirs() -> list[threading.Thread]:
    """The threads that there are, but for those of ours that run no code of the program."""
    return [one for one in _all() if not hasattr(one, "_tracelock_own") or one.ident in contexts]
