"""What a program can ask of the world outside, and what comes of it where nothing is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from tracelock.errors import UsageError

#: What ``outside`` may be: nothing was said, asked for real and recorded, answered from a trace.
DEFAULT: Final = ""
REAL: Final = "real"
RECORDED: Final = "recorded"
#: As callers say it: ``refused`` is the default, by its name.
REFUSED: Final = "refused"

#: What is done by default: it ends the schedule, which is unfinished; it is done for real and
#: named, so that nothing is verified; it has the same answer in every schedule.
REFUSES: Final = "refuses"
NAMES_IT: Final = "names it"
MADE_UP: Final = "made up"


#: What to do about something that is refused.
WAY_OUT: Final = (
    'have a worker serve it, put something else in its place, or let it through with outside="real"'
)


class OutsideKind(NamedTuple):
    """``account``: what the account calls it. ``default``: what is done where nothing is said."""

    account: str
    default: str


#: The kinds, by the word that a trace has for them.
KINDS: Final[dict[str, OutsideKind]] = {
    "connection": OutsideKind("socket", REFUSES),
    "name": OutsideKind("socket", REFUSES),
    "subprocess": OutsideKind("subprocess", NAMES_IT),
    "clock": OutsideKind("time.time", MADE_UP),
    "entropy": OutsideKind("os.urandom", MADE_UP),
    "environment": OutsideKind("os.environ", NAMES_IT),
    "file": OutsideKind("files outside the project", NAMES_IT),
}


class Recorded(NamedTuple):
    """One call of a trace: ``what`` was asked, with ``value``, and what came of it, as data."""

    what: str
    value: Any
    at: str
    answer: Any


#: By the name of a worker, its calls in order.
AllRecorded = Mapping[str, Sequence[Recorded]]


def mode_of(given: object) -> str:
    """What a caller says of what is outside of the run. Raises UsageError for anything else."""
    if given in (None, DEFAULT, REFUSED):
        return DEFAULT
    if given in (REAL, RECORDED):
        return str(given)
    raise UsageError(
        f"outside: {given!r} is none of refused (the default), real (ask, and record what was "
        "answered) and recorded (a replay: what was recorded is the answer)"
    )
