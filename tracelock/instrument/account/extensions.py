"""Which packages have extension modules in C that are not the interpreter's own: what may end a
process, or keep state that nobody sees."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from importlib.machinery import EXTENSION_SUFFIXES
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any, Final

from tracelock.instrument.account.known import CONTROLLED, is_standard, root_of

_SUFFIXES: Final = tuple(EXTENSION_SUFFIXES)
#: Modules by which Python calls any function of C.
FOREIGN: Final = frozenset({"ctypes", "_ctypes", "cffi", "cffi.api", "_cffi_backend"})
#: What is under control, or traces a program and is no part of it.
_NOT_FEARED: Final = CONTROLLED | {"coverage", "pydevd", "_pydevd_bundle", "_pydevd_frame_eval"}
#: What tracelock, and the runner of tests, have loaded themselves.
_OURS: Final = frozenset({"markupsafe", "pydantic_core", "yaml", "_yaml", "xdist", "execnet"})
_IGNORED: Final = _NOT_FEARED | _OURS
#: Names under which modules have what calls functions of C.
_NAMES: Final = frozenset({"ctypes", "CDLL", "PyDLL", "cdll", "ffi", "string_at", "find_library"})
_module_of: Final = type.__dict__["__module__"].__get__


class _Loaded:
    """What is loaded: the packages that have extension modules, and whether any other module has
    names of what calls functions of C. Looked at when there are other modules than before."""

    def __init__(self) -> None:
        self._looked = 0
        self._roots: frozenset[str] = frozenset()
        self._calls = False

    def roots(self) -> frozenset[str]:
        if self._looked != len(sys.modules):
            self._looked = len(sys.modules)
            modules = [
                (root_of(name), vars(module))
                for name, module in list(sys.modules.items())
                if type(module) is ModuleType and not is_standard(name)
            ]
            self._roots = frozenset(
                root
                for root, names in modules
                if root not in _NOT_FEARED and _is_extension(names.get("__file__"))
            )
            self._calls = any(
                root not in _IGNORED and names.keys() & _NAMES for root, names in modules
            )
        return self._roots

    def to_be_feared(self) -> bool:
        """Whether anything is loaded that workers might run through and that may end the
        process."""
        return bool(self.roots() - _OURS) or self._calls


def _is_extension(path: object) -> bool:
    return type(path) is str and path.endswith(_SUFFIXES)


_loaded: Final = _Loaded()
roots: Final = _loaded.roots
to_be_feared: Final = _loaded.to_be_feared


def origin(value: Any) -> str:
    """The module that a value is or comes from, "" for none. Runs no code of the program's."""
    cls = type(value)
    name: Any = None
    if cls is ModuleType:
        name = vars(value).get("__name__")
    elif cls is FunctionType or cls is BuiltinFunctionType:
        name = value.__module__
    else:
        with contextlib.suppress(AttributeError):
            name = _module_of(value if issubclass(cls, type) else cls)
    return name if type(name) is str else ""


def extensions_of(code: CodeType, module: str, names: Mapping[str, Any]) -> set[str]:
    """What a piece of code of ``module`` names, or belongs to, that is written in C or calls any
    function in C."""
    if is_standard(module):
        return set()
    known = roots()
    found = {root_of(module)} & known
    for name in code.co_names:
        if name in FOREIGN or name in known:
            if name in names or name in sys.modules:
                found.add(name)
        elif name in names:
            of = origin(names[name])
            if of in FOREIGN:
                found.add(of)
            elif root_of(of) in known:
                found.add(root_of(of))
    return found
