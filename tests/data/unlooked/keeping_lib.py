"""A library that is not looked into, with state that all who call it have, and no object of which
they are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import keeping_lib_state as unlooked_state

count = 0


def reset() -> None:
    """All as at first."""
    global count
    count = unlooked_state.level = 0
    Kept.total = Meta.made = 0
    Kept.names.clear()
    if "total" in vars(Below):
        del Below.total
    noted.times = 0  # type: ignore[attr-defined]


def increment() -> None:
    global count
    count += 1


def by_name() -> None:
    globals()["count"] += 1


def counted() -> int:
    return count


def counter() -> tuple[Callable[[], None], Callable[[], int]]:
    number = 0

    def add() -> None:
        nonlocal number
        number += 1

    return add, lambda: number


def raised() -> None:
    unlooked_state.level += 1


def current() -> int:
    return unlooked_state.level


def noted() -> None:
    noted.times += 1  # type: ignore[attr-defined]


def times() -> int:
    return getattr(noted, "times", 0)


def counting(function: Callable[..., Any]) -> Any:
    def counted(*args: Any) -> Any:
        counted.calls += 1  # type: ignore[attr-defined]
        return function(*args)

    counted.calls = 0  # type: ignore[attr-defined]
    return counted


class Meta(type):
    made = 0

    def __call__(cls, *args: Any) -> Any:
        Meta.made += 1
        return super().__call__(*args)


class Made(metaclass=Meta):
    pass


class Kept:
    total = 0
    names: ClassVar[list[int]] = []

    @classmethod
    def by_class(cls) -> None:
        cls.total += 1

    def by_type(self) -> None:
        type(self).total += 1

    def by_own_class(self) -> None:
        self.__class__.total += 1

    def by_setattr(self) -> None:
        setattr(Kept, "total", Kept.total + 1)  # noqa: B010

    def get(self) -> int:
        return self.total

    def add(self) -> None:
        self.names.append(1)

    def size(self) -> int:
        return len(self.names)

    def own(self) -> int:
        self.mine = 1
        return self.mine


class Below(Kept):
    pass
