"""The debugger on a terminal, for the faces that start it."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from tracelock.debugger.places import FAILURE, START, LinePlace, place_from
from tracelock.debugger.reversible import Reversible

if TYPE_CHECKING:
    from tracelock.session.target import Target
    from tracelock.trace import Trace


def first_place(trace: Trace) -> str:
    """Where to stop where nobody has said: where it fails, or at its first event."""
    return START if trace.verdict.kind in ("passed", "unfinished") else FAILURE


def place_of(trace: Trace, at: str | None) -> int | LinePlace | str:
    """What ``--at`` says, or where it is best to stop where it says nothing."""
    return place_from(first_place(trace) if at is None else at, len(trace.events))


def debug(
    target: Target, trace: Trace, at: str | None = None,
    stdin: IO[str] | None = None, stdout: IO[str] | None = None,
) -> None:  # fmt: skip
    """Replay a trace under the debugger, until the user leaves it.

    ``at``: where to stop first (``--at``). Raises UsageError for a place that there is not, and for
    a trace in which nothing can be stopped; KeyboardInterrupt for a Ctrl-C at the prompt.
    """
    from tracelock.debugger.prompt import Prompt

    place = place_of(trace, at)
    with Reversible(target, trace) as replay:
        Prompt(replay, stdin, stdout).explore(place)
