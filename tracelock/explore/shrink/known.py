"""Schedules that were run, by their choices: most plans lead to one of them, and need no run.

Of a program that depends on its schedule alone the choices so far decide what the next choice is.
So the schedules that were run make a tree, whose nodes are choices and whose leaves are what came
of a schedule; a plan is led through it, and where it comes to a leaf, it is known what a run of it
would be. Plans differ in much that makes no schedule another one: a block that cannot be had is
passed over, and tasks have few places at which another may go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Generic, Protocol, TypeVar

from tracelock.schedulers.base import Choice

#: Choices that are kept at most, with the events of their schedules.
MOST: Final = 100_000

EndT = TypeVar("EndT")
#: What a choice is known by: its kind, its options, the worker of the step before, events so far.
Point = tuple[str, Sequence[int], int, int]


class Led(Protocol):
    """What decides, by ``Point`` alone."""

    def begin(self) -> bool: ...
    def pick(self, choice: Choice) -> int: ...


class _ChoiceMet(Generic[EndT]):
    """A choice, and what comes after each of the picks that were made there."""

    __slots__ = ("after", "point")

    def __init__(self, point: Point) -> None:
        self.point = point
        self.after: dict[int, _ChoiceMet[EndT] | _ScheduleEnd[EndT]] = {}


class _ScheduleEnd(Generic[EndT]):
    """The end of a schedule."""

    __slots__ = ("end",)

    def __init__(self, end: EndT) -> None:
        self.end = end


class KnownSchedules(Generic[EndT]):
    """What came of the schedules of one program so far. Once two of them have made the same choices
    and met different ones, the program depends on more than those: nothing is known any more."""

    def __init__(self) -> None:
        self._root: _ChoiceMet[EndT] | _ScheduleEnd[EndT] | None = None
        self._left = MOST

    def find(self, led: Led) -> EndT | None:
        """What comes of the schedule to which ``led`` decides; None where that is not known.
        ``led`` has then begun, and made its picks as far as they are known."""
        node = self._root
        if node is None:
            return None
        led.begin()
        choice = Choice()
        while isinstance(node, _ChoiceMet):
            choice.kind, choice.options, choice.current, choice.seq = node.point
            node = node.after.get(led.pick(choice))
        return None if node is None else node.end

    def add(self, points: Sequence[Point], picks: Sequence[int], events: int, end: EndT) -> None:
        """A schedule was run: it met the choices ``points``, and made the ``picks``."""
        self._left -= events
        if self._left < 0:
            return
        leaf = _ScheduleEnd(end)
        if self._root is None:
            self._root = _ChoiceMet(points[0]) if points else leaf
        node = self._root
        for place, pick in enumerate(picks):
            if not isinstance(node, _ChoiceMet) or node.point != points[place]:
                self._forget()
                return
            known = node.after.get(pick)
            if known is None:
                last = place + 1 == len(points)
                self._left -= 1
                known = node.after[pick] = leaf if last else _ChoiceMet(points[place + 1])
            node = known
        if isinstance(node, _ChoiceMet):  # it has ended where another one went on
            self._forget()

    def _forget(self) -> None:
        self._root = None
        self._left = -1
