"""Shared memory of ``multiprocessing``: ``Value``, ``Array``, and what is in ``SharedMemory``.

The objects of ``ctypes`` that workers create get a subclass of their class, whose reads and writes
are scheduling points: of a value the whole, of an array each element, of a structure each field.
A ``SharedMemory`` has one point for each element of its ``buf`` that instrumented code reads
or writes, and those of ``tracelock``'s callers who use :func:`touching`.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Iterable
from multiprocessing import shared_memory, sharedctypes
from typing import Any, Final

from tracelock.instrument.callers import caller, creation_name
from tracelock.instrument.contexts import identity
from tracelock.instrument.files.access import saw, touch
from tracelock.instrument.patching import patch
from tracelock.instrument.processes.buffers import buffers
from tracelock.instrument.steps import shown
from tracelock.instrument.worker import Worker, here

#: The controlled subclass of each class.
_classes: dict[type, type] = {}
_SIMPLE: Final[Any] = ctypes._SimpleCData
#: Elements of one array that are variables of their own; those beyond share them.
MOST: Final = 64


def _reads(labels: Iterable[str]) -> Any:
    worker = here()
    if worker is not None and touch(worker, caller(worker, 3), list(labels)):
        return worker
    return None


def _writes(labels: Iterable[str], value: Any) -> None:
    worker = here()
    if worker is not None:
        touch(worker, caller(worker, 3), (), list(labels), shown(value))


def _places(label: str, length: int, index: Any) -> list[str]:
    """The names of the elements that an index or a slice means."""
    if isinstance(index, slice):
        places: Iterable[int] = range(*index.indices(length))
    else:
        try:
            place = index.__index__()
        except AttributeError:
            return []
        places = (place + length if place < 0 else place,)
    return [f"{label}[{place}]" for place in dict.fromkeys(p % MOST for p in places)]


def _part(inner: Any, labels: Callable[[Any], Iterable[str]]) -> property:
    """An attribute, whose reads and writes are of the variables of these names."""

    def get(self: Any) -> Any:
        worker = _reads(labels(self))
        found = inner.__get__(self)
        if worker is not None:
            saw(worker, shown(found))
        return found

    def put(self: Any, value: Any) -> None:
        _writes(labels(self), value)
        inner.__set__(self, value)

    return property(get, put)


def _scalar(base: Any) -> dict[str, Any]:
    return {"value": _part(base.value, lambda obj: (obj._tracelock_label,))}


def _all(obj: Any) -> list[str]:
    return _places(obj._tracelock_label, len(obj), slice(None))


def _array(base: Any) -> dict[str, Any]:
    def get(self: Any, index: Any) -> Any:
        worker = _reads(_places(self._tracelock_label, len(self), index))
        found = base.__getitem__(self, index)
        if worker is not None and not isinstance(index, slice):
            saw(worker, shown(found))
        return found

    def put(self: Any, index: Any, value: Any) -> None:
        _writes(_places(self._tracelock_label, len(self), index), value)
        base.__setitem__(self, index, value)

    members: dict[str, Any] = {"__getitem__": get, "__setitem__": put}
    for name in ("value", "raw"):
        inner = getattr(base, name, None)
        if inner is not None:
            members[name] = _part(inner, _all)
    return members


def _structure(base: Any) -> dict[str, Any]:
    def field(name: str) -> property:
        return _part(getattr(base, name), lambda obj: (f"{obj._tracelock_label}.{name}",))

    fields = (part[0] for cls in base.__mro__ for part in cls.__dict__.get("_fields_", ()))
    return {name: field(name) for name in fields}


#: How the parts of each kind of object are controlled.
_KINDS: Final[tuple[tuple[Any, Callable[[Any], dict[str, Any]]], ...]] = (
    (_SIMPLE, _scalar), (ctypes.Array, _array), ((ctypes.Structure, ctypes.Union), _structure),
)  # fmt: skip


def _controlled(base: Any) -> type | None:
    known = _classes.get(base)
    if known is None:
        members = next((of(base) for kind, of in _KINDS if issubclass(base, kind)), None)
        if members is None:
            return None
        members["_tracelock_label"] = ""
        known = _classes[base] = type(base.__name__, (base,), members)
    return known


def _named(worker: Worker, obj: Any, kind: str) -> Any:
    cls = _controlled(type(obj))
    if cls is not None:
        obj.__class__ = cls
        obj._tracelock_label = f"shared:{creation_name(kind, worker)}"
    return obj


def _control(name: str, kind: str) -> None:
    @patch(f"multiprocessing.{name}", of=sharedctypes)
    def create(worker: Worker, real: Any, *args: Any, **kwargs: Any) -> Any:
        return _named(worker, real(*args, **kwargs), kind)


_control("RawValue", "value")  # what ``Value`` is made of, and ``Array``
_control("RawArray", "array")


# --- SharedMemory --------------------------------------------------------------------------
#: The names of blocks of memory, by the system's name of them.
_blocks: dict[str, str] = {}


@patch("multiprocessing.SharedMemory.__init__", of=shared_memory.SharedMemory)
def memory_init(worker: Worker, real: Any, self: Any, *args: Any, **kwargs: Any) -> None:
    """The block is named after the place of its creation."""
    real(self, *args, **kwargs)
    label = _blocks.get(self.name)
    if label is None:
        if len(_blocks) > 1_000:
            _blocks.clear()  # of schedules long past
        label = _blocks[self.name] = f"shared:{creation_name('memory', worker)}"
    self._tracelock_label = label
    address = identity(self.buf)
    buffers[address] = (
        weakref.ref(self.buf, lambda _: buffers.pop(address, None)), label,
    )  # fmt: skip


def touching(memory: Any, *places: int, write: bool = False) -> None:
    """Say that these bytes of a ``SharedMemory`` are read, or written, next (none: all).

    For code that accesses them in other ways than ``buf[i]`` (an array on top of them, say).
    Without effect where the caller is not under control.
    """
    worker = here()
    label = getattr(memory, "_tracelock_label", None)
    if worker is None or label is None:
        return
    chosen = [f"{label}[{p % MOST}]" for p in places] or _places(label, MOST, slice(None))
    at = caller(worker)
    if write:
        touch(worker, at, (), chosen)
    else:
        touch(worker, at, chosen)


@patch("multiprocessing.ShareableList.__getitem__", of=shared_memory.ShareableList)
def list_get(worker: Worker, real: Any, self: Any, position: int) -> Any:
    label = getattr(self.shm, "_tracelock_label", None)
    reader = _reads((f"{label}[{position}]",)) if label is not None else None
    found = real(self, position)
    if reader is not None:
        saw(reader, shown(found))
    return found


@patch("multiprocessing.ShareableList.__setitem__", of=shared_memory.ShareableList)
def list_set(worker: Worker, real: Any, self: Any, position: int, value: Any) -> None:
    label = getattr(self.shm, "_tracelock_label", None)
    if label is not None:
        _writes((f"{label}[{position}]",), value)
    real(self, position, value)
