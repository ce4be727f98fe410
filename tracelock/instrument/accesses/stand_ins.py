"""What a hook returns where the scheduling point comes later than the call of the hook.

Only workers under control get these; on any other thread each does what the original does.
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tracelock import ops
from tracelock.instrument.accesses.places import owner_of, place_of
from tracelock.instrument.contexts import Context, contexts
from tracelock.instrument.rewrite.sites import Site


def _arguments(args: tuple[object, ...]) -> object:
    return args[0] if len(args) == 1 else args or None


class Passing:
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


class Method(Passing):
    # A container's bound method whose call is one access.

    __slots__ = ("_kind", "_owner", "_site")

    def __init__(self, real: Callable[..., Any], kind: int, owner: object, site: Site) -> None:
        self._real = real
        self._kind = kind
        self._owner = owner
        self._site = site

    def __call__(self, /, *args: Any, **keywords: Any) -> Any:
        context = contexts.get(get_ident())
        if context is None:
            return self._real(*args, **keywords)
        owner = self._owner
        place, name = place_of(owner, args[0]) if args else (owner, None)
        whole = None if place is not owner or type(owner) is not dict else owner_of(owner)
        if whole is None:
            context.access(self._kind, place, name, self._site, _arguments(args))
        else:
            self._as_attributes(context, whole, args, keywords)
        result = self._real(*args, **keywords)
        context.saw(result)
        return result

    def _as_attributes(
        self, context: Context, obj: object, args: tuple[Any, ...], keywords: dict[str, Any]
    ) -> None:
        """``obj.__dict__.update(...)``: all attributes that there are, or will be."""
        namespace: Any = self._owner
        names = dict.fromkeys((*namespace, *keywords))
        for each in args:
            names.update(dict.fromkeys(each) if isinstance(each, dict) else {})
        parts = [(obj, name) for name in names if type(name) is str]
        reads, writes = ((), parts) if self._kind == ops.WRITE else (parts, ())
        context.together(reads, writes, self._site)


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
            context.access(self._kind, args[0], None, self._site, _arguments(rest))
        elif rest and isinstance(rest[0], str):
            context.access(
                self._kind, args[0], rest[0], self._site, rest[1] if len(rest) > 1 else None
            )
        return self._real(*args, **keywords)


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

    Looking the key up twice, once to show what was read, would run that code twice.
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
