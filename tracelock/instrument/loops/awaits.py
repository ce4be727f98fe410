"""What a suspended coroutine waits for, and where in the user's code."""

from __future__ import annotations

import asyncio
from types import CodeType, FrameType
from typing import Any, Final, NamedTuple

from tracelock.instrument.callers import place_of
from tracelock.instrument.contexts import identity
from tracelock.ops import ACQUIRE, GET, PUT, WAIT


class Known(NamedTuple):
    """A coroutine function of a library that waits for an object: its code is ``code``.

    ``kind``: of the op that this is. ``owner``: the local variable that is the object.
    """

    kind: int
    owner: str = "self"


#: Innermost known coroutine functions, by class and method.
METHODS: Final = (
    (asyncio.Lock, "acquire", ACQUIRE),
    (asyncio.Semaphore, "acquire", ACQUIRE),
    (asyncio.Condition, "wait", WAIT),
    (asyncio.Event, "wait", WAIT),
    (asyncio.Queue, "get", GET),
    (asyncio.Queue, "put", PUT),
    (asyncio.Queue, "join", WAIT),
    (asyncio.Barrier, "wait", WAIT),
    (asyncio.TaskGroup, "__aexit__", WAIT),
)
#: The same of another library, while that is under control.
more: list[tuple[Any, str, int]] = []
#: By identifier of the code object, which is kept beside so that this stays its own.
_known: dict[int, tuple[CodeType, Known]] = {}


def know(owner: Any, method: str, kind: int) -> None:
    """Tell what a coroutine method of a class waits for."""
    function = owner.__dict__.get(method)
    while hasattr(function, "__wrapped__"):  # what is patched wraps the original
        function = function.__wrapped__
    code = getattr(function, "__code__", None)
    if code is not None:
        _known[identity(code)] = (code, Known(kind))


def learn() -> None:
    """Look at the functions as they are now: instrumented modules have other code."""
    _known.clear()
    for owner, method, kind in (*METHODS, *more):
        know(owner, method, kind)


class Awaiting(NamedTuple):
    """Where a coroutine is. ``at``: the place in the user's code; ``kind``: the op that it is in,
    -1 where nothing is known of that; ``thing``: the object that it waits for."""

    at: str
    kind: int
    thing: Any


def frames(coro: Any) -> list[FrameType]:
    """The frames of a suspended coroutine, outermost first."""
    found = []
    while coro is not None:
        try:
            frame, inner = coro.cr_frame, coro.cr_await
        except AttributeError:
            frame = getattr(coro, "gi_frame", None) or getattr(coro, "ag_frame", None)
            inner = getattr(coro, "gi_yieldfrom", None) or getattr(coro, "ag_await", None)
        if frame is None:
            break
        found.append(frame)
        coro = inner
    return found


def awaiting(coro: Any) -> Awaiting:
    """Where ``coro`` is, and what it waits for there."""
    at, kind, thing = "", -1, None
    outer = None
    while coro is not None:
        try:
            frame, inner = coro.cr_frame, coro.cr_await
        except AttributeError:
            frame = getattr(coro, "gi_frame", None) or getattr(coro, "ag_frame", None)
            inner = getattr(coro, "gi_yieldfrom", None) or getattr(coro, "ag_await", None)
        if frame is None:
            break
        outer = outer or frame
        found = place_of(frame)
        if found is not None:
            at = found
        known = _known.get(identity(frame.f_code))
        if known is not None and kind < 0:
            kind = known[1].kind
            thing = frame.f_locals.get(known[1].owner)
        coro = inner
    if not at and outer is not None:
        at = f"{outer.f_code.co_name}:{outer.f_lineno}"
    return Awaiting(at or "?:0", kind, thing)


def stack(coro: Any) -> str:
    """The frames of a suspended coroutine as text, outermost first."""
    lines = []
    for frame in frames(coro):
        at = place_of(frame) or f"{frame.f_code.co_filename}:{frame.f_lineno}"
        lines.append(f"  {at} in {frame.f_code.co_qualname}")
    return "\n".join(lines)
