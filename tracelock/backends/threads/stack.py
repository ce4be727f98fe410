"""Where a thread is, for the message about one that is stuck."""

from __future__ import annotations

import sys
import traceback


def stack_of(thread: int | None) -> str:
    """The innermost frames of a thread, one a line; the frames of tracelock left out."""
    frame = sys._current_frames().get(thread) if thread is not None else None
    if frame is None:
        return "  (its stack is not to be had)"
    lines = traceback.extract_stack(frame)
    own = [line for line in lines if "tracelock" not in line.filename.replace("\\", "/").split("/")]
    return "\n".join(
        f"  {line.filename}:{line.lineno} in {line.name}" for line in (own or lines)[-5:]
    )
