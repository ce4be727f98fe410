"""How long a worker may go round its loops without a visible step: no controller is asked there.

Each machine counts its rounds (``Machine.fuel``) and looks at the clock after every ``WORK`` lines
of them. Until when, is said once for all threads of the process, by whoever has the time to give.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Final

from tracelock.errors import LimitReached

#: Lines of generated code between two looks at the clock, about: some milliseconds.
WORK: Final = 20_000


@dataclass(slots=True)
class _Bound:
    until: float = math.inf  # on the monotonic clock
    why: str = ""


_bound: Final = _Bound()


def look() -> None:
    """Raises LimitReached where the time is up."""
    if monotonic() > _bound.until:
        raise LimitReached(_bound.why)


def seconds_left() -> float:
    """How long rounds may go on."""
    return max(0.0, _bound.until - monotonic())


@contextmanager
def rounds_until(deadline: float | None, why: str) -> Iterator[None]:
    """While this is entered rounds go on until then, on the monotonic clock, or as long as they
    might before if that is sooner; ``why`` is then the limit. None: no further bound."""
    before = (_bound.until, _bound.why)
    if deadline is not None and deadline < _bound.until:
        _bound.until, _bound.why = deadline, why
    try:
        yield
    finally:
        _bound.until, _bound.why = before


def no_more_rounds(why: str) -> None:
    """Let all that go round end now; within ``rounds_until``, whose end undoes it."""
    _bound.until, _bound.why = -math.inf, why
