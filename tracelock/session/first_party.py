"""Which modules are the user's own: what is instrumented unless told otherwise.

They are those whose files lie under the root of the project, that the workers' modules lead to: by
a module, a class, a function or an object that is in their globals, and so on. Not of it are what
is installed (``site-packages``), the standard library, tracelock itself, and the ``conftest``
modules of pytest.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from types import FunctionType, ModuleType
from typing import Final

from tracelock.instrument.rewrite.sites import source_path

_LIBRARIES: Final = ("stdlib", "platstdlib")
_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})


def root_for(module: str) -> str | None:
    """The folder of the top-level package of a module, or of its file, None without one."""
    top = sys.modules.get(module.partition(".")[0])
    path = None if top is None else source_path(top)
    if path is None:
        return None
    return os.path.dirname(os.path.realpath(path))


def first_party(
    modules: Iterable[str], root: str | None, used: Iterable[str | None] = ()
) -> list[str]:
    """``modules``, and those under ``root`` that they lead to, in the order of their finding; of
    those that are ``used`` too, if they lie there."""
    found = dict.fromkeys(modules)
    if root is None:
        return list(found)
    below = os.path.realpath(root).rstrip(os.sep) + os.sep
    standard = tuple(os.path.realpath(sysconfig.get_path(name)) + os.sep for name in _LIBRARIES)
    for name in used:
        one = None if name is None else sys.modules.get(name)
        if name is not None and one is not None and _is_own(name, one, below, standard):
            found.setdefault(name)
    pending, asked = list(found), set(found)
    while pending:
        module = sys.modules.get(pending.pop(0))
        if not isinstance(module, ModuleType):
            continue
        for name in _named(module):
            if name in asked:
                continue
            asked.add(name)
            other = sys.modules.get(name)
            if isinstance(other, ModuleType) and _is_own(name, other, below, standard):
                found[name] = None
                pending.append(name)
    return list(found)


def _named(module: ModuleType) -> Iterator[str]:
    """The modules that the globals of a module lead to."""
    for value in list(module.__dict__.values()):
        kind = type(value)
        if kind is ModuleType:
            yield value.__name__
            continue
        name = value.__module__ if kind is FunctionType else _module_of(value, kind)
        if type(name) is str:
            yield name


def _module_of(value: object, kind: type) -> object:
    """The module of a class, or of the class of an object."""
    cls = value if isinstance(value, type) and issubclass(kind, type) else kind
    return type.__getattribute__(cls, "__dict__").get("__module__")


def _is_own(name: str, module: ModuleType, below: str, standard: tuple[str, ...]) -> bool:
    top, _, _ = name.partition(".")
    if top in ("tracelock", "__main__") or name.rpartition(".")[2] == "conftest":
        return False
    path = source_path(module)
    if path is None:
        return False
    real = os.path.realpath(path)
    if not real.startswith(below) or _INSTALLED & set(real.split(os.sep)):
        return False
    return not real.startswith(standard)
