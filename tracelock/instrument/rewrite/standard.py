"""Modules of the standard library: which are looked into wherever they are used, and which never.

The former define containers and caches in Python: a ``WeakValueDictionary`` is a dict with accesses
like any other. Each is rewritten only where an instrumented module has it, or something of it, by
name.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import FunctionType, ModuleType
from typing import Final

from tracelock.errors import UsageError
from tracelock.instrument.rewrite.sites import globals_of

#: Module -> those that it is made of.
_MADE_OF: Final[dict[str, tuple[str, ...]]] = {
    "weakref": ("_weakrefset", "_collections_abc"),
    "collections": ("_collections_abc",),
    "functools": (),
    "copy": (),
    "dataclasses": (),
}

#: What control itself stands on: to look into it would be to wait for oneself.
_STOOD_ON: Final = frozenset({
    # how a loop of asyncio goes on: what that means is modelled
    *(f"asyncio.{name}" for name in (
        "base_events", "base_futures", "base_subprocess", "base_tasks", "coroutines", "events",
        "futures", "proactor_events", "runners", "selector_events", "sslproto", "subprocess",
        "tasks", "transports", "trsock", "unix_events", "windows_events", "windows_utils",
    )),
    # and one of trio
    "trio._core",
    # how modules come to be, in the middle of which there are hooks
    "importlib", "_frozen_importlib", "_frozen_importlib_external", "zipimport",
})  # fmt: skip
#: What lies below one of them and is code like any other, in which modules are loaded at first use:
#: wherever workers run it, it is looked into.
BESIDE: Final = frozenset({"importlib.util"})
#: What our own hooks call: code of these is looked into by its name alone, never for ``all``.
_CALLED: Final[frozenset[str]] = frozenset({
    "ast", "dis", "inspect", "linecache", "tokenize", "token", "traceback", "opcode", "warnings",
    "sre_compile", "sre_parse", "hashlib", "sysconfig", "ctypes", "gc", "site",
})  # fmt: skip


def stood_on(name: str) -> bool:
    """Whether tracelock needs a module to be what it is, so that only its name asks for it."""
    return never(name) or name.partition(".")[0] in _CALLED


def never(name: str) -> bool:
    """Whether a module is not looked into where one above it is named."""
    if name in BESIDE:
        return False
    while name and name not in _STOOD_ON:
        name = name.rpartition(".")[0]
    return bool(name)


def refuse(name: str) -> None:
    """Raises UsageError for the name of a module that control itself stands on."""
    if never(name):
        raise UsageError(
            f"instrument: {name} cannot be looked into: tracelock's control of threads, tasks and "
            "imports stands on it, and knows what it does"
        )


def used_by(modules: Iterable[ModuleType]) -> tuple[str, ...]:
    """Those that these modules use."""
    found: set[str] = set()
    for module in modules:
        for value in list(globals_of(module).values()):
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
