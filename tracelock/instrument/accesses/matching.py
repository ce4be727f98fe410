"""``match``: the attributes that class patterns read, and those of what these lead to.

The interpreter reads all that a pattern names in one step. ``rewrite.patterns`` says how patterns
are told.
"""

from __future__ import annotations

from typing import Any

from tracelock import ops
from tracelock.instrument.accesses.containers import holder_of
from tracelock.instrument.accesses.places import namespace_of
from tracelock.instrument.contexts import Context, identity
from tracelock.instrument.rewrite.sites import Site
from tracelock.instrument.steps import is_plain

_NOTHING: Any = object()


def read_for(obj: Any, pattern: Any, site: Site, context: Context) -> None:
    """Before ``obj`` is compared with the pattern: one step reads all that it may look at."""
    found: list[tuple[Any, str | None]] = []
    _add(obj, pattern, found, set())
    if found:
        first, name = found[0]
        context.access(ops.READ, first, name, site, None, found[1:])


def _add(
    obj: Any, pattern: Any, found: list[tuple[Any, str | None]], known: set[tuple[int, str]]
) -> None:
    if pattern is None or is_plain(obj):
        return
    kind, *rest = pattern
    if kind == "any":
        for each in rest[0]:
            _add(obj, each, found, known)
    elif kind == "items":
        _add_items(obj, rest[0], rest[1], found, known)
    elif kind == "keys":
        for key, inner in rest[0]:
            if issubclass(type(obj), dict):
                _add(dict.get(obj, key), inner, found, known)
    else:
        places = getattr(type(obj), "__match_args__", ())
        pairs = [*zip(places if type(places) is tuple else (), rest[0], strict=False), *rest[1]]
        if rest[0] and not places:  # ``list(items)``: the object itself
            _add(obj, rest[0][0], found, known)
        for name, inner in pairs:
            value = _value(obj, name)
            if value is not _NOTHING and (identity(obj), name) not in known:
                known.add((identity(obj), name))
                found.append((obj, name))
            if value is not _NOTHING:
                _add(value, inner, found, known)


def _add_items(
    obj: Any, star: int, patterns: tuple[Any, ...], found: list[tuple[Any, str | None]],
    known: set[tuple[int, str]],
) -> None:  # fmt: skip
    if not issubclass(type(obj), list | tuple):
        return
    items = list((list if issubclass(type(obj), list) else tuple).__iter__(obj))
    after = len(patterns) - star - 1
    if star >= 0:
        if len(items) < len(patterns) - 1:
            return
        items = [*items[:star], None, *(items[-after:] if after else ())]
    for each, inner in zip(items, patterns, strict=False):
        _add(each, inner, found, known)


def _value(obj: Any, name: Any) -> Any:
    """What an object has under a name in a place of its own, None where it has a place for it;
    what is not so (a property, an attribute of its class) runs code that is seen, or stays."""
    if issubclass(type(obj), type | tuple):
        return _NOTHING
    holder = holder_of(type(obj), name)
    kept = _NOTHING if holder is None else holder.__dict__[name]
    if hasattr(type(kept), "__set__") and kept is not _NOTHING:
        if not hasattr(kept, "__objclass__") or "__slots__" not in vars(kept.__objclass__):
            return _NOTHING
        try:
            return kept.__get__(obj)
        except AttributeError:
            return None
    held = namespace_of(obj)
    return held.get(name) if type(held) is dict else _NOTHING
