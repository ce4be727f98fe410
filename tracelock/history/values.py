"""Results of calls as values that can be compared and kept in a set."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, MappingView, Set
from dataclasses import fields, is_dataclass
from typing import Any, Final

#: Values that are what they are.
_PLAIN: Final = (type(None), bool, int, float, complex, str, bytes, type(...))
#: Containers within containers that are looked into; what lies deeper is compared by its class.
_DEPTH: Final = 20


class Frozen(tuple[Any, ...]):
    """A value that was put into a form that can be compared and hashed: what it was made of, with
    the kind in front."""

    __slots__ = ()

    def __repr__(self) -> str:
        kind, *rest = self
        inner = ", ".join(map(repr, rest))
        return {"list": f"[{inner}]", "set": f"{{{inner}}}"}.get(kind, f"{kind}({inner})")


class ByEquality:
    """A value that has an equality and no hash."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByEquality) and bool(self.value == other.value)

    def __hash__(self) -> int:
        return hash(type(self.value).__qualname__)

    def __repr__(self) -> str:
        return repr(self.value)


class InAnyOrder:
    """A result of a model: these items, in a list, a set or a view, in whatever order."""

    def __init__(self, items: Iterable[Any]) -> None:
        self.items = [freeze(item) for item in items]

    def __eq__(self, other: object) -> bool:
        rest = list(self.items)
        if not isinstance(other, Frozen):
            return False
        kind, *found = other
        if kind in ("set", "mapping"):
            found = list(found[0])
        for one in found:
            if one not in rest:
                return False
            rest.remove(one)
        return not rest

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{self.items!r} in any order"


def snapshot(value: Any, depth: int = 0) -> Any:
    """``value`` as it is now: containers of Python's own are copied, with those inside; views
    become lists. Everything else is kept."""
    if depth > _DEPTH:
        return value
    if isinstance(value, MappingView):
        return [snapshot(one, depth + 1) for one in list(value)]  # type: ignore[call-overload]
    kind = type(value)
    if kind is dict:
        return {key: snapshot(one, depth + 1) for key, one in list(value.items())}
    if kind in (list, tuple, set, frozenset):
        return kind(snapshot(one, depth + 1) for one in list(value))
    if kind is deque:
        return deque((snapshot(one, depth + 1) for one in list(value)), value.maxlen)
    return value


def freeze(
    value: Any, ignore: frozenset[str] = frozenset(), by_class: bool = False, depth: int = 0
) -> Any:
    """``value`` in a form that can be compared and hashed.

    Lists and tuples by their items, dictionaries and sets without an order, exceptions by their
    type, everything else by its own equality. Items, fields and attributes that are called like one
    of ``ignore`` are left out, wherever they are (of objects: where they are dataclasses, named
    tuples or have a ``__dict__`` and no equality of their own). What is frozen stays as it is.
    """
    if isinstance(value, (Frozen, ByEquality, InAnyOrder)) or type(value) in _PLAIN:
        return value
    if depth > _DEPTH:
        return Frozen(("deep", type(value).__qualname__))

    def inner(one: Any) -> Any:
        return freeze(one, ignore, by_class, depth + 1)

    def named(kind: str, pairs: Any) -> Frozen:
        return Frozen((kind, frozenset((name, inner(one)) for name, one in pairs)))

    if isinstance(value, BaseException):
        return Frozen(("exception", type(value).__qualname__))
    names = getattr(value, "_fields", None)
    if isinstance(value, tuple) and isinstance(names, tuple) and ignore.intersection(names):
        pairs = zip(names, value, strict=True)
        return named(type(value).__qualname__, [one for one in pairs if one[0] not in ignore])
    if isinstance(value, (list, tuple, deque)):
        return Frozen(("tuple" if isinstance(value, tuple) else "list", *map(inner, value)))
    if isinstance(value, Mapping):
        return Frozen((
            "mapping",
            frozenset(
                (inner(key), inner(one)) for key, one in list(value.items())
                if not (isinstance(key, str) and key in ignore)
            ),
        ))  # fmt: skip
    if isinstance(value, Set):
        return Frozen(("set", frozenset(map(inner, value))))
    if ignore and is_dataclass(value) and not isinstance(value, type):
        kept = [one.name for one in fields(value) if one.name not in ignore]
        return named(type(value).__qualname__, [(name, getattr(value, name)) for name in kept])
    kind = type(value)
    own = getattr(value, "__dict__", None)
    if ignore and _by_identity(kind) and isinstance(own, dict) and ignore & own.keys():
        return named(kind.__qualname__, [pair for pair in own.items() if pair[0] not in ignore])
    if by_class and _by_identity(kind) and not isinstance(value, type):
        return Frozen(("object", kind.__qualname__, getattr(value, "__qualname__", "")))
    try:
        hash(value)
    except TypeError:
        return ByEquality(value)
    return value


def _by_identity(kind: type) -> bool:
    """Whether objects of a class have no equality of their own."""
    equality: Any = kind.__eq__
    return equality is object.__eq__


def told(value: Any, most: int = 40) -> str:
    """A value in a line of text, not longer than ``most`` characters."""
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{type(value).__name__} whose repr raises {type(error).__name__}>"
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 3]}..."
