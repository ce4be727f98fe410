"""A selector that is created when a file is to be watched, and never waits."""

from __future__ import annotations

import selectors
from collections.abc import Mapping
from typing import Any


class Polling:
    """``selectors.DefaultSelector``, which costs a system call, only where it is needed."""

    def __init__(self) -> None:
        self._real: selectors.BaseSelector | None = None

    @property
    def watched(self) -> bool:
        """Whether there is any file to look at."""
        return self._real is not None and bool(self._real.get_map())

    @property
    def real(self) -> selectors.BaseSelector:
        if self._real is None:
            self._real = selectors.DefaultSelector()
        return self._real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)  # register, unregister, modify, get_key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return [] if self._real is None else self._real.select(0)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return {} if self._real is None else self._real.get_map()

    def close(self) -> None:
        if self._real is not None:
            self._real.close()
            self._real = None
