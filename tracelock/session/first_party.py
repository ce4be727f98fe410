"""Which modules are the user's own, and what else is to be looked into: what ``instrument`` says.

The user's own are those whose files lie under the root of the project. To begin with, those are
taken that the workers' modules lead to: by a module, a class, a function or an object that is in
their globals, by an import inside of a function, and so on; what workers import later, or turn out
to run, is taken in then. Not of it are what is installed (``site-packages``), the standard library,
tracelock itself, and the ``conftest`` modules of pytest.
"""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final
from weakref import WeakKeyDictionary

from tracelock.errors import UsageError
from tracelock.instrument.rewrite.sites import globals_of, loaded, source_path

#: Words that may stand for modules: no more than those that are named, and all that are executed.
ONLY: Final = "only"
ALL: Final = "all"
_LIBRARIES: Final = ("stdlib", "platstdlib")
_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
#: What lies in the root folder of a project, and nowhere else.
_MARKS: Final = ("pyproject.toml", "setup.cfg", "setup.py", "pytest.ini", "tox.ini", ".git", ".hg")


@dataclass(frozen=True, slots=True)
class Named:
    """What ``instrument`` says: ``names`` of modules; ``only`` these, or besides one's own;
    ``every`` further module that the workers execute, of which ``found`` are known already (by a
    trace)."""

    names: tuple[str, ...] = ()
    only: bool = False
    every: bool = False
    found: tuple[str, ...] = ()


def named(instrument: Sequence[str] | str | None) -> Named:
    """What is asked for: a list of modules, in which ``only`` and ``all`` are words; None for
    one's own modules, an empty list for none at all. Raises UsageError for another text."""
    if isinstance(instrument, str):
        if instrument != ALL:
            raise UsageError(
                f"instrument is a list of modules, or {ALL!r}: instrument=[{instrument!r}]"
            )
        instrument = [ALL]
    if instrument is None:
        return Named()
    given = list(instrument)
    only = not given or given[0] == ONLY
    given = given[1:] if given and only else given
    before, found = given, given[:0]
    if ALL in given:
        place = given.index(ALL)
        before, found = given[:place], given[place + 1 :]
    return Named(tuple(before), only, ALL in given, tuple(found))


def exactly(python: Mapping[str, Any]) -> list[str] | None:
    """What a trace says was instrumented: that, and nothing else."""
    modules = python.get("instrument")
    return None if modules is None else [ONLY, *modules]


def root_for(module: str) -> str | None:
    """The folder of the project that a module belongs to: the nearest one above its top-level
    package (or file) that looks like one; without such a one, the folder that it lies in. None
    where it has no file."""
    top = sys.modules.get(module.partition(".")[0])
    path = None if top is None else source_path(top)
    if path is not None:
        return _project_of(os.path.dirname(os.path.realpath(path)))
    itself = sys.modules.get(module)
    path = None if itself is None else source_path(itself)
    if path is None:
        return None
    # the top is a namespace package, which has no file and may lie in several folders: the one
    # above the module counts
    folder = os.path.dirname(os.path.realpath(path))
    for _ in range(module.count(".") - (not hasattr(itself, "__path__"))):
        folder = os.path.dirname(folder)
    return _project_of(folder)


@functools.cache
def _project_of(folder: str) -> str:
    home = os.path.realpath(os.path.expanduser("~"))
    above = folder
    while above not in (home, os.path.dirname(above)):
        if any(os.path.exists(os.path.join(above, mark)) for mark in _MARKS):
            return above
        above = os.path.dirname(above)
    return folder


@functools.cache
def _standard() -> tuple[str, ...]:
    return tuple(os.path.realpath(sysconfig.get_path(name)) + os.sep for name in _LIBRARIES)


class Project:
    """The modules whose files lie under ``root``; none without one."""

    def __init__(self, root: str | None) -> None:
        self.below = None if root is None else os.path.realpath(root).rstrip(os.sep) + os.sep
        self.standard = _standard()
        self._known: dict[str, bool] = {}

    def owns(self, name: str, path: str | None) -> bool:
        """Whether the module of this name, with this source file, is the user's own."""
        if self.below is None or path is None or not path.endswith((".py", ".pyw")):
            return False
        if name.partition(".")[0] in ("tracelock", "__main__"):
            return False
        if name.rpartition(".")[2] == "conftest":
            return False
        known = self._known.get(path)
        if known is None:
            real = os.path.realpath(path)
            known = self._known[path] = (
                real.startswith(self.below)
                and not _INSTALLED & set(real.split(os.sep))
                and not real.startswith(self.standard)
            )
        return known

    def first_party(self, modules: Iterable[str], used: Iterable[str | None] = ()) -> list[str]:
        """``modules``, and the user's own that they lead to, in the order of their finding; of
        those that are ``used`` too, if they are the user's own."""
        found = dict.fromkeys(modules)
        if self.below is None:
            return list(found)
        for name in used:
            if name is not None and self._has(name):
                found.setdefault(name)
        pending, asked = list(found), set(found)
        while pending:
            module = loaded(pending.pop(0))
            if module is None:
                continue
            for name in _names_in(module):
                if name in asked:
                    continue
                asked.add(name)
                if self._has(name):
                    found[name] = None
                    pending.append(name)
        return list(found)

    def _has(self, name: str) -> bool:
        module = loaded(name)
        return module is not None and self.owns(name, source_path(module))


def _names_in(module: ModuleType) -> Iterator[str]:
    """The modules that the globals of a module lead to, and the imports in its functions."""
    names = globals_of(module)
    own = names.get("__name__")
    for value in list(names.values()):
        kind = type(value)
        if kind is ModuleType:
            yield value.__name__
            continue
        name = value.__module__ if kind is FunctionType else _module_of(value, kind)
        if type(name) is str and name != own:
            yield name
    yield from _imported_in(module, names, own)


#: The names in the functions of a module, as long as it is as large, by the module.
_known: Final[WeakKeyDictionary[ModuleType, tuple[int, frozenset[str]]]] = WeakKeyDictionary()


def _imported_in(module: ModuleType, names: dict[str, Any], own: object) -> frozenset[str]:
    """Names that may be those of modules that functions of a module import: by a statement, or by
    ``importlib.import_module``."""
    known = _known.get(module)
    if known is None or known[0] != len(names):
        words = {word for code in _codes(names, own) for word in _words(code)}
        package = names.get("__package__")
        if package:
            words |= {f"{package}.{word}" for word in words}
        known = _known[module] = len(names), frozenset(words)
    return known[1]


_METHODS: Final = (staticmethod, classmethod)


def _codes(names: dict[str, Any], own: object) -> Iterator[CodeType]:
    """The code of the functions of a module, and of the methods of its classes."""
    for value in list(names.values()):
        kind = type(value)
        if kind is FunctionType and value.__module__ == own:
            yield value.__code__
        elif issubclass(kind, type) and _module_of(value, kind) == own:
            for one in list(type.__getattribute__(value, "__dict__").values()):
                function = one.__func__ if type(one) in _METHODS else one
                if type(function) is FunctionType:
                    yield function.__code__


def _words(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if type(constant) is str:
            if len(constant) < 100 and constant.replace(".", "").isidentifier():
                yield constant.lstrip(".")
        elif type(constant) is CodeType:
            yield from _words(constant)
        elif type(constant) is tuple:  # of ``from package import a, b``
            yield from (one for one in constant if type(one) is str)


def _module_of(value: object, kind: type) -> object:
    """The module of a class, or of the class of an object."""
    cls: Any = value if issubclass(kind, type) else kind
    return type.__getattribute__(cls, "__dict__").get("__module__")
