"""The table of all that is patched while real code runs under control, and undoing it.

Two kinds of patch. A *method* of a class of the standard library is replaced in the class, so that
subclasses and whoever imported the class earlier have it too. A *name* (``threading.Lock``,
``time.sleep``) is replaced in every module that has it, under whatever name. All replacements do
what the original does on threads that are no workers.
"""

from __future__ import annotations

import _thread
import contextlib
import functools
import gc
import os
import queue
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CellType, FunctionType, MappingProxyType, ModuleType
from typing import Any, Final

from tracelock.instrument import clock
from tracelock.instrument.contexts import identity
from tracelock.instrument.files import patches as file_patches
from tracelock.instrument.files.access import paths_of
from tracelock.instrument.hub import Hub
from tracelock.instrument.threads import futures, locks, queues, sync
from tracelock.instrument.threads import starting as threads

CONTROLLED: Final = "controlled"  # a scheduling point; the scheduler decides
SEEN: Final = "seen"  # recorded, or answered from the schedule, without a choice
NOT_CONTROLLED: Final = "not controlled"
#: Stands for what a class does not have of its own.
MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Patch:
    """One replacement. ``owner``: the class, None for a name in modules. ``what`` is the original,
    ``by`` the function of ours; ``how``: one of the three words above."""

    name: str
    owner: Any
    attribute: str
    what: Any
    by: Callable[..., Any]
    how: str = CONTROLLED


def _methods(owner: Any, label: str, pairs: dict[str, Callable[..., Any]]) -> list[Patch]:
    return [
        Patch(f"{label}.{name}", owner, name, owner.__dict__[name], by)
        for name, by in pairs.items()
        if name in owner.__dict__  # some are newer than the oldest Python
    ]


def table() -> list[Patch]:
    """Every patch, in the order in which they are made."""
    patches = [
        *_methods(threading.Thread, "threading.Thread", {
            "__init__": threads.thread_init, "start": threads.thread_start,
            "join": threads.thread_join, "is_alive": threads.thread_is_alive,
        }),
        *_methods(threading.Condition, "threading.Condition", {
            "__init__": sync.condition_init, "__enter__": sync.condition_enter,
            "__exit__": sync.condition_exit, "wait": sync.condition_wait,
            "notify": sync.condition_notify, "notify_all": sync.condition_notify_all,
        }),
        *_methods(threading.Semaphore, "threading.Semaphore", {
            "__init__": sync.semaphore_init, "acquire": sync.semaphore_acquire,
            "__enter__": sync.semaphore_acquire, "release": sync.semaphore_release,
        }),
        *_methods(threading.BoundedSemaphore, "threading.BoundedSemaphore", {
            "release": sync.semaphore_release,
        }),
        *_methods(threading.Event, "threading.Event", {
            "__init__": sync.event_init, "is_set": sync.event_is_set, "set": sync.event_set,
            "clear": sync.event_clear, "wait": sync.event_wait,
        }),
        *_methods(queue.Queue, "queue.Queue", {
            "__init__": queues.queue_init, "put": queues.queue_put, "get": queues.queue_get,
            "qsize": queues.queue_qsize, "empty": queues.queue_empty, "full": queues.queue_full,
            "task_done": queues.queue_task_done, "join": queues.queue_join,
            "shutdown": queues.queue_shutdown,
        }),
        *_methods(queues.SIMPLE, "queue.SimpleQueue", {
            "put": queues.simple_put, "get": queues.simple_get,
            "qsize": queues.simple_qsize, "empty": queues.simple_empty,
        }),
        Patch("concurrent.futures.Future.__init__", futures.FUTURE, "__init__",
              futures.ORIGINAL[futures.FUTURE], futures.future_init, SEEN),
        Patch("concurrent.futures.Future.__hash__", futures.FUTURE, "__hash__",
              MISSING, futures.stable_hash, SEEN),
        Patch("threading.Thread.__hash__", threading.Thread, "__hash__", MISSING,
              futures.stable_hash, SEEN),
        Patch("concurrent.futures.wait", futures.ACQUIRE, "__init__",
              futures.ORIGINAL[futures.ACQUIRE], futures.acquire_init, SEEN),
        Patch("queue.SimpleQueue", None, "SimpleQueue", queue.SimpleQueue,
              queues.make_simple_queue),
        Patch("threading.Lock", None, "Lock", _thread.allocate_lock, locks.make_lock),
        Patch("threading.RLock", None, "RLock", threading.RLock, locks.make_rlock),
        Patch("_thread.RLock", None, "RLock", _thread.RLock, locks.make_rlock),
    ]  # fmt: skip
    if threading.Lock is not _thread.allocate_lock:  # Python 3.13: the type itself
        patches.append(Patch("threading.Lock", None, "Lock", threading.Lock, locks.make_lock))
    patches += [
        Patch(f"time.{name}", None, name, getattr(time, name), by,
              CONTROLLED if name == "sleep" else SEEN)
        for name, by in clock.CLOCKS.items()
    ]  # fmt: skip
    patches += [Patch(*one) for one in file_patches.replacements()]
    if hasattr(os, "fork"):
        from tracelock.instrument.processes import patches as process_patches

        patches += [Patch(*one) for one in process_patches.replacements()]
    return patches


#: Modules whose own names stay: they are how threads come to be and end, or are ours.
EXEMPT: Final = frozenset({
    "_thread", "_threading_local", "_queue", "posix", "nt", "_io", "_pyio",
    "importlib._bootstrap", "_frozen_importlib", "_frozen_importlib_external", "zipimport",
    "linecache", "tokenize", "traceback", "inspect",
})  # fmt: skip
#: Names of ``threading`` that its own working needs as they are.
_KEPT: Final = {"threading": {"_CRLock", "_PyRLock", "_start_new_thread"}}


class Patches:
    """All patches, made and undone. A context manager; not to be entered twice at a time."""

    active: Patches | None = None

    def __init__(self, hub: Hub, without: Iterator[str] | tuple[str, ...] = ()) -> None:
        self.hub = hub
        self.without = frozenset(without)  # modules that are instrumented: their own code runs
        self._undo: list[tuple[Any, Any, Any]] = []
        self._more: list[Callable[[], object]] = []  # other ways to undo something
        self._by: dict[int, Callable[..., Any]] = {}
        #: The thread-local objects that there are.
        self.locals: list[Any] = []

    def __enter__(self) -> Patches:
        paths_of(self.hub)  # which asks for the directory of temporary files
        made = [patch for patch in table() if not self._own_code(patch)]
        for patch in made:
            if patch.owner is not None:
                self._set(patch.owner, patch.attribute, patch.by)
        self._by = {identity(patch.what): patch.by for patch in made if patch.owner is None}
        self._sweep()
        file_patches.abilities(True)
        self._adopt()
        Patches.active = self
        return self

    def __exit__(self, *exc: object) -> None:
        Patches.active = None
        file_patches.abilities(False)
        for undo in reversed(self._more):
            undo()
        self._more.clear()
        for owner, name, before in reversed(self._undo):
            if type(owner) is dict:
                owner[name] = before
            elif before is MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, before)
        self._undo.clear()
        self.locals.clear()
        self.hub.unmark()

    def _set(self, owner: Any, name: str, value: Any) -> None:
        self._undo.append((owner, name, owner.__dict__.get(name, MISSING)))
        setattr(owner, name, value)

    def _modules(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, module in list(sys.modules.items()):
            if (
                isinstance(module, ModuleType)
                and name not in EXEMPT
                and not name.startswith("tracelock.")
            ):
                yield name, module.__dict__

    def now(self, function: Any) -> Any:
        """What takes the place of ``function``, if it is one of the originals itself."""
        return self._by.get(identity(function), function)

    def _sweep(self) -> None:
        """Replace the originals wherever they are held by name: in modules under whatever name,
        as defaults of parameters, in closures, as attributes of classes, in dictionaries."""
        by = self._by
        originals = [patch.what for patch in table() if identity(patch.what) in by]
        skipped = self._ours()
        holders = [one for one in gc.get_referrers(*originals) if identity(one) not in skipped]
        # whose they are is asked once for all of them: each time all that there is is gone through
        unclear = [
            one
            for one in holders
            if type(one) is tuple or (type(one) is dict and "__module__" in one)
        ]
        owners = gc.get_referrers(*unclear) if unclear else []
        classes = [one for one in owners if isinstance(one, type)]
        namespaces = {identity(space) for space in unclear if _of_class(space, classes)}
        for cls in classes:
            self._in_class(cls)
        for function in owners:
            if type(function) is FunctionType:
                self._in_defaults(function)
        for holder in holders:
            kind = type(holder)
            if kind is dict and identity(holder) not in namespaces:
                self._in_names(holder)
            elif kind is CellType:
                with contextlib.suppress(ValueError):
                    if identity(holder.cell_contents) in by:
                        self._undo.append((holder, "cell_contents", holder.cell_contents))
                        holder.cell_contents = by[identity(holder.cell_contents)]
            elif kind is defaultdict:
                self._undo.append((holder, "default_factory", holder.default_factory))
                holder.default_factory = self.now(holder.default_factory)

    def _in_class(self, cls: type) -> None:
        """Replace the attributes of a class; a function of ours must not become a method."""
        if _foreign(cls.__module__):
            for name, value in list(cls.__dict__.items()):
                if identity(value) in self._by:
                    self._undo.append((cls, name, value))
                    setattr(cls, name, staticmethod(self._by[identity(value)]))

    def _ours(self) -> set[int]:
        """What holds the originals for us: it is known by identity, and left alone."""
        ours: set[int] = set()
        for name, module in list(sys.modules.items()):
            if isinstance(module, ModuleType) and (
                name in EXEMPT or name == "tracelock" or name.startswith("tracelock.")
            ):
                pending: list[Any] = [module.__dict__]
                while pending:
                    held = pending.pop()
                    if identity(held) in ours:
                        continue
                    if type(held) is dict:
                        ours.add(identity(held))
                        pending += [
                            value
                            for key, value in held.items()
                            if type(value) in (dict, FunctionType)
                            and key != "__builtins__"
                            and getattr(value, "__module__", name) == name
                        ]
                    elif held.__closure__:
                        ours.update(map(identity, held.__closure__))
        return ours

    def _in_names(self, names: dict[Any, Any]) -> None:
        kept = _KEPT.get(names.get("__name__", ""), ()) if "__spec__" in names else ()
        for name, value in list(names.items()):
            new = self._by.get(identity(value))
            if new is not None and name not in kept:
                self._undo.append((names, name, value))
                names[name] = new

    def _in_defaults(self, function: FunctionType) -> None:
        defaults = function.__defaults__
        if defaults is None or str(function.__module__).startswith("tracelock."):
            return
        new = tuple(self._by.get(identity(value), value) for value in defaults)
        if any(one is not other for one, other in zip(new, defaults, strict=True)):
            self._undo.append((function, "__defaults__", defaults))
            function.__defaults__ = new

    def _own_code(self, patch: Patch) -> bool:
        """Whether this class is left to its own code, since its module is instrumented: what it
        is made of, locks and threads, is under control all the same."""
        module = patch.name.partition(".")[0]
        return patch.owner not in (None, threading.Thread) and module in self.without

    def _adopt(self) -> None:
        """Put stand-ins in the places of locks that were made before: in modules, in classes, and
        in objects of classes that are not the standard library's. Other things that were made
        before get names."""
        for module, names in self._modules():
            if module not in _UNTOUCHED and module.partition(".")[0] not in _UNTOUCHED:
                self._adopt_in(names, names, module)
        looks: dict[type, int] = {}
        for obj in gc.get_objects():
            cls = type(obj)
            look = looks.get(cls)
            if look is None:
                look = looks[cls] = _look(cls)
            if not look:
                continue
            if look == CLASS:
                if _foreign(obj.__module__) and type(obj.__dict__) is MappingProxyType:
                    self._adopt_in(obj, obj.__dict__, f"{obj.__module__}.{obj.__qualname__}")
            elif look == LOCAL:
                self.locals.append(obj)
            else:
                held = _attributes(obj)
                if held is not None:
                    self._adopt_in(held, held, _label(obj, cls))

    def _adopt_in(self, owner: Any, names: Any, label: str) -> None:
        for name, value in list(names.items()):
            cls = type(value)
            if cls in _RAW:
                self._undo.append((owner, name, value))
                stand_in = self.hub.stand_in(value, f"{label}.{name}")
                if owner is names:
                    owner[name] = stand_in
                else:
                    setattr(owner, name, stand_in)
            elif issubclass(cls, _NAMED):
                self.hub.mark(value, f"{label}.{name}")
            elif str(cls.__module__).startswith("multiprocessing."):
                self._adopt_shared(value, f"{label}.{name}")

    def _adopt_shared(self, value: Any, name: str) -> None:
        """The same for an object of ``multiprocessing``."""
        from tracelock.instrument.processes import patches as process_patches

        undo = process_patches.adopt(value, self.hub, name)
        if undo is not None:
            self._more.append(undo)


_RAW: Final = (locks.RAW_LOCK, locks.RAW_RLOCK)
_NAMED: Final = (threading.Condition, threading.Semaphore, threading.Event, queue.Queue)
#: What looks after threads, imports and tests itself.
_UNTOUCHED: Final = frozenset(
    {
        "threading", "importlib", "_pytest", "pytest", "pluggy", "_frozen_importlib", "asyncio",
        "trio",
    }
)  # fmt: skip
_STANDARD: Final = sys.stdlib_module_names | _UNTOUCHED | {"tracelock", "execnet", "xdist"}


def _of_class(space: Any, classes: list[type]) -> bool:
    """Whether this is the namespace of one of these classes: not to be changed directly."""
    return type(space) is dict and any(
        cls.__module__ == space.get("__module__")
        and all(cls.__dict__.get(name) is value for name, value in space.items())
        for cls in classes
    )


CLASS, LOCAL, OTHER = 1, 2, 3


def _look(cls: type) -> int:
    """What objects of a class are looked at for: 0 for nothing."""
    if issubclass(cls, type):
        return CLASS
    if issubclass(cls, threads.LOCAL):
        return LOCAL
    return OTHER if _foreign(cls.__module__) or cls is functools.cached_property else 0


def _foreign(module: object) -> bool:
    """Whether something of this module is looked through for locks."""
    return type(module) is str and _not_standard(module)


@functools.cache
def _not_standard(module: str) -> bool:
    return module.partition(".")[0] not in _STANDARD


def _label(obj: Any, cls: type) -> str:
    """What an object that was there before is called: nothing that is other in each process."""
    if cls is functools.cached_property:  # of which there are many
        return f"{obj.func.__module__}.{obj.func.__qualname__}"
    return cls.__qualname__


def _attributes(obj: object) -> dict[str, Any] | None:
    """The attributes of an object, asked for without running code of its class."""
    try:
        names = object.__getattribute__(obj, "__dict__")
    except (AttributeError, TypeError):
        return None
    return names if type(names) is dict else None


__all__ = ["CONTROLLED", "NOT_CONTROLLED", "SEEN", "Patch", "Patches", "table"]
