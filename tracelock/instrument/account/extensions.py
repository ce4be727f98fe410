"""What is written in C and is not the interpreter's own, so that it may end the process.

Each answer depends on the value or the code asked about alone, not on what else is loaded.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterator, Mapping
from importlib.machinery import EXTENSION_SUFFIXES
from types import (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    CodeType,
    FunctionType,
    MethodDescriptorType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any, Final

from tracelock.instrument.accesses.containers import ALONE, KEEPING_STATE_IN_C, LINKED
from tracelock.instrument.account.known import CONTROLLED, is_hidden, is_standard, root_of
from tracelock.instrument.account.looks import namespace
from tracelock.instrument.contexts import class_line, class_names, identity

#: Why nothing is proved of what calls one.
EXTENSION: Final = "an extension module in C"
#: Modules by which Python calls any function of C.
_FOREIGN: Final = frozenset({"ctypes", "_ctypes", "cffi", "_cffi_backend"})
#: Of the standard library, where objects may be of the memory of others.
_OF_MEMORY: Final = frozenset({"_ctypes", "ctypes", "mmap", "_pickle", "pickle"})
_SUFFIXES: Final = tuple(EXTENSION_SUFFIXES)
#: What a class has of its own only if it was made in C.
_OF_C: Final = (MethodDescriptorType, WrapperDescriptorType, ClassMethodDescriptorType)
_MADE_AT_RUN_TIME: Final = 1 << 9  # Py_TPFLAGS_HEAPTYPE
_IMPORT: Final = dis.opmap["IMPORT_NAME"]
_flags: Final[Any] = type.__dict__["__flags__"].__get__
_said: Final[Any] = type.__dict__["__module__"].__get__


def module_of(cls: type) -> str:
    """The module that a class is said to be of."""
    try:
        found = _said(cls)
    except AttributeError:
        return ""
    return found if type(found) is str else ""


def package(module: object) -> str:
    """The package of a module that is written in C, "" where nothing is to be feared from it."""
    if type(module) is not str:
        return ""
    root = root_of(module)
    if root in _FOREIGN:
        return "cffi" if "cffi" in root else "ctypes"
    return "" if is_standard(root) or root in CONTROLLED else root


def in_c(value: Any) -> str:
    """The package, written in C, that a module, function or class is of, or an object's class; ""
    where it is not. Runs no code of the program's."""
    cls = type(value)
    if issubclass(cls, ModuleType):
        names = namespace(value)
        path, name = names.get("__file__"), names.get("__name__")
        extension = type(path) is str and path.endswith(_SUFFIXES)
        return package(name) if extension or _is_foreign(name) else ""
    if cls is FunctionType:
        return package(value.__module__) if _is_foreign(value.__module__) else ""
    if cls is BuiltinFunctionType:
        if type(value.__module__) is str:
            return package(value.__module__)
        owner = value.__self__
        return "" if owner is None or type(owner) is cls else in_c(owner)
    for base in class_line(value if issubclass(cls, type) else cls):
        found = package(module_of(base))
        if found and _made_in_c(base):
            return found
    return ""


def keeps_state_in_c(type_: type) -> str:
    """Whether what objects of a type hold is known to its own code in C alone, as
    ``containers.is_opaque`` says it. Not so of what is called, or awaited."""
    if issubclass(type_, (type, BaseException, ModuleType)) or not _made_in_c(type_):
        return ""
    names = ("__call__", "__await__")
    if not is_hidden(type_) or any(
        name in class_names(base) for base in class_line(type_) for name in names
    ):
        return ""
    module = module_of(type_)
    return LINKED if package(module) or root_of(module) in _OF_MEMORY else ALONE


KEEPING_STATE_IN_C.append(keeps_state_in_c)


def _is_foreign(module: object) -> bool:
    return type(module) is str and module in _FOREIGN


def _made_in_c(cls: type) -> bool:
    if module_of(cls) in _FOREIGN or not _flags(cls) & _MADE_AT_RUN_TIME:
        return True
    return any(
        part.__objclass__ is cls
        for part in list(class_names(cls).values())
        for kind in _OF_C
        if type(part) is kind  # which asks no metaclass
    )


def named(code: CodeType, names: Mapping[str, Any], imported: bool = False) -> Iterator[Any]:
    """The values that code names: globals, and what modules among them have by names that are in
    the code too. ``imported``: it has run, and so what it imports is there."""
    found = [names[name] for name in code.co_names if name in names]
    if imported and _IMPORT in code.co_code[::2]:
        found += [
            sys.modules[each.argval]
            for each in dis.get_instructions(code)
            if each.opname == "IMPORT_NAME" and each.argval in sys.modules
        ]
    seen = set()
    while found:
        value = found.pop()
        yield value
        if issubclass(type(value), ModuleType) and identity(value) not in seen:
            seen.add(identity(value))
            inside = namespace(value)
            found += [inside[name] for name in code.co_names if name in inside]


class UsedInC:
    """``found``: the packages written in C, ``ctypes`` and the like, that workers were seen to
    use."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self._classes: dict[int, tuple[type, str]] = {}
        #: Code of the program that workers ran in this schedule, with its globals.
        self.ran: list[tuple[CodeType, Mapping[str, Any]]] = []

    def runs(self, code: CodeType, names: Mapping[str, Any]) -> None:
        """A worker runs code that has these globals."""
        self.ran.append((code, names))

    def has(self, obj: object) -> str:
        """A worker has this object, or calls a method of it. Returns the package in C that it is
        of, "" for none."""
        cls = type(obj)
        known = self._classes.get(identity(cls))
        if known is None:
            known = self._classes[identity(cls)] = cls, in_c(cls)
        if known[1]:
            self.found.add(known[1])
        return known[1]

    def calls(self, module: str) -> None:
        """A worker calls a function of this module, which is written in C."""
        if of := package(module):
            self.found.add(of)

    def end(self) -> None:
        """The schedule is over: what its code names and imports is there."""
        for code, names in self.ran:
            self.found.update(filter(None, map(in_c, named(code, names, imported=True))))
        self.ran.clear()
        self._classes.clear()
