"""Sets of threads and futures: their order is not that of addresses.

``concurrent.futures`` keeps futures, and the threads of a pool, in sets, and locks several futures
in the order of their ids, which are others in each process; so do programs. A thread or future
that a worker makes has a hash, and a place in that order, by who made it and as which of its own.
All else about futures is the standard library's own code, on conditions under control.
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
#: Things that one worker may make before the next one's numbers begin.
_MANY: Final = 1 << 32


def put_in_order(obj: Any, worker: Worker) -> None:
    """``worker`` makes ``obj``, which is kept in sets by its hash."""
    count = worker.counts["order"] = worker.counts.get("order", 0) + 1
    obj._tracelock_order = (worker.number + 1) * _MANY + count


def stable_hash(self: Any) -> int:
    order = self.__dict__.get("_tracelock_order")
    return object.__hash__(self) if order is None else int(order)


def future_init(self: Any) -> None:
    ORIGINAL[FUTURE](self)
    worker: Worker | None = contexts.get(get_ident())
    if worker is not None and not worker.uncontrolled and worker.hub.phase is not Phase.UNWIND:
        put_in_order(self, worker)


def acquire_init(self: Any, futures: Iterable[Any]) -> None:
    ORIGINAL[ACQUIRE](self, futures)
    if contexts.get(get_ident()) is not None:
        self.futures.sort(key=lambda future: future.__dict__.get("_tracelock_order", 0))
