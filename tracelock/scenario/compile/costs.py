"""What the operations of expressions cost, and how much of it a step and a worker may use.

A scenario comes from a stranger. Each value has a size, which is bounded (``MAX_SIZE``), and what
goes over a value is paid for by its size before it is done. So no single operation is long, and
many of them end with an error instead of going on for hours inside one step, where neither a limit
of time nor the scheduler is asked.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, Final, Protocol

MAX_BITS: Final = 4096  # of a stored whole number
#: Characters of a text; elements of a list, those of inner lists too. To write so many takes the
#: encoder of JSON, which nothing interrupts, 70 ms.
MAX_SIZE: Final = 200_000
MAX_NESTING: Final = 50  # lists in lists
SMALL: Final = 2**63  # whole numbers below it need no closer look
#: Elements that the operations of one step may go over: about a second.
MAX_STEP_COST: Final = 20_000_000
#: Elements that all steps of one worker may go over. Each takes eight bytes, if it is kept.
MAX_COST: Final = 400_000_000
CHEAP: Final = 1000  # what costs less is counted for the step alone
CHUNK: Final = 10_000  # elements that one call of a function in C goes over, where they are slow


class TooLarge(Exception):
    """A value beyond the bounds of this module; its text says which."""


class TooMuch(Exception):
    """More work than one step or one worker may do in its expressions."""


class Spender(Protocol):
    """Whose steps are paid for: ``spent`` is what all of them have cost so far."""

    spent: int


class _Meter(threading.local):
    """What is left in this thread: threads of a free run compute side by side."""

    left: int = MAX_STEP_COST
    spender: Spender | None = None


_meter: Final = _Meter()


def afresh(spender: Spender | None = None) -> None:
    """A step begins, of ``spender``, or one that is counted for nobody (a check, a constant)."""
    _meter.left = MAX_STEP_COST
    _meter.spender = spender


def spend(cost: int) -> None:
    """Pay for going over ``cost`` elements; raises TooMuch where there is not so much left."""
    left = _meter.left - cost
    if left < 0:
        raise TooMuch(f"one step goes over more than {MAX_STEP_COST:,} elements of texts and lists")
    _meter.left = left
    if cost > CHEAP and (spender := _meter.spender) is not None:
        spender.spent += cost
        if spender.spent > MAX_COST:
            raise TooMuch(f"a worker goes over more than {MAX_COST:,} elements of texts and lists")


def size(value: Any) -> int:
    """How many elements or characters ``value`` has, those of inner lists too, and 64 bits of a
    whole number as one. It is paid for. Raises TooLarge beyond the bounds, and TooMuch."""
    kind = type(value)
    if kind is list:
        many = _count(value, 0, 0)
    elif kind is str:
        many = len(value)
        if many > MAX_SIZE:
            raise TooLarge(f"more than {MAX_SIZE:,} elements")
    elif kind is int:
        return 1 + (int(value).bit_length() >> 6)
    else:
        return 1
    spend(many)
    return many


def _count(items: list[Any], sofar: int, depth: int) -> int:
    # A list that holds one list many times counts it as often: printed, it is as large.
    sofar += len(items)
    if sofar > MAX_SIZE or depth > MAX_NESTING:
        raise TooLarge(f"more than {MAX_SIZE:,} elements or {MAX_NESTING} lists in lists")
    for item in items:
        kind = type(item)
        if kind is list:
            sofar = _count(item, sofar, depth + 1)
        elif kind is str:
            sofar += len(item)
        elif kind is int and not -SMALL < item < SMALL:
            sofar += item.bit_length() >> 6
    if sofar > MAX_SIZE:
        raise TooLarge(f"more than {MAX_SIZE:,} elements")
    return sofar


def spent(value: Any) -> Any:
    """``value``, which an operation is about to go over."""
    if type(value) is list or type(value) is str:
        size(value)
    return value


def listed(items: list[Any]) -> list[Any]:
    """``items``, a list that has just been made; raises TooLarge."""
    size(items)
    return items


def total(items: Any, start: Any) -> Any:
    """``sum(items, start)`` of numbers, in pieces where they are large."""
    many = size(items)
    plain = type(start) is not int or -SMALL < start < SMALL
    if type(items) is not list or len(items) <= CHUNK or (many == len(items) and plain):
        return sum(items, start)
    result = start
    for piece in _pieces(items):
        if type(result) is int:
            spend(len(piece) * (1 + (result.bit_length() >> 6)))
        result = sum(piece, result)
    return result


def _pieces(items: list[Any]) -> Iterable[list[Any]]:
    return (items[at : at + CHUNK] for at in range(0, len(items), CHUNK))
