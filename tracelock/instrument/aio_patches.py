"""What is patched of asyncio: its objects tell what happens to them.

None of these is a choice: who goes on is chosen by the loop. Every function does what the original
does, and puts an event into the record when it is called by a worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, Final

from tracelock.instrument.callers import made_at
from tracelock.instrument.hub import Phase, contexts, get_ident
from tracelock.instrument.patches import SEEN, Patch
from tracelock.ops import ACQUIRE, CLEAR, GET, NOTIFY, PUT, RELEASE, SET, WAKE


def _tasks(worker: Any) -> Any:
    return getattr(worker, "tasks", None)


def _note(kind: int, obj: Any, value: Any = None) -> None:
    worker: Any = contexts.get(get_ident())
    tasks = _tasks(worker)
    if tasks is not None and worker.hub.phase is Phase.RUN and not worker.through:
        tasks.note(kind, tasks.thing(obj, worker), value)


def making(kind: str, original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        worker: Any = contexts.get(get_ident())
        if worker is not None and not worker.through and not worker.hub.unwinding:
            with contextlib.suppress(AttributeError):  # of a class with slots
                self._tracelock_name = made_at(kind, worker)
        original(self, *args, **kwargs)

    return __init__


def after(kind: int, original: Callable[..., Any]) -> Callable[..., Any]:
    """A coroutine method that is told when it has come back."""

    @functools.wraps(original)
    async def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = await original(self, *args, **kwargs)
        _note(kind, self)
        return result

    return method


def before(kind: int, original: Callable[..., Any], value: Any = None) -> Callable[..., Any]:
    """A method that is told before it is done."""

    @functools.wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        _note(kind, self, value)
        return original(self, *args, **kwargs)

    return method


def _notify(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def notify(self: Any, n: int = 1) -> None:
        _note(NOTIFY, self, n)
        original(self, n)

    return notify


_KINDS: Final = (
    (asyncio.Lock, "lock"), (asyncio.Condition, "condition"), (asyncio.Event, "event"),
    (asyncio.Semaphore, "semaphore"), (asyncio.Queue, "queue"), (asyncio.Barrier, "barrier"),
)  # fmt: skip


def table() -> list[Patch]:
    """Every patch of asyncio's own classes."""
    made: list[tuple[Any, str, Callable[..., Any]]] = [
        *((owner, "__init__", making(kind, owner.__dict__["__init__"])) for owner, kind in _KINDS),
        (asyncio.Lock, "acquire", after(ACQUIRE, asyncio.Lock.__dict__["acquire"])),
        (asyncio.Lock, "release", before(RELEASE, asyncio.Lock.__dict__["release"])),
        (asyncio.Semaphore, "acquire", after(ACQUIRE, asyncio.Semaphore.__dict__["acquire"])),
        (asyncio.Semaphore, "release", before(RELEASE, asyncio.Semaphore.__dict__["release"], 1)),
        (asyncio.Condition, "wait", after(WAKE, asyncio.Condition.__dict__["wait"])),
        (asyncio.Condition, "notify", _notify(asyncio.Condition.__dict__["notify"])),
        (asyncio.Event, "set", before(SET, asyncio.Event.__dict__["set"])),
        (asyncio.Event, "clear", before(CLEAR, asyncio.Event.__dict__["clear"])),
        (asyncio.Event, "wait", after(WAKE, asyncio.Event.__dict__["wait"])),
        (asyncio.Queue, "put_nowait", before(PUT, asyncio.Queue.__dict__["put_nowait"])),
        (asyncio.Queue, "get_nowait", before(GET, asyncio.Queue.__dict__["get_nowait"])),
    ]
    return [
        Patch(f"asyncio.{owner.__name__}.{name}", owner, name, owner.__dict__[name], by, SEEN)
        for owner, name, by in made
    ]


@contextlib.contextmanager
def patched() -> Iterator[None]:
    """All of them made, and undone at the end."""
    done: list[Patch] = []
    try:
        for patch in table():
            setattr(patch.owner, patch.attribute, patch.by)
            done.append(patch)
        yield
    finally:
        for patch in reversed(done):
            setattr(patch.owner, patch.attribute, patch.what)
