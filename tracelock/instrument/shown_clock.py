"""What a clock shows where not the engine alone says so.

Time stands still under control as long as anybody can go on. Whoever compares a schedule with
another one, in which the same calls come at another time, has to know what the clock has shown to
each of them, and to show them the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from tracelock.instrument.wings import Wing

if TYPE_CHECKING:
    from tracelock.instrument.hub import Hub


class ShownClock(Wing):
    """``show``: called with a worker's number and the ns of virtual time that have passed, gives
    the ns that its clock shows; it is there for one schedule. ``beside``: what else the code of the
    program has to do with time is called with what it is: ``read`` where it looks at the clock of a
    loop, which shows the time of that, ``fired`` where a timer fires that is not that of a sleep.
    """

    key: ClassVar[str] = "shown clock"

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self.show: Callable[[int, int], int] | None = None
        self.beside: Callable[[str], None] | None = None


def shown(hub: Hub, worker: int, passed: int) -> int:
    """The ns of virtual time that a worker is shown."""
    clock = hub.known(ShownClock)
    return passed if clock is None or clock.show is None else clock.show(worker, passed)


def beside(hub: Hub, what: str) -> None:
    """See ``ShownClock``."""
    clock = hub.known(ShownClock)
    if clock is not None and clock.beside is not None:
        clock.beside(what)
