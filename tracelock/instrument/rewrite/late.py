"""Libraries that are first imported while code runs under control, such as asyncio and ssl."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING

from tracelock.instrument.contexts import out_of_control
from tracelock.instrument.rewrite.importing import RewritingFinder

if TYPE_CHECKING:
    from importlib.abc import Loader


class LateLibraries(RewritingFinder):
    """Calls ``loaded`` with each of these ``names`` when that has been imported: anyio imports trio
    as it is asked for it. What the library makes for itself as it is imported is its own."""

    def __init__(self, names: Iterable[str], loaded: Callable[[str], None]) -> None:
        super().__init__(self)
        self.names = set(names)
        self.loaded = loaded

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in self.names:
            return None
        self.names.discard(name)
        return super().find_spec(name, path, target)

    def close(self) -> None:
        """No longer stand among the finders. It is its own rewriter: so it dies at once."""
        sys.meta_path.remove(self)
        del self._rewriter

    def wanted(self, name: str, path: str | None) -> bool:
        return True

    def load(self, module: ModuleType, loader: Loader) -> None:
        with out_of_control():
            loader.exec_module(module)
            self.loaded(module.__name__)
