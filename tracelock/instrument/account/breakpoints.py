"""Who looks at schedules as they run, and what ``breakpoint()`` does in them."""

from __future__ import annotations

import os
import sys
from _thread import get_ident
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from tracelock.instrument.callers import place_in
from tracelock.instrument.contexts import contexts

if TYPE_CHECKING:
    from tracelock.instrument.hub import Hub


class Onlooker:
    """Looks at schedules as they run; this one lets all of them go on. A debugger is another.

    ``paused``: the schedule stands still because somebody looks at it, so that no worker counts as
    stuck. ``passed_over``: the places of calls of ``breakpoint()`` at which nothing has stopped.
    """

    paused = False

    def __init__(self) -> None:
        self.passed_over: dict[str, bool] = {}

    def failing(self, worker: Any, error: BaseException) -> None:
        """The code of ``worker`` has ended by ``error``, which is a failure. The others are where
        they were."""

    def breakpoint(self, worker: Any, frame: FrameType) -> None:
        """``worker`` has called ``breakpoint()`` in this frame."""
        self.passed_over.setdefault(place_in(frame), True)


def hear_breakpoints(hub: Hub) -> Callable[[], None]:
    """From now on ``breakpoint()`` in a worker goes to the onlooker of ``hub``, which takes no
    prompt in the middle of a search. Elsewhere it is what it was before, and
    ``PYTHONBREAKPOINT=0`` switches it off as ever. Returns what undoes this."""
    before = sys.breakpointhook

    def hook(*arguments: Any, **named: Any) -> Any:
        worker: Any = contexts.get(get_ident())
        if worker is None or worker.uncontrolled or getattr(worker, "hub", None) is not hub:
            return before(*arguments, **named)
        if not hub.unwinding and os.environ.get("PYTHONBREAKPOINT") != "0":
            worker.uncontrolled += 1  # what the onlooker does is no step of the program's
            try:
                hub.onlooker.breakpoint(worker, sys._getframe(1))
            finally:
                worker.uncontrolled -= 1
        return None

    def undo() -> None:
        if sys.breakpointhook is hook:
            sys.breakpointhook = before

    sys.breakpointhook = hook
    return undo
