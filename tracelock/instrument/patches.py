"""The table of all that is patched while real code runs under control, and undoing it.

Two kinds of patch. A *method* of a class of the standard library is replaced in the class, so that
subclasses and whoever imported the class earlier have it too. A *name* (``threading.Lock``,
``time.sleep``) is replaced in every module that has it, under whatever name. All replacements do
what the original does on threads that are no workers.
"""

from __future__ import annotations

import _thread
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from tracelock.instrument import clock, locks, sync, threads
from tracelock.instrument.hub import Hub

CONTROLLED: Final = "controlled"  # a scheduling point; the scheduler decides
SEEN: Final = "seen"  # recorded, or answered from the schedule, without a choice
NOT_CONTROLLED: Final = "not controlled"


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
            "__init__": sync.queue_init, "put": sync.queue_put, "get": sync.queue_get,
            "qsize": sync.queue_qsize, "empty": sync.queue_empty, "full": sync.queue_full,
            "task_done": sync.queue_task_done, "join": sync.queue_join,
        }),
        *_methods(sync.SIMPLE, "queue.SimpleQueue", {
            "put": sync.simple_put, "get": sync.simple_get,
            "qsize": sync.simple_qsize, "empty": sync.simple_empty,
        }),
        Patch("queue.SimpleQueue", None, "SimpleQueue", queue.SimpleQueue,
              sync.make_simple_queue),
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
    return patches


#: Modules whose own names stay: they are how threads come to be and end, or are ours.
EXEMPT: Final = frozenset({"_thread", "_threading_local", "importlib._bootstrap", "_queue"})
#: Whose own module-level locks stay: they are part of how control comes about.
_OWN: Final = ("importlib", "_pytest", "concurrent.", "asyncio.")
#: Names of ``threading`` that its own working needs as they are.
_KEPT: Final = {"threading": {"_CRLock", "_PyRLock", "_start_new_thread"}}


class Patches:
    """All patches, made and undone. A context manager; not to be entered twice at a time."""

    active: Patches | None = None

    def __init__(self, hub: Hub, without: Iterator[str] | tuple[str, ...] = ()) -> None:
        self.hub = hub
        self.without = frozenset(without)  # modules that are instrumented: their own code runs
        self._undo: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> Patches:
        made = [patch for patch in table() if patch.name.partition(".")[0] not in self.without]
        for patch in made:
            if patch.owner is not None:
                self._set(patch.owner, patch.attribute, patch.by)
        self._sweep({id(patch.what): patch.by for patch in made if patch.owner is None})
        self._adopt()
        Patches.active = self
        return self

    def __exit__(self, *exc: object) -> None:
        Patches.active = None
        for owner, name, before in reversed(self._undo):
            if isinstance(owner, dict):
                owner[name] = before
            else:
                setattr(owner, name, before)
        self._undo.clear()

    def _set(self, owner: Any, name: str, value: Any) -> None:
        self._undo.append((owner, name, owner.__dict__[name]))
        setattr(owner, name, value)

    def _modules(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, module in list(sys.modules.items()):
            if (
                isinstance(module, ModuleType)
                and name not in EXEMPT
                and not name.startswith("tracelock.")
            ):
                yield name, module.__dict__

    def _sweep(self, by: dict[int, Any]) -> None:
        """Replace names in all modules, whatever they are called there."""
        for module, names in self._modules():
            kept = _KEPT.get(module, ())
            for name, value in list(names.items()):
                new = by.get(id(value))
                if new is not None and name not in kept:
                    self._undo.append((names, name, value))
                    names[name] = new

    def _adopt(self) -> None:
        """Give names to the locks that modules already have, and put stand-ins in their places."""
        raw = (locks.RAW_LOCK, locks.RAW_RLOCK)
        for module, names in self._modules():
            if module == "threading" or module.startswith(_OWN):
                continue
            for name, value in list(names.items()):
                if isinstance(value, raw) and not name.startswith("__"):
                    self._undo.append((names, name, value))
                    names[name] = self.hub.stand_ins.of(value, f"{module}.{name}")
                elif isinstance(
                    value, (threading.Condition, threading.Semaphore, threading.Event, queue.Queue)
                ):
                    value.__dict__.setdefault("_tracelock_name", f"{module}.{name}")


__all__ = ["CONTROLLED", "NOT_CONTROLLED", "SEEN", "Patch", "Patches", "table"]
