"""Where an access stands in the source: the same place on every machine and Python version."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from itertools import compress
from pathlib import Path
from types import ModuleType
from typing import Any, Final


class Site:
    """One line of one function. ``at`` is ``file:line``, ``function`` its qualified name.

    Sites of one source are unique, so they may be compared by identity. Several accesses on a line
    share their site. ``library``: whether it is in the standard library, None until asked.
    """

    __slots__ = ("at", "file", "function", "library", "line")

    def __init__(self, file: str, line: int, function: str) -> None:
        self.file = file
        self.line = line
        self.function = function
        self.at = f"{file}:{line}"
        self.library: bool | None = None

    def __repr__(self) -> str:
        return f"<Site {self.at} {self.function}>"


class Sites:
    """The table of sites; asking twice for one place gives one site."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, str], Site] = {}
        self._functions: dict[str, str] = {}

    @property
    def all(self) -> list[Site]:
        return list(self._known.values())

    def site(self, file: str, line: int, function: str) -> Site:
        """The site of ``function`` at ``file:line``, new or known."""
        site = self._known.get((file, line, function))
        if site is None:
            site = Site(file, line, function)
            self.adopt([site])
        return site

    def adopt(self, sites: Iterable[Site]) -> None:
        """Take in the sites of a source that was rewritten for another table."""
        for site in sites:
            self._known.setdefault((site.file, site.line, site.function), site)
            self._functions.setdefault(site.at, site.function)

    def function(self, at: str) -> str | None:
        """The function at a place, the first one where several share the line."""
        return self._functions.get(at)


def stable_file(name: str, path: str | None) -> str:
    """The name of a module's file in traces: ``pkg/sub.py``, never an absolute path.

    ``name`` is the dotted name, ``path`` the source file if there is one. A module whose file
    does not end as its name says (``__main__``, a file loaded by its path) is named by the path
    below the current directory, or by its base name where it lies elsewhere.
    """
    tail = name.replace(".", "/")
    if path is None:
        return f"{tail}.py"
    posix = Path(path).as_posix()
    for end in (f"{tail}.py", f"{tail}/__init__.py"):
        if name != "__main__" and (posix == end or posix.endswith(f"/{end}")):
            return end
    try:
        below = os.path.relpath(os.path.realpath(path), os.path.realpath(os.curdir))
    except (OSError, ValueError):  # another drive, or a current directory that is gone
        return os.path.basename(path)
    below = Path(below).as_posix()
    return os.path.basename(path) if below.startswith("../") else below


#: What lies in the folder of a project.
_OF_PROJECTS: Final = (
    "pyproject.toml", "setup.py", "setup.cfg", "pytest.ini", "tox.ini", ".git", ".hg",
)  # fmt: skip


def project_root() -> str:
    """The folder of the project that the current directory is in; that itself where none is."""
    try:
        here = Path(os.path.realpath(os.curdir))
    except OSError:  # the current directory is gone
        return ""
    for folder in (here, *here.parents):
        if any((folder / name).exists() for name in _OF_PROJECTS):
            return str(folder)
    return str(here)


def path_in_project(path: str, root: str) -> str | None:
    """Where a file lies below the folder of the project, None where it does not: what is outside
    has names in its path that are nobody's business (``/home/...``)."""
    try:
        below = Path(os.path.relpath(os.path.realpath(path), root)).as_posix()
    except (OSError, ValueError):
        return None
    return None if not root or below.startswith("../") or os.path.isabs(below) else below


_identity: Final = object.__hash__
_names: Final[Any] = vars(ModuleType)["__dict__"].__get__


def globals_of(module: ModuleType) -> dict[str, Any]:
    """What a module has, without running code of its own: one that is loaded lazily stays so."""
    found: dict[str, Any] = _names(module)
    return found


def loaded(name: str) -> ModuleType | None:
    """The module of this name, None where none is: what else a program puts into ``sys.modules``
    may say of itself that it is one, and run code of its own to say so."""
    module = sys.modules.get(name)
    return module if issubclass(type(module), ModuleType) else None


def all_loaded() -> list[tuple[str, ModuleType]]:
    """The modules that there are, with the names under which they have been imported."""
    items = list(sys.modules.items())
    kinds = [type(module) for _, module in items]
    numbers = [*map(_identity, kinds)]
    each = dict(zip(numbers, kinds, strict=True))  # few, of which one is asked for hundreds
    found = {number for number, kind in each.items() if issubclass(kind, ModuleType)}
    return [*compress(items, map(found.__contains__, numbers))]


def source_path(module: ModuleType) -> str | None:
    """The source file of a loaded module; frozen ones name theirs in their spec."""
    names = globals_of(module)
    spec = names.get("__spec__")
    state = getattr(spec, "loader_state", None)
    candidates = (
        names.get("__file__"),
        getattr(state, "filename", None),
        getattr(spec, "origin", None),
    )
    for candidate in candidates:
        if isinstance(candidate, str) and candidate.endswith((".py", ".pyw")):
            return candidate
    return None


def source_of(name: str) -> str | None:
    """The source file of the module of this name, None where none is loaded or it has none."""
    module = loaded(name)
    return None if module is None else source_path(module)
