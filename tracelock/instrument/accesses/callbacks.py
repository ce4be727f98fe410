"""What is written in C, and called by others than the code that is looked into.

``Thread(target=setattr, args=(obj, "x", 1))``, ``loop.call_soon(heappush, heap, 1)`` and
``map(setattr, ...)`` are given what makes the points of a call when it is called, by whatever
thread that is.
"""

from __future__ import annotations

import functools
from _thread import get_ident
from types import (
    BuiltinFunctionType,
    MethodDescriptorType,
    MethodWrapperType,
    WrapperDescriptorType,
)
from typing import Any, Final

from tracelock import ops
from tracelock.instrument.accesses import functions
from tracelock.instrument.accesses.calls import WITH_CLASS, behalf, called
from tracelock.instrument.accesses.containers import access_of, steps
from tracelock.instrument.accesses.plans import BARE
from tracelock.instrument.accesses.stand_ins import Passing
from tracelock.instrument.contexts import contexts, identity
from tracelock.instrument.rewrite.sites import Site

_BOUND: Final = (BuiltinFunctionType, WITH_CLASS, MethodWrapperType)
_IN_C: Final = (*_BOUND, MethodDescriptorType, WrapperDescriptorType)  # fmt: skip
_KINDS: Final = frozenset(map(identity, (*_IN_C, functools.partial)))
_STEPPING: Final = frozenset({"__next__", "send", "throw", "close"})
#: Functions and classes, by name, that call what they are given, or keep it to be called later.
TAKERS: Final = frozenset(
    {
        "Barrier", "Context", "ExitStack", "Process", "Thread", "ThreadPoolExecutor", "Timer",
        "add_done_callback", "add_reader", "add_signal_handler", "add_writer", "apply", "call_at",
        "call_later", "call_soon", "call_soon_threadsafe", "callback", "defaultdict", "enter",
        "enterabs", "finalize", "partial", "proxy", "push", "push_async_callback", "ref",
        "register", "run", "run_in_executor", "run_sync", "run_sync_soon", "signal",
        "start_new", "start_new_thread", "start_thread_soon", "submit", "to_thread", "wait_for",
    }
)  # fmt: skip
#: Those whose first argument is an object to look at, and no callback.
ABOUT: Final = frozenset({"finalize", "proxy", "ref"})
#: Built-in functions that are asked for where they are mentioned, whatever gets them.
MENTIONED: Final = functions.FUNCTION_NAMES | _STEPPING | frozenset(BARE) | {"next"}


class Callback(Passing):
    # A function in C that somebody else calls.

    __slots__ = ("_site",)

    def __init__(self, real: Any, site: Site) -> None:
        self._real = real
        self._site = site

    def __call__(self, /, *args: Any, **keywords: Any) -> Any:
        if contexts.get(get_ident()) is None:
            return self._real(*args, **keywords)
        return called(self._real, self._site)(*args, **keywords)


def handed(function: Any, site: Site) -> Any:
    """What to hand on for ``function``, which is called by others: the same, mostly."""
    if identity(type(function)) not in _KINDS or called(function, site) is function:
        return function
    return Callback(function, site)


def mentioned(function: Any, site: Site) -> Any:
    """The same where it is not known whether it is called at all, and by whom: what reads is seen
    where code in C gets it, by what it is given besides."""
    kind = identity(type(function))
    return Callback(function, site) if kind in _KINDS and _writes(function) else function


def _writes(function: Any) -> bool:
    type_ = type(function)
    if type_ is functools.partial:
        return identity(type(function.func)) in _KINDS and _writes(function.func)
    name = function.__name__
    if type_ in _BOUND:
        if identity(function) in functions.writers:
            return True
        of = type(function.__self__)
    else:
        of = function.__objclass__
    if name in BARE:
        return BARE[name] == ops.WRITE
    return steps(of) if name in _STEPPING else access_of(of, name) == ops.WRITE


def register() -> None:
    """What code in C applies is seen from now on."""
    functions.appliers.update((identity(type_), mentioned) for type_ in _IN_C)
    behalf(dict(vars(Callback)), globals())
