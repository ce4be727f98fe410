"""Values for arguments, as texts: small domains, so that calls of two workers meet.

A parameter's name says more than its hint (``key: Any``), so it is asked first. The order of a
table is the order in which it is tried. What a user registers is asked before both.
"""

from __future__ import annotations

import collections.abc as containers
import inspect
import re
import types
import typing
from collections.abc import Sequence
from typing import Any, Final, cast


class NoArgument(Exception):
    """Nothing is known of a parameter; its name."""


_KEYS: Final = ("'a'", "'b'")
#: What a parameter's name says.
BY_NAME: Final = (
    (r"^(key|k|name|item_id|id|topic|sender|path|endpoint|identifier|resource)$", _KEYS),
    (r"^(keys|names)$", ("['a', 'b']",)),
    (r"^(item|value|val|x|obj|object|element|elem|v|data)$", ("1", "2")),
    (r"^(amount|n|count|num|size|amt|delta|weight|tokens|permits)$", ("1",)),
    (r"^(index|i|pos|position)$", ("0",)),
    (r"^(func|fn|callback|f|function|callable|wrapped|receiver|listener|target|factory)$",
     ("give_seven",)),
    (r"^(maxsize|max_size|maxlen|max_len|capacity|limit|max_items|total_tokens|max_rate|parties|"
     r"bound|burst)$", ("2",)),
    (r"^(other|mapping|E|m|d|dict)$", ("{'b': 3}",)),
    (r"^(iterable|iter|items|seq|values|elements|objects)$", ("[1, 2]",)),
    (r"^(message|msg|text|documentation|doc|title)$", ("'m'",)),
    (r"^(seconds|max_age_seconds|expiry|ttl|timeout|period|interval|time_period|rate)$", ("60",)),
    (r"^(exc|exception|error)$", ("ValueError",)),
)  # fmt: skip
#: Optional parameters of which there is one more call with another value.
OPTIONAL: Final = {"default": ("9",), "block": ("False",), "blocking": ("False",)}
#: Calls of methods in C that do not tell their arguments.
BUILTIN_CALLS: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "append": (("1",), ("2",)), "appendleft": (("1",), ("2",)), "extend": (("[1, 2]",),),
    "extendleft": (("[1, 2]",),), "pop": ((),), "popleft": ((),), "remove": (("1",),),
    "count": (("1",),), "index": (("1",),), "insert": (("0", "3"),), "rotate": (("1",),),
    "reverse": ((),), "clear": ((),), "copy": ((),), "keys": ((),), "values": ((),),
    "items": ((),), "popitem": ((),), "get": (("'a'",),), "setdefault": (("'a'", "1"),),
    "update": (("{'b': 3}",),), "add": (("1",), ("2",)), "discard": (("1",),),
    "put": (("1",), ("2",)), "acquire": ((), ("False",)), "release": ((),), "locked": ((),),
    "move_to_end": (("'a'",),), "cache_info": ((),), "cache_clear": ((),), "__call__": (("1",),
    ("2",)), "sort": ((),), "elements": ((),), "most_common": ((),),
}  # fmt: skip
_BY_TYPE: Final[dict[Any, tuple[str, ...]]] = {
    int: ("1", "2"), str: _KEYS, float: ("1.0",), bool: ("True", "False"), bytes: ("b'a'",),
    object: _KEYS, Any: _KEYS, list: ("[1, 2]",), dict: ("{'b': 3}",), set: ("{1, 2}",),
    tuple: ("(1, 2)",), type(None): ("None",), typing.Hashable: _KEYS,
}  # fmt: skip
_BY_ORIGIN: Final = (
    (containers.Callable, ("give_seven",)),
    (containers.Mapping, ("{'b': 3}",)),
    (containers.Set, ("{1, 2}",)),
    (tuple, ("(1, 2)",)),
    (containers.Iterable, ("[1, 2]",)),
)


def domain(name: str, hint: Any) -> Sequence[str]:
    """Texts of values for a parameter. Raises NoArgument where nothing is known of it."""
    for pattern, found in BY_NAME:
        if re.search(pattern, name):
            return found
    known = _by_hint(hint)
    if known is None:
        raise NoArgument(name)
    return known


def _by_hint(hint: Any) -> Sequence[str] | None:
    if hint is inspect.Parameter.empty:
        return None
    try:
        if hint in _BY_TYPE:
            return _BY_TYPE[hint]
    except TypeError:
        return None
    if isinstance(hint, typing.TypeVar):
        return _KEYS
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return [repr(one) for one in inner[:2]]
    if origin in (typing.Union, types.UnionType):
        found = [known for one in inner if (known := _by_hint(one)) is not None]
        return found[0] if found else None
    if origin is typing.Annotated:
        return _by_hint(inner[0])
    kinds: tuple[Any, ...] = (origin, hint)
    for kind in kinds:
        if isinstance(kind, type):
            for base, texts in _BY_ORIGIN:
                if issubclass(kind, cast(type, base)):
                    return texts
    return None
