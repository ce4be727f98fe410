"""How long a systematic search may think between two schedules: after a very long one it has much
to compare, and nobody else looks at the clock meanwhile.

Until when, is said once for all threads of the process, by whoever has the time to give.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Final

#: Parts of what is thought about between two looks at the clock.
PARTS: Final = 64


@dataclass(slots=True)
class _ThinkingTime:
    until: float = math.inf  # on the monotonic clock


_time: Final = _ThinkingTime()


@contextmanager
def thinking_until(deadline: float | None) -> Iterator[None]:
    """While this is entered nobody thinks longer than that, on the monotonic clock. None: as long
    as before."""
    before = _time.until
    if deadline is not None:
        _time.until = min(before, deadline)
    try:
        yield
    finally:
        _time.until = before


def late() -> bool:
    """Whether the time is up."""
    return monotonic() > _time.until
