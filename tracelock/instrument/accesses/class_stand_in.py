"""What takes the place of a class by a name: it makes other objects, and is that class otherwise.

``queue.SimpleQueue`` is called, but also asked ``isinstance``, subscripted (``SimpleQueue[int]``),
derived from and put into unions: a function can do the first of these alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


class ClassStandIn:
    """``function`` is called in place of the class that it wraps (``__wrapped__``). ``base``: what
    classes get that derive from it, where that is another one."""

    __slots__ = ("base", "function", "made")

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function: Any = function
        self.base: type | None = None
        #: The types of what it has given so far, but for the class itself: who has a reference to
        #: an original is looked for as each exploration begins.
        self.made: tuple[type, ...] = ()

    def __call__(self, /, *args: Any, **keywords: Any) -> Any:
        found = self.function(*args, **keywords)
        if type(found) is not self.function.__wrapped__ and type(found) not in self.made:
            self.made = (*self.made, type(found))
        return found

    @property  # type: ignore[misc]  # inspect.isclass() is told about the class
    def __class__(self) -> type:
        return type(self.function.__wrapped__)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.function.__wrapped__, name)

    def __getitem__(self, parameters: Any) -> Any:
        return self.function.__wrapped__[parameters]

    def __or__(self, other: Any) -> Any:
        return self.function.__wrapped__ | other

    def __ror__(self, other: Any) -> Any:
        return other | self.function.__wrapped__

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return (self.base or self.function.__wrapped__,)

    def __instancecheck__(self, obj: object) -> bool:
        return isinstance(obj, self._classes())

    def __subclasscheck__(self, cls: type) -> bool:
        return issubclass(cls, self._classes())

    def _classes(self) -> tuple[type, ...]:
        own = self.function.__wrapped__, *self.made
        return own if self.base is None else (*own, self.base)

    def __repr__(self) -> str:
        return repr(self.function.__wrapped__)

    def __reduce__(self) -> Any:  # by name, as classes are
        real = self.function.__wrapped__
        return _named, (real.__module__, real.__qualname__)


def _named(module: str, name: str) -> Any:
    return getattr(sys.modules[module], name)
