"""What a program is, and what is known of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Truth = Literal["breaks", "right"]


@dataclass(frozen=True, slots=True)
class Program:
    """A small program on threads, as ``tracelock.explore(setup, workers, check)`` takes it.

    ``gil``: what holds on CPython 3.11 and later with the GIL; ``free``: what the language promises
    and a build without the GIL does. "breaks": some schedule ends with ``check`` false, with an
    exception in a worker or in a deadlock; "right": none does. ``why``: by which reasoning.
    ``gil_on``: versions on which it is otherwise with the GIL.
    """

    name: str
    setup: Callable[[], Any]
    workers: tuple[Callable[[Any], Any], ...]
    check: Callable[[Any], Any]
    gil: Truth
    free: Truth
    why: str
    gil_on: dict[tuple[int, int], Truth] = field(default_factory=dict)

    def under_gil(self, version: tuple[int, int]) -> Truth:
        """What holds on a version with its GIL."""
        return self.gil_on.get(version, self.gil)
