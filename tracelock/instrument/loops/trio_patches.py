"""What is patched of trio: its objects tell what happens to them, and threads that they send."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import trio
from trio._core import _entry_queue

from tracelock.instrument.callers import caller
from tracelock.instrument.hub import Phase, contexts, get_ident
from tracelock.instrument.loops import awaits
from tracelock.instrument.loops.asyncio_patches import after, before, making
from tracelock.instrument.patches import CONTROLLED, SEEN, Patch
from tracelock.ops import ACQUIRE, GET, NOTIFY, PUT, RELEASE, SET, WAIT, WAKE, Op

if TYPE_CHECKING:
    from tracelock.instrument.loops.trio_tasks import TrioTasks

#: The tasks of the run that is under way.
_current: list[TrioTasks] = []
_RUN_SYNC_SOON = _entry_queue.EntryQueue.run_sync_soon


def run_sync_soon(self: Any, *args: Any, **kwargs: Any) -> None:
    """A thread sends something to the loop: a scheduling point of the thread."""
    worker: Any = contexts.get(get_ident())
    tasks = _current[-1] if _current else None
    if (
        tasks is None
        or worker is None
        or worker.uncontrolled
        or worker.hub.phase is not Phase.RUN
        or tasks.runner.entry_queue is not self
    ):
        _RUN_SYNC_SOON(self, *args, **kwargs)
        return
    if worker.own_thread:
        worker.step(Op(NOTIFY, tasks.gate.number, caller(), 1))
    _RUN_SYNC_SOON(self, *args, **kwargs)
    tasks.own_comes(tasks.line.count)


def table() -> list[Patch]:
    """Every patch of trio's own classes."""
    made: list[tuple[Any, str, Callable[..., Any], str]] = [
        (_entry_queue.EntryQueue, "run_sync_soon", run_sync_soon, CONTROLLED),
        *(
            (owner, "__init__", making(kind, owner.__init__), SEEN)
            for owner, kind in (
                (trio.Lock, "lock"), (trio.Condition, "condition"), (trio.Event, "event"),
                (trio.Semaphore, "semaphore"),
            )
        ),
        (trio.Lock, "acquire", after(ACQUIRE, trio.Lock.acquire), SEEN),
        (trio.Lock, "release", before(RELEASE, trio.Lock.release), SEEN),
        (trio.Semaphore, "acquire", after(ACQUIRE, trio.Semaphore.acquire), SEEN),
        (trio.Semaphore, "release", before(RELEASE, trio.Semaphore.release, 1), SEEN),
        (trio.Condition, "wait", after(WAKE, trio.Condition.wait), SEEN),
        (trio.Condition, "notify", before(NOTIFY, trio.Condition.notify, 1), SEEN),
        (trio.Condition, "notify_all", before(NOTIFY, trio.Condition.notify_all, -1), SEEN),
        (trio.Event, "set", before(SET, trio.Event.set), SEEN),
        (trio.Event, "wait", after(WAKE, trio.Event.wait), SEEN),
    ]  # fmt: skip
    return [
        Patch(f"trio.{owner.__name__}.{name}", owner, name, getattr(owner, name), by, how)
        for owner, name, by, how in made
    ]


#: What coroutine methods of trio wait for.
METHODS = (
    (trio.Lock, "acquire", ACQUIRE),
    (trio.Semaphore, "acquire", ACQUIRE),
    (trio.CapacityLimiter, "acquire_on_behalf_of", ACQUIRE),
    (trio.Condition, "wait", WAIT),
    (trio.Event, "wait", WAIT),
    (trio.MemoryReceiveChannel, "receive", GET),
    (trio.MemorySendChannel, "send", PUT),
)


@contextlib.contextmanager
def patched() -> Iterator[None]:
    """All of them made, and undone at the end."""
    awaits.more[:] = [(vars_of(owner, name), name, kind) for owner, name, kind in METHODS]
    done: list[tuple[Patch, bool, Any]] = []
    try:
        for patch in table():
            own = patch.attribute in vars(patch.owner)
            done.append((patch, own, vars(patch.owner).get(patch.attribute)))
            setattr(patch.owner, patch.attribute, patch.by)
        yield
    finally:
        for patch, own, value in reversed(done):
            if own:
                setattr(patch.owner, patch.attribute, value)
            else:
                delattr(patch.owner, patch.attribute)
        awaits.more.clear()


def vars_of(owner: Any, name: str) -> Any:
    """The class in which a method is written."""
    return next(cls for cls in owner.__mro__ if name in vars(cls))


@contextlib.contextmanager
def told_to(tasks: TrioTasks) -> Iterator[None]:
    """What threads send is for these tasks."""
    _current.append(tasks)
    try:
        yield
    finally:
        _current.pop()
