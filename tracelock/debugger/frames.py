"""The frames of workers that stand still: the user's own, and none of the machinery around them."""

from __future__ import annotations

import sys
from types import FrameType, TracebackType
from typing import Any, Final

from tracelock.instrument.callers import place_of
from tracelock.instrument.loops import awaits

#: Frames with their lines, the outermost first.
Stack = list[tuple[FrameType, int]]
#: What runs tests: its frames are not the user's either.
_RUNNERS: Final = (
    "_pytest",
    "pluggy",
    "pytest",
    "pytest_asyncio",
    "anyio",
    "hypothesis",
    "unittest",
)
_OPTIMIZED: Final = 1  # inspect.CO_OPTIMIZED: its local variables have places


def stack_of(worker: Any) -> Stack:
    """The user's frames of a worker (``instrument.worker.Worker``) that stands still, empty where
    none of its code is in the middle of anything."""
    return [(frame, frame.f_lineno) for frame in _frames(worker) if _is_own(frame)]


def stack_of_error(error: BaseException) -> Stack:
    """The user's frames that an exception has come through, as they were left."""
    found: Stack = []
    entry: TracebackType | None = error.__traceback__
    while entry is not None:
        if _is_own(entry.tb_frame):
            found.append((entry.tb_frame, entry.tb_lineno or entry.tb_frame.f_lineno))
        entry = entry.tb_next
    return found


def _is_own(frame: FrameType) -> bool:
    module = str(frame.f_globals.get("__name__", ""))
    return module.partition(".")[0] not in _RUNNERS and place_of(frame) is not None


def _frames(worker: Any) -> list[FrameType]:
    """All frames of a worker, the outermost first."""
    coro = getattr(worker, "coro", None)
    if coro is not None and not _runs(coro):
        return list(awaits.frames(coro))
    outermost = None if coro is None else next(awaits.frames(coro), None)
    frame = sys._current_frames().get(worker.ident)
    tasks = getattr(worker, "tasks", None)
    if frame is None or (not worker.own_thread and coro is None and tasks is None):
        return []  # what a loop does besides has no frame of its own
    found: list[FrameType] = []
    while frame is not None:
        found.append(frame)
        if frame is outermost:
            break
        frame = frame.f_back
    found.reverse()
    return found


def _runs(coro: Any) -> bool:
    return any(getattr(coro, name, False) for name in ("cr_running", "gi_running", "ag_running"))


def let_go(stack: Stack) -> None:
    """Nobody looks at these frames any more: what they show of their variables is not to keep
    alive what the program lets go of. Up to 3.12 a frame keeps a dictionary of them."""
    if sys.version_info >= (3, 13):
        return
    for frame, _ in stack:
        # where a frame is traced, this dictionary is what its variables are set from
        if frame.f_trace is None and frame.f_code.co_flags & _OPTIMIZED:
            frame.f_locals.clear()
