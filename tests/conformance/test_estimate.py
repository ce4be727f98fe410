"""What an unfinished search says of how much it has seen, against everything there is."""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from functools import cache
from math import exp
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.amount import amount
from tests.helpers.two_updates import Cells, lost
from tests.oracles.classes import TooManyRuns, reach
from tests.oracles.every import Every
from tests.oracles.generate import generate
from tracelock.backends.base import Options
from tracelock.backends.rules import ASYNCIO_RULES, THREADING_RULES, TRIO_RULES
from tracelock.backends.simulated import SimulatedBackend
from tracelock.engine.controller import Controller
from tracelock.explore import estimating
from tracelock.explore.estimate import (
    Estimate,
    FailingShare,
    MissedDepth,
    SeenClasses,
    failing_share,
    missed_depth,
    seen_classes,
)
from tracelock.objects import Rules
from tracelock.scenario.loading import load_scenario, scenario_from_data
from tracelock.scenario.program import Program
from tracelock.schedulers.base import Scheduler, Wrapper
from tracelock.schedulers.dpor.probes import STAYS, RandomWalk, TreeProbes, _moves, key_of
from tracelock.schedulers.dpor.probing import probes_of
from tracelock.schedulers.dpor.scheduler import DporScheduler
from tracelock.schedulers.pct import Drawn, PctScheduler
from tracelock.schedulers.portfolio import PortfolioScheduler
from tracelock.schedulers.simple import RandomScheduler
from tracelock.session.exploring import explore_target
from tracelock.session.plan import Plan, Spreading

DATA = Path(__file__).resolve().parents[1] / "data" / "oracles"
TRACES = json.loads((DATA / "traces.json").read_text(encoding="utf-8"))
#: Of which an unfinished search is worth an estimate.
LARGER = [one for one in TRACES if one["executions"] >= 24]
PROBES = 400


def run(
    made: Program, scheduler: Scheduler, over: Callable[[], bool],
    rules: Rules = THREADING_RULES, clock: str = "virtual",
) -> Controller:  # fmt: skip
    controller = Controller(made.layout, rules, scheduler, clock=clock, max_steps=200)
    with SimulatedBackend(made, Options(), rules) as backend:
        backend.controlled(controller, lambda _: over())
    return controller


class EveryWalk(RandomWalk):
    """All walks that there are, each once. ``chance``: with which the last one is drawn, by what
    the docstring of the real one says of it."""

    def __init__(self) -> None:
        super().__init__(0)
        self.path: list[tuple[Sequence[int], int]] = []
        self.over = False

    def begin(self) -> None:
        super().begin()
        self.depth = 0
        self.chances = [1.0] * len(STAYS)
        self.last = -1

    def _pick(self, options: Sequence[int]) -> int:
        if self.depth == len(self.path):
            self.path.append((tuple(options), 0))
        options, place = self.path[self.depth]
        self.depth += 1
        return options[place]

    def worker(self, options: Sequence[int]) -> int:
        picked = self._pick(options)
        for number, stay in enumerate(STAYS):
            any_ = 1 / len(options)
            if self.last in options:
                self.chances[number] *= stay * (picked == self.last) + (1 - stay) * any_
            else:
                self.chances[number] *= any_
        self.last = picked
        self._offered.append(tuple(options))
        return picked

    def option(self, options: Sequence[int]) -> int:
        super().option(options)
        self.chances = [chance / len(options) for chance in self.chances]
        return self._pick(options)

    @property
    def chance(self) -> float:
        return sum(self.chances) / len(STAYS)

    def next(self) -> bool:
        while self.path and self.path[-1][1] + 1 == len(self.path[-1][0]):
            self.path.pop()
        if self.path:
            self.path[-1] = (self.path[-1][0], self.path[-1][1] + 1)
        return not self.path


def every_probe(
    made: Program, searched: DporScheduler, rules: Rules, clock: str
) -> tuple[TreeProbes, list[float]]:
    """A probe of each schedule, and with which chance it is drawn."""
    probes = TreeProbes(searched, 0)
    probes.walk = walk = EveryWalk()
    chances: list[float] = []

    def over() -> bool:
        chances.append(walk.chance)
        return walk.next()

    run(made, probes, over, rules, clock)
    return probes, chances


class Noting(Wrapper):
    """A search by DPOR, and the classes that it has explored."""

    def __init__(self, inner: DporScheduler) -> None:
        super().__init__(inner)
        self.dpor = inner
        self.keys: set[Hashable] = set()

    def finish(self, steps: int) -> None:
        self.dpor.end(steps)
        if not self.dpor.cut:
            history = self.dpor.history
            assert history is not None
            self.keys.add(key_of(_moves(history.steps), history.before))

    end = finish


# --- the weights: exactly --------------------------------------------------------------------
@settings(max_examples=amount(40, 300), deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    theme=st.sampled_from(["variables", "locks", "conditions", "events", "semaphores", "queues"]),
    clock=st.sampled_from(["virtual", "adversarial"]),
    share=st.floats(0, 1),
)
def test_the_mean_of_all_probes_is_the_number_of_classes(
    seed: int, theme: str, clock: str, share: float
) -> None:
    """Every schedule, weighted by its chance: the sum is what brute force counts, with no error
    but that of rounding; and what is said to be seen is what was seen, class by class."""
    made = Program(scenario_from_data(generate(seed, theme, early=clock == "adversarial")))
    try:
        every = reach(made, THREADING_RULES, clock, Every(), limit=600)
    except TooManyRuns:
        return
    if any(end[0] not in ("passed", "deadlock") for end in every.ends):  # type: ignore[index]
        return  # an execution that a failure cuts off is no order of a whole class
    dpor = DporScheduler()
    noting = Noting(dpor)
    most = max(1, round(share * len(every.classes)))
    run(made, noting, lambda: dpor.executions >= most, clock=clock)
    probes, chances = every_probe(made, dpor, THREADING_RULES, clock)
    assert len(probes.probes) == every.runs
    assert sum(chances) == pytest.approx(1)
    total = sum(exp(one.weight) * q for one, q in zip(probes.probes, chances, strict=True))
    assert total == pytest.approx(len(every.classes))
    assert len({one.key for one in probes.probes}) == len(every.classes)
    assert all(one.seen == (one.key in noting.keys) for one in probes.probes)
    inside = sum(
        exp(one.weight) * q for one, q in zip(probes.probes, chances, strict=True) if one.seen
    )
    assert inside == pytest.approx(dpor.executions)


@pytest.mark.parametrize("rules", [ASYNCIO_RULES, TRIO_RULES], ids=["asyncio", "trio"])
def test_the_same_of_tasks(rules: Rules) -> None:
    """Whose search may explore a class twice."""
    counted = 0
    for seed in range(amount(12, 60)):
        made = Program(scenario_from_data(generate(seed, "tasks")))
        every = reach(made, rules, "virtual", Every())
        if every.runs > 400 or any(end[0] != "passed" for end in every.ends):  # type: ignore[index]
            continue
        probes, chances = every_probe(made, DporScheduler(), rules, "virtual")
        total = sum(exp(one.weight) * q for one, q in zip(probes.probes, chances, strict=True))
        assert total == pytest.approx(len({one.key for one in probes.probes})), seed
        counted += 1
    assert counted > 2


# --- the estimate ----------------------------------------------------------------------------
@cache
def estimates(stem: str, executions: int, share: float) -> list[SeenClasses]:
    """Of several seeds, at a share of the executions."""
    made = Program(load_scenario(DATA / stem))
    found = []
    for seed in range(3):
        dpor = DporScheduler()
        most = round(share * executions)
        run(made, dpor, lambda most=most, dpor=dpor: dpor.executions >= most)  # type: ignore[misc]
        probes = probes_of(dpor, seed)
        assert probes is not None
        run(made, probes, lambda probes=probes: len(probes.probes) >= PROBES)  # type: ignore[misc]
        one = seen_classes(probes, dpor.executions)
        assert one is not None
        found.append(one)
    return found


@pytest.mark.parametrize("entry", LARGER, ids=lambda entry: Path(entry["scenario"]).stem)
def test_good_to_a_fifth_when_a_third_is_explored(entry: dict[str, Any]) -> None:
    """The median of three seeds; of lastzero-6, whose classes are the least alike, when two thirds
    are, and to three tenths before."""
    true = entry["executions"]
    for share in (1 / 3, 2 / 3):
        found = estimates(entry["scenario"], true, share)
        good = 0.3 if (entry["scenario"], share) == ("lastzero-6.json", 1 / 3) else 0.2
        assert median(one.of for one in found) == pytest.approx(true, rel=good)
        for one in found:
            assert one.seen == round(share * true)
            assert one.seen < one.low <= one.of <= one.high


def scenario(steps: int, last: str = "x >= 0") -> Any:
    """Three workers that write one variable so often each."""
    worker = {"count": 3, "steps": [{"write": "x", "value": "index"}] * steps}
    data = {
        "format": "tracelock-scenario/1", "name": "test", "shared": {"x": 0},
        "workers": {"w": worker}, "finally": [last],
    }  # fmt: skip
    return scenario_from_data(data)


def test_where_an_estimate_is_given() -> None:
    from tracelock import explore

    def of(steps: int = 3, **options: Any) -> Estimate | None:
        return explore(scenario(steps), **options).estimate

    unfinished = of(strategy="dpor", schedules=300)
    assert unfinished is not None
    assert unfinished.classes is not None
    assert unfinished.classes.seen == 300
    assert unfinished.classes.of == pytest.approx(1680, rel=0.2)  # 9! / 3!**3
    assert unfinished.line.startswith("300 of ")
    assert unfinished.depth is unfinished.failing is None
    assert of(steps=1, strategy="dpor") is None  # it has finished
    both = of(strategy="auto", schedules=400)
    assert both is not None
    assert both.classes is not None
    pct = of(strategy="pct", schedules=100)
    assert pct is not None
    assert pct.depth is not None
    assert (pct.depth.workers, pct.depth.steps, pct.depth.depth) == (3, 9, 3)
    sampled = of(strategy="pos", schedules=300)
    assert sampled is not None
    assert sampled.failing == FailingShare(pytest.approx(0.00994, abs=1e-5), 300)
    assert of(strategy="surw", schedules=100) is None
    assert of(strategy="preemption", schedules=100) is None


def test_a_failure_that_a_probe_meets_is_reported() -> None:
    """The first schedule of the search leaves the value of the worker that goes last."""
    from tracelock import explore

    explored = explore(scenario(3, "x == 2"), strategy="dpor", schedules=1, confirm=1)
    assert explored.verdict == "failed"
    assert explored.schedules > 1
    assert explored.estimate is None
    assert list(explored.confirmed.values()) == ["1/1"]


def test_of_a_search_in_several_processes() -> None:
    def explored(strategy: str, schedules: int) -> Estimate | None:
        plan = Plan(strategy=strategy, schedules=schedules, spreading=Spreading(jobs=2))
        return explore_target(scenario(3), plan).estimate

    tree = explored("dpor", 300)
    assert tree is not None
    assert tree.classes is not None
    assert tree.classes.of == pytest.approx(1680, rel=0.3)
    drawn = explored("pct", 1200)
    assert drawn is not None
    assert drawn.depth is not None
    assert 1190 <= drawn.depth.schedules <= 1200


# --- real code -------------------------------------------------------------------------------
class Locked(Cells):
    """With a lock of threads."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


def locked(s: Locked) -> None:
    for _ in range(2):
        with s.lock:
            s.x += 1


BY_STEPS = sys.version_info < (3, 14)


@pytest.mark.parametrize(
    ("setup", "worker", "true"),
    [(Locked, locked, 90), (Cells, lost, 216 if BY_STEPS else 1680)],
)
def test_of_real_code(
    monkeypatch: pytest.MonkeyPatch, setup: Any, worker: Any, true: int
) -> None:  # fmt: skip
    """Threads; tasks by what their steps touch, else by all orders of their steps, 9! / 3!**3."""
    from tracelock import explore

    monkeypatch.setattr(estimating, "SHORTEST", 30.0)  # so many probes, and not so long
    monkeypatch.setattr(estimating, "LONGEST", 30.0)
    monkeypatch.setattr(estimating, "LEAST", 200)
    part = explore(
        setup=setup, workers=[worker] * 3, instrument=[worker.__module__],
        strategy="dpor", schedules=45, shrink=False, confirm=0,
    )  # fmt: skip
    assert part.estimate is not None
    classes = part.estimate.classes
    assert classes is not None
    assert classes.probes == estimating.LEAST
    assert classes.seen == part.executions
    assert classes.of == pytest.approx(true, rel=0.3)


# --- samplers --------------------------------------------------------------------------------
def test_the_bound_of_pct_is_that_of_its_paper() -> None:
    """Only schedules count that were drawn for as many steps as there were, and as many orderings
    as are asked for."""
    drawn = Drawn(10, Counter({(3, 16): 1, (3, 10): 99, (3, 8): 50, (2, 10): 7}))
    three = missed_depth(drawn, 3, 2)
    assert three is not None
    assert three.schedules == 100
    assert three.chance == pytest.approx((1 - 1 / 512) * (1 - 1 / 200) ** 99)
    two = missed_depth(drawn, 2, 2)
    assert two is not None
    assert two.chance == pytest.approx((1 - 1 / 512) * (1 - 1 / 200) ** 99 * (1 - 1 / 20) ** 7)
    assert missed_depth(drawn, 4, 2) is None
    assert missed_depth(Drawn(), 2, 2) is None


def misses(scheduler: Scheduler, count: int) -> bool:
    """Whether a bug of depth 2 is missed in so many schedules: the one step of a worker comes after
    three of the five of the other."""
    workers = {
        "a": {"steps": [{"write": "x", "value": 1}]},
        "b": {"steps": ["checkpoint"] * 4 + [{"read": "x", "into": "l"}]},
    }
    data = {
        "format": "tracelock-scenario/1", "name": "test", "shared": {"x": 0}, "workers": workers,
    }  # fmt: skip
    made = Program(scenario_from_data(data))
    orders: list[list[int]] = []
    controller = Controller(made.layout, THREADING_RULES, scheduler)

    def over(_: Controller) -> bool:
        orders.append([entry[0] for entry in controller.log])
        return len(orders) > count

    with SimulatedBackend(made, Options(), THREADING_RULES) as backend:
        backend.controlled(controller, over)
    return all(order.index(0) != 3 for order in orders[:count])


@pytest.mark.parametrize("count", [3, 10, 40])
@pytest.mark.parametrize("make", [lambda seed: PctScheduler(seed, 2), PortfolioScheduler])
def test_bugs_are_missed_no_more_often_than_is_said(
    make: Callable[[int], Scheduler], count: int
) -> None:
    missed, said = [], []
    for seed in range(amount(60, 400)):
        scheduler = make(seed)
        missed.append(misses(scheduler, count))
        drawn = scheduler.drawn()
        assert drawn is not None
        bound = missed_depth(drawn, 2, 2)
        said.append(1.0 if bound is None else bound.chance)
    assert sum(missed) <= sum(said) + 3 * len(said) ** 0.5 / 2


def test_what_independent_samples_say() -> None:
    one = failing_share(300)
    assert one is not None
    assert (1 - one.most) ** 300 == pytest.approx(0.05)
    assert failing_share(0) is None
    assert RandomScheduler(0).drawn() is None


# --- words -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("told", "line"),
    [
        (SeenClasses(1200, 39_412, 37_000, 42_000, 99),
         "1,200 of about 39,000 inequivalent interleavings seen (3 %)"),
        (SeenClasses(1200, 39_412, 20_000, 60_000, 99),
         "1,200 of perhaps 20,000 to 60,000 inequivalent interleavings seen"),
        (SeenClasses(1_234_567, 3.8e7, 2.2e7, 5.6e7, 99),
         "1,234,567 of roughly 38,000,000 inequivalent interleavings seen"),
        (SeenClasses(12_345_678, 3.8e8, 3.7e8, 3.9e8, 99),
         "12,345,678 of about 380,000,000 inequivalent interleavings seen"),
        (SeenClasses(1200, 4.2e12, 1200, 4e13, 99),
         "1,200 of very roughly 10^13 inequivalent interleavings seen"),
        (SeenClasses(1200, 1e300, 1e300, 1e300, 99),
         "1,200 of more than 10^300 inequivalent interleavings seen"),
        (MissedDepth(3, 0.1201, 3, 20, 500),
         "a bug of depth 3 was missed with a chance of at most 13 %"),
        (MissedDepth(3, 0.99912, 3, 20, 500),
         "too few schedules to say how likely a bug of depth 3 was missed"),
        (FailingShare(0.00994, 300), "at most 1 % of such schedules fail (confidence 95 %)"),
        (FailingShare(0.0000123, 300), "at most 0.0013 % of such schedules fail (confidence 95 %)"),
    ],
)  # fmt: skip
def test_one_line_of_it(told: Any, line: str) -> None:
    """It claims no more by rounding, and fits 80 columns with what stands before it."""
    assert told.line == line
    assert len(f"  estimate: {line}") <= 80
    json.dumps(told.to_data(), allow_nan=False)


def test_the_line_is_of_the_most_that_is_known() -> None:
    classes, share = SeenClasses(10, 30, 28, 31, 99), FailingShare(0.1, 30)
    assert Estimate(classes, None, share).line == classes.line
    assert Estimate(None, None, share).line == share.line
    assert Estimate().line == ""
    assert Estimate().to_data() == {"line": "", "classes": None, "depth": None, "failing": None}
