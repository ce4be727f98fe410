"""Finds all that holds state of a program: what is reachable from its modules and functions.

It goes through names, classes, functions (closures, defaults, caches), built-in containers and the
attributes of objects of the program's own classes; not into objects of libraries.
"""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import random
from array import array
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import (
    CellType,
    CodeType,
    FunctionType,
    GeneratorType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any, Final, NamedTuple, cast

from tracelock.instrument.contexts import class_line, class_names, identity
from tracelock.instrument.live_objects import is_foreign
from tracelock.instrument.state import holders, things
from tracelock.instrument.state.holders import BOXES, Holder
from tracelock.instrument.state.places import plain_class
from tracelock.instrument.threads.locks import RAW_LOCK, RAW_RLOCK, ControlledLock

#: Things that are looked at, at most: what is behind them is not looked after.
MOST: Final = 200_000
#: Elements of one container that are looked into.
_MOST_ELEMENTS: Final = 10_000
#: Types, by identity: a metaclass may have a say in what its classes are equal to.
_ATOMS: Final = frozenset(map(identity, (
    int, float, str, bytes, bool, type(None), complex, CodeType, ModuleType, range, slice,
)))  # fmt: skip
#: Built-in types whose objects hold what the program put in.
_ITERATORS: Final = frozenset(map(identity, map(type, (iter([]), iter(()), iter(range(0))))))
_BOXES: Final = frozenset(map(identity, (*BOXES, defaultdict, SimpleNamespace)))


class Snapshot:
    """What holds state, in ``found``; ``full``: there is more than was looked at.

    ``own``: the names of the program's modules.
    """

    def __init__(self, own: Callable[[str], bool]) -> None:
        self.own = own
        self.found: list[Holder] = []
        self.full = False
        self._seen: dict[int, object] = {}  # they are kept, so that no address comes twice
        self._counters: dict[int, things.Counter] = {}
        self._plans: dict[int, _Plan | None] = {}
        self._todo: deque[tuple[Any, str, Holder | None]] = deque()

    def module(self, name: str, module: ModuleType) -> None:
        """Look at a module of the program, and at what it holds."""
        names = module.__dict__
        if self._new(names):
            holder = self._hold(holders.ModuleNames(names, name))
            self._all(names, name, holder)
            self._go()

    def function(self, work: Any, label: str) -> None:
        """Look at what a function of the program holds: its closure, its object."""
        self._todo.append((work, label, None))
        self._go(root=True)

    def objects(self, found: Iterable[Any]) -> None:
        """Look at these, wherever they are from."""
        self._todo.extend((obj, "", None) for obj in found)
        self._go()

    def has_seen(self, obj: object) -> bool:
        return identity(obj) in self._seen

    def forget(self) -> None:
        """Let go of everything."""
        self.found = []
        self._seen.clear()
        self._counters.clear()

    # --- the walk ----------------------------------------------------------------------------
    def _new(self, obj: object) -> bool:
        address = identity(obj)
        if address in self._seen:
            return False
        self._seen[address] = obj
        return True

    def _hold(self, holder: Holder) -> Holder:
        holder.place = len(self.found)
        self.found.append(holder)
        return holder

    def _all(self, names: Mapping[Any, Any], label: str, holder: Holder | None) -> None:
        self._todo.extend(
            (value, f"{label}.{name}", holder)
            for name, value in list(names.items())
            if identity(type(value)) not in _ATOMS
            and not (type(name) is str and name in holders.INTERNAL)
        )

    def _go(self, root: bool = False) -> None:
        todo, seen = self._todo, self._seen
        while todo:
            obj, label, holder = todo.popleft()
            cls = type(obj)
            if identity(cls) in _ATOMS:
                continue
            if cls is itertools.count or cls is MethodWrapperType:
                self._count(obj, label, holder)
                continue
            address = identity(obj)
            if address in seen:
                continue
            seen[address] = obj
            if len(seen) > MOST:
                self.full = True
                todo.clear()
                return
            if cls is FunctionType:
                if root or self.own(obj.__module__ or ""):
                    self._look_at_function(obj, label)
            elif identity(cls) in self._plans:
                self._look_at_object(obj, cls, label)
            else:
                self._look(obj, cls, label, root)

    def _look(self, obj: Any, cls: type, label: str, root: bool) -> None:
        if issubclass(cls, type):
            if self._own_class(obj):
                holder = self._hold(holders.ClassNames(obj, label))
                self._all(dict(class_names(obj)), label, holder)
        elif cls is MethodType:
            self._todo += [(obj.__self__, f"{label}.self", None), (obj.__func__, label, None)]
        elif cls is functools.partial:
            parts = (obj.func, *obj.args, *obj.keywords.values())
            self._todo.extend((part, label, None) for part in parts)
        elif cls is staticmethod or cls is classmethod:
            self._todo.append((obj.__func__, label, None))
        elif cls is property:
            self._todo.extend((one, label, None) for one in (obj.fget, obj.fset, obj.fdel) if one)
        elif cls is functools._lru_cache_wrapper:
            if root or self.own(getattr(obj, "__module__", None) or ""):
                self._hold(things.Cache(obj, label))
                self._todo.append((obj.__wrapped__, label, None))
        elif cls is tuple or cls is frozenset:
            self._elements(obj, label, None)
        elif cls is RAW_LOCK or cls is RAW_RLOCK or issubclass(cls, ControlledLock):
            lock = things.HeldLock(obj, label)
            if not lock.changed():
                self._hold(lock)
        elif cls is random.Random:
            self._hold(things.RandomState(obj, label))
        elif cls is io.StringIO or cls is io.BytesIO or cls is array:
            self._hold(things.Buffer(obj, label))
        elif cls is GeneratorType:
            self._hold(things.Watched(obj, partial(_stage, obj), f"the generator {label}"))
        else:
            self._look_at_object(obj, cls, label)

    def _own_class(self, cls: type) -> bool:
        module = class_names(cls).get("__module__")
        return type(module) is str and self.own(module)

    def _look_at_function(self, function: FunctionType, label: str) -> None:
        cells = function.__closure__
        if cells:
            for cell, name in zip(cells, function.__code__.co_freevars, strict=False):
                if self._new(cell):
                    self._look_at_cell(cell, f"{function.__qualname__}.{name}")
        defaults, more = function.__defaults__, function.__kwdefaults__
        if defaults or more:
            for value in (*(defaults or ()), *(more or {}).values()):
                self._todo.append((value, f"{label}'s default", None))
        names = function.__dict__
        if names and self._new(names):
            holder = self._hold(holders.NamesHeld(names, label))
            self._all(names, label, holder)

    def _look_at_cell(self, cell: CellType, label: str) -> None:
        holder = self._hold(holders.CellHeld(cell, label))
        with contextlib.suppress(ValueError):
            self._todo.append((cell.cell_contents, label, holder))

    def _look_at_object(self, obj: Any, cls: type, label: str) -> None:
        try:
            plan = self._plans[identity(cls)]
        except KeyError:
            plan = self._plans[identity(cls)] = self._plan_of(cls)
        if plan is None:
            return
        if plan.foreign:
            self._watch(obj, plan, label)
            return
        if plan.base is not None:
            holder = self._hold(holders.Contents(obj, plan.base, label))
            self._elements(holder.then, label, holder)  # type: ignore[attr-defined]
        if plan.namespace is not None:
            names = plan.namespace.__get__(obj)
            if type(names) is dict and self._new(names):
                holder = self._hold(holders.NamesHeld(names, label))
                self._all(names, label, holder)
        if plan.members:
            slots = holders.Slots(obj, plan.members, label)
            self._hold(slots)
            self._todo.extend((value, label, None) for value in slots.then)

    def _plan_of(self, cls: type) -> _Plan | None:
        """How to look at objects of this class; None where they are not looked at."""
        if self._own_class(cls) or plain_class(cls) or identity(cls) in _BOXES:
            return _plan(cls)
        if is_foreign(class_names(cls).get("__module__")) and not _runs_tests(cls):
            return _plan(cls)._replace(foreign=True)
        return None

    def _watch(self, obj: Any, plan: _Plan, label: str) -> None:
        """An object of a library: it is seen whether its attributes change."""
        names = None if plan.namespace is None else plan.namespace.__get__(obj)
        if type(names) is dict:
            self._hold(things.Watched(obj, lambda: [*names, *names.values()], label))

    def _elements(self, held: Iterable[Any], label: str, holder: Holder | None) -> None:
        if type(held) is bytes:
            return
        values = held.values() if isinstance(held, dict) else held
        self._todo.extend(
            (value, f"{label}[]", holder)
            for value in itertools.islice(values, _MOST_ELEMENTS)
            if identity(type(value)) not in _ATOMS
        )

    def _count(self, obj: Any, label: str, holder: Holder | None) -> None:
        """A counter, or its ``__next__``, that ``holder`` holds."""
        count = obj if type(obj) is itertools.count else getattr(obj, "__self__", None)
        if holder is None or type(count) is not itertools.count:
            return
        known = self._counters.get(identity(count))
        if known is None:
            if not things.Counter.plain(count):
                return
            known = self._counters[identity(count)] = things.Counter(count, label)
            self._hold(known)
        known.held.append((holder, obj))


def _stage(generator: GeneratorType[Any, Any, Any]) -> list[Any]:
    """Where a generator is, and the one that it goes through by ``yield from``."""
    frame, inner = generator.gi_frame, cast(Any, generator.gi_yieldfrom)
    if frame is None:
        return []
    further: list[Any] = []
    if type(inner) is GeneratorType:
        further = _stage(inner)
    elif identity(type(inner)) in _ITERATORS:
        further = [inner.__length_hint__()]
    return [frame.f_lasti, *frame.f_locals.values(), *further]


def _runs_tests(cls: type) -> bool:
    """Whether it is a class of the test runner that a plugin of it has made its own."""
    return any(
        str(class_names(base).get("__module__")).partition(".")[0] == "_pytest"
        for base in class_line(cls)
    )


class _Plan(NamedTuple):
    """What gives the attributes of objects of a class, without any code of its own: the descriptor
    of ``__dict__``, those of slots, and the built-in container that it is. ``foreign``: it is seen
    whether they change, no more."""

    namespace: Any
    members: list[Any]
    base: type | None
    foreign: bool = False


def _plan(cls: type) -> _Plan:
    namespace, members = None, []
    for one in class_line(cls):
        for name, value in list(class_names(one).items()):
            if type(value) is MemberDescriptorType and one is not type:
                if name not in ("__weakref__", "__dict__") and not name.endswith("offset__"):
                    members.append(value)
            elif name == "__dict__" and type(value) is GetSetDescriptorType:
                namespace = namespace or value
    base = next((one for one in BOXES if issubclass(cls, one)), None)
    if identity(cls) in _BOXES and base is not None:
        members = []
    return _Plan(namespace, members, base)
