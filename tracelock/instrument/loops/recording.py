"""Methods of a loop's own objects that put an event into the record when a task calls them.

None of these is a choice: which task goes on is chosen where it is suspended.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

from tracelock.instrument.callers import caller, creation_name, synchronising
from tracelock.instrument.contexts import contexts, identity
from tracelock.instrument.hub import Phase, get_ident
from tracelock.instrument.patching import SEEN, replace
from tracelock.instrument.worker import here
from tracelock.ops import ACQUIRE, NOTIFY, RELEASE, SET, WAKE, Op

#: The methods that do nothing but tell: class, name, the method, and what it calls.
_TELLING: Final[list[tuple[Any, str, Any, Any]]] = []


def tell(told: bool) -> None:
    """Whether the methods tell what is done from now on. A schedule of which no record is kept does
    without; whoever has one of them already keeps it."""
    for owner, name, telling, plain in _TELLING:
        now, then = (plain, telling) if told else (telling, plain)
        if vars(owner).get(name) is now:
            setattr(owner, name, then)


def plain_of(method: Any) -> Any:
    """What a method does that puts an event into the record; any other is that itself."""
    for _, _, telling, plain in _TELLING:
        if telling is method:
            return plain
    return method


def _record(kind: int, obj: Any, value: Any) -> None:
    worker: Any = here()
    if worker is None or worker.hub.phase is not Phase.RUN:
        return
    tasks = getattr(worker, "tasks", None)
    if tasks is None:
        if worker.own_thread:
            _from_a_thread(worker, obj)
    elif tasks is not worker.hub.unrecorded:
        tasks.record(kind, tasks.thing(obj, worker), value)


def _from_a_thread(worker: Any, obj: Any) -> None:
    """It is not meant for that. This may come at any time, though what it is made of is no step."""
    hub = worker.hub
    cls = type(obj)
    worker.doubt(
        f"what {worker.label} does to {cls.__name__} of {cls.__module__.partition('.')[0]}",
        "which is not safe between threads: not all that may come of it was looked at",
    )
    bound = getattr(getattr(obj, "_loop", None), "tasks", None)
    gates = [bound.gate] if bound is not None else [hub.controller.gate]
    gates += [loop.gate for loop in reversed(hub.own_loops)]
    gate = next((gate for gate in gates if gate is not None), None)
    if gate is not None:
        worker.step(Op(NOTIFY, gate.number, caller(None, 4), 1))


class Recorder:
    """Declares the rows of one library's classes for one module."""

    def __init__(self, library: str, module: str) -> None:
        self.library = library
        self.module = module

    def _replace(self, owner: Any, name: str, by: Callable[..., Any]) -> None:
        label = f"{self.library}.{owner.__name__}.{name}"
        replace(label, by, SEEN, owner, module=self.module)

    def _tells(self, owner: Any, name: str, by: Callable[..., Any]) -> None:
        """``by`` does what the method does, and tells it."""
        if name in vars(owner):
            _TELLING.append((owner, name, by, vars(owner)[name]))
        self._replace(owner, name, by)

    def names(self, owner: Any, kind: str) -> None:
        """An object that a worker makes is called after the place."""
        original = owner.__init__

        @functools.wraps(original)
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            worker = here()
            if worker is not None and not worker.importing:
                self._tracelock_name = creation_name(kind, worker)
                synchronising.add(identity(type(self)))
            original(self, *args, **kwargs)

        self._replace(owner, "__init__", __init__)

    def common(self, library: Any) -> None:
        """The methods that locks, semaphores, conditions and events have in both libraries."""
        for owner in (library.Lock, library.Condition, library.Semaphore):
            self.names(owner, owner.__name__.lower())
        for owner, permits in ((library.Lock, None), (library.Semaphore, 1)):
            self.after(owner, "acquire", ACQUIRE)
            self.before(owner, "release", RELEASE, permits)
        self.after(library.Condition, "wait", WAKE)
        self.before(library.Condition, "notify", NOTIFY, lambda n=1: n)
        self.before(library.Event, "set", SET)
        self.after(library.Event, "wait", WAKE)

    def numbers(self, owner: Any) -> None:
        """Objects that the library keeps in sets have a number for a hash."""
        self._replace(owner, "__hash__", numbered_hash)

    def after(self, owner: Any, name: str, kind: int) -> None:
        """The coroutine method is an event of this kind when it has come back."""
        original = getattr(owner, name)

        @functools.wraps(original)
        async def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            result = await original(self, *args, **kwargs)
            _record(kind, self, None)
            return result

        self._tells(owner, name, method)

    def before(self, owner: Any, name: str, kind: int, value: Any = None) -> None:
        """The method is an event of this kind before it is done. ``value``: what the event says of
        it, or a function of the method's arguments."""
        original = getattr(owner, name)

        @functools.wraps(original)
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            _record(kind, self, value(*args, **kwargs) if callable(value) else value)
            return original(self, *args, **kwargs)

        self._tells(owner, name, method)


def numbered_hash(self: Any) -> int:
    """A number instead of an address: the same in every run of a schedule."""
    worker: Any = contexts.get(get_ident())
    if worker is None:
        return object.__hash__(self)
    numbers = worker.hub.hashed
    known = numbers.get(identity(self))
    if known is None:  # the object is kept, so that its identity stays its own
        known = numbers[identity(self)] = (len(numbers) + 1, self)
    return int(known[0])
