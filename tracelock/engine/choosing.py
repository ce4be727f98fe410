"""Choices of values by the program: a value is asked for by its number, from 0.

A scheduler that tries everything is offered all numbers up to ``MOST`` of them. Where there are
more it is offered a few, the first and the last among them, which is no search through all:
``offers_all`` says so. One that draws is offered every number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

#: So many values are all tried by a search that tries everything.
MOST: Final = 256
#: Of more than that, so many are.
FEW: Final = 16
#: No choice is among more values: their number is that of a list's items.
LARGEST: Final = 1 << 62


def offers_all(count: int) -> bool:
    """Whether a search that tries everything tries each of so many values."""
    return count <= MOST


def offered(count: int, systematic: bool) -> Sequence[int]:
    """The numbers below ``count`` that a scheduler may pick, in order. ``systematic``: it belongs
    to a search that tries everything."""
    if offers_all(count) or not systematic:
        return range(count)
    return sorted({1, *(place * (count - 1) // (FEW - 2) for place in range(FEW - 1))})
