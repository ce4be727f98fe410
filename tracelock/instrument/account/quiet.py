"""Calls of C of which an account is told nothing, whoever makes them or where code of loops does.

``CallRecorder._called`` is the rule; here is what follows from it for types and functions that the
program cannot make or change, so that it need not be asked again in each schedule.
"""

from __future__ import annotations

from types import BuiltinFunctionType, ModuleType
from typing import Any, Final

from tracelock.instrument.account.extensions import in_c, module_of
from tracelock.instrument.account.known import (
    ATOM,
    CHANCE,
    GUARDED,
    OUTSIDE,
    Kinds,
    root_of,
)
from tracelock.instrument.account.looks import is_socket
from tracelock.instrument.contexts import identity

#: Flags of a type: it was made while the interpreter runs; nobody can change it.
_MADE: Final = 1 << 9
_UNCHANGED: Final = 1 << 8


class Quiet:
    """By identity, what is kept alive here. ``types``: of objects whose methods in C say nothing;
    ``types_for_loops``: the same if code of loops calls them, which is trusted; ``functions``: of
    modules in C, which say nothing there. ``most``: no more of these than so many."""

    def __init__(self, most: int = 1_000) -> None:
        self._most = most
        self.types: dict[int, type] = {}
        self.types_for_loops: dict[int, type] = {}
        self.functions: dict[int, Any] = {}
        self._seen: dict[int, Any] = {}

    def learn(self, function: BuiltinFunctionType) -> None:
        """This was called, and told."""
        if len(self._seen) >= self._most:
            return
        owner = function.__self__
        if owner is None or type(owner) is ModuleType:
            if identity(function) not in self._seen:
                self._seen[identity(function)] = function
                module = function.__module__ if owner is None else owner.__name__
                if (root_of(module or "builtins"), function.__name__) not in CHANCE:
                    self.functions[identity(function)] = function
            return
        cls = type(owner)
        if identity(cls) in self._seen or not _is_fixed(cls):
            return
        self._seen[identity(cls)] = cls
        kind = Kinds().of(owner)
        if kind in (ATOM, GUARDED):
            self.types[identity(cls)] = cls
        elif not (is_socket(owner) or _reaches_out(cls) or in_c(cls)):
            self.types_for_loops[identity(cls)] = cls


def _is_fixed(cls: type) -> bool:
    """Whether a type is one of the interpreter or of a module in C, and its objects are neither
    types nor modules, of which another rule holds."""
    flags = cls.__flags__
    fixed = not flags & _MADE or flags & _UNCHANGED
    return bool(fixed) and not issubclass(cls, (type, ModuleType))


def _reaches_out(cls: type) -> bool:
    module = module_of(cls)
    return module in OUTSIDE or root_of(module) in OUTSIDE
