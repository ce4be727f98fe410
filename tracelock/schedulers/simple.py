"""The two strategies that need no paper: a uniform choice, and taking turns."""

from __future__ import annotations

from tracelock.schedulers.base import WORKER, Choice, Scheduler
from tracelock.schedulers.sampling import Sampler


class RandomScheduler(Sampler):
    """Random walk: every option equally likely at every point.

    Schedule ``k`` of seed ``s`` depends on ``s`` and ``k`` alone, so any schedule of a batch can
    be had again by itself.
    """

    name = "random"
    pick = Sampler.uniform


class RoundRobinScheduler(Scheduler):
    """Each worker one step, in turn; timers fire only when they must, waiters wake in order."""

    name = "round-robin"

    def pick(self, choice: Choice) -> int:
        options = choice.options
        if choice.kind is not WORKER:
            return options[0]
        for option in options:
            if option > choice.current:
                return option
        return options[0]
