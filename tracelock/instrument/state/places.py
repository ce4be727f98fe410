"""Whose state is looked after: that of the program's own modules, not of libraries."""

from __future__ import annotations

import functools
import sys
import sysconfig
from collections.abc import Callable, Sequence
from itertools import compress
from operator import not_
from types import ModuleType
from typing import Any, Final

from tracelock.instrument.contexts import class_names

#: Modules whose state is the tool's or the test runner's own.
_TOOLS: Final = frozenset({"tracelock", "pytest", "_pytest", "pluggy", "conftest", "xdist"})
#: Classes of the standard library, written in Python, whose objects hold what the program put in.
_PLAIN: Final = frozenset({
    "collections", "types", "threading", "queue", "unittest.mock", "asyncio.locks",
    "asyncio.queues", "weakref", "argparse",
})  # fmt: skip


@functools.cache
def _library_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    wanted = ("stdlib", "platstdlib", "purelib", "platlib")
    return tuple(dict.fromkeys(f"{paths[one].rstrip('/')}/" for one in wanted if one in paths))


@functools.cache
def _in_library(path: str) -> bool:
    return path.startswith(_library_folders()) or "/site-packages/" in path


#: Of the standard library nothing is put back: it knows which threads there are.
_NOT_OWN: Final = _TOOLS | sys.stdlib_module_names


def own_modules(covers: Callable[[str], bool]) -> dict[str, ModuleType]:
    """The modules of the program: those that are covered, and whatever else lies in no library
    and is no other test's, by their names."""
    found = {}
    items = list(sys.modules.items())
    tops = [name.partition(".")[0] for name, _ in items]
    others = map(not_, map(_NOT_OWN.__contains__, tops))
    for name, module in compress(items, others):
        if type(module) is not ModuleType:
            continue
        path = module.__dict__.get("__file__")
        first_party = type(path) is str and not _in_library(path) and not _is_of_tests(name)
        if covers(name) or first_party or (name == "__main__" and path is None):
            found[name] = module
    return found


def _is_of_tests(name: str) -> bool:
    """Whether a module of this name holds tests, which other tests do not use: there may be
    hundreds of them in a process."""
    last = name.rpartition(".")[2]
    return last.startswith("test_") or last.endswith("_test")


def home_of(work: Any) -> str:
    """The name of the module of a function, or of what it is made of."""
    while isinstance(work, functools.partial):
        work = work.func
    return str(getattr(work, "__module__", None))


def covering(modules: Sequence[str]) -> Callable[[str], bool]:
    """Whether a name is that of one of these modules, or of one below it."""
    whole, below = frozenset(modules), tuple(f"{name}." for name in modules)
    return lambda name: name in whole or name.startswith(below)


def plain_class(cls: type) -> bool:
    """Whether objects of this class of the standard library hold what the program put in."""
    module: Any = class_names(cls).get("__module__")
    return type(module) is str and module in _PLAIN
