"""Small questions to code, objects and threads, none of which runs the program's code."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterable
from types import CodeType, FrameType
from typing import Any, Final

from tracelock.instrument.account.known import is_standard
from tracelock.instrument.account.profiling import OWN_FOLDER

_FAST: Final = inspect.CO_OPTIMIZED | inspect.CO_NEWLOCALS


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


def is_fast(code: CodeType) -> bool:
    """Whether it is that of a function, whose variables are in no namespace."""
    return code.co_flags & _FAST == _FAST


def locals_of(frame: FrameType) -> dict[str, Any]:
    """The variables of a function; nothing of a module or the body of a class, which have them in
    a namespace of their own."""
    if not is_fast(frame.f_code):
        return {}
    held = frame.f_locals
    found = dict(held)
    if type(held) is dict:
        held.clear()  # the frame's copy, which would keep what is in it alive
    return found


def cached_codes(caches: Iterable[Any]) -> list[tuple[CodeType, Any]]:
    """Those of functions outside of the standard library, but for our own: the code of each, and
    the cache."""
    found = []
    for cache in caches:
        function = getattr(cache, "__wrapped__", None)  # C code may make one without it
        code = getattr(function, "__code__", None)
        if code is None or code.co_filename.startswith(OWN_FOLDER):
            continue
        if not is_standard(getattr(function, "__module__", None) or ""):
            found.append((code, cache))
    return found
