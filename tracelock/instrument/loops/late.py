"""Libraries of loops that are first imported while code runs under control."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from tracelock.instrument.worker import out_of_control


class LateLibraries(MetaPathFinder):
    """Calls ``loaded`` with each of these ``names`` when that has been imported: anyio imports trio
    as it is asked for it. What the library makes for itself as it is imported is its own."""

    def __init__(self, names: Iterable[str], loaded: Callable[[str], None]) -> None:
        self.names = set(names)
        self.loaded = loaded

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in self.names:
            return None
        self.names.discard(name)
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(name, path, target) if find is not None else None
            if spec is not None:
                if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                    spec.loader = LateLoader(spec.loader, self.loaded)
                return spec
        return None


class LateLoader(Loader):
    """The module's own loader, which it becomes again, and then the news."""

    def __init__(self, real: Any, loaded: Callable[[str], None]) -> None:
        self.real = real
        self.loaded = loaded

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        found: ModuleType | None = self.real.create_module(spec)
        return found

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self.real
        module.__loader__ = self.real
        with out_of_control():
            self.real.exec_module(module)
            self.loaded(module.__name__)
