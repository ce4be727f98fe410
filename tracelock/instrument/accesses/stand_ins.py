"""What a hook returns where the scheduling point comes later than the call of the hook.

Only workers under control get these; on any other thread each does what the original does.
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from tracelock import ops
from tracelock.instrument.accesses.attributes import names_in
from tracelock.instrument.accesses.containers import (
    FILLING,
    GIVEN,
    HASH,
    ORDER,
    STEPS,
    access_of,
    reads,
)
from tracelock.instrument.accesses.implied import written
from tracelock.instrument.accesses.places import learn, place_of
from tracelock.instrument.accesses.reach import (
    CODE,
    Reach,
    StandIn,
    keyed,
    kind_of,
    namespace_owner,
    others,
)
from tracelock.instrument.accesses.stepping import StepWalk, enter
from tracelock.instrument.accesses.unordered import TAKING_ORDER, is_hashed, show_order
from tracelock.instrument.contexts import Context, contexts, identity
from tracelock.instrument.rewrite.sites import Site
from tracelock.instrument.steps import is_plain

#: Methods that look at what is in a container, and how.
_LOOKING: Final = {
    **dict.fromkeys(("index", "count", "remove", "__contains__", "sort"), ORDER),
    **{name: name for name in (
        "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__repr__", "__str__",
        "__format__",
    )},
    "__reduce_ex__": GIVEN, "__reduce__": GIVEN, "join": GIVEN,
}  # fmt: skip
#: Methods that keep an argument, and look at nothing of it but the hash of a key.
_STORING: Final = frozenset(
    {
        "append", "appendleft", "insert", "__setitem__", "setdefault", "get", "pop", "add",
        "discard", "__getitem__", "__delitem__", "__missing__", "move_to_end",
    }
)  # fmt: skip
#: Methods that take the items of an argument as they are.
_TAKING: Final = frozenset({"extend", "extendleft", "__iadd__", "__add__", "fromlist"})
_NONE: Final[list[tuple[Any, str | None]]] = []
#: What makes the points of an attribute that is written by its name: ``functions``, which needs
#: what is here, puts it there.
by_name: Final[list[Callable[[Any, str, Site, Context, object], None]]] = []


def _reach(
    real: Any, kind: int, owner: Any, args: Any, keywords: dict[str, Any],
    site: Site, context: Context,
) -> list[tuple[Any, str | None]]:  # fmt: skip
    """What a method reads besides its owner: what is below that, and below its arguments.
    ``args``, a list, are replaced where they are iterators that call code of Python."""
    name = real.__name__
    operation = _LOOKING.get(name)
    if operation is None:
        if name in _STORING:
            if args and not is_plain(args[0]):
                keyed(owner, args[0], site, context)
            return _NONE
        if name in FILLING:
            context.together((), [(each, None) for each in args if not is_plain(each)], site)
        operation = "__iter__" if name in _TAKING else HASH
        found = Reach(operation)
    else:
        found = Reach(operation)
        found.add(owner)
        key = keywords.get("key")
        found.code = found.code or (key is not None and kind_of(type(key)) == CODE)
    for number, each in enumerate(args):
        if is_plain(each):
            continue
        if (name in _TAKING or name in TAKING_ORDER) and is_hashed(type(each)):
            show_order(each, context)
        if reads(type(each), "__iter__") is STEPS:
            below = Reach("__iter__")
            below.add(each)
            if below.code and below.parts:
                args[number] = StepWalk(each, site)
                continue
            enter(each, site, context)
        found.add(each)
    parts = others(found, name, site, context)
    known = {identity(owner)}
    if kind == ops.WRITE:  # what it takes from other containers is seen to by ``access``
        known.update(map(identity, args))
    return [
        (obj, part) for obj, part in parts
        if part is not None or identity(obj) not in known or access_of(type(obj), "__len__") is None
    ]  # fmt: skip


def _arguments(args: tuple[object, ...]) -> object:
    return args[0] if len(args) == 1 else args or None


class _NamedByEach(type):
    # Classes of which each object says, by ``__module__``, where what it stands for is from.

    __module__ = property(lambda cls: __name__)

    def __new__(cls, name: str, bases: tuple[type, ...], names: dict[str, Any]) -> _NamedByEach:
        names["__module__"] = property(lambda self: self._real.__module__)
        return super().__new__(cls, name, bases, names)


class Passing(StandIn, metaclass=_NamedByEach):
    # To ``isinstance``, comparisons and attributes it is the method that it stands for.

    __slots__ = ("_real",)

    def __init__(self, real: Callable[..., Any]) -> None:
        self._real = real

    @property  # type: ignore[misc]  # isinstance() is told about the method, not about us
    def __class__(self) -> type:
        return type(self._real)

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return self._real.__doc__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def __eq__(self, other: object) -> bool:
        return bool(self._real == (other._real if type(other) is type(self) else other))

    def __hash__(self) -> int:
        return hash(self._real)

    def __repr__(self) -> str:
        return repr(self._real)

    def __reduce__(self) -> Any:
        return _itself, (self._real,)  # a copy, or what is sent to a process, is the real one


def _itself(real: Any) -> Any:
    return real


class Method(Passing):
    # A container's bound method whose call is one access.

    __slots__ = ("_kind", "_owner", "_site")
    _looks = False  # at what is below the container, and its argument

    def __init__(self, real: Callable[..., Any], kind: int, owner: object, site: Site) -> None:
        self._real = real
        self._kind = kind
        self._owner = owner
        self._site = site

    def __call__(self, /, *args: Any, **keywords: Any) -> Any:
        context = contexts.get(get_ident())
        if context is None:
            return self._real(*args, **keywords)
        owner, also = self._owner, _NONE
        if self._looks or len(args) > 1 or (args and not is_plain(args[0])):
            given = list(args)
            also = _reach(self._real, self._kind, owner, given, keywords, self._site, context)
            args = tuple(given)
        place, name = place_of(owner, args[0]) if args else (owner, None)
        value = _arguments(args)
        if name is not None:
            if self._kind == ops.WRITE:
                written(place, name, self._site, context, args[1] if len(args) > 1 else None)
            if len(args) == 1 or self._real.__name__ == "pop":
                value = None  # it may delete that
        elif self._kind == ops.WRITE and (whole := namespace_owner(owner)) is not None:
            value = (*args, keywords)
            for one in dict.fromkeys((*dict.keys(owner), *names_in(value))):  # type: ignore[arg-type]
                if type(one) is str:
                    written(whole, one, self._site, context)
        context.access(self._kind, place, name, self._site, value, also)
        result = self._real(*args, **keywords)
        context.saw(result)
        return result


class DeepMethod(Method):
    # One that looks deeper.

    __slots__ = ()
    _looks = True


def method_class(name: str) -> type[Method]:
    """What stands for the bound method of this name."""
    return DeepMethod if name in _LOOKING else Method


class Unbound(Passing):
    # ``dict.__setitem__`` and ``object.__setattr__``, called with the object in front.

    __slots__ = ("_kind", "_named", "_site")

    def __init__(self, real: Callable[..., Any], kind: int, named: bool, site: Site) -> None:
        self._real = real
        self._kind = kind
        self._named = named
        self._site = site

    def __call__(self, /, *args: Any, **keywords: Any) -> Any:
        context = contexts.get(get_ident())
        if context is None or not args:
            return self._real(*args, **keywords)
        rest = args[1:]
        if not self._named:
            given, owner, kind = list(rest), args[0], self._kind
            if self._real.__name__ == "__getitem__":  # which may put something in
                kind = access_of(type(owner), "__getitem__") or kind
            also = _NONE
            if given or self._real.__name__ in _LOOKING:
                also = _reach(self._real, kind, owner, given, keywords, self._site, context)
            args = (owner, *given)
            place, name = place_of(owner, rest[0]) if rest else (owner, None)
            value = None if name is not None and len(rest) == 1 else _arguments(rest)
            context.access(kind, place, name, self._site, value, also)
        elif rest and issubclass(type(rest[0]), str):
            value = rest[1] if len(rest) > 1 else None
            if self._kind == ops.WRITE:
                by_name[0](args[0], rest[0], self._site, context, value)
            else:
                context.access(self._kind, args[0], rest[0], self._site, value)
        result = self._real(*args, **keywords)
        if self._named and rest == ("__dict__",):
            learn(args[0], result)
        return result


class Later:
    """Stands for the object in ``object.method``; any attribute of it is the one callable."""

    __slots__ = ("call",)

    def __init__(self, call: object) -> None:
        _set_call(self, call)

    def __getattribute__(self, name: str) -> Any:
        return _get_call(self)


_get_call = Later.call.__get__  # type: ignore[attr-defined]
_set_call = Later.call.__set__  # type: ignore[attr-defined]


@dataclass(slots=True, eq=False, repr=False)
class ItemRead:
    """Stands for the container in ``container[key]`` where the key runs code of its own.

    DeepMethod the key up twice, once to show what was read, would run that code twice.
    """

    _real: Any
    _context: Context

    def __getitem__(self, key: object) -> Any:
        value = self._real[key]
        self._context.saw(value)
        return value


class Walk:
    """An iterator over containers: a point before each step."""

    __slots__ = ("_next", "_owners", "_real", "_site")

    def __init__(self, real: Iterator[Any], owners: list[object], site: Site) -> None:
        self._real = real
        self._next = real.__next__
        self._owners = owners
        self._site = site

    def __iter__(self) -> Walk:
        return self

    def __next__(self) -> Any:
        context = contexts.get(get_ident())
        if context is None:
            return self._next()
        for owner in self._owners:
            context.access(ops.READ, owner, None, self._site)
        value = self._next()
        context.saw(value)
        return value

    def __length_hint__(self) -> int:
        return self._real.__length_hint__() if hasattr(self._real, "__length_hint__") else 0
