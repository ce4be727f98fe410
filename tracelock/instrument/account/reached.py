"""What code that is not looked into could reach from what it is given."""

from __future__ import annotations

import functools
import gc
import sys
from _io import _IOBase
from _weakref import ref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from sys import getrefcount
from types import BuiltinFunctionType, FunctionType, GeneratorType, MappingProxyType
from typing import Any, Final

from tracelock.instrument.accesses.places import exports, memory_of, owner_of
from tracelock.instrument.account.extensions import module_of
from tracelock.instrument.account.known import ATOM, CONTAINER, GUARDED, INSTANCE, Kinds
from tracelock.instrument.account.looks import namespace
from tracelock.instrument.account.touched import TouchedObjects
from tracelock.instrument.contexts import identity

#: So many objects are looked at for each worker and module.
MOST: Final = 3_000
#: Modules in C with objects that write to streams.
_STREAMING: Final = frozenset({"_io", "_csv"})
_EVERYBODY: Final = 0xFFFFFF
_PASSING: Final = (tuple, frozenset, MappingProxyType, slice, functools.partial)
_EMPTY: Final[dict[str, str]] = {}
_VIEWS: Final = (type(_EMPTY.keys()), type(_EMPTY.values()), type(_EMPTY.items()))


class _Reachable:
    """An object, and the workers and modules in whose code it could be reached if it can change."""

    __slots__ = ("keep", "places")

    def __init__(self, keep: object) -> None:
        self.keep: Any = keep  # so that no other object gets its address
        self.places: list[tuple[int, str]] = []


class Reached:
    """Objects that can change, and that a worker could reach in the code of a module."""

    def __init__(self, kinds: Kinds, names: Any, touched: TouchedObjects) -> None:
        self._kinds, self._names, self._touched = kinds, names, touched
        self._seen: dict[tuple[int, str], set[int]] = {}
        self._found: dict[int, _Reachable] = {}
        self._gone: dict[str, str] = {}  # what is told of those that have died

    def add(self, root: object, worker: int, module: str) -> None:
        """Code of ``module`` has ``root``, in this worker."""
        if module.startswith("unittest.") and issubclass(type(root), _test_case()):
            return  # it asks for nothing that a test has put there
        seen = self._seen.setdefault((worker, module), set())
        if type(root) is FunctionType and identity(root) not in seen:  # what it has is asked for
            seen.add(identity(root))
            self._found.setdefault(identity(root), _Reachable(root)).places.append((worker, module))
        pending: deque[object] = deque([root])
        while pending:
            for one in inside(pending.popleft()):
                address = identity(one)
                if address in seen or len(seen) >= MOST:
                    continue
                kind = self._kinds.of(one)
                if kind == GUARDED or (kind == ATOM and not issubclass(type(one), _PASSING)):
                    continue
                seen.add(address)
                found = self._found.get(address)
                if found is None:
                    found = self._found[address] = _Reachable(one)
                pending.append(one)
                if kind in (CONTAINER, INSTANCE):
                    found.places.append((worker, module))

    def letting_die(
        self, aside: Callable[[Callable[[], int | None]], int | None]
    ) -> Callable[[list[Any]], None]:
        """What takes the place of ``let_die`` of the names as long as a schedule is recorded: those
        that nobody has but the account die as well. A socket would stay open with them. ``aside``:
        runs what is not to be recorded itself."""
        names, plain = self._names, type(self._names).let_die

        def let_die(fresh: list[Any]) -> None:
            while True:
                found = aside(self._only_ours)
                if found is not None:
                    self._let_go(found)
                plain(names, fresh)
                if found is None:
                    return

        return let_die

    def _only_ours(self) -> int | None:
        """An object that only the account and the names have. What is told of it is known by then,
        since nobody can use it any more."""
        known, objects = self._touched.known, self._names.objects
        for address in {*self._found, *known}:
            found, touched, named = (
                self._found.get(address),
                known.get(address),
                objects.get(address),
            )
            held = [one for one in (found, touched, named) if one is not None]
            keeps = [one for one in held if type(one.keep) is not ref]
            if not keeps or (keeps == [named]):
                continue
            # besides these and the argument
            if getrefcount(keeps[0].keep) <= len(keeps) + 1:
                return address
        return None

    def _let_go(self, address: int) -> None:
        found, touched = self._found.pop(address, None), self._touched.known.get(address)
        if found is not None:
            self._gone.update(self._of(address, found))
            for seen in self._seen.values():
                seen.discard(address)
        if touched is not None and type(touched.keep) is not ref:
            self._touched.let_go(address)
        if found is not None:
            found.keep = None  # it may die here

    def told(self) -> Iterator[tuple[str, str]]:
        """Modules, each with what of it keeps the account from being clean."""
        yield from self._gone.items()
        for address, found in self._found.items():
            yield from self._of(address, found)

    def _of(self, address: int, found: _Reachable) -> Iterator[tuple[str, str]]:
        owner = owner_of(found.keep) if type(found.keep) is dict else None
        if owner is not None:
            address = identity(owner)  # of which it is the namespace
        writers, users = _uses(self._names, address)
        direct = self._touched.known.get(address)
        users |= direct.by if direct is not None else 0
        for worker, module in found.places:
            if writers and users & ~(1 << worker):
                name = type(found.keep).__name__
                yield module, f"its code can reach a {name} that another worker uses"


def _test_case() -> Any:
    return getattr(sys.modules.get("unittest.case"), "TestCase", ())


def _uses(names: Any, address: int) -> tuple[int, int]:
    """The workers that were seen to write an object, and those seen to use it."""
    known = names.objects.get(address) or names.lasting.get(address)
    writers = users = 0
    for variable in known.parts.values() if known is not None else ():
        if variable.shared:
            return _EVERYBODY, _EVERYBODY
        if variable.stamp == names.schedule:
            users |= variable.users
            writers |= variable.writers
    return writers, users


def behind(obj: object) -> Iterator[object]:
    """What an object in C writes to, or reads, when a method of it is called: a stream below, or
    the memory that one of ``ctypes`` was made of."""
    if module_of(type(type(obj))) == "_ctypes":
        yield from _memory_below(obj)
    if type(obj).__module__ in _STREAMING or type(obj).__name__ in ("Pickler", "Unpickler"):
        for one in gc.get_referents(obj):
            owner = getattr(one, "__self__", None) if type(one) is BuiltinFunctionType else one
            if issubclass(type(owner), _IOBase):
                yield owner


def _memory_below(obj: object) -> Iterator[object]:
    for one in gc.get_referents(obj):
        for each in one.values() if type(one) is dict else (one,):
            below = memory_of(each) if type(each) is memoryview else each
            if exports(below):
                yield below


def inside(obj: object) -> Iterable[object]:
    """What can be reached from an object at once, asked for without running its code."""
    cls: Any = type(obj)
    if issubclass(cls, dict):
        return [*dict.values(obj), *namespace(obj).values()]  # type: ignore[arg-type]
    base: Any
    for base in (list, tuple, deque):
        if issubclass(cls, base):
            return [*base.__iter__(obj), *namespace(obj).values()]
    if issubclass(cls, _PASSING) or cls in _VIEWS:
        return gc.get_referents(obj)
    if cls.__module__ in ("builtins", "itertools"):
        walks = hasattr(cls, "__next__") and cls is not GeneratorType
        return gc.get_referents(obj) if walks else ()
    return list(namespace(obj).values())
