"""What went wrong in a worker: the exception, where, and its traceback without our own frames."""

from __future__ import annotations

import os
import traceback
from types import FrameType, TracebackType
from typing import Final

from tracelock.errors import StepFailure
from tracelock.instrument.callers import PLUMBING, file_label

#: The package, whose frames are left out of tracebacks.
_HERE: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def failure_of(error: BaseException, failure: str = "") -> StepFailure:
    """An exception of user code as a failure: ``assert`` or ``error``, with its place.

    The message is the exception, then its traceback: portable file names, no frame of tracelock.
    """
    if isinstance(error, StepFailure):
        return error  # it comes from another process
    failure = failure or ("assert" if isinstance(error, AssertionError) else "error")
    frames = list(_frames(error.__traceback__))
    own = [frame for frame in frames if not frame[3]] or frames
    at = f"{own[-1][0]}:{own[-1][1]}" if own else ""
    text = "".join(traceback.format_exception_only(error)).strip()
    lines = [f"  {file}:{line} in {function}" for file, line, function, _ in frames]
    return StepFailure(failure, "\n".join([text, *lines]), at)


def stack_of(frame: FrameType | None) -> str:
    """Where a thread is, as a traceback shows it."""
    return "".join(traceback.format_stack(frame)).rstrip()


def _frames(found: TracebackType | None) -> list[tuple[str, int, str, bool]]:
    """File, line, function, and whether it is the standard library's own, outermost first."""
    frames = []
    while found is not None:
        code = found.tb_frame.f_code
        module = found.tb_frame.f_globals.get("__name__", "")
        if not code.co_filename.startswith(_HERE) and module != "contextvars":
            label = file_label(code.co_filename, module)
            frames.append((label, found.tb_lineno, code.co_qualname, module in PLUMBING))
        found = found.tb_next
    return frames
