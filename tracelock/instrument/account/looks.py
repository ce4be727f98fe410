"""Small questions to code, objects and threads, none of which runs the program's code."""

from __future__ import annotations

import dis
import inspect
import time
from collections.abc import Iterable, Iterator
from types import CodeType
from typing import Any

from tracelock.instrument.account.known import is_standard


def processor_time(ident: int) -> int | None:
    """What a thread has had of the processor, in ms; None where that cannot be told."""
    try:
        return time.clock_gettime_ns(time.pthread_getcpuclockid(ident)) // 1_000_000
    except (AttributeError, OSError):
        return None


def namespace(obj: object) -> dict[str, Any]:
    try:
        found = object.__getattribute__(obj, "__dict__")
    except AttributeError:
        return {}
    return found if type(found) is dict else {}


def cache_name(cache: Any) -> str:
    return f"functools.lru_cache of {getattr(cache, '__qualname__', '?')}"


def is_socket(obj: object) -> bool:
    return any(base.__name__ == "socket" and base.__module__ in ("_socket", "socket")
               for base in type(obj).__mro__)  # fmt: skip


def is_real_socket(network: Any, obj: Any) -> bool | None:
    """Whether this is a real socket, or a file that is made of one; False for one of the run's own
    ``network``, which is under control, None for anything else."""
    if type(obj).__name__ == "SocketIO" and type(obj).__module__ == "socket":
        obj = getattr(obj, "_sock", None)
        if obj is None:
            return False  # it is closed
    if not is_socket(obj):
        return None
    return network is None or not network.keeps(obj)


def parameters(code: CodeType) -> tuple[str, ...]:
    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    return (*code.co_varnames[:count], *code.co_freevars)


def rebound(code: CodeType) -> Iterator[str]:
    """The globals and variables of a closure that this code assigns or deletes."""
    free: Iterable[str] = code.co_freevars
    for each in dis.get_instructions(code):
        name, how = each.argval, each.opname
        closed = how in ("STORE_DEREF", "DELETE_DEREF") and name in free
        if closed or how in ("STORE_GLOBAL", "DELETE_GLOBAL"):
            yield str(name)


def cached_codes(caches: Iterable[Any]) -> list[tuple[CodeType, Any]]:
    """Those of functions outside of the standard library: the code of each, and the cache."""
    found = []
    for cache in caches:
        function = getattr(cache, "__wrapped__", None)  # C code may make one without it
        code = getattr(function, "__code__", None)
        if code is not None and not is_standard(getattr(function, "__module__", None) or ""):
            found.append((code, cache))
    return found
