"""Sets of threads and futures: their order is not that of addresses.

``concurrent.futures`` keeps futures, and the threads of a pool, in sets, and locks several futures
in the order of their ids, which differ from process to process; so do programs. A thread or future
that a worker makes has a hash, and a place in that order, by its maker and its number among the
maker's own. All else about futures is the standard library's own code, on conditions under control.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import _base
from contextlib import contextmanager
from typing import Any, Final

from tracelock.instrument.hub import ScheduleOver
from tracelock.instrument.patching import SEEN, patch, replace
from tracelock.instrument.worker import Worker

_FUTURE: Final[Any] = _base.Future
_ACQUIRE: Final[Any] = _base._AcquireFutures
#: Things that one worker may make before the next one's numbers begin.
_MANY: Final = 1 << 32


def put_in_order(obj: Any, worker: Worker) -> None:
    """``worker`` makes ``obj``, which is kept in sets by its hash."""
    obj._tracelock_order = (worker.number + 1) * _MANY + worker.count("order")


@patch("concurrent.futures.Future.__init__", SEEN, of=_FUTURE)
def future_init(worker: Worker, real: Any, self: Any) -> None:
    real(self)
    put_in_order(self, worker)


def stable_hash(self: Any) -> int:
    order = self.__dict__.get("_tracelock_order")
    return object.__hash__(self) if order is None else int(order)


replace("concurrent.futures.Future.__hash__", stable_hash, SEEN, _FUTURE)
replace("threading.Thread.__hash__", stable_hash, SEEN, threading.Thread)


@patch("concurrent.futures.wait", SEEN, of=_ACQUIRE, attribute="__init__")
def acquire_init(worker: Worker, real: Any, self: Any, futures: Iterable[Any]) -> None:
    real(self, futures)
    self.futures.sort(key=lambda future: future.__dict__.get("_tracelock_order", 0))


@contextmanager
def ends_untold() -> Iterator[None]:
    """While this is entered a pool does not log that a schedule's end has ended its thread."""
    logger = _base.LOGGER
    logger.addFilter(_is_told)
    try:
        yield
    finally:
        logger.removeFilter(_is_told)


def _is_told(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, ScheduleOver)
