"""For whoever writes a strategy: does it keep to the contract of a ``Scheduler``?

::

    from tracelock.testing import check_scheduler

    def test_my_strategy():
        check_scheduler(MyScheduler)        # or: check_scheduler(lambda seed: MyScheduler(seed, 3))

It is run, simulated, on small scenarios with every kind of choice that the simulated backend has,
and compared with all the schedules that there are of them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from tracelock.backends import rules
from tracelock.engine.controller import Controller
from tracelock.engine.limits import RunLimits
from tracelock.explore.running import Runner, Tape
from tracelock.explore.search import Key, outcome_key
from tracelock.objects import Rules
from tracelock.scenario.loading import scenario_from_data
from tracelock.scenario.program import Program
from tracelock.schedulers.base import Choice, Scheduler

__all__ = ["check_scheduler"]

#: Schedules of one scenario that are asked of a strategy with no end of its own.
SCHEDULES: Final = 30
#: A systematic strategy has to come to its end within so many.
MOST: Final = 5_000

Make = Callable[[int], Scheduler]


@dataclass(frozen=True)
class Case:
    """A small scenario, whose rules it is run under, and by which clock."""

    name: str
    workers: dict[str, Any]
    shared: dict[str, Any]
    objects: dict[str, Any] = field(default_factory=dict)
    rules: Rules = rules.THREADING_RULES
    clock: str = "virtual"
    steps: int = 1_000

    def runner(self) -> Runner:
        data = {
            "format": "tracelock-scenario/1", "name": self.name, "shared": self.shared,
            "objects": self.objects, "workers": self.workers,
        }  # fmt: skip
        program = Program(scenario_from_data(data))
        return Runner(program, self.rules, clock=self.clock, limits=RunLimits(steps=self.steps))


def _add(value: str) -> list[Any]:
    return [{"read": "x", "into": "old"}, {"write": "x", "value": f"old + {value}"}]


CASES: Final = (
    Case("counter", {"w": {"count": 3, "steps": _add("index + 1")}}, {"x": 0}),
    Case(
        "two locks",
        {
            "a": {"steps": [{"with": "m", "do": [{"with": "n", "do": _add("1")}]}]},
            "b": {"steps": [{"with": "n", "do": [{"with": "m", "do": _add("2")}]}]},
        },
        {"x": 0},
        {"m": "lock", "n": "lock"},
    ),
    Case(
        "who wakes",
        {
            "w": {"count": 2, "steps": [
                {"with": "c", "do": [{"wait": "c"}, {"write": "x", "value": "x * 2 + index"}]},
            ]},
            "n": {"steps": [{"with": "c", "do": [{"notify": "c"}]}]},
        },
        {"x": 1},
        {"c": "condition"},
        rules.MULTIPROCESSING_RULES,
    ),
    Case(
        "timer",
        {
            "holder": {"steps": [{"with": "m", "do": [{"write": "x", "value": 1}]}]},
            "timed": {"steps": [
                {"acquire": "m", "timeout": 1, "into": "got"},
                {"if": "got", "then": [{"release": "m"}], "else": [{"write": "x", "value": 5}]},
            ]},
        },
        {"x": 0},
        {"m": "lock"},
        clock="adversarial",
    ),
    Case(
        "tasks",
        {
            "put": {"steps": [{"put": "q", "value": 1}, "checkpoint", {"put": "q", "value": 2}]},
            "get": {"count": 2, "steps": [
                {"get": "q", "into": "item"}, {"write": "x", "value": "x * 10 + item + index"},
            ]},
        },
        {"x": 0},
        {"q": {"type": "queue", "maxsize": 1}},
        rules.ASYNCIO_RULES,
    ),
    # one worker spins until the other has written, or the limit of steps ends it
    Case(
        "spin",
        {
            "spin": {"steps": [{"while": "x == 0", "do": ["checkpoint"]}]},
            "go": {"steps": [{"write": "x", "value": 1}]},
        },
        {"x": 0},
        steps=20,
    ),
)  # fmt: skip


class _Everything(Scheduler):
    """Every sequence of choices, depth first."""

    name = "everything"
    systematic = True

    def __init__(self) -> None:
        self.path: list[tuple[int, int]] = []  # place of the option taken, how many there were
        self.depth = 0
        self.begun = False

    def begin(self) -> bool:
        if self.begun:
            while self.path and self.path[-1][0] + 1 == self.path[-1][1]:
                self.path.pop()
            if not self.path:
                self.finished = True
                return False
            place, count = self.path[-1]
            self.path[-1] = (place + 1, count)
        self.begun = True
        self.depth = 0
        return True

    def pick(self, choice: Choice) -> int:
        if self.depth == len(self.path):
            self.path.append((0, len(choice.options)))
        place, _ = self.path[self.depth]
        self.depth += 1
        return choice.options[place]


class _Watched(Tape):
    """The strategy that is checked: what it picks is looked at, and kept."""

    def __init__(self, inner: Scheduler, about: str) -> None:
        super().__init__(inner)
        self.about = about

    def begin(self) -> bool:
        begun = super().begin()
        _must(isinstance(begun, bool), f"{self.about}: begin() returned {begun!r}, not a bool")
        return begun

    def pick(self, choice: Choice) -> int:
        options = tuple(choice.options)
        seen = (choice.kind, choice.current, choice.seq, choice.worker, tuple(choice.pending))
        picked = super().pick(choice)
        _must(
            type(picked) is int and picked in options,
            f"{self.about}: it picked {picked!r} where the options were {options}",
        )
        now = (choice.kind, choice.current, choice.seq, choice.worker, tuple(choice.pending))
        _must(
            tuple(choice.options) == options and now == seen,
            f"{self.about}: it changed the choice that it was shown",
        )
        return picked


@dataclass
class _Ran:
    """What a strategy did: the picks of each schedule, the outcomes of those that count."""

    scheduler: Scheduler
    picks: list[list[int]] = field(default_factory=list)
    outcomes: set[Key] = field(default_factory=set)
    counted: int = 0
    limited: int = 0
    ended: bool = True  # by itself


def check_scheduler(make: Make, *, schedules: int = SCHEDULES) -> None:
    """Hold a strategy to the contract of :class:`~tracelock.schedulers.base.Scheduler`.

    ``make(seed)`` gives a new one. ``schedules``: how many of each scenario are asked of one that
    has no end. Raises AssertionError, with what is wrong and where.

    It picks options only and changes nothing that it is shown; equal seeds give equal picks,
    whatever else goes on in the process; once ``begin`` has said that nothing is left it says so
    again; ``describe`` is JSON with a name, and with the seed if it has one; what claims to be
    exhaustive has reached every outcome that there is, and does not claim it where a limit cut
    schedules short; a systematic one comes to its end, and its counts are right.
    """
    for case in CASES:
        _check(case, make, 7, schedules)


def _must(so: bool, message: str) -> None:
    if not so:
        raise AssertionError(message)


def _check(case: Case, make: Make, seed: int, schedules: int) -> None:
    about = f"{case.name} ({case.rules.backend}, {case.clock} clock), seed {seed}"
    with _process_random(1):
        ran = _run(case, make(seed), about, seed, schedules)

    def meanwhile() -> None:
        _run(case, make(seed + 1), about, seed + 1, schedules)

    with _process_random(2):
        again = _run(case, make(seed), about, seed, schedules, meanwhile)
    _must(
        ran.picks == again.picks,
        f"{about}: made again it picked otherwise: it depends on more than its seed",
    )
    scheduler = ran.scheduler
    if scheduler.systematic:
        _must(ran.ended, f"{about}: it is systematic, and had no end after {MOST:,} schedules")
        _must(scheduler.finished, f"{about}: it came to its end and is not finished")
        _must(
            scheduler.executions == ran.counted,
            f"{about}: executions is {scheduler.executions}, and {ran.counted} counted",
        )
        _must(
            scheduler.bounded == ran.limited,
            f"{about}: bounded is {scheduler.bounded}, and a limit ended {ran.limited}",
        )
    redundant = len(ran.picks) - ran.counted
    _must(
        scheduler.redundant == redundant,
        f"{about}: redundant is {scheduler.redundant}, and {redundant} were cut",
    )
    if scheduler.exhaustive:
        _must(not ran.limited, f"{about}: exhaustive, and a limit ended {ran.limited} schedules")
        every = _run(case, _Everything(), about, seed, MOST).outcomes
        missed = len(every - ran.outcomes)
        _must(not missed, f"{about}: exhaustive, and {missed} of {len(every)} outcomes missed")


def _run(
    case: Case,
    scheduler: Scheduler,
    about: str,
    seed: int,
    schedules: int,
    meanwhile: Callable[[], None] | None = None,
) -> _Ran:
    watched = _Watched(scheduler, about)
    runner = case.runner()
    most = MOST if scheduler.systematic else schedules
    ran = _Ran(scheduler)

    def done(controller: Controller) -> bool:
        if meanwhile is not None and not ran.picks:
            meanwhile()
        ran.picks.append(watched.picks)
        if not scheduler.cut:
            ran.counted += 1
            ran.limited += controller.limit is not None
            ran.outcomes.add(outcome_key(runner.verdict(controller)))
        _describes(scheduler, about, seed)
        share = scheduler.estimate()
        _must(share is None or 0 <= share <= 1, f"{about}: it estimates {share!r} of 1")
        ran.ended = len(ran.picks) < most
        return not ran.ended

    runner.run(watched, done)
    if ran.ended:
        _must(not scheduler.begin(), f"{about}: begin() said that nothing is left, and then not")
    return ran


def _describes(scheduler: Scheduler, about: str, seed: int) -> None:
    described = scheduler.describe()
    try:
        same = json.loads(json.dumps(described)) == described
    except (TypeError, ValueError):
        same = False
    _must(same, f"{about}: describe() is not JSON: {described!r}")
    name = described.get("name")
    _must(isinstance(name, str) and bool(name), f"{about}: describe() has no name: {described!r}")
    _must(
        described.get("seed", seed) == seed,
        f"{about}: describe() says that the seed is {described.get('seed')!r}",
    )


@contextmanager
def _process_random(seed: int) -> Generator[None]:
    """The generator of the process, which is nobody's to use, in another state each time."""
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)
