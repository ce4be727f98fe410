"""The owners of variables that are no attributes of an object: globals and closures."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import ModuleType


@dataclass(slots=True, eq=False)
class Home:
    """The module whose globals some code uses, found when it is needed.

    A module that is not in ``sys.modules`` (loaded by its path, then dropped) is replaced by this.
    """

    name: str

    @property
    def module(self) -> ModuleType | Home:
        return sys.modules.get(self.name) or self

    def __repr__(self) -> str:
        return f"<globals of {self.name}>"


@dataclass(slots=True, eq=False)
class Closure:
    """The variables of ``function`` that functions inside it share and that are rebound.

    One for each function in the source, not for each call of it: two closures of one function
    count as one place, which adds points but loses none.
    """

    file: str
    function: str

    def __repr__(self) -> str:
        return f"<variables of {self.function} in {self.file}>"
