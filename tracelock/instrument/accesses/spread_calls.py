"""What is called with ``*args`` or ``**keywords``: the interpreter names it where these are none.

"print() argument after * must be an iterable, not int": that is the name of what stands there,
which has to be that of what the program calls.
"""

from __future__ import annotations

import functools
from typing import Any

from tracelock.instrument.accesses import hooks
from tracelock.instrument.accesses.stand_ins import Later
from tracelock.instrument.contexts import contexts, identity, on_behalf
from tracelock.instrument.rewrite.sites import Site


class NamedCall(functools.partial[Any]):
    """One of ours, with the name of the callable that it calls, its first argument."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.args[0], name)

    def __str__(self) -> str:
        return str(self.args[0])


def _named(function: Any) -> Any:
    if type(function) is not functools.partial or not function.args:
        return function
    if identity(getattr(function.func, "__code__", None)) not in on_behalf:
        return function
    found = NamedCall(function.func, *function.args, **function.keywords)
    found.__module__ = getattr(function.args[0], "__module__", None)  # type: ignore[assignment]
    return found


def calling(function: Any, site: Site) -> Any:
    """As ``hooks.calling``."""
    return _named(hooks.calling(function, site)) if contexts else function


def calling_any(function: Any, site: Site) -> Any:
    """As ``hooks.calling_any``."""
    return _named(hooks.calling_any(function, site)) if contexts else function


def method(obj: Any, name: str, site: Site) -> Any:
    """As ``hooks.method``."""
    found = hooks.method(obj, name, site)
    return Later(_named(found.call)) if type(found) is Later else found
