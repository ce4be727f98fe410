"""Sets, whose order is that of hashes: of addresses, or of text, which differ from run to run; and
contexts (`contextvars.Context`), whose order is that of the addresses of their variables.

Which item comes first is decided by no schedule then, and other orders were not tried: the account
says so. The order of a set is left alone: code in C, and code that is not looked into, would go
through the same set in another one. A context has most often several variables, and code that
copies one into another goes through it: there a loop takes them by their names and by those of
what they are set to, which are the same in every run.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextvars import Context as Variables
from contextvars import ContextVar
from typing import Any, Final

from tracelock.instrument.accesses.containers import OVER
from tracelock.instrument.contexts import Context, identity
from tracelock.trace.hashing import DRAWN, seed_here

#: Operations that give items one after the other, whatever they are, or put them into a text.
SHOWING_ORDER: Final = frozenset({"__iter__", OVER, "__repr__", "__str__", "__format__"})
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
_SETS: Final = (set, frozenset)
#: By identity, since a metaclass may define the hash of a class: the types of what the methods of a
#: context give, which can be gone through once; and that of a context.
WALKS: Final = frozenset(
    identity(type(give())) for give in (Variables().keys, Variables().items, Variables().values)
)
CONTEXTS: Final = WALKS | {identity(Variables)}
_OF_CONTEXTS: Final = "the order of a context"
_NUMBERS: Final = (int, bool, float, complex)
#: Hashes of numbers, also of their subclasses (``IntEnum``).
_OF_NUMBERS: Final = [vars(one)["__hash__"] for one in (int, float, complex)]
#: Whether the hash of text is the same in every process.
_FIXED: Final = seed_here() != DRAWN
_TEXT: Final = (str, bytes)
#: No class whose hash is ours depends on an address.
_OURS: Final = __name__.partition(".")[0] + "."


def is_hashed(type_: type) -> bool:
    """Whether what it holds, or gives, comes in an order of hashes."""
    return issubclass(type_, _SETS) or identity(type_) in CONTEXTS


def show_order(obj: Any, context: Context) -> None:
    """The items of a set are gone through: what decides their order is told."""
    if identity(type(obj)) in CONTEXTS:
        if type(obj) is not Variables or len(obj) > 1:
            context.hub.by_chance(_OF_CONTEXTS)
        return
    items = list(_plain(obj))
    if len(items) < 2:
        return
    if any(map(_has_text, items)):
        context.hub.by_hash()
    if _FIXED and all(map(_of_values, items)):
        return
    names = sorted({type(item).__name__ for item in items if not _decided(item)})
    if names:
        context.hub.by_chance(f"the order of a set of {' and '.join(names)}")


def in_order(obj: Any, context: Context) -> Any:
    """What a loop over a context, or over what its ``keys``, ``items`` or ``values`` gave, is to
    take: all of it, in an order of names. Where names do not decide, that is told."""
    items = list(obj)
    if len(items) < 2:
        return iter(items)
    if type(obj) is Variables:
        pairs = [(item, obj[item]) for item in items]
    else:
        pairs = [item if type(item) is tuple else (item, item) for item in items]
    keys = [(_name(key, context), _name(value, context)) for key, value in pairs]
    if len({*keys}) < len(keys):
        context.hub.by_chance(_OF_CONTEXTS)
    order = sorted(range(len(items)), key=keys.__getitem__)
    return iter([items[place] for place in order])


def _name(obj: Any, context: Context) -> str:
    """What tells one from another in every run: the name, or what it is."""
    type_ = type(obj)
    if type_ is ContextVar:
        return str(obj.name)
    if _is_any(type_, (*_NUMBERS, *_TEXT)):
        return repr(obj)
    known = context.hub.names.objects.get(identity(obj))
    return type_.__qualname__ if known is None else str(known.label)


def _plain(obj: Any) -> Iterable[Any]:
    return (set if issubclass(type(obj), set) else frozenset).__iter__(obj)


def _decided(item: Any) -> bool:
    """Whether its hash is the same in every run."""
    type_ = type(item)
    if _is_any(type_, _NUMBERS):
        return True
    if type_ is tuple:
        return all(map(_decided, item))
    if item is None:
        return sys.version_info >= (3, 12)  # before, it is an address
    if _is_any(type_.__hash__, _OF_NUMBERS):
        return True
    module = getattr(type_.__hash__, "__module__", None)
    return type(module) is str and module.startswith(_OURS)


def _is_any(what: object, those: Sequence[Any]) -> bool:
    return any(what is one for one in those)


def _has_text(item: Any) -> bool:
    type_ = type(item)
    return _is_any(type_, _TEXT) or (type_ is tuple and any(map(_has_text, item)))


def _of_values(item: Any) -> bool:
    """Whether its hash depends on values alone."""
    type_ = type(item)
    return (
        _is_any(type_, _TEXT) or _decided(item) or (type_ is tuple and all(map(_of_values, item)))
    )
