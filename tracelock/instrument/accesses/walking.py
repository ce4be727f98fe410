"""The walk through what ``setup`` has returned, by which its objects get their names.

It is made before each schedule. What there is to know of a class for it (which kind of container
its objects are, whether they have attributes) is found out once, and again where a class was seen
to change.
"""

from __future__ import annotations

import weakref
from array import array
from collections import OrderedDict, deque
from collections.abc import Callable
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, Final

from tracelock.instrument.accesses.by_type import by_type, entry
from tracelock.instrument.accesses.places import DESCRIPTORS
from tracelock.instrument.contexts import class_line, identity

if TYPE_CHECKING:
    from tracelock.instrument.naming import ObjectNames

CONTAINERS: Final = (dict, list, set, deque, OrderedDict, bytearray, array)
#: Objects that are named at most; others are when they are met.
MOST: Final = 2_000
#: What has no name, and nothing below it.
_ATOMS: Final = (
    str, bytes, int, float, complex, bool, type(None), type, FunctionType, MethodType, ModuleType,
)  # fmt: skip
#: Keys whose ``repr`` is the interpreter's own.
_KEYS: Final = frozenset({str, int, float, bool, type(None)})

ATOM: Final = 0
WEAK: Final = 1
FROZEN: Final = 2
TUPLE: Final = 3
DICT: Final = 4
LIST: Final = 5
DEQUE: Final = 6
BOX: Final = 7  # another container
OTHER: Final = 8
_KINDS: Final = (
    (_ATOMS, ATOM), (weakref.ref, WEAK), (frozenset, FROZEN), (tuple, TUPLE), (dict, DICT),
    (list, LIST), (deque, DEQUE), (CONTAINERS, BOX), (object, OTHER),
)  # fmt: skip

#: One of these, and what gives the namespace of an object of this class, if it has one.
Shape = tuple[int, Callable[[Any], Any] | None]
#: By the identity of a class; read it directly where that is asked for at each access.
shapes: Final = by_type()


def shape_of(cls: type) -> Shape:
    """What objects of this class are to the walk."""
    try:
        return shapes[identity(cls)][""]  # type: ignore[no-any-return]
    except KeyError:
        shape: Shape = _kind_of(cls), _namespace_of(cls)
        entry(shapes, cls)[""] = shape
        return shape


def _kind_of(cls: type) -> int:
    return next(kind for classes, kind in _KINDS if issubclass(cls, classes))


def _namespace_of(cls: type) -> Callable[[Any], Any] | None:
    """See ``places.namespace_of``."""
    for each in class_line(cls):
        found = each.__dict__.get("__dict__")
        if type(found) in DESCRIPTORS:  # and no property of that name
            return found.__get__  # type: ignore[no-any-return]
    return None


def walk(names: ObjectNames, root: object) -> None:
    """Name ``root`` and the objects reachable from it, in a fixed order."""
    objects = names.objects
    pending: deque[tuple[object, str]] = deque([(root, "state")])
    seen: set[int] = set()
    known_shapes = shapes  # asked directly: this is done for all that there is, each time
    while pending and len(seen) < MOST:
        obj, name = pending.popleft()
        cls = type(obj)
        try:
            kind, space = known_shapes[identity(cls)][""]
        except KeyError:
            kind, space = shape_of(cls)
        number = identity(obj)
        if kind == ATOM or number in seen:
            continue
        seen.add(number)
        if kind == WEAK:
            names.mortals.created(obj, None)  # type: ignore[arg-type]
            continue
        if kind == FROZEN:
            continue
        if kind == TUPLE:
            items: Any = tuple.__iter__(obj)  # type: ignore[arg-type]
            pending.extend((item, f"{name}[{k}]") for k, item in enumerate(items))
            continue
        if kind != OTHER:
            inner = names.identify(obj, None, name).label
            if kind == DICT:
                pairs: Any = dict.items(obj)  # type: ignore[arg-type]
                pending.extend((v, f"{inner}[{k!r}]") for k, v in pairs if type(k) in _KEYS)
            elif kind in (LIST, DEQUE):
                base: Any = list if kind == LIST else deque
                pending.extend((item, f"{inner}[{k}]") for k, item in enumerate(base.__iter__(obj)))
        namespace = None
        if space is not None:
            try:
                namespace = space(obj)
            except (AttributeError, TypeError):
                continue
        if type(namespace) is dict:
            known = objects.get(number) or names.identify(obj, None)
            label = known.label
            for name, value in namespace.items():
                cls = type(value)
                try:
                    kind = known_shapes[identity(cls)][""][0]
                except KeyError:
                    kind = shape_of(cls)[0]
                if kind != ATOM:
                    # what a container contains is not the attribute that it is kept in
                    contents = "[]" if DICT <= kind <= BOX else ""
                    pending.append((value, f"{label}.{name}{contents}"))
