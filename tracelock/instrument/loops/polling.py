"""A selector that is created when a file is to be watched, and never waits."""

from __future__ import annotations

import selectors
from collections.abc import Mapping
from typing import Any


class Polling(selectors.BaseSelector):
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

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self.real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self.real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self.real.modify(fileobj, events, data)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return [] if self._real is None else self._real.select(0)

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        if self._real is None:
            raise KeyError(f"{fileobj!r} is not registered")
        return self._real.get_key(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return {} if self._real is None else self._real.get_map()

    def close(self) -> None:
        if self._real is not None:
            self._real.close()
            self._real = None
