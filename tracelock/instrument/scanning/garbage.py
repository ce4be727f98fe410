"""When garbage is collected in an exploration: the collector does not run by itself then."""

from __future__ import annotations

import gc
from typing import Final

#: Schedules after which that of these is collected, between two of them.
SWEEP: Final = 200
#: Schedules after which that of all is: what was there at a sweep, and is garbage only since.
WHOLE: Final = 20 * SWEEP


class Garbage:
    """Collects it now and then.

    Nearly all that is garbage has come into being since the last time. To look at that alone takes
    less time, and leaves the rest among the young objects, by which the next exploration tells
    what is new in the process (``scanning.marks``): after a collection of all it has to look at
    everything, which takes as long as hundreds of schedules.
    """

    def __init__(self) -> None:
        self._schedules = 0

    def sweep(self, always: bool) -> None:
        """A schedule is about to begin. ``always``: what a collection finds is part of it."""
        self._schedules += 1
        if always or self._schedules % WHOLE == 0:
            gc.collect()
        elif self._schedules % SWEEP == 0:
            gc.collect(0)
