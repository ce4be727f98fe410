"""What belongs to the whole process, and every schedule finds as the first one did.

Counters of the standard library from which threads and pools get their names; the generator of the
``random`` module; the standard streams, the environment, the working directory, hooks and signal
handlers.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import itertools
import os
import random
import signal
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

#: Owner, attribute, the first number, and whether it is the counter's own ``__next__``.
_COUNTERS: Final = (
    (threading, "_counter", 1, True),
    (ThreadPoolExecutor, "_counter", 0, True),
    ("multiprocessing.process", "_process_counter", 1, False),
)
_HELD: Final[tuple[tuple[Any, str], ...]] = (
    (sys, "stdin"), (sys, "stdout"), (sys, "stderr"), (sys, "excepthook"),
    (threading, "excepthook"),
)  # fmt: skip
#: With what the generator of ``random`` begins in each schedule, and its first number then.
_SEED: Final = 1_700_000_000
_FIRST: Final = random.Random(_SEED).random()
#: The environment as the process has it, without a copy.
_VARIABLES: Final[Any] = vars(os.environ)["_data"]
_getsignal: Final[Any] = _signal.getsignal
_getcwd: Final = os.getcwd
_chdir: Final = os.chdir


class Afresh:
    """All of that for one exploration, which ends with ``close``.

    ``drew``: some schedule has drawn random numbers from the module's own generator.
    """

    def __init__(self) -> None:
        next(tempfile._get_candidate_names())  # type: ignore[attr-defined]  # its own generator
        self.drew = False
        self._random = random.getstate()
        self._counters: list[tuple[Any, str, Any]] = []
        self._handlers: list[Any] = []
        self._main = threading.current_thread() is threading.main_thread()
        self._held: list[Any] = []
        self._environ: dict[Any, Any] = {}
        self._directory: str | None = None
        for module, name, _, _ in _COUNTERS:
            owner = sys.modules.get(module) if isinstance(module, str) else module
            if owner is not None and hasattr(owner, name):
                self._counters.append((owner, name, vars(owner)[name]))

    def begin(self) -> None:
        """A schedule begins."""
        for owner, name, _ in self._counters:
            first, own = next(
                (first, own) for module, one, first, own in _COUNTERS
                if one == name and module in (owner, getattr(owner, "__name__", ""))
            )  # fmt: skip
            count = itertools.count(first)
            setattr(owner, name, count.__next__ if own else count)
        random.seed(_SEED)
        self._held = [getattr(owner, name) for owner, name in _HELD]
        self._environ = _VARIABLES.copy()
        self._directory = _directory()
        if self._main:
            self._handlers = [_getsignal(number) for number in _SIGNALS]

    def end(self) -> None:
        """It has ended: put back what it has changed."""
        self.drew = self.drew or random.random() != _FIRST
        for (owner, name), held in zip(_HELD, self._held, strict=False):
            if getattr(owner, name) is not held:
                setattr(owner, name, held)
        if self._environ != _VARIABLES:
            before = {os.fsdecode(name): os.fsdecode(is_) for name, is_ in self._environ.items()}
            os.environ.clear()
            os.environ.update(before)
        if self._directory is not None and _directory() != self._directory:
            _chdir(self._directory)
        if self._handlers and threading.current_thread() is threading.main_thread():
            for number, handler in zip(_SIGNALS, self._handlers, strict=True):
                if handler is not None and _getsignal(number) is not handler:
                    signal.signal(number, handler)

    def close(self) -> None:
        """The exploration is over: the process goes on as if there had been none."""
        for owner, name, counter in self._counters:
            setattr(owner, name, counter)
        random.setstate(self._random)


#: Those that a program may handle; Ctrl-C is noted by the bounds of the exploration.
_SIGNALS: Final = tuple(
    int(one) for one in signal.valid_signals() if one not in (signal.SIGINT, 9, 19)
)


def _directory() -> str | None:
    try:
        return _getcwd()
    except OSError:  # it has been removed
        return None
