"""Masks of what happens before each transition of a long execution, in memory linear in its length.

The mask of transition ``n`` has ``n`` bits: of 100,000 transitions they are 600 MB. But who happens
before something has all that its worker did before then happen before it too: for each worker the
last such transition says it all (a vector clock: Mattern 1988), and the mask is made of these and
of one mask for each worker when somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

#: Executions of more transitions have their masks kept like that; it takes longer to ask.
LONG: Final = 4096


class LongMasks(Sequence[int]):
    """The list of these masks. ``steps``: the transitions, each of which begins with its worker; it
    has at least all those before the mask that is added."""

    __slots__ = ("_lasts", "_lines", "_odd", "_places", "_steps")

    def __init__(self, masks: Iterable[int], steps: Sequence[tuple[Any, ...]]) -> None:
        self._steps = steps
        self._places: dict[int, int] = {}  # of each worker, in the order of their first steps
        self._lines: list[int] = []  # by place: mask of the worker's transitions
        self._lasts: list[tuple[int, ...]] = []  # by place: one more than the last that is before
        self._odd: dict[int, int] = {}  # masks that cannot be told like that
        for mask in masks:
            self.append(mask)

    def __len__(self) -> int:
        return len(self._lasts)

    def append(self, mask: int) -> None:
        """The next one."""
        here = len(self._lasts)
        lines = self._lines
        if here:
            worker = self._steps[here - 1][0]
            place = self._places.setdefault(worker, len(lines))
            if place == len(lines):
                lines.append(0)
            lines[place] |= 1 << here - 1
        lasts = tuple([(mask & line).bit_length() for line in lines])
        if self._made(lasts) != mask:
            self._odd[here] = mask
        self._lasts.append(lasts)

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        number = range(len(self))[number]
        odd = self._odd.get(number) if self._odd else None
        return self._made(self._lasts[number]) if odd is None else odd

    def not_after(self, number: int) -> list[int]:
        """The transitions behind this one before which it does not happen."""
        lasts, odd = self._lasts, self._odd
        if number + 1 >= len(lasts):
            return []
        place = self._places[self._steps[number][0]]
        return [
            one
            for one in range(number + 1, len(lasts))
            if not (
                odd[one] >> number & 1
                if one in odd
                else place < len(lasts[one]) and lasts[one][place] > number
            )
        ]

    def _made(self, lasts: tuple[int, ...]) -> int:
        mask = 0
        for line, last in zip(self._lines, lasts, strict=False):
            if last:
                mask |= line & (1 << last) - 1
        return mask

    def __delitem__(self, tail: slice) -> None:
        """Forget all from ``tail.start`` on."""
        length = tail.start
        if length >= len(self._lasts):
            return
        del self._lasts[length:]
        kept = (1 << max(0, length - 1)) - 1
        for place, line in enumerate(self._lines):
            self._lines[place] = line & kept
        for number in [one for one in self._odd if one >= length]:
            del self._odd[number]


def not_after(masks: list[int] | LongMasks, number: int) -> list[int]:
    """The transitions behind this one before which it does not happen, by their masks."""
    if isinstance(masks, LongMasks):
        return masks.not_after(number)
    return [one for one in range(number + 1, len(masks)) if not masks[one] >> number & 1]
