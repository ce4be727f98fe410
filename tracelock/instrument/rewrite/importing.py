"""The finder that stands first while modules are instrumented: what is imported is rewritten."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from importlib.abc import Loader
else:
    Loader = object  # that module imports six others, for nothing that is needed here


class RewritesModules(Protocol):
    """What says which modules are rewritten, and does it."""

    def wanted(self, name: str, path: str | None) -> bool:
        """Whether the module of this name, with this source file, is to be rewritten."""

    def load(self, module: ModuleType, loader: Loader) -> None:
        """Run the body of a module that is being imported, rewritten where that can be done."""


@dataclass(eq=False)
class RewritingFinder:
    """First in ``sys.meta_path``: the other finders find, only the loader is another one."""

    _rewriter: RewritesModules

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] == "tracelock":
            return None
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            if finder is self or find is None:
                continue
            spec: ModuleSpec | None = find(name, path, target)
            if spec is None:
                continue
            loader = spec.loader
            if (
                loader is not None and hasattr(loader, "exec_module")
                and self._rewriter.wanted(name, spec.origin)
            ):  # fmt: skip
                spec.loader = RewritingLoader(loader, self._rewriter)
            return spec
        return None


@dataclass(eq=False)
class RewritingLoader(Loader):
    """The module's own loader, which it becomes again, except that it runs rewritten code."""

    _real: Loader
    _rewriter: RewritesModules

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._real
        module.__loader__ = self._real
        self._rewriter.load(module, self._real)

    def load_module(self, fullname: str) -> ModuleType:
        from importlib.abc import Loader

        return Loader.load_module(self, fullname)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)
