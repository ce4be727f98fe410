"""Modules of the standard library that are looked into wherever they are used.

They define containers and caches in Python: a ``WeakValueDictionary`` is a dict with accesses like
any other. Each is rewritten only where an instrumented module has it, or something of it, by name.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import FunctionType, ModuleType
from typing import Final

#: Module -> those that it is made of.
_MADE_OF: Final[dict[str, tuple[str, ...]]] = {
    "weakref": ("_weakrefset", "_collections_abc"),
    "collections": ("_collections_abc",),
    "functools": (),
    "copy": (),
    "dataclasses": (),
}


def used_by(modules: Iterable[ModuleType]) -> tuple[str, ...]:
    """Those that these modules use."""
    found: set[str] = set()
    for module in modules:
        for value in list(module.__dict__.values()):
            if type(value) is ModuleType:
                name = value.__name__
            elif type(value) is FunctionType or _in_python(value):
                name = value.__module__
            else:
                continue
            if name in _MADE_OF and name in sys.modules:
                found |= {name, *_MADE_OF[name]}
    return tuple(sorted(found))


def _in_python(value: object) -> bool:
    """Whether this is a class that was written in Python (``deque`` was not)."""
    return issubclass(type(value), type) and bool(value.__flags__ & 1 << 9)  # type: ignore[attr-defined]
