"""What an access is of, where that is not the object at hand: globals, closures, namespaces.

``obj.__dict__["x"]`` is ``obj.x``: whose namespace a dict is is known as far as it was asked for.
Only numbers and weak references are kept, which keep neither alive. An object that cannot
be referred to weakly is kept until the schedule is over.
"""

from __future__ import annotations

import gc
import sys
from _weakref import ref
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from types import GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import Any, Final

from tracelock.instrument.accesses.containers import holder_of, is_opaque
from tracelock.instrument.contexts import class_line, identity

#: Descriptors in C of attributes: in a class, what gives an object's namespace, among others.
DESCRIPTORS: Final = (GetSetDescriptorType, MemberDescriptorType)
#: Where arrays of NumPy, and data of ``ctypes``, have what they are a view of.
_BASES: Final = ("base", "_b_base_")
#: What a memoryview can be of that is a container itself.
EXPORTING: Final = (bytearray, array, BytesIO)
#: ``id`` of a namespace -> the object it belongs to.
namespaces: Final[dict[int, Callable[[], Any]]] = {}
_held: Final[list[int]] = []  # those that are kept alive for it


def learn(obj: Any, namespace: object) -> None:
    """``namespace`` was taken from ``obj.__dict__``."""
    number = identity(namespace)
    known = namespaces.get(number)
    if type(namespace) is not dict:
        return
    if known is not None and (known() is obj or known() is namespace):
        return

    def drop(dead: ref[Any]) -> None:
        if namespaces.get(number) is dead:
            del namespaces[number]

    try:
        namespaces[number] = ref(obj, drop)
    except TypeError:
        namespaces[number] = lambda: obj
        _held.append(number)


def learn_shared(namespace: dict[Any, Any]) -> None:
    """``namespace`` was given to an object as its ``__dict__``, and others may have it: it is no
    object's alone."""
    if identity(namespace) not in _held:
        _held.append(identity(namespace))
    namespaces[identity(namespace)] = lambda: namespace


def let_go() -> None:
    """A schedule is over: forget the objects that cannot be referred to weakly."""
    while _held:
        namespaces.pop(_held.pop(), None)


def place_of(container: Any, key: object) -> tuple[Any, str | None]:
    """What an access of ``container[key]`` is an access of: an object and a name.

    The name is None for the contents of a container. ``key`` is that of the access, or anything
    that is no string where it has none.
    """
    if namespaces and type(key) is str and issubclass(type(container), dict):
        obj = owner_of(container)
        if obj is not None:
            return obj, key
    return container, None


def owner_of(namespace: dict[Any, Any]) -> Any:
    """The object whose attributes these are, None where that is not known; ``namespace`` itself
    where several objects may have it."""
    known = namespaces.get(identity(namespace)) if namespaces else None
    obj = None if known is None else known()
    if obj is namespace:
        return obj
    # A namespace that was replaced (``obj.__dict__ = {}``) belongs to no object.
    return obj if obj is not None and namespace_of(obj) is namespace else None


def attributes_of(obj: Any) -> Any:
    """The attributes of what ``owner_of`` has returned."""
    return obj if issubclass(type(obj), dict) and owner_of(obj) is obj else namespace_of(obj)


def namespace_of(obj: Any) -> Any:
    """The attributes of an object, asked for without running code of its class; None without."""
    for cls in class_line(type(obj)):
        found = cls.__dict__.get("__dict__")
        if type(found) in DESCRIPTORS:  # and no property of that name
            try:
                return found.__get__(obj)
            except (AttributeError, TypeError):
                return None
    return None


def slots_of(type_: type) -> list[str]:
    """The names of the slots that objects of a type have."""
    found: list[str] = []
    for cls in class_line(type_):
        if "__slots__" in cls.__dict__:
            kept = cls.__dict__.items()
            found += [name for name, value in kept if type(value) is MemberDescriptorType]
    return found


def exports(obj: object) -> bool:
    """Whether a memoryview of this object is named as the object is: a container, or memory of
    ``ctypes``."""
    return issubclass(type(obj), EXPORTING) or type(type(obj)).__module__ == "_ctypes"


def memory_of(view: Any) -> object:
    """What a memoryview is of; None once it was released. Of a view that ``__buffer__`` gives of
    another one, what that is of."""
    found: Any = view
    try:
        while type(found) is memoryview:
            found = found.obj
    except ValueError:
        return None
    if type(found).__name__ == "_BytesIOBuffer":  # of ``BytesIO.getbuffer()``
        found = next((each for each in gc.get_referents(found) if isinstance(each, BytesIO)), found)
    return found


def base_of(obj: Any) -> object:
    """What an object is a view of, so that the two have the same contents; None for no view."""
    cls = type(obj)
    if cls is memoryview:
        base = memory_of(obj)
        return base if exports(base) else None
    if is_opaque(cls):
        for name in _BASES:
            holder = holder_of(cls, name)
            part: Any = None if holder is None else holder.__dict__[name]
            if type(part) in DESCRIPTORS:
                base = part.__get__(obj)
                return base if is_opaque(type(base)) else None
    return None


@dataclass(slots=True, eq=False)
class Home:
    """The module whose globals some code uses, found when it is needed.

    A module that is not in ``sys.modules`` (loaded by its path, then dropped) is replaced by this.
    """

    name: str

    @property
    def module(self) -> ModuleType | Home:
        return sys.modules.get(self.name) or self

    def __repr__(self) -> str:
        return f"<globals of {self.name}>"


@dataclass(slots=True, eq=False)
class KeptResults:
    """What ``functools.lru_cache`` keeps for the function of this name in this module."""

    module: str
    function: str

    def __repr__(self) -> str:
        return f"<cache of {self.module}.{self.function}>"


_caches: Final[dict[tuple[str, str], KeptResults]] = {}


def cache_of(function: Any) -> KeptResults:
    """The cache of a function that ``lru_cache`` was given, or of what it made of that. One for
    each function in the source, as ``Closure`` is."""
    named = function if hasattr(function, "__qualname__") else type(function)  # or a partial
    key = (str(function.__module__), str(named.__qualname__))
    return _caches.setdefault(key, KeptResults(*key))


def cache_named(module: str, function: str) -> KeptResults:
    """The same by its names."""
    return _caches.setdefault((module, function), KeptResults(module, function))


@dataclass(slots=True, eq=False)
class Closure:
    """The variables of ``function`` that functions inside it share and that are rebound.

    One for each function in the source, not for each call of it: two closures of one function
    count as one place, which adds points but loses none.
    """

    file: str
    function: str

    def __repr__(self) -> str:
        return f"<variables of {self.function} in {self.file}>"
