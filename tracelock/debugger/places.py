"""Where a replay stops first: ``--at SEQ``, ``--at FILE:LINE``, or one of some words."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final

from tracelock.errors import UsageError

FAILURE: Final = "failure"
START: Final = "start"
#: The first call of ``breakpoint()`` in the code.
CALL: Final = "breakpoint"
_FORMS: Final = (
    "the number of an event, FILE:LINE, 'start', 'failure' (where that is raised) or 'breakpoint' "
    "(the first call of breakpoint() in the code)"
)
_LINE: Final = re.compile(r"(?P<file>.+):(?P<line>[0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class LinePlace:
    """A line of a source file; ``file`` is a path, or the last parts of one."""

    file: str
    line: int

    def is_in(self, filename: str) -> bool:
        """Whether code that was compiled from ``filename`` may be that of this file."""
        if filename.startswith("<"):
            return False
        known = os.path.abspath(filename)
        wanted = os.path.normpath(self.file)
        return known == os.path.abspath(self.file) or known.endswith(os.sep + wanted)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def place_from(text: str, events: int) -> int | LinePlace | str:
    """What ``--at`` says: the number of an event, a line, or one of the words.

    ``events``: how many the trace has. Raises UsageError for anything else.
    """
    text = text.strip()
    if text in (FAILURE, START, CALL):
        return text
    if text.isascii() and text.isdigit():
        number = int(text) if len(text) < 12 else events
        if number >= events:
            last = f"0 to {events - 1}" if events else "none"
            raise UsageError(f"--at {text}: there is no such event in the trace (there are {last})")
        return number
    match = _LINE.fullmatch(text)
    if match is None:
        raise UsageError(f"--at {text}: that is no place: give {_FORMS}")
    return LinePlace(match["file"], int(match["line"]))
