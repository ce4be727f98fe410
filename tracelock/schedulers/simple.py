"""The two strategies that need no paper: a uniform choice, and taking turns."""

from __future__ import annotations

from typing import Any, Final

from tracelock.schedulers.base import WORKER, Choice, Scheduler

_MASK: Final = (1 << 64) - 1


def mix(number: int) -> int:
    """SplitMix64's output function (Steele, Lea, Flood 2014): scatters 64 bits."""
    number = (number + 0x9E3779B97F4A7C15) & _MASK
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _MASK
    return number ^ (number >> 31)


class RandomScheduler(Scheduler):
    """Random walk: every option equally likely at every point.

    Schedule ``k`` of seed ``s`` depends on ``s`` and ``k`` alone, so any schedule of a batch can
    be had again by itself. The generator is a 64-bit linear congruential one (Knuth's MMIX
    constants) of which the high bits are used: seeding ``random.Random`` for every schedule would
    cost as much as all the rest of a short one.
    """

    def __init__(self, seed: int, first: int = 0) -> None:
        self.seed = seed
        self.schedule = first - 1
        self._state = 0

    def begin(self) -> bool:
        self.schedule += 1
        self._state = mix(mix(self.seed & _MASK) ^ self.schedule)
        return True

    def pick(self, choice: Choice) -> int:
        options = choice.options
        n = len(options)
        if n == 1:
            return options[0]
        self._state = state = (self._state * 6364136223846793005 + 1442695040888963407) & _MASK
        return options[(state >> 33) * n >> 31]

    def describe(self) -> dict[str, Any]:
        return {"name": "random", "seed": self.seed, "schedule": self.schedule}


class RoundRobinScheduler(Scheduler):
    """Each worker one step, in turn; timers fire only when they must, waiters wake in order."""

    def pick(self, choice: Choice) -> int:
        options = choice.options
        if choice.kind is not WORKER:
            return options[0]
        for option in options:
            if option > choice.current:
                return option
        return options[0]

    def describe(self) -> dict[str, Any]:
        return {"name": "round-robin"}
