"""The buffers of ``SharedMemory`` that are known by name, and accesses to their items.

Apart from ``memory``, which imports ``multiprocessing``: not every program has that.
"""

from __future__ import annotations

from typing import Any, Final

from tracelock.instrument.contexts import identity
from tracelock.instrument.files.access import touch
from tracelock.instrument.steps import shown
from tracelock.ops import READ

#: A weak reference to the buffer and the name of its block, by the buffer's address.
buffers: Final[dict[int, tuple[Any, str]]] = {}


def item_touched(obj: Any, kind: int, worker: Any, at: str, value: object) -> None:
    """Instrumented code accesses an item of a ``buf``; which is not known: the whole block."""
    known = buffers.get(identity(obj))
    if known is None or known[0]() is not obj:
        return
    label = known[1]
    if kind == READ:
        touch(worker, at, [label])
    else:
        touch(worker, at, (), [label], shown(value))
