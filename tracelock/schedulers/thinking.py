"""How long a systematic search may think between two schedules: after a very long one it has much
to compare, and nobody else looks at the clock meanwhile.

Until when, is said for each thread by itself: several searches may go on in one process.
"""

from __future__ import annotations

import math
from _thread import get_ident
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

#: Parts of what is thought about between two looks at the clock.
PARTS: Final = 64
#: By thread. No variable of a context, which a program under control would find in its own.
_until: Final[dict[int, float]] = {}


@contextmanager
def thinking_until(deadline: float | None) -> Iterator[None]:
    """While this is entered nobody thinks longer than that in this thread, on the monotonic clock.
    None: as long as before."""
    thread = get_ident()
    before = _until.get(thread, math.inf)
    _until[thread] = before if deadline is None else min(before, deadline)
    try:
        yield
    finally:
        _until[thread] = before
        if before == math.inf:
            del _until[thread]


def late() -> bool:
    """Whether the time is up."""
    return monotonic() > _until.get(get_ident(), math.inf)
