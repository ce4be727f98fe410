"""Every strategy keeps to the contract of a scheduler, and the check notices those that do not."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from tracelock.schedulers.base import Choice, Run, Scheduler, Wrapper
from tracelock.schedulers.injecting import InjectingScheduler
from tracelock.schedulers.simple import RandomScheduler, RoundRobinScheduler
from tracelock.schedulers.strategies import STRATEGIES, Parameters
from tracelock.testing import check_scheduler


@pytest.mark.parametrize("name", [name for name, one in STRATEGIES.items() if one.make])
def test_every_strategy_keeps_to_the_contract(name: str) -> None:
    make = STRATEGIES[name].make
    assert make is not None
    check_scheduler(lambda seed: make(Parameters(seed)))
    # ``auto`` is systematic as a whole: its scheduler makes the samples
    assert make(Parameters(1)).systematic == (STRATEGIES[name].systematic and name != "auto")
    assert make(Parameters(1)).describe()["name"] == name


# --- by hand ---------------------------------------------------------------------------------
class Last(Scheduler):
    """The smallest strategy there can be."""

    def pick(self, choice: Choice) -> int:
        return choice.options[-1]

    def describe(self) -> dict[str, Any]:
        return {"name": "last"}


class All(Scheduler):
    """A systematic one: every sequence of choices, the last options first."""

    systematic = True

    def __init__(self) -> None:
        self.path: list[int] = []
        self.at = 0
        self.run: Run

    def attach(self, run: Run) -> None:
        self.run = run

    def begin(self) -> bool:
        if self.executions:
            while self.path and not self.path[-1]:
                self.path.pop()
            if not self.path:
                self.finished = True
                return False
            self.path[-1] -= 1
        self.at = 0
        return True

    def pick(self, choice: Choice) -> int:
        if self.at == len(self.path):
            self.path.append(len(choice.options) - 1)
        self.at += 1
        return choice.options[self.path[self.at - 1]]

    def end(self, steps: int) -> None:
        self.executions += 1
        self.bounded += self.run.limit is not None

    def describe(self) -> dict[str, Any]:
        return {"name": "all"}


@pytest.mark.parametrize(
    "make",
    [
        lambda _: Last(),
        lambda _: All(),
        lambda seed: Wrapper(RandomScheduler(seed)),
        lambda _: Wrapper(All()),
        lambda seed: InjectingScheduler(RandomScheduler(seed), seed),
    ],
)
def test_a_strategy_of_ones_own(make: Callable[[int], Scheduler]) -> None:
    check_scheduler(make)


# --- what is noticed -------------------------------------------------------------------------
class Outside(Last):
    def pick(self, choice: Choice) -> int:
        return choice.options[-1] + (choice.seq == 3)


class Truth(Last):
    def pick(self, choice: Choice) -> int:
        return len(choice.options) > 1


class Lucky(Last):
    """It draws from the generator of the process."""

    def pick(self, choice: Choice) -> int:
        return random.choice(choice.options)


class Common(Last):
    """What one of them has picked is known to all of them."""

    picked: ClassVar[list[int]] = []

    def pick(self, choice: Choice) -> int:
        self.picked.append(0)
        return choice.options[len(self.picked) % len(choice.options)]


class Meddling(Last):
    def pick(self, choice: Choice) -> int:
        picked = choice.options[0]
        choice.options = [picked]
        return picked


class Restless(Last):
    """There is nothing left, and then there is."""

    def __init__(self) -> None:
        self.schedule = 0

    def begin(self) -> bool:
        self.schedule += 1
        return self.schedule != 3


class Vague(Last):
    def begin(self) -> bool:
        return None  # type: ignore[return-value]


class Secret(Last):
    def describe(self) -> dict[str, Any]:
        return {"name": "secret", "state": {1, 2}}


class Nameless(Last):
    def describe(self) -> dict[str, Any]:
        return {"seed": 7}


class Liar(RandomScheduler):
    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "seed": self.seed + 1}


class Boastful(Last):
    """Done after one schedule."""

    def begin(self) -> bool:
        begun, self.finished = self.finished, True
        return not begun


class Hasty(All):
    """It leaves out what comes of the first choice's other options."""

    def begin(self) -> bool:
        if self.executions and not any(self.path[1:]):
            self.finished = True
            return False
        return super().begin()


class Endless(RandomScheduler):
    systematic = True


class Unlimited(All):
    """What a limit has cut short counts as done."""

    def end(self, steps: int) -> None:
        self.executions += 1


class Uncounted(All):
    def end(self, steps: int) -> None:
        super().end(steps)
        self.executions = 1


class Unfinished(All):
    def begin(self) -> bool:
        begun = super().begin()
        self.finished = False
        return begun


class Cutting(Last):
    """Every schedule repeats others, and none of them is redundant."""

    cut = True


class Sure(Last):
    def estimate(self) -> float | None:
        return 1.5


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda _: Outside(), "it picked"),
        (lambda _: Truth(), "it picked (True|False) where"),
        (lambda _: Lucky(), "more than its seed"),
        (lambda _: Common(), "more than its seed"),
        (lambda _: Meddling(), "changed the choice"),
        (lambda _: Restless(), "nothing is left, and then not"),
        (lambda _: Vague(), "None, not a bool"),
        (lambda _: Secret(), "not JSON"),
        (lambda _: Nameless(), "no name"),
        (Liar, "the seed is 8"),
        (lambda _: Boastful(), "outcomes missed"),
        (lambda _: Hasty(), "outcomes missed"),
        (Endless, "no end after"),
        (lambda _: Unlimited(), "bounded is 0, and a limit ended"),
        (lambda _: Uncounted(), "executions is 1"),
        (lambda _: Unfinished(), "is not finished"),
        (lambda _: Cutting(), "redundant is 0, and 30 were cut"),
        (lambda _: Sure(), "it estimates 1.5"),
    ],
)
def test_what_does_not_keep_to_it_is_noticed(make: Callable[[int], Scheduler], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_scheduler(make)


def test_the_good_ones_are_good_by_themselves() -> None:
    """What the bad ones above are made from passes: it is the change that is noticed."""
    check_scheduler(lambda _: RoundRobinScheduler())
    check_scheduler(RandomScheduler)
