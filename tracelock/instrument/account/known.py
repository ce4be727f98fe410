"""What is known of modules and types that are not looked into: tables for the account."""

from __future__ import annotations

import _io
import _thread
import ast
import collections
import contextlib
import datetime
import decimal
import enum
import functools
import itertools
import operator
import pathlib
import random
import re
import sys
import types
import weakref
from array import array
from collections.abc import Iterator
from typing import Any, Final

from tracelock.instrument.contexts import identity

#: Modules, with all below them, whose objects are under control or modelled, and the plumbing of
#: tests: what they do with shared objects is known.
CONTROLLED: Final = frozenset(
    {
        "_asyncio", "_contextvars", "_pytest", "_queue", "_thread", "_weakrefset", "abc",
        "_distutils_hack",
        "anyio", "asyncio", "concurrent", "contextlib", "contextvars", "dataclasses", "enum",
        "exceptiongroup", "fnmatch", "functools", "genericpath", "glob", "importlib", "linecache",
        "multiprocessing", "ntpath", "operator", "os", "outcome", "pathlib", "pluggy", "posixpath",
        "pytest", "queue", "re", "selectors", "shutil", "sniffio", "tempfile", "threading",
        "tokenize", "traceback", "tracelock", "trio", "typing", "types", "warnings",
        "_frozen_importlib", "_frozen_importlib_external", "zipimport", "copyreg", "codecs",
        "encodings", "hypothesis", "pytest_asyncio",
    }
)  # fmt: skip
#: Modules of pytest that put into words what an assertion that has failed was about.
SHOWING: Final = ("_pytest._io", "_pytest.assertion")
#: By which those ask what a class has (``contextlib`` from 3.15 on).
ASKING: Final = "inspect"
#: Of these it is not: it is where modules are loaded at first use, by whoever comes first.
LAZY: Final = "importlib.util"
#: Modules in C whose functions change nothing but what they are given, which hooks see.
HARMLESS: Final = frozenset(
    {
        "_abc", "_ast", "_asyncio", "_bisect", "_blake2", "_codecs", "_collections",
        "_contextvars", "_datetime", "_decimal", "_functools", "_hashlib", "_heapq", "_imp", "_io",
        "_json", "_md5", "_opcode", "_operator", "_queue", "_random", "_sha1", "_sha2", "_sha256",
        "_sha3", "_sha512", "_signal", "_sre", "_stat", "_statistics", "_string", "_struct",
        "_symtable", "_thread", "_tokenize", "_tracemalloc", "_typing", "_warnings", "_weakref",
        "array", "atexit", "binascii", "builtins", "cmath", "errno", "faulthandler", "gc",
        "itertools", "marshal", "math", "posix", "sys", "time", "unicodedata", "zlib",
    }
)  # fmt: skip
#: Functions of ``posix``, ``nt`` and ``_socket`` that are not under control and need not be.
PLAIN_CALLS: Final = frozenset(
    {
        "CMSG_LEN", "CMSG_SPACE", "gethostname", "getdefaulttimeout", "htonl", "htons", "inet_aton",
        "inet_ntoa", "inet_ntop", "inet_pton", "ntohl", "ntohs", "setdefaulttimeout",
        "_exit", "_path_normpath", "cpu_count", "fspath", "get_blocking", "get_terminal_size",
        "getcwd", "getcwdb", "getegid", "geteuid", "getgid", "getlogin", "getpid", "getppid",
        "getuid", "isatty", "register_at_fork", "sched_getaffinity", "sched_yield", "strerror",
        "sysconf", "umask", "uname", "urandom", "waitstatus_to_exitcode",
    }
)  # fmt: skip
#: Modules that reach out of the process: to use them at all is not under control.
OUTSIDE: Final = frozenset(
    {
        "_ctypes", "_curses", "_dbm", "_gdbm", "_lsprof", "_multiprocessing", "_posixshmem",
        "_posixsubprocess", "_socket", "_sqlite3", "_ssl", "_winapi", "fcntl", "mmap", "readline",
        "resource", "select", "socket", "sqlite3", "ssl", "subprocess", "syslog", "termios",
    }
)  # fmt: skip
#: Types of these whose objects never change.
UNCHANGING: Final = frozenset({("sqlite3", "Row")})
#: Functions by which handlers of signals come to run, whenever the interpreter gets to it.
SIGNALLING: Final = frozenset(
    {
        ("_signal", "raise_signal"), ("_signal", "pthread_kill"), ("_signal", "alarm"),
        ("_signal", "setitimer"), ("_thread", "interrupt_main"), ("posix", "kill"),
        ("posix", "killpg"),
    }
)  # fmt: skip
#: How the modules in C are called by those who use them.
SHOWN: Final = {
    "_sqlite3": "sqlite3", "_socket": "socket", "_ssl": "ssl", "_posixsubprocess": "subprocess",
    "_ctypes": "ctypes", "_pickle": "pickle", "_dbm": "dbm", "_gdbm": "dbm",
    "posix": "os", "nt": "os",
}  # fmt: skip
#: What a loop does with the sockets that wake itself up.
WAKING: Final = frozenset(
    {"_read_from_self", "_write_to_self", "_make_self_pipe", "_close_self_pipe"}
)
#: Functions whose answer no schedule decides: module, or type, and name -> how it is told.
CHANCE: Final = {
    ("posix", "urandom"): "os.urandom", ("posix", "getrandom"): "os.getrandom",
    ("datetime", "now"): "datetime.now", ("datetime", "utcnow"): "datetime.utcnow",
}  # fmt: skip

ATOM, CONTAINER, GUARDED, OPAQUE, INSTANCE = range(5)
#: Objects that do not change, or of which nothing is shared that could.
_ATOMS: Final = (
    str, bytes, int, float, complex, type(None), type, tuple, frozenset, range, slice,
    types.FunctionType, types.MethodType, types.BuiltinFunctionType, types.ModuleType,
    types.CodeType, types.FrameType, types.TracebackType, types.CoroutineType,
    types.MappingProxyType, types.GenericAlias, types.UnionType, type(Ellipsis),
    type(NotImplemented), property, classmethod, staticmethod, super, functools.partial,
    re.Pattern, re.Match, BaseException, datetime.date, datetime.time, datetime.timedelta,
    datetime.tzinfo, decimal.Decimal, enum.Enum, pathlib.PurePath, operator.itemgetter,
    operator.attrgetter, operator.methodcaller, weakref.ref, contextlib.nullcontext,
    contextlib.suppress, types.MethodWrapperType, types.WrapperDescriptorType,
    types.MethodDescriptorType, types.ClassMethodDescriptorType, types.GetSetDescriptorType,
    types.MemberDescriptorType, types.CellType,
)  # fmt: skip
_CONTAINERS: Final = (
    list, dict, set, collections.deque, collections.OrderedDict, bytearray, array, memoryview,
)  # fmt: skip
LRU: Final = type(functools.lru_cache(abs))
_variables: Any = (lambda: sys._getframe().f_locals)()
#: The type of what gives the variables of a function, which is no dictionary from 3.13 on.
_VARIABLES: Final = () if type(_variables) is dict else (type(_variables),)
_OPAQUE: Final = (types.GeneratorType, types.AsyncGeneratorType, LRU, random.Random, _io._IOBase,
    itertools.count, *_VARIABLES)  # fmt: skip
#: Of the objects of these modules it is known what they hold, what is drawn from them, or what
#: comes of their calls.
_SEEN: Final = frozenset(
    {
        "decimal", "_decimal", "_random", "_io", "_socket", "socket", "_ssl", "ssl", "select",
        "_sqlite3", "sqlite3", "_multiprocessing", "_posixsubprocess",
    }
)  # fmt: skip
#: Types of modules that are under control otherwise, whose objects are not.
_UNGUARDED: Final = frozenset(
    {
        ("_contextvars", "Context"), ("contextlib", "_BaseExitStack"),
        ("codecs", "IncrementalDecoder"), ("codecs", "IncrementalEncoder"),
        ("codecs", "StreamReaderWriter"), ("codecs", "StreamReader"), ("codecs", "StreamWriter"),
        ("selectors", "_BaseSelectorImpl"), ("tempfile", "SpooledTemporaryFile"),
    }
)  # fmt: skip
_GUARDED: Final = (type(_thread.allocate_lock()), type(_thread.RLock()), _thread._local)


def root_of(module: str) -> str:
    """The top-level package of a module."""
    return module.partition(".")[0]


def trusted(module: str) -> bool:
    """Whether what a module does is known, and controlled."""
    return root_of(module) in CONTROLLED and module != LAZY


def is_standard(module: str) -> bool:
    """Whether a module belongs to the standard library."""
    return root_of(module) in sys.stdlib_module_names


#: What is known of classes that modules of the standard library keep, for as long as the process.
_library: Final[dict[int, tuple[type, int]]] = {}


class Kinds:
    """What objects of a type are; known by identity, since a metaclass may define ``__hash__``.
    ``silent``: types of which nothing is told where code that is looked into has an object."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[type, int]] = {}
        self.silent: set[int] = set()

    def of(self, obj: object) -> int:
        """``ATOM``, ``CONTAINER``, ``GUARDED`` (under control itself), ``OPAQUE`` (its state is
        held in C) or ``INSTANCE``."""
        cls = type(obj)
        known = self._known.get(identity(cls))
        if known is None:
            known = _library.get(identity(cls)) or (cls, _kind(cls))
            self._known[identity(cls)] = known
            if _is_of_library(cls):
                _library[identity(cls)] = known
        return known[1]


def _kind(cls: type) -> int:
    if cls is object or issubclass(cls, _ATOMS) or (_module(cls), cls.__name__) in UNCHANGING:
        return ATOM
    if cls is types.SimpleNamespace:
        return INSTANCE
    if issubclass(cls, _GUARDED):
        return GUARDED
    if issubclass(cls, _OPAQUE) and root_of(_module(cls)) not in CONTROLLED - {"functools"}:
        return OPAQUE
    if _is_unguarded(cls):
        return OPAQUE
    if trusted(_module(cls)):
        return GUARDED
    if issubclass(cls, _CONTAINERS):
        return CONTAINER
    # of a class that Python code made the module has a source; the others are C's
    for base in cls.__mro__[:-1]:
        module = sys.modules.get(_module(base))
        path = getattr(module, "__file__", None)
        if _module(base) in ("builtins", "__main__"):
            continue
        if _has_methods_in_c(base) or (
            module is not None and (path is None or not path.endswith((".py", ".pyw")))
        ):
            return (
                ATOM if root_of(_module(base)) in ("_struct", "_datetime", "_decimal") else OPAQUE
            )
    return INSTANCE


def _is_of_library(cls: type) -> bool:
    module = _module(cls)  # or any object, of a class that has a property of that name
    if type(module) is not str or not is_standard(module):
        return False
    return vars(sys.modules.get(module, sys)).get(cls.__name__) is cls


def _is_unguarded(cls: type) -> bool:
    """Whether it is a class of a module that is under control, and its objects are not."""
    return any((_module(base), base.__name__) in _UNGUARDED for base in cls.__mro__)


def in_tuples(value: object, deep: int = 3) -> Iterator[object]:
    """The objects in a tuple, and in tuples in it, of which neither the code nor the use is seen;
    that of others is, wherever they are found."""
    if type(value) is not tuple:
        return
    for one in value:
        if _is_unguarded(type(one)):
            yield one
        elif deep:
            yield from in_tuples(one, deep - 1)


def is_hidden(cls: type) -> bool:
    """Whether objects of a class are opaque, and no hook knows more of them."""
    return (
        _kind(cls) == OPAQUE
        and not issubclass(cls, _OPAQUE)
        and not _is_unguarded(cls)
        and not any(root_of(_module(base)) in _SEEN for base in cls.__mro__)
    )


def _has_methods_in_c(cls: type) -> bool:
    """Whether a class says that it is of a module in Python, and is written in C all the same."""
    return any(
        type(value) is types.MethodDescriptorType and value.__objclass__ is cls
        for value in cls.__dict__.values()
    ) and not issubclass(cls, ast.AST)


def _module(cls: type) -> str:
    found = cls.__dict__.get("__module__")
    return found if type(found) is str else type.__getattribute__(cls, "__module__") or ""
