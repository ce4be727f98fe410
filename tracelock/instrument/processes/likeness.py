"""What ``setup`` has returned, part by part: whether it is what it was before, and put back.

Workers in processes that go on to the next schedule have what ``setup`` returned when they were
forked. That is as good as what it has returned now if the two are *alike*: the same parts in the
same order, all that is private to a process equal, and what processes share (semaphores, memory)
of the same kind, whose state can be copied from the one to the other. Only what is listed here is
taken for known; anything else (an open file, a lambda, an object in C) has no likeness, and then
processes are forked anew.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from _multiprocessing import SemLock as RawSemLock  # type: ignore[import-not-found]
from collections import deque
from collections.abc import Callable
from multiprocessing import connection, context, heap
from types import (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    SimpleNamespace,
    WrapperDescriptorType,
)
from typing import Any, Final

from tracelock.instrument.contexts import class_line, class_names, identity
from tracelock.instrument.processes.sync import ControlledSemLock
from tracelock.instrument.threads.locks import RAW_LOCK, ControlledLock

#: Parts at most: what is larger has no likeness.
MOST: Final = 2_000
_ATOMS: Final = frozenset({int, str, bytes, bool, type(None)})
#: Types of ``ctypes`` whose values mean the same in each process: no pointers.
_VALUES: Final = frozenset("cbBhHiIlLqQfdg?u")
#: What objects of ours remember of a schedule: its number, and then what counts.
_OF_SCHEDULE: Final = frozenset({"_tracelock_number", "_tracelock_bound"})
_BORN: Final = "_tracelock_born"
_CLASSES: dict[int, tuple[type, Any]] = {}  # that were asked about, by identity
#: What a class has of its own only if it has slots, or was made in C.
_OF_C: Final = (
    MemberDescriptorType, MethodDescriptorType, WrapperDescriptorType, ClassMethodDescriptorType,
)  # fmt: skip
_MADE_AT_RUN_TIME: Final = 1 << 9  # Py_TPFLAGS_HEAPTYPE
_name: Final[Any] = type.__dict__["__name__"].__get__
_flags: Final[Any] = type.__dict__["__flags__"].__get__


class Unlike(Exception):
    """Something has no likeness."""


def _system() -> Any:
    """The functions of the C library that change a semaphore and nothing else, None without."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        for name in ("sem_post", "sem_trywait"):
            getattr(library, name).argtypes = [ctypes.c_void_p]
        return library
    return None


_library: Final = _system()


class Semaphore:
    """A semaphore of the system, as this process has it. ``count``: how often this process has it
    more than it has given it up, which it itself counts."""

    __slots__ = ("count", "raw")

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.count: int = raw._count()

    def copy(self, to: Semaphore) -> bool:
        """Give ``to`` the same value; False where that cannot be done."""
        wanted, handle = self.raw._get_value(), to.raw.handle
        for _ in range(abs(wanted - to.raw._get_value())):
            if wanted > to.raw._get_value():
                _library.sem_post(handle)
            else:
                _library.sem_trywait(handle)
        return bool(to.raw._get_value() == wanted)

    def put_back(self) -> bool:
        """Have this process count as it did; the value stays. Nobody else may use it meanwhile.
        False where that cannot be done."""
        raw, handle = self.raw, self.raw.handle
        for _ in range(abs(raw._count() - self.count)):
            if raw._count() < self.count:
                _library.sem_post(handle)
                raw.acquire(False)
            elif _library.sem_trywait(handle) == 0:
                raw.release()
            else:
                raw.release()
                _library.sem_trywait(handle)
        return bool(raw._count() == self.count)


class Memory:
    """An object of ``ctypes`` in shared memory."""

    __slots__ = ("address", "obj", "size")

    def __init__(self, obj: Any) -> None:
        self.obj = obj
        self.address = ctypes.addressof(obj)
        self.size = ctypes.sizeof(obj)

    def copy(self, to: Memory) -> bool:
        ctypes.memmove(to.address, self.address, self.size)
        return True

    def put_back(self) -> bool:
        return True  # it is no process's own


class Likeness:
    """``shape``: of two that are alike the same. ``shared``: what processes share, in order.
    ``handles``: the descriptors that belong to it. Raises Unlike."""

    def __init__(self, root: object) -> None:
        self.shape: list[Any] = []
        self.shared: list[Semaphore | Memory] = []
        self.handles: set[int] = set()
        self.root = root
        self._private: list[tuple[Any, Any, Callable[[Any, Any], object], Any]] = []
        self._locks: list[Any] = []
        self._known: dict[int, int] = {}
        self._keep: list[Any] = []
        self._todo: deque[Any] = deque()
        self.shape.append(self._word(root))
        while self._todo:
            self._look(self._todo.popleft())

    # --- two of them --------------------------------------------------------------------------
    def like(self, other: Likeness) -> bool:
        """Whether the one is as good as the other, once what is shared has been copied."""
        return self.shape == other.shape

    def copy(self, to: Likeness) -> bool:
        """Give what processes share of ``to`` the state that it has here."""
        return all(
            mine.copy(theirs)  # type: ignore[arg-type]
            for mine, theirs in zip(self.shared, to.shared, strict=True)
        )

    # --- in the process of a worker -----------------------------------------------------------
    def put_back(self) -> bool:
        """Make what is private what it was; whether it is."""
        for box, then, give, items in self._private:
            now = items(box)
            if len(now) != len(then) or any(a is not b for a, b in zip(now, then, strict=True)):
                give(box, then)
        return not any(lock.locked() for lock in self._locks)

    def count_again(self) -> bool:
        """Have all semaphores counted as they were; whether they are."""
        return not [one for one in self.shared if not one.put_back()]

    # --- the walk -----------------------------------------------------------------------------
    def _word(self, value: Any) -> Any:
        """What stands for a value in the shape: itself, or its number among the parts."""
        cls = type(value)
        if cls in _ATOMS:
            return cls, value
        if cls is float:
            return cls, value.hex()
        if issubclass(cls, (type, ModuleType)) or cls is FunctionType:
            self._keep.append(value)
            return "same", identity(value)
        known = self._known.get(identity(value))
        if known is None:
            known = self._known[identity(value)] = len(self._known)
            if known >= MOST:
                raise Unlike("it is too large")
            self._keep.append(value)
            self._todo.append(value)
        return known

    def _look(self, value: Any) -> None:
        cls: Any = type(value)
        if cls is tuple or cls is frozenset:
            self._part(cls, [*map(self._word, value)])
        elif cls is list or cls is deque or cls is set:
            self._part(cls, getattr(value, "maxlen", None), [*map(self._word, value)])
            self._box(value, list(value), _fill[cls], list)
        elif cls is dict:
            self._names(cls, value)
        elif cls is RawSemLock:
            self._part(cls, value.kind, value.maxvalue, value._count())
            self.shared.append(Semaphore(value))
        elif cls is ControlledSemLock:
            self._part(cls, value.name, value.type, value.permits, self._number(value),
                       self._word(value.raw))  # fmt: skip
        elif cls is RAW_LOCK:
            if value.locked():
                raise Unlike("a lock is held")
            self._part(cls)
            self._locks.append(value)
        elif cls is ControlledLock:
            self._part(cls, value.name, self._number(value), self._word(value.raw))
        elif cls is MethodType:
            self._part(cls, self._word(value.__self__), self._word(value.__func__))
        elif cls is BuiltinFunctionType:
            self._part(cls, value.__name__, self._word(value.__self__))
        elif issubclass(cls, connection.Connection):
            self._connection(value)
        elif issubclass(cls, context.BaseContext):
            self._part(cls, identity(value))
        elif issubclass(cls, heap.BufferWrapper):
            self._part(cls, value._state[1])
        elif issubclass(cls, (ctypes._SimpleCData, ctypes.Array, ctypes.Structure)):
            self._memory(cls, value)
        elif cls is SimpleNamespace:
            self._names(cls, value.__dict__)
        elif (dictionary := _dictionary_of(cls)) is not None:
            self._names(cls, dictionary.__get__(value))
        else:
            raise Unlike(f"a {_name(cls)} has no likeness")

    def _part(self, cls: type, *about: Any) -> None:
        self._keep.append(cls)
        self.shape.append((identity(cls), *about))

    def _memory(self, cls: Any, value: Any) -> None:
        names = vars(value)
        if names.keys() - {"_wrapper", "_tracelock_label"} or "_wrapper" not in names:
            raise Unlike("it is of ctypes, and not in shared memory alone")
        if not _means_the_same(cls):
            raise Unlike("it holds addresses")
        self._part(cls, ctypes.sizeof(value), names.get("_tracelock_label"))
        self.shared.append(Memory(value))

    def _number(self, lock: Any) -> int:
        return int(lock.number) if lock.schedule else -1

    def _names(self, cls: Any, names: dict[Any, Any]) -> None:
        words: list[Any] = []
        for name, value in names.items():
            if type(name) not in _ATOMS:
                raise Unlike("a key has no likeness")
            if type(name) is str and name.startswith("_tracelock_"):
                if name != _BORN:
                    words.append((name, value[1] if name in _OF_SCHEDULE else value))
                continue
            words.append(((type(name), name), self._word(value)))
        self._part(cls, words)
        self._box(names, [*names, *names.values()], _give_names, _items)

    def _box(self, box: Any, then: Any, give: Any, items: Any) -> None:
        self._private.append((box, then, give, items))

    def _connection(self, pipe: Any) -> None:
        if pipe.closed or (pipe.readable and pipe.poll(0)):
            raise Unlike("something is in a pipe")
        self.handles.add(pipe.fileno())
        self._part(type(pipe), pipe.readable, pipe.writable)


def likeness(root: object) -> Likeness | None:
    """That of ``root``; None where there is none."""
    if _library is None or sys.platform != "linux":
        return None  # elsewhere the value of a semaphore cannot be had
    try:
        return Likeness(root)
    except (Unlike, OSError):
        return None


def _give_names(names: dict[Any, Any], then: list[Any]) -> None:
    half = len(then) // 2
    names.clear()
    names.update(zip(then[:half], then[half:], strict=True))


def _items(names: dict[Any, Any]) -> list[Any]:
    return [*names, *names.values()]


def _fill_list(box: Any, then: list[Any]) -> None:
    box[:] = then


def _fill_other(box: Any, then: list[Any]) -> None:
    box.clear()
    (box.update if type(box) is set else box.extend)(then)


_fill: Final[dict[Any, Any]] = {list: _fill_list, deque: _fill_other, set: _fill_other}


def _dictionary_of(cls: type) -> Any:
    """What gives the ``__dict__`` of objects of this class, if that is all that they have: it was
    made in Python, without slots, and so were its bases. None for any other."""
    known = _CLASSES.get(identity(cls))
    if known is None:
        known = _CLASSES[identity(cls)] = cls, _asked(cls)
    return known[1]


def _asked(cls: type) -> Any:
    *own, last = class_line(cls)
    if last is not object or not own:
        return None
    found = None
    for one in own:
        for name, part in list(class_names(one).items()):
            if type(part) in _OF_C and part.__objclass__ is one:
                return None
            if name == "__dict__" and type(part) is GetSetDescriptorType:
                found = found or part
        if not _flags(one) & _MADE_AT_RUN_TIME:
            return None
    return found


def _means_the_same(cls: Any) -> bool:
    """Whether the bytes of a type of ``ctypes`` mean the same elsewhere."""
    if issubclass(cls, ctypes._SimpleCData):
        return getattr(cls, "_type_", "") in _VALUES
    if issubclass(cls, ctypes.Array):
        return _means_the_same(cls._type_)
    fields = [part[1] for one in class_line(cls) for part in vars(one).get("_fields_", ())]
    return issubclass(cls, ctypes.Structure) and all(map(_means_the_same, fields))
