"""What the random strategies share: a seeded generator, and how a schedule gets its own.

The generator is a 64-bit linear congruential one (Knuth's MMIX constants), of which the high bits
are used: seeding ``random.Random`` for every schedule would cost as much as all the rest of a
short one. Its sequence is the same on every Python version and platform, and no strategy orders
anything by hash, so the same seed gives the same schedules everywhere. Strategies that pick at
every step write the two lines of ``below`` out in place: a call costs more than the draw.
"""

from __future__ import annotations

from typing import Any, Final

from tracelock.schedulers.base import Choice, Scheduler

MASK: Final = (1 << 64) - 1
MULTIPLIER: Final = 6364136223846793005
INCREMENT: Final = 1442695040888963407
#: One draw tells so many numbers apart.
WIDE: Final = 1 << 31


def mix(number: int) -> int:
    """SplitMix64's output function (Steele, Lea, Flood 2014): scatters 64 bits."""
    number = (number + 0x9E3779B97F4A7C15) & MASK
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & MASK
    return number ^ (number >> 31)


class Sampler(Scheduler):
    """A random strategy. Draws of schedule ``k`` come from a generator seeded by ``(seed, k)``.

    ``first``: the number of the first schedule. ``schedule``: the number of the current one. A
    strategy that also learns from the schedules before says so in its own docstring: for such a
    one schedule ``k`` can be had again only by running the ones before it too.
    """

    name = ""

    def __init__(self, seed: int, first: int = 0) -> None:
        self.seed = seed
        self.schedule = first - 1
        self._base = mix(seed & MASK)
        self._state = 0

    def begin(self) -> bool:
        self.schedule += 1
        self._state = mix(self._base ^ self.schedule)
        return True

    def below(self, n: int) -> int:
        """A uniform draw from ``0..n-1``."""
        self._state = state = (self._state * MULTIPLIER + INCREMENT) & MASK
        return (state >> 33) * n >> 31

    def uniform(self, choice: Choice) -> int:
        """Any option: for the choices about which a strategy has nothing of its own to say."""
        options = choice.options
        n = len(options)
        if n == 1:
            return options[0]
        if n > WIDE:
            return options[self._wide(n)]
        self._state = state = (self._state * MULTIPLIER + INCREMENT) & MASK
        return options[(state >> 33) * n >> 31]

    def _wide(self, n: int) -> int:
        """The same as ``below`` for more than one draw can tell apart; ``n`` is below 2**64."""
        return ((self.below(WIDE) << 62) + (self.below(WIDE) << 31) + self.below(WIDE)) * n >> 93

    def shuffled(self, items: list[int]) -> list[int]:
        """``items``, in place, in a uniformly drawn order (Fisher and Yates)."""
        for last in range(len(items) - 1, 0, -1):
            other = self.below(last + 1)
            items[last], items[other] = items[other], items[last]
        return items

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "seed": self.seed, "schedule": self.schedule}
