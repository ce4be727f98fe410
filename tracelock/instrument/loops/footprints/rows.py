"""What of asyncio tells a collector that it is touched.

A method of an object touches the object, a coroutine method does so in each of its steps. All of
these do only what they do anyway where no collector is at work on this thread.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import types
from asyncio import events, futures, taskgroups, tasks, timeouts
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any, Final

from tracelock.instrument.contexts import identity
from tracelock.instrument.hub import get_ident
from tracelock.instrument.loops.asyncio_loop import ControlledFuture, ControlledTask, stepping
from tracelock.instrument.loops.footprints.collecting import Collector
from tracelock.instrument.loops.recording import plain_of
from tracelock.instrument.loops.registry import TaskRegistry

#: The collectors at work, by thread.
COLLECTORS: Final[dict[int, Collector]] = {}
#: Modules whose objects share state that nothing is known of; so has what is streamed.
_UNKNOWN: Final = (
    "anyio._backends._asyncio", "anyio._core._synchronization", "anyio._core._tasks",
    "anyio.streams.memory", "asyncio.streams", "asyncio.subprocess", "asyncio.runners",
)  # fmt: skip
#: What ``gather`` gives.
GATHERING: Final[Any] = vars(tasks)["_GatheringFuture"]
#: What is called when the time of a timer has come that only wakes a task.
WAKES: Final = frozenset(
    getattr(module, name)
    for module, name in (
        (futures, "_set_result_unless_cancelled"), (tasks, "_release_waiter"),
    )
    if hasattr(module, name)
)  # fmt: skip


# --- what is touched -------------------------------------------------------------------------
Touch = Callable[[Any, Collector], None]


def _object(write: bool) -> Touch:
    def touch(obj: Any, collector: Collector) -> None:
        collector.thing(obj, write)

    return touch


def _if_changed(value: bool) -> Touch:
    """An event is set or cleared: nobody notices where it was before."""

    def touch(obj: Any, collector: Collector) -> None:
        collector.thing(obj, obj._value is value)

    return touch


def _end(write: bool) -> Touch:
    """Of a task or a future: whether it has ended, and how."""

    def touch(obj: Any, collector: Collector) -> None:
        collector.outcome(obj, write)

    return touch


def _cancelled(obj: Any, collector: Collector) -> None:
    if obj.__class__ is ControlledTask:
        collector.outcome(obj, False)
        collector.touch(("pc", obj.worker.number), True)
    else:
        collector.outcome(obj, True)


def _standing(write: bool) -> Touch:
    def touch(obj: Any, collector: Collector) -> None:
        collector.touch(("pc", obj.worker.number), write)

    return touch


def _beyond(obj: Any, collector: Collector) -> None:
    collector.beyond = True


_READS: Final = _object(False)
_WRITES: Final = _object(True)


# --- how it is told --------------------------------------------------------------------------
def _telling(original: Any, touch: Touch) -> Any:
    plain = plain_of(original)

    @functools.wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        collector = COLLECTORS.get(get_ident())
        if collector is None:
            return original(self, *args, **kwargs)
        touch(self, collector)
        return plain(self, *args, **kwargs)

    return method


def _making(original: Any) -> Any:
    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        collector = COLLECTORS.get(get_ident())
        if collector is None:
            original(self, *args, **kwargs)
            return
        collector.made(self)
        with collector.ours:
            original(self, *args, **kwargs)

    return __init__


@types.coroutine
def _steps(
    coro: Coroutine[Any, Any, Any], obj: Any, collector: Collector, touch: Touch
) -> Generator[Any, Any, Any]:
    """Awaits a coroutine, and touches what it is of in each step of it."""
    value: Any = None
    error: BaseException | None = None
    while True:
        touch(obj, collector)
        try:
            yielded = coro.send(value) if error is None else coro.throw(error)
        except StopIteration as end:
            return end.value
        value = error = None
        try:
            value = yield yielded
        except BaseException as raised:
            error = raised


async def _each_step(
    coro: Coroutine[Any, Any, Any], obj: Any, collector: Collector, touch: Touch
) -> Any:
    return await _steps(coro, obj, collector, touch)


def _waiting(original: Any, touch: Touch) -> Any:
    plain = plain_of(original)

    @functools.wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        collector = COLLECTORS.get(get_ident())
        if collector is None:
            return original(self, *args, **kwargs)
        return _each_step(plain(self, *args, **kwargs), self, collector, touch)

    return method


def _adding(original: Any) -> Any:
    """Plain callbacks of one future are called in the order of their adding; who is woken by it is
    so in any order."""

    @functools.wraps(original)
    def add_done_callback(self: Any, callback: Any, **kwargs: Any) -> Any:
        collector = COLLECTORS.get(get_ident())
        if collector is not None:
            collector.outcome(self, stepping(callback) is None)
        return original(self, callback, **kwargs)

    return add_done_callback


def _of_handle(original: Any, write: bool) -> Any:
    @functools.wraps(original)
    def method(self: Any) -> Any:
        collector = COLLECTORS.get(get_ident())
        if collector is not None:
            collector.handle(self, write)
            with collector.ours:
                return original(self)
        return original(self)

    return method


_OUTCOME: Final = (
    ("done", _end(False)), ("result", _end(False)), ("exception", _end(False)),
    ("cancelled", _end(False)), ("__await__", _end(False)), ("__iter__", _end(False)),
    ("remove_done_callback", _end(True)), ("cancel", _cancelled),
)  # fmt: skip
_SETTING: Final = (("set_result", _end(True)), ("set_exception", _end(True)))
#: Of each class: plain methods, coroutine methods, and what a call touches. ``async with`` of locks
#: and their like does nothing but ``acquire`` and ``release``.
_ROWS: Final[Sequence[tuple[Any, Sequence[tuple[str, Touch]], Sequence[tuple[str, Touch]]]]] = (
    (asyncio.Lock, (("release", _WRITES), ("locked", _READS)), (("acquire", _WRITES),)),
    (asyncio.Semaphore, (("release", _WRITES), ("locked", _READS)), (("acquire", _WRITES),)),
    (asyncio.Event, (("set", _if_changed(False)), ("clear", _if_changed(True)),
                     ("is_set", _READS)), (("wait", _READS),)),
    (asyncio.Condition, (("notify", _WRITES),), (("wait", _WRITES),)),
    (asyncio.Queue,
     (("put_nowait", _WRITES), ("get_nowait", _WRITES), ("task_done", _WRITES),
      ("shutdown", _WRITES), ("qsize", _READS), ("empty", _READS), ("full", _READS)),
     (("put", _WRITES), ("get", _WRITES), ("join", _WRITES))),
    (asyncio.Barrier, (("__init__", _beyond),), ()),
    (taskgroups.TaskGroup,
     (("create_task", _WRITES), ("_on_task_done", _WRITES), ("_abort", _WRITES)),
     (("__aenter__", _WRITES), ("__aexit__", _WRITES))),
    (timeouts.Timeout,
     (("when", _READS), ("expired", _READS), ("reschedule", _WRITES), ("_on_timeout", _WRITES)),
     (("__aenter__", _WRITES), ("__aexit__", _WRITES))),
    (ControlledTask,
     (*_OUTCOME, ("uncancel", _standing(True)), ("cancelling", _standing(False)),
      ("set_name", _beyond), ("get_stack", _beyond), ("print_stack", _beyond)), ()),
    # a set of futures is in the order in which these were made, whoever has made them
    (ControlledFuture, (*_OUTCOME, *_SETTING, ("__hash__", _beyond)), ()),
    (GATHERING, (*_OUTCOME, *_SETTING, ("__hash__", _beyond)), ()),
    (TaskRegistry, (("__iter__", _beyond), ("__len__", _beyond), ("__contains__", _beyond)), ()),
)  # fmt: skip
_MADE: Final = (
    asyncio.Lock, asyncio.Semaphore, asyncio.Event, asyncio.Condition, asyncio.Queue,
    taskgroups.TaskGroup, timeouts.Timeout, GATHERING,
)  # fmt: skip


#: What stands in the place of each, with what it stands for: nearly a hundred functions, which
#: are the same in each exploration.
_wrapped: Final[dict[tuple[int, str, Any], tuple[Any, Any, Any]]] = {}


class TellingRows:
    """While this is entered, what is called of asyncio tells the collectors."""

    def __init__(self) -> None:
        self._undo: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> None:
        for owner, plain, waiting in _ROWS:
            for wrap, rows in ((_telling, plain), (_waiting, waiting)):
                for name, touch in rows:
                    if hasattr(owner, name):
                        self._wrap(owner, name, wrap, touch)
        for owner in _MADE:
            self._wrap(owner, "__init__", _making)
        for owner in (ControlledTask, ControlledFuture, GATHERING):
            self._wrap(owner, "add_done_callback", _adding)
        self._wrap(events.Handle, "cancel", _of_handle, True)
        self._wrap(events.Handle, "cancelled", _of_handle, False)
        for module in _UNKNOWN:
            for owner in list(vars(sys.modules.get(module, object)).values()):
                if isinstance(owner, type) and owner.__module__ == module:
                    made = vars(owner).get("__init__")
                    if callable(made):
                        self._put(owner, "__init__", _telling(made, _beyond))

    def _wrap(self, owner: Any, name: str, wrap: Any, *more: Any) -> None:
        """Put what ``wrap`` makes of it into its place: once, as long as it stays the same."""
        original = getattr(owner, name)
        key = identity(owner), name, wrap
        known = _wrapped.get(key)
        if known is None or known[0] is not owner or known[1] is not original:
            known = _wrapped[key] = owner, original, wrap(original, *more)
        self._put(owner, name, known[2])

    def _put(self, owner: Any, name: str, by: Any) -> None:
        self._undo.append((owner, name, vars(owner).get(name)))
        setattr(owner, name, by)

    def __exit__(self, *exc: object) -> None:
        while self._undo:
            owner, name, before = self._undo.pop()
            if before is None:
                delattr(owner, name)
            else:
                setattr(owner, name, before)
