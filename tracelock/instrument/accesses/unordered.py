"""Sets, whose order is that of hashes: of addresses, or of text, which differ from run to run.

Which item comes first is decided by no schedule then, and other orders were not tried: the account
says so. Where all items are text, numbers, enumeration members or tuples of these, looked-into code
gets them in the order of their values, so that a trace means the same in another process.
"""

from __future__ import annotations

import enum
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final

from tracelock.instrument.accesses.containers import OVER
from tracelock.instrument.contexts import Context

#: Operations that give items one after the other, whatever they are.
SHOWING_ORDER: Final = frozenset({"__iter__", OVER})
#: Functions in C that take the items of what they are given one after the other, by name; of others
#: it is not known whether they do.
TAKING_ORDER: Final = frozenset(
    {
        "OrderedDict", "accumulate", "array", "batched", "chain", "compress", "cycle", "deque",
        "dropwhile", "filterfalse", "from_iterable", "fromkeys", "groupby", "islice", "join",
        "pairwise", "permutations", "combinations", "product", "reduce", "starmap", "takewhile",
        "tee", "writelines", "zip_longest",
    }
)  # fmt: skip
_NUMBERS: Final = (int, bool, float, complex)
#: Hashes of numbers, also of their subclasses (``IntEnum``), and comparisons that run no code.
_OF_NUMBERS: Final = [vars(one)["__hash__"] for one in (int, float, complex)]
_PLAIN_HASHES: Final = [enum.Enum.__hash__, vars(int)["__hash__"], vars(str)["__hash__"]]
_PLAIN_COMPARISONS: Final = [vars(one)["__eq__"] for one in (object, int, str)]
#: Whether the hash of text is the same in every process.
_FIXED: Final = os.environ.get("PYTHONHASHSEED", "random").isdigit()
_TEXT: Final = (str, bytes)
#: No class whose hash is ours depends on an address.
_OURS: Final = __name__.partition(".")[0] + "."


def is_set(type_: type) -> bool:
    return issubclass(type_, set | frozenset)


def ordered(obj: Any, context: Context) -> Any:
    """The items of a set that are gone through, in the order of their values if there is one that
    the set itself has not; else ``obj``. What decides the order is told."""
    items = list(_plain(obj))
    if len(items) < 2 or all(map(_decided, items)):
        return obj
    names = sorted({type(item).__name__ for item in items if not _decided(item)})
    if not (_FIXED and all(map(_of_values, items))):
        context.hub.by_chance(f"the order of a set of {' and '.join(names)}")
    keys = [_key(item) for item in items]
    if None in keys:
        return obj
    return Ordered(obj, [item for _, item in sorted(zip(keys, items, strict=True), key=_first)])


def _plain(obj: Any) -> Iterable[Any]:
    return (set if issubclass(type(obj), set) else frozenset).__iter__(obj)


def _first(pair: tuple[Any, Any]) -> Any:
    return pair[0]


def _decided(item: Any) -> bool:
    """Whether its hash is the same in every run."""
    type_ = type(item)
    if type_ in _NUMBERS:
        return True
    if type_ is tuple:
        return all(map(_decided, item))
    if item is None:
        return sys.version_info >= (3, 12)  # before, it is an address
    if _is_any(type_.__hash__, _OF_NUMBERS):
        return True
    module = getattr(type_.__hash__, "__module__", None)
    return type(module) is str and module.startswith(_OURS)


def _is_any(what: object, those: list[Any]) -> bool:
    return any(what is one for one in those)


def _of_values(item: Any) -> bool:
    """Whether its hash depends on values alone."""
    type_ = type(item)
    return type_ in _TEXT or _decided(item) or (type_ is tuple and all(map(_of_values, item)))


def _key(item: Any) -> tuple[Any, ...] | None:
    """What stands for an item in the order of values, None where nothing does."""
    type_ = type(item)
    if type_ in (int, bool, float):
        return 0, "", item
    if type_ in _TEXT:
        return 1, type_.__name__, item
    if item is None:
        return 2, "", ""
    if type_ is tuple:
        keys = tuple(map(_key, item))
        return None if None in keys else (3, "", keys)
    plain = _is_any(type_.__hash__, _PLAIN_HASHES) and _is_any(type_.__eq__, _PLAIN_COMPARISONS)
    if isinstance(type_, enum.EnumType) and plain:  # asking for it runs no code of the user's
        return 4, f"{type_.__module__}.{type_.__qualname__}", item._name_
    return None


class Ordered:
    """An iterator over a set: as the set's own, with its errors where that grows, in another
    order. What was taken out meanwhile does not come."""

    __slots__ = ("_items", "_real", "_set")

    def __init__(self, obj: Any, items: list[Any]) -> None:
        self._set = obj
        self._real = iter(_plain(obj))
        self._items = iter(items)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        next(self._real)
        for item in self._items:
            if item in self._set:
                return item
        raise StopIteration

    def __length_hint__(self) -> int:
        return self._real.__length_hint__()  # type: ignore[attr-defined, no-any-return]
