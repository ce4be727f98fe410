"""Steps of real code on several variables at once, and values as traces show them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from tracelock.ops import AtomicBody, Value

PLAIN = frozenset({int, str, bool, float, type(None), bytes, complex})
NoneType: Final = type(None)


# By ``is``, the most frequent first: of other types a metaclass may define the hash.
def is_plain(value: object) -> bool:
    """Whether there is nothing below ``value``, and nothing in it that changes."""
    of = type(value)
    return (
        of is int or of is str or of is NoneType or of is bool or of is float or of is bytes
        or of is complex
    )  # fmt: skip


def all_plain(values: Iterable[object]) -> bool:
    """The same of each; there may be very many."""
    for of in map(type, values):
        if (
            of is not int and of is not str and of is not NoneType and of is not bool
            and of is not float and of is not bytes and of is not complex
        ):  # fmt: skip
            return False
    return True


def shown(value: object) -> Value:
    """A value as a trace shows it: itself where JSON has it and it is short, else its type."""
    kind = type(value)
    if kind is int or kind is bool or value is None:
        return value
    if kind is str:
        return value if len(value) <= 80 else value[:77] + "..."  # type: ignore[arg-type, index]
    if kind is float:
        return value if value - value == 0.0 else repr(value)  # type: ignore[operator]
    return f"<{kind.__name__}>"


class VariablesStep(AtomicBody):
    """A step that reads some variables and writes others: ``list.extend``, an operation on files.

    The values stay in the real objects; ``shown`` is what the trace shows of those written.
    """

    __slots__ = ("looks", "reads", "shown", "touches", "writes")

    def __init__(self, reads: Iterable[int], writes: Iterable[int], shown: Value = None) -> None:
        self.reads = tuple(reads)
        self.writes = tuple(writes)
        self.shown = shown
        self.touches = frozenset((*self.reads, *self.writes))
        self.looks = self.touches.difference(self.writes)

    def rehearse(self, read: Callable[[int], Value], write: Callable[[int, Value], None]) -> None:
        for number in self.reads:
            read(number)
        for number in self.writes:
            write(number, self.shown)

    run = rehearse
