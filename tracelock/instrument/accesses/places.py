"""The owners of variables that are no attributes of an object: globals and closures."""

from __future__ import annotations

import sys
from types import ModuleType


class Home:
    """The module whose globals some code uses, found when it is needed.

    A module that is not in ``sys.modules`` (loaded by its path, then dropped) is replaced by this.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def module(self) -> ModuleType | Home:
        return sys.modules.get(self.name) or self

    def __repr__(self) -> str:
        return f"<globals of {self.name}>"


class Closure:
    """The variables of ``function`` that functions inside it share and that are rebound.

    One for each function in the source, not for each call of it: two closures of one function
    count as one place, which adds points but loses none.
    """

    __slots__ = ("file", "function")

    def __init__(self, file: str, function: str) -> None:
        self.file = file
        self.function = function

    def __repr__(self) -> str:
        return f"<variables of {self.function} in {self.file}>"
