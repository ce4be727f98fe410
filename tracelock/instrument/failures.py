"""What went wrong in a worker: the exception, where, and its traceback without our own frames; and
what a loop has reported beside that."""

from __future__ import annotations

import os
import traceback
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Final

from tracelock.errors import StepFailure
from tracelock.instrument.callers import PLUMBING, file_label

if TYPE_CHECKING:
    from tracelock.engine.open import OpenController
    from tracelock.instrument.backend import PythonBackend

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


def hear(backend: PythonBackend, controller: OpenController, tasks: Any) -> None:
    """The schedule is over: what the loop of these tasks has reported counts, and an error that
    nobody has handled is a failure."""
    lost = tasks.unretrieved()
    messages = {*tasks.errors, *(told for told, _ in lost)}.difference(controller.heard)
    controller.heard.extend(tasks.errors)
    for message in messages if backend.counted else ():
        backend.heard[message] = backend.heard.get(message, 0) + 1
    for told, error in (*tasks.raised, *lost):
        unexpected = isinstance(error, Exception) and not backend.hub.excuses(error)
        if unexpected and backend.well(controller):  # else there is more to say already
            failure = failure_of(error)
            failure.message = f"{told}\n{failure.message}"
            controller.failure = (tasks.callbacks.number, failure)
