"""Futures of ``concurrent.futures``: the order in which several are taken is not that of ids.

``wait`` and ``as_completed`` keep futures in sets and lock them in the order of their addresses,
which are others in each process. A future that a worker makes has a hash, and a place in that
order, by who made it and as which of its futures. All else about futures is the standard library's
own code, on conditions under control.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import _base
from typing import Any, Final

from tracelock.instrument.hub import Phase, contexts, get_ident
from tracelock.instrument.worker import Worker

FUTURE: Final[Any] = _base.Future
ACQUIRE: Final[Any] = _base._AcquireFutures
ORIGINAL: Final = {cls: cls.__dict__["__init__"] for cls in (FUTURE, ACQUIRE)}
#: Futures that one worker may make before the next one's numbers begin.
_MANY: Final = 1 << 32


def future_init(self: Any) -> None:
    ORIGINAL[FUTURE](self)
    worker: Worker | None = contexts.get(get_ident())
    if worker is not None and not worker.through and worker.hub.phase is not Phase.UNWIND:
        count = worker.made["future"] = worker.made.get("future", 0) + 1
        self._tracelock_order = (worker.number + 1) * _MANY + count


def future_hash(self: Any) -> int:
    order = self.__dict__.get("_tracelock_order")
    return object.__hash__(self) if order is None else int(order)


def acquire_init(self: Any, futures: Iterable[Any]) -> None:
    ORIGINAL[ACQUIRE](self, futures)
    if contexts.get(get_ident()) is not None:
        self.futures.sort(key=lambda future: future.__dict__.get("_tracelock_order", 0))
