"""Tables: what callables in C, of which no more is known, look at what they are given."""

from __future__ import annotations

import builtins
import codecs
import copyreg
import dataclasses
import fnmatch
import posixpath
import re
import types
from types import BuiltinFunctionType, FunctionType, MappingProxyType
from typing import Final

from tracelock.instrument.contexts import identity

#: Modules whose functions and classes in C keep what they are given, or ask a frame who calls.
KEEPING: Final = frozenset(
    {
        "_abc", "_asyncio", "_contextvars", "_functools", "_imp", "_queue", "_signal", "_socket",
        "_thread", "_tracemalloc", "_typing", "_warnings", "_weakref", "asyncio", "atexit",
        "contextvars", "faulthandler", "functools", "gc", "posix", "select", "sys", "threading",
        "time", "types", "typing", "weakref",
    }
)  # fmt: skip
#: The same of the built-in ones.
ASKING: Final = frozenset(
    map(
        identity,
        (
            isinstance, issubclass, callable, id, super, property, staticmethod, classmethod,
            object, type, locals, vars, dir, eval, exec, compile, globals, __import__, input,
            open, breakpoint, getattr, hasattr, setattr, delattr, BuiltinFunctionType, slice,
            MappingProxyType, zip, map, filter, enumerate, reversed, iter, range, bool, len,
            builtins.__build_class__,
        ),
    )
)  # fmt: skip
#: Methods of these that look at an argument which may change: all others take text and numbers.
OF_TEXT: Final = frozenset(
    {"join", "format", "format_map", "translate", "maketrans", "__mod__", "from_bytes", "fromhex"}
)
TEXT: Final = (str, int, float, bool, complex, type(None))
#: Functions of the standard library, written in Python, that read what they are given as C would.
READ_ONCE: Final = frozenset(
    identity(value)
    for module in (re, types, posixpath, dataclasses, fnmatch, codecs, copyreg)
    for name, value in vars(module).items()
    if type(value) is FunctionType and name[0] != "_" and value.__module__ == module.__name__
)
#: Modules of what applies functions that it is given.
APPLYING: Final = frozenset({"itertools", "_functools", "functools"})
#: Of ``object``: what they do to attributes is seen by their name.
BARE_METHODS: Final = frozenset(
    {"__setattr__", "__delattr__", "__getattribute__", "__init__", "__new__", "__get__", "__set__",
     "__call__", "__delete__", "__set_name__", "__del__"}
)  # fmt: skip
#: Methods of ``object`` that call others, in C, of the object's own class.
OF_OBJECT: Final = frozenset(
    {"__str__", "__format__", "__ne__", "__reduce__", "__reduce_ex__", "__getstate__"}
)
