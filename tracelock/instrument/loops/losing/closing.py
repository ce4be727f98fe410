"""How a coroutine ends that is in the middle of its code, when its schedule is over."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import Any, Final

#: How often a coroutine may catch its end and wait on.
_CLOSINGS: Final = 20


def ended(coro: Any) -> bool:
    """Close a coroutine, which may catch that and wait on, as each nursery of trio does once.
    Whether it has ended."""
    for awaited in list(_within_generators(coro)):
        ended(awaited)
    for _ in range(_CLOSINGS):
        with contextlib.suppress(BaseException):  # whatever its finally clauses make of it
            coro.close()
        if getattr(coro, "cr_frame", None) is None:
            return True
    return False


def _within_generators(coro: Any) -> Iterator[Any]:
    """The coroutines that asynchronous generators wait for, for whose next value ``coro`` waits:
    to close it does not close these (CPython's ``async_generator_asend.close`` ends itself alone),
    so that they would be in the middle of their code when they die."""
    while coro is not None:
        inner = getattr(coro, "cr_await", None) or getattr(coro, "gi_yieldfrom", None)
        if inner is not None and type(inner).__name__.startswith("async_generator_"):
            made = [one for one in gc.get_referents(inner) if hasattr(one, "ag_await")]
            inner = made[0].ag_await if made else None
            if hasattr(inner, "cr_frame"):
                yield inner
                return  # the rest is its own
        coro = inner
