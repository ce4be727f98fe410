"""What code that is not looked into could reach from what it is given."""

from __future__ import annotations

import functools
import gc
import sys
from _io import _IOBase
from collections import deque
from collections.abc import Iterable, Iterator
from types import BuiltinFunctionType, GeneratorType, MappingProxyType
from typing import Any, Final

from tracelock.instrument.accesses.places import EXPORTING, memory_of, owner_of
from tracelock.instrument.account.extensions import module_of
from tracelock.instrument.account.known import ATOM, CONTAINER, GUARDED, INSTANCE, Kinds
from tracelock.instrument.account.looks import namespace
from tracelock.instrument.contexts import identity

#: So many objects are looked at for each worker and module.
MOST: Final = 3_000
#: Modules in C with objects that write to streams.
_STREAMING: Final = frozenset({"_io", "_csv"})
_EVERYBODY: Final = 0xFFFFFF
_PASSING: Final = (tuple, frozenset, MappingProxyType, slice, functools.partial)
_EMPTY: Final[dict[str, str]] = {}
_VIEWS: Final = (type(_EMPTY.keys()), type(_EMPTY.values()), type(_EMPTY.items()))


class Reached:
    """Objects that can change, and that a worker could reach in the code of a module."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        self._seen: dict[tuple[int, str], set[int]] = {}
        self._found: list[tuple[object, int, str]] = []
        self._kept: list[object] = []

    def add(self, root: object, worker: int, module: str) -> None:
        """Code of ``module`` has ``root``, in this worker."""
        if module.startswith("unittest.") and issubclass(type(root), _test_case()):
            return  # it asks for nothing that a test has put there
        seen = self._seen.setdefault((worker, module), set())
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
                self._kept.append(one)  # so that no other object gets its address
                pending.append(one)
                if kind in (CONTAINER, INSTANCE):
                    self._found.append((one, worker, module))

    def told(self, names: Any, touched: dict[int, Any]) -> Iterator[tuple[str, str]]:
        """Modules, each with what of it keeps the account from being clean."""
        for value, worker, module in self._found:
            owner = owner_of(value) if type(value) is dict else None
            address = identity(value if owner is None else owner)  # of which it is the namespace
            writers, users = _uses(names, address)
            direct = touched.get(address)
            users |= direct.by if direct is not None else 0
            if writers and users & ~(1 << worker):
                name = type(value).__name__
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
            if issubclass(type(below), EXPORTING):
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
