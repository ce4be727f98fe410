"""What is patched of asyncio: its objects tell what happens to them.

None of these is a choice: who goes on is chosen by the loop. Every function does what the original
does, and puts an event into the record when it is called by a worker.

What the loop itself (``aio_loop``) makes of its services: the steps of tasks and timers are
*controlled*; callbacks (``call_soon``, done callbacks, readers and writers) are controlled against
tasks, and come first in first out among themselves; what threads send (``call_soon_threadsafe``)
and the bodies of an executor's threads are controlled. Calls of the exception handler are *seen*.
Sockets, pipes, subprocesses and signals are *not controlled*: what has come in when the loop looks
is handled, and where nothing else is left to wait for the schedule is unfinished.

Sets of tasks and futures, and of anyio's cancel scopes, are ordered by hash, which by default is an
address: tasks and futures of the loop are numbered, the others are numbered when they
are hashed first. A bare ``asyncio.Future()`` or ``asyncio.Task()`` is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

from tracelock.instrument.callers import creation_name
from tracelock.instrument.contexts import identity
from tracelock.instrument.hub import Phase, contexts, get_ident
from tracelock.instrument.patches import SEEN, Patch
from tracelock.ops import ACQUIRE, CLEAR, GET, NOTIFY, PUT, RELEASE, SET, WAKE


def _tasks(worker: Any) -> Any:
    return getattr(worker, "tasks", None)


def _note(kind: int, obj: Any, value: Any = None) -> None:
    worker: Any = contexts.get(get_ident())
    tasks = _tasks(worker)
    if tasks is not None and worker.hub.phase is Phase.RUN and not worker.uncontrolled:
        tasks.note(kind, tasks.thing(obj, worker), value)


def making(kind: str, original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        worker: Any = contexts.get(get_ident())
        if worker is not None and not worker.uncontrolled and not worker.hub.unwinding:
            with contextlib.suppress(AttributeError):  # of a class with slots
                self._tracelock_name = creation_name(kind, worker)
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


def stable_hash(self: Any) -> int:
    """A number instead of an address: the same in every run of a schedule."""
    worker: Any = contexts.get(get_ident())
    if worker is None:
        return object.__hash__(self)
    numbers = worker.hub.hashed
    known = numbers.get(identity(self))
    if known is None:
        known = numbers[identity(self)] = (
            len(numbers) + 1,
            self,
        )  # kept, so that its id stays its own
    return int(known[0])


def _hashed() -> list[Any]:
    """Classes whose objects are kept in sets by the libraries themselves."""
    found: list[Any] = [asyncio.tasks._GatheringFuture]  # type: ignore[attr-defined]
    if "anyio" in sys.modules:
        with contextlib.suppress(ImportError):
            found.append(importlib.import_module("anyio._backends._asyncio").CancelScope)
    return found


def table() -> list[Patch]:
    """Every patch of asyncio's own classes, and of anyio's where that is loaded."""
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
    made += [(owner, "__hash__", stable_hash) for owner in _hashed()]
    return [
        Patch(
            f"{owner.__module__.partition('.')[0]}.{owner.__name__}.{name}", owner, name,
            owner.__dict__.get(name), by, SEEN,
        )
        for owner, name, by in made
    ]  # fmt: skip


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
            if patch.what is None:
                delattr(patch.owner, patch.attribute)  # it was inherited
            else:
                setattr(patch.owner, patch.attribute, patch.what)
