"""Sources whose syntax trees are changed before they are compiled: mutants, which no file holds.

A change goes the road of every module: it is imported, and rewritten, with the changed tree in the
place of that of its file. Lines stay what they are in the file. A change may put statements into
the tree that note that they were run (``noting``).
"""

from __future__ import annotations

import ast
import mmap
import sys
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any, Final

from tracelock.instrument.contexts import out_of_control

#: What stands in a tree for a statement that notes that it was run.
_NOTE: Final = "\0tracelock note:"
#: So many places may be noted at most.
PLACES: Final = 1 << 16
#: The last one: a condition was used without its lock.
MISUSE: Final = PLACES - 1


@dataclass(frozen=True, slots=True)
class TreeChange:
    """What is done to the tree of a module, in place. ``label`` tells it from others, in digests of
    the source that is run."""

    apply: Callable[[ast.Module], None]
    label: str


_changes: dict[str, TreeChange] = {}
#: Forked processes share it: schedules may run in one.
_noted: Any = None


def change_of(path: str) -> TreeChange | None:
    """The change of the source at this path, None where it is run as it is."""
    return _changes.get(path)


def noting(number: int, at: ast.AST) -> ast.stmt:
    """A statement, to be put into a tree, that notes that it was run."""
    return ast.copy_location(ast.Expr(ast.copy_location(ast.Constant(f"{_NOTE}{number}"), at)), at)


def note(number: int) -> None:
    """What such a statement calls."""
    _noted[number] = 1


def note_misuse() -> None:
    """A condition is used without its lock."""
    if _noted is not None:
        _noted[MISUSE] = 1


def noted(number: int) -> bool:
    """Whether the statement of this number was run, here or in a forked process."""
    return bool(_noted is not None and _noted[number])


class _Calls(ast.NodeTransformer):
    """Puts calls in the place of notes. ``mark``: the constant that stands for ``note``."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        value = node.value
        if not isinstance(value, ast.Constant) or not isinstance(value.value, str):
            return node
        if not value.value.startswith(_NOTE):
            return node
        number = ast.Constant(int(value.value[len(_NOTE) :]))
        call = ast.Call(ast.Constant(self.mark), [number], [])
        return ast.fix_missing_locations(ast.copy_location(ast.Expr(call), node))


def with_calls(tree: ast.Module, mark: str) -> ast.Module:
    """A copy of a changed tree that calls ``note``, for which the constant ``mark`` stands."""
    found: ast.Module = _Calls(mark).visit(deepcopy(tree))
    return found


class ChangingFinder:
    """In ``sys.meta_path`` before the others: what ``wanted`` gives a change for, by the name of
    the module and its file, is loaded with it. ``compiled``: makes code of a source and its path,
    see ``codes.changed_code``."""

    def __init__(
        self, wanted: Callable[[str, str], TreeChange | None],
        compiled: Callable[[bytes, str], CodeType],
    ) -> None:  # fmt: skip
        self.wanted = wanted
        self.compiled = compiled
        #: Modules that were loaded with a change, and their files.
        self.loaded: dict[str, str] = {}

    def install(self) -> None:
        """Stand first."""
        global _noted
        if _noted is None:
            _noted = mmap.mmap(-1, PLACES)
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        sys.meta_path.insert(0, self)

    def uninstall(self) -> None:
        """Change nothing any more."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        for path in self.loaded.values():
            _changes.pop(path, None)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        here = sys.meta_path.index(self) if self in sys.meta_path else -1
        for finder in sys.meta_path[here + 1 :]:  # those before this one ask it
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if find is None else find(name, path, target)
            if spec is None:
                continue
            origin = spec.origin
            if isinstance(origin, str) and origin.endswith(".py") and spec.loader is not None:
                with out_of_control():  # the program does not look at these files
                    change = self.wanted(name, origin)
                if change is not None:
                    _changes[origin] = change
                    self.loaded[name] = origin
                    spec.loader = ChangingLoader(name, origin, self.compiled)
            return spec
        return None


class ChangingLoader(SourceFileLoader):
    """Runs the code of the changed tree. Nothing of it is kept on disk."""

    def __init__(self, name: str, path: str, compiled: Callable[[bytes, str], CodeType]) -> None:
        super().__init__(name, path)
        self._compiled = compiled

    def get_code(self, fullname: str) -> CodeType:
        with out_of_control():
            return self._compiled(self.get_data(self.path), self.path)
