"""What a suspended coroutine waits for, and where in the user's code."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Iterable, Iterator
from types import CodeType, FrameType
from typing import Any, Final, NamedTuple

from tracelock.instrument.callers import place_of
from tracelock.instrument.contexts import identity
from tracelock.ops import ACQUIRE, GET, PUT, WAIT

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
#: Packages of the loops themselves.
LIBRARIES: Final = frozenset({"asyncio", "anyio", "trio", "tracelock"})
#: The kind of op by the identity of a code object, which is kept beside so that it stays its own.
_known: dict[int, tuple[CodeType, int]] = {}
#: The same of anyio's own objects on asyncio, whose waits are not in the record.
_others: dict[int, tuple[CodeType, int]] = {}


def learn(more: Iterable[tuple[Any, str, int]] = (), keep: bool = False) -> None:
    """Look at the functions as they are now: instrumented modules have other code. ``more``: those
    of another library. ``keep``: what is known stays so."""
    if not keep:
        _known.clear()
        _others.clear()
    _learn(_known, (*METHODS, *more))
    backend = anyio_on_asyncio()
    if backend is not None:
        import anyio
        from anyio.streams import memory

        _learn(_others, (
            (backend.Lock, "acquire", ACQUIRE), (backend.Semaphore, "acquire", ACQUIRE),
            (backend.CapacityLimiter, "acquire_on_behalf_of", ACQUIRE),
            (anyio.Condition, "wait", WAIT), (backend.Event, "wait", WAIT),
            (memory.MemoryObjectReceiveStream, "receive", GET),
            (memory.MemoryObjectSendStream, "send", PUT),
        ))  # fmt: skip


def anyio_on_asyncio() -> Any:
    """The module of anyio with its own tasks and scopes on asyncio, None where nobody uses it."""
    return sys.modules.get("anyio._backends._asyncio")


def _learn(known: dict[int, tuple[CodeType, int]], methods: Iterable[tuple[Any, str, int]]) -> None:
    for owner, method, kind in methods:
        function = inspect.unwrap(getattr(owner, method))  # what is patched wraps the original
        code = getattr(function, "__code__", None)
        if code is not None:
            known[identity(code)] = (code, kind)


class Awaiting(NamedTuple):
    """Where a coroutine is. ``at``: the place in the user's code; ``kind``: the op that it is in,
    -1 where nothing is known of that; ``thing``: the object that it waits for."""

    at: str
    kind: int
    thing: Any


def frames(coro: Any) -> Iterator[FrameType]:
    """The frames of a suspended coroutine, outermost first."""
    while coro is not None:
        try:
            frame, inner = coro.cr_frame, coro.cr_await
        except AttributeError:
            frame = getattr(coro, "gi_frame", None) or getattr(coro, "ag_frame", None)
            inner = getattr(coro, "gi_yieldfrom", None) or getattr(coro, "ag_await", None)
        if frame is None:
            return
        yield frame
        coro = inner


def awaiting(coro: Any) -> Awaiting:
    """Where ``coro`` is, and what it waits for there."""
    at, kind, thing = "", -1, None
    outer = None
    for frame in frames(coro):
        outer = outer or frame
        found = place_of(frame)
        if found is not None:
            at = found
        known = _known.get(identity(frame.f_code))
        if known is not None and kind < 0:
            kind = known[1]
            thing = frame.f_locals.get("self")
    if not at and outer is not None:
        at = f"{outer.f_code.co_name}:{outer.f_lineno}"
    return Awaiting(at or "?:0", kind, thing)


class Innermost(NamedTuple):
    """Where exactly a coroutine waits. ``kind``, ``thing``: of the innermost function of a library
    that is known, as in ``Awaiting``; ``spot``: the innermost place outside of these libraries, to
    the instruction; ``at``: the same for people."""

    kind: int
    thing: Any
    spot: tuple[CodeType, int] | None
    at: str


def innermost(coro: Any) -> Innermost:
    """Where exactly ``coro`` waits."""
    kind, thing, spot, at = -1, None, None, ""
    for frame in frames(coro):
        code = frame.f_code
        known = _known.get(identity(code)) or _others.get(identity(code))
        if known is not None and kind >= 0 and code.co_qualname == "Event.wait":
            continue  # an event that stands in a limiter, a condition or a stream of the library
        if known is not None:
            kind, thing = known[1], frame.f_locals.get("self")
        module = frame.f_globals.get("__name__", "")
        if module.partition(".")[0] not in LIBRARIES:
            spot, at = (code, frame.f_lasti), place_of(frame) or at
            if known is None:
                kind, thing = -1, None  # a function that a library's own calls
    return Innermost(kind, thing, spot, at)


def stack(coro: Any) -> str:
    """The frames of a suspended coroutine as text, outermost first."""
    lines = []
    for frame in frames(coro):
        at = place_of(frame) or f"{frame.f_code.co_filename}:{frame.f_lineno}"
        lines.append(f"  {at} in {frame.f_code.co_qualname}")
    return "\n".join(lines)
