"""What the code of a program names, before any of it has run.

Asked are the given functions, and functions and classes of the program's own modules that these
name, and so on, of classes the methods by whose names anything is called: so the answer is the same
in any process that has loaded them.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Mapping
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from tracelock.instrument.account.extensions import in_c, module_of, named
from tracelock.instrument.contexts import class_line, class_names, identity


class CodeReach:
    """``in_c``: packages written in C, ``ctypes`` and the like, that are named; ``objects``: what
    is named, or held by closures, and is no code. ``own``: tells the program's own modules."""

    def __init__(self, functions: Iterable[Any], own: Callable[[str], bool]) -> None:
        self.in_c: dict[str, None] = {}
        self.objects: list[Any] = []
        self._own = own
        self._seen: dict[int, Any] = {}
        self._todo: list[Any] = []
        self._named: set[str] = set()
        self._waiting: dict[str, list[Any]] = {}  # what classes have by names that nobody has named
        for function in functions:
            self._unwrap(function)
        while self._todo:
            value = self._todo.pop()
            if identity(value) not in self._seen:
                self._seen[identity(value)] = value
                self._look(value)

    def _unwrap(self, work: Any) -> None:
        """A given function is the program's own, whatever module it says it is of."""
        while isinstance(work, (functools.partial, MethodType)):
            self._look(work)
            work = work.func if isinstance(work, functools.partial) else work.__func__
        if type(work) is FunctionType:
            self._seen[identity(work)] = work
            self._look_at_function(work)
        else:
            self._todo.append(work)

    def _look(self, value: Any) -> None:
        if of := in_c(value):
            self.in_c.setdefault(of)
        cls = type(value)
        if cls is FunctionType:
            module: object = value.__module__
            if type(module) is str and self._own(module):
                self._look_at_function(value)
        elif issubclass(cls, type):
            if self._own(module_of(value)):
                self._look_at_class(value)
        elif cls is MethodType:
            self._todo += (value.__func__, value.__self__)
        elif cls is functools.partial:
            self._todo += (value.func, *value.args, *value.keywords.values())
        elif cls is staticmethod or cls is classmethod:
            self._todo.append(value.__func__)
        elif cls is property:
            self._todo += (value.fget, value.fset, value.fdel)
        elif not issubclass(cls, ModuleType):
            self.objects.append(value)
            if cls is functools.cached_property:
                self._todo.append(value.func)
            elif cls is functools._lru_cache_wrapper:
                self._todo.append(getattr(value, "__wrapped__", None))
            self._todo.append(cls)

    def _look_at_class(self, cls: type) -> None:
        self._todo += class_line(cls)[1:]
        for name, part in list(class_names(cls).items()):
            if name in self._named or name.startswith("__"):  # the interpreter calls these
                self._todo.append(part)
            else:
                self._waiting.setdefault(name, []).append(part)

    def _look_at_code(self, code: CodeType, names: Mapping[str, Any]) -> None:
        self._todo += named(code, names)
        for name in code.co_names:
            self._named.add(name)
            self._todo += self._waiting.pop(name, ())
        for inner in code.co_consts:
            if type(inner) is CodeType:
                self._look_at_code(inner, names)

    def _look_at_function(self, function: FunctionType) -> None:
        self._look_at_code(function.__code__, function.__globals__)
        for cell in function.__closure__ or ():
            with contextlib.suppress(ValueError):
                self._todo.append(cell.cell_contents)
        self._todo += (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
        wrapped = function.__dict__.get("__wrapped__")
        if wrapped is not None:
            self._todo.append(wrapped)
