"""How long a worker may go round its loops without a visible step: no controller is asked there.

Each machine counts its rounds (``Machine.fuel``) and looks at the clock after every ``WORK`` lines
of them. Until when, is said in the thread of a search for itself and for the threads that run its
machines (``SharedRounds``): several searches may go on in one process.
"""

from __future__ import annotations

import math
from _thread import get_ident
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Final

from tracelock.errors import LimitReached

#: Lines of generated code between two looks at the clock, about: some milliseconds.
WORK: Final = 20_000


@dataclass(slots=True, eq=False)
class Rounds:
    """Until when loops may go round, on the monotonic clock, and ``why`` not longer."""

    until: float = math.inf
    why: str = ""


#: By thread.
_rounds: Final[dict[int, Rounds]] = {}


def rounds_here() -> Rounds:
    """What holds in this thread, for others that run machines of the same search."""
    return _rounds.get(get_ident()) or Rounds()


class SharedRounds:
    """While this is entered the same holds in this thread as where ``rounds`` came from, whatever
    becomes of it there."""

    __slots__ = ("_before", "_rounds")

    def __init__(self, rounds: Rounds) -> None:
        self._rounds = rounds
        self._before: Rounds | None = None

    def __enter__(self) -> None:
        thread = get_ident()
        self._before = _rounds.get(thread)
        _rounds[thread] = self._rounds

    def __exit__(self, *exc: object) -> None:
        if self._before is None:
            del _rounds[get_ident()]
        else:
            _rounds[get_ident()] = self._before


def look() -> None:
    """Raises LimitReached where the time is up."""
    rounds = _rounds.get(get_ident())
    if rounds is not None and monotonic() > rounds.until:
        raise LimitReached(rounds.why)


def seconds_left() -> float:
    """How long rounds may go on."""
    return max(0.0, rounds_here().until - monotonic())


@contextmanager
def rounds_until(deadline: float | None, why: str) -> Iterator[None]:
    """While this is entered rounds go on until then, on the monotonic clock, or as long as they
    might before if that is sooner; ``why`` is then the limit. None: no further bound."""
    rounds = rounds_here()
    before = (rounds.until, rounds.why)
    with SharedRounds(rounds):
        if deadline is not None and deadline < rounds.until:
            rounds.until, rounds.why = deadline, why
        try:
            yield
        finally:
            rounds.until, rounds.why = before


def no_more_rounds(why: str) -> None:
    """Let all that go round end now, in this thread and those that have its bound; within
    ``rounds_until``, whose end undoes it."""
    rounds = rounds_here()
    rounds.until, rounds.why = -math.inf, why
