"""Linearizability by its definition: every order of the calls is tried. Uses nothing of the
package.

A call is a tuple: worker, name, args, ending ("returned", "raised", "cancelled", "pending"), value,
start, end (None: it has none). ``make`` gives the real object, on which each order is executed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

Call = tuple[str, str, tuple[Any, ...], str, Any, int, "int | None"]


def explained(calls: list[Call], make: Callable[[], Any]) -> bool:
    """Whether some order explains the calls, those without an outcome being there or not."""
    open_ended = [n for n, one in enumerate(calls) if one[3] in ("cancelled", "pending")]
    for size in range(len(open_ended) + 1):
        for gone in combinations(open_ended, size):
            kept = [n for n in range(len(calls)) if n not in gone]
            if any(_fits(calls, order, make) for order in orders(calls, kept)):
                return True
    return False


def orders(calls: list[Call], kept: list[int]) -> Iterator[list[int]]:
    """Every order in which no call comes before one that had ended when it began."""
    if not kept:
        yield []
    for n in kept:
        if all(_end(calls[other]) >= calls[n][5] for other in kept if other != n):
            for rest in orders(calls, [other for other in kept if other != n]):
                yield [n, *rest]


def _end(call: Call) -> float:
    return float("inf") if call[6] is None else call[6]


def _fits(calls: list[Call], order: list[int], make: Callable[[], Any]) -> bool:
    target = make()
    for n in order:
        _, name, args, ending, value, _, _ = calls[n]
        try:
            got: tuple[str, Any] = ("returned", getattr(target, name)(*args))
        except Waits:
            return False
        except Exception as error:
            got = ("raised", type(error).__name__)
        if ending in ("returned", "raised") and got != (ending, value):
            return False
    return True


class Waits(Exception):
    """A call that would wait, in an object that is made for this."""
