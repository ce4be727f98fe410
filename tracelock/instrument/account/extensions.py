"""Which packages have extension modules in C that are not the interpreter's own: what may end a
process, or keep state that nobody sees."""

from __future__ import annotations

import contextlib
import os
import sys
import sysconfig
from collections.abc import Mapping
from importlib.machinery import EXTENSION_SUFFIXES
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any, Final

from tracelock.instrument.account.known import CONTROLLED, is_standard, root_of

_OWN: Final = tuple(
    os.path.join(path, "") for path in {
        os.path.dirname(os.__file__), sysconfig.get_path("stdlib"),
        sysconfig.get_path("platstdlib"),
    } if path
)  # fmt: skip
_LIBRARIES: Final = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_SUFFIXES: Final = tuple(EXTENSION_SUFFIXES)
#: Modules by which Python calls any function of C.
FOREIGN: Final = frozenset({"ctypes", "_ctypes", "cffi", "cffi.api", "_cffi_backend"})
#: Of the plumbing of tests: what traces a program, not what it is made of.
_PLUMBING: Final = frozenset({"coverage", "pydevd", "_pydevd_bundle", "_pydevd_frame_eval"})
_module_of: Final = type.__dict__["__module__"].__get__
_CALLABLE: Final = frozenset({BuiltinFunctionType, FunctionType})


class _Extensions:
    """The packages of extension modules that are loaded."""

    def __init__(self) -> None:
        self._looked = 0
        self._roots: frozenset[str] = frozenset()

    def roots(self) -> frozenset[str]:
        if self._looked != len(sys.modules):
            self._looked = len(sys.modules)
            self._roots = frozenset(
                root_of(name)
                for name, module in list(sys.modules.items())
                if type(module) is ModuleType
                and _is_extension(vars(module).get("__file__"))
                and root_of(name) not in _PLUMBING
            )
        return self._roots


def _is_extension(path: object) -> bool:
    if type(path) is not str or not path.endswith(_SUFFIXES):
        return False
    return not path.startswith(_OWN) or any(part in path for part in _LIBRARIES)


_extensions: Final = _Extensions()
roots: Final = _extensions.roots


def origin(value: Any) -> str:
    """The module that a value is or comes from, "" for none. Runs no code of the program's."""
    cls = type(value)
    name: Any = None
    if cls is ModuleType:
        name = vars(value).get("__name__")
    elif cls in _CALLABLE:
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
            elif root_of(of) in known and root_of(of) not in CONTROLLED:
                found.add(root_of(of))
    return found


def to_be_feared() -> bool:
    """Whether anything is loaded that workers might run through and that may end the process."""
    if roots() - _OURS:
        return True
    return any(
        names.keys() & _NAMES
        for name, module in list(sys.modules.items())
        if type(module) is ModuleType and not is_standard(name)
        and root_of(name) not in _OURS and (names := vars(module))
    )  # fmt: skip


_NAMES: Final = frozenset({"ctypes", "CDLL", "PyDLL", "cdll", "ffi", "string_at", "find_library"})
#: What tracelock, and the runner of tests, have loaded themselves.
_OURS: Final = frozenset(
    {"tracelock", "pydantic_core", "_yaml", "yaml", "_pytest", "pytest", "py", "xdist", "execnet"}
)
