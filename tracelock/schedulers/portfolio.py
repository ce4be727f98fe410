"""A short mix of samplers, each good at what the others are bad at."""

from __future__ import annotations

from typing import Any, Final

from tracelock.schedulers.base import Choice, Scheduler
from tracelock.schedulers.directed import DirectedScheduler
from tracelock.schedulers.pct import Drawn, PctScheduler
from tracelock.schedulers.pos import PosScheduler
from tracelock.schedulers.sampling import MASK, mix
from tracelock.schedulers.simple import RandomScheduler
from tracelock.schedulers.surw import SurwScheduler

#: Which sampler makes which schedule; after the opening it goes round.
OPENING: Final = "dddd"
ROUND: Final = "rdspdc"
#: The same for tasks of one loop: all their steps depend on one another, so that there is nothing
#: for the directed one to see, and what counts is the order of many steps.
ROUND_OF_TASKS: Final = "srspsc"


class PortfolioScheduler(Scheduler):
    """What ``auto`` begins with: samplers in turn, each learning from its own schedules.

    No sampler is the best on every program (Thomson, Donaldson, Betts, PPoPP 2014, compare
    them), and which one is cannot be told beforehand, so that some schedules are spent on each.
    The directed one makes the first four and one in three after: it needs the fewest schedules
    where its view of the program is right. The others see to it that nothing is left out where
    it is not: SURW and POS for orders of many steps, PCT (of depth 2, 3 and 4, in
    turn) for deep failures, and the random walk, which gives every schedule a chance.

    It has no end of its own. Schedule ``k`` of a seed depends on those before it.
    """

    def __init__(self, seed: int, opening: str = OPENING, turns: str = ROUND) -> None:
        self.seed = seed
        self._opening = opening
        self._turns = turns
        self.schedule = -1
        seeds = [mix((seed & MASK) ^ mix(part)) for part in range(7)]
        self._directed = DirectedScheduler(seeds[0])
        self._others: dict[str, list[Scheduler]] = {
            "s": [SurwScheduler(seeds[1])],
            "p": [PosScheduler(seeds[2])],
            "r": [RandomScheduler(seeds[3])],
            "c": [PctScheduler(seeds[4 + more], 2 + more) for more in range(3)],
        }
        self._now: Scheduler = self._directed

    def begin(self) -> bool:
        self.schedule += 1
        opening, turns = self._opening, self._turns
        if self.schedule < len(opening):
            part = opening[self.schedule]
        else:
            part = turns[(self.schedule - len(opening)) % len(turns)]
        if part == "d":
            self._now = self._directed
        else:
            parts = self._others[part]
            self._now = parts[0]
            parts.append(parts.pop(0))
        return self._now.begin()

    def pick(self, choice: Choice) -> int:
        return self._now.pick(choice)

    def end(self, steps: int) -> None:
        self._now.end(steps)

    def drawn(self) -> Drawn:
        all_ = Drawn()
        for part in self._others["c"]:
            if (one := part.drawn()) is not None:
                all_.add(one)
        return all_

    def describe(self) -> dict[str, Any]:
        return {
            "name": "auto",
            "seed": self.seed,
            "schedule": self.schedule,
            "part": self._now.describe(),
        }
