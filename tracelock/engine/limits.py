"""The bounds of a run: generous for people, enough against a file from a stranger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tracelock.schedulers.base import INTERRUPTED

__all__ = [
    "DEFAULT_SECONDS", "DEFAULT_STEPS", "INTERRUPTED", "TIME_UP", "Interrupted", "RunLimits",
    "TimeUp", "seconds_reached", "steps_reached",
]  # fmt: skip

#: As the limit of a run: the time of all of them is up.
TIME_UP: Final = "the time that there was is up"
DEFAULT_STEPS: Final = 5_000_000
DEFAULT_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class RunLimits:
    """``steps``: events of one run; ``seconds``: real time of one run; ``stall``: seconds
    without any event after which a worker that is neither waiting nor done counts as stuck."""

    steps: int = DEFAULT_STEPS
    seconds: float = DEFAULT_SECONDS
    stall: float = 60.0


def steps_reached(steps: int) -> str:
    """The limit of a run that has had ``steps`` events."""
    return f"the limit of {steps:,} steps was reached"


def seconds_reached(seconds: float) -> str:
    """The limit of a run that has taken ``seconds``."""
    return f"the limit of {seconds:g} seconds was reached"


class TimeUp(Exception):
    """No further run: the time that there was for all of them is up."""


class Interrupted(KeyboardInterrupt):
    """No further run: the user has interrupted them."""
