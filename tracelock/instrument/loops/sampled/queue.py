"""The loop of asyncio in a schedule of which nothing is wanted but its end.

What it is asked for most, to go on with a task, takes one function and no handle. The loop itself
is kept from one schedule to the next where nobody else has it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field
from sys import getrefcount
from types import BuiltinFunctionType, MethodType
from typing import Any, Final

from tracelock.instrument.hub import get_ident
from tracelock.instrument.loops.asyncio_loop import (
    ControlledLoop,
    ControlledReadyQueue,
    ControlledTask,
    NewLoops,
    stepping,
)

#: Types of what asyncio calls to go on with a task, and of nothing else (see ``stepping``).
_STEPS: Final[set[type]] = set()
#: Names of such that are built-in functions, whose type says nothing.
_NAMES: Final[set[str]] = set()
#: What to call for a step of a task.
Step = tuple[Callable[..., Any], tuple[Any, ...], Context]


@dataclass(slots=True, eq=False)
class SampledQueue(ControlledReadyQueue):
    """``calls``: the steps of tasks that have no handle."""

    calls: dict[int, Step] = field(default_factory=dict)

    def clear(self) -> None:
        ControlledReadyQueue.clear(self)
        self.calls.clear()

    def __len__(self) -> int:
        return ControlledReadyQueue.__len__(self) + len(self.calls)


class SampledLoop(ControlledLoop):
    """A loop with such a queue."""

    _debug: bool
    _closed: bool

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Any = None
    ) -> Any:
        task = getattr(callback, "__self__", None)
        tasks = self.tasks
        if (
            task.__class__ is not ControlledTask or context is None or self._debug or self._closed
            or get_ident() != tasks.ident
            or (type(callback) not in _STEPS and not is_step(callback))
        ):  # fmt: skip
            return super().call_soon(callback, *args, context=context)
        worker = task.worker
        if not (worker.begun or worker.given):  # it stands in the line with the callbacks
            return super().call_soon(callback, *args, context=context)
        ready = self._ready
        number = worker.number
        ready.calls[number] = (callback, args, context)
        tasks.gate.ready[number] = ready.count = ready.count + 1
        return None  # which nobody looks at, of those who go on with a task


def is_step(callback: Any) -> bool:
    """Whether asyncio goes on with a task by it, which is the object of this method."""
    kind = type(callback)
    if kind in _STEPS or (kind is BuiltinFunctionType and callback.__name__ in _NAMES):
        return True
    if stepping(callback) is None:
        return False
    if kind is BuiltinFunctionType:
        _NAMES.add(callback.__name__)
    elif kind is not MethodType:
        _STEPS.add(kind)
    return True


@dataclass(slots=True, eq=False)
class KeptThing:
    """Has a thing that others may have too."""

    thing: Any = None

    def count(self) -> int:
        """By how many it is had, as the interpreter counts them."""
        thing = self.thing
        return getrefcount(thing)


#: What that is of a thing that nobody else has.
_ALONE: Final = KeptThing(object()).count()


class KeptLoops:
    """Gives the loop of the schedule before where it is as it was and nobody else has it: a program
    may keep it, and libraries keep things by their loop. Else a new one."""

    def __init__(
        self, loop: type[ControlledLoop] = SampledLoop, queue: type[SampledQueue] = SampledQueue
    ) -> None:
        self._make = NewLoops(loop, queue)
        self._kept = KeptThing()
        self._queue: Any = None
        self._as_new: dict[str, Any] = {}
        self._boxes: tuple[Any, ...] = ()

    def __call__(self, tasks: Any) -> ControlledLoop:
        """A loop for these tasks."""
        kept, queue = self._kept, self._queue
        if (
            queue is None or kept.count() > _ALONE or weakref.getweakrefcount(kept.thing)
            or queue.line or queue.steps or queue.calls or queue.resting or queue.asleep
            or any(self._boxes) or self._as_new["_selector"].used
        ):  # fmt: skip
            loop = self._new(tasks)
        else:
            loop = kept.thing
            space = vars(loop)
            space.clear()
            space.update(self._as_new)
            queue.count, queue.safely, queue.tasks = 0, False, tasks
        loop.tasks = loop._selector.tasks = tasks
        return loop  # type: ignore[no-any-return]

    def _new(self, tasks: Any) -> Any:
        loop: Any = self._make(tasks)
        self._kept.thing = self._queue = None
        if not self._make.known:
            return loop
        self._kept.thing, self._queue = loop, loop._ready
        self._as_new = {**vars(loop), "tasks": None}
        # a weak set or dictionary is asked for its length by code in Python
        boxes = [value for value in self._as_new.values() if type(value) in (list, dict, set)]
        weak = [value.data for value in self._as_new.values() if hasattr(value, "data")]
        self._boxes = (*boxes, *weak)
        return loop

    def rest(self) -> None:
        """No schedule follows for now."""
        self._kept.thing = self._queue = None
        self._boxes, self._as_new = (), {}
