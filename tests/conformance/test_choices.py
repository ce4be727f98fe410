"""Values that a program asks for: all of them are tried, once, with every schedule that matters."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import pytest

import tracelock
from tests.helpers.choosing_programs import State, final, program
from tests.oracles.every import Every
from tracelock.errors import Divergence, UsageError
from tracelock.explore.search import Budget, Searched, search
from tracelock.instrument.inputs.choosing import combination, permutation
from tracelock.ops import CHOOSE, GET, READ
from tracelock.report.redaction.redacting import without_homes
from tracelock.schedulers.base import Run, Scheduler, Wrapper
from tracelock.schedulers.bounded import DelayBoundedScheduler, PreemptionBoundedScheduler
from tracelock.schedulers.dpor.scheduler import DporScheduler
from tracelock.session.code import PythonCode
from tracelock.session.plan import Plan
from tracelock.session.python_host import PythonHost
from tracelock.session.python_schedulers import Restarting
from tracelock.session.targets import target_for
from tracelock.trace import Trace, load_trace_text
from tracelock.trace.token import parse_token, token_of

#: Final states that ``check`` has seen; it alone changes this (all else is put back).
STATES: list[Any] = []
#: More runs than this a program may not have, and the programs that have fewer.
MOST = 300
SEEDS = sorted({*range(30)} - {1, 10, 20, 24, 26, 27})
HERE = [__name__, "tests.helpers.choosing_programs"]


def class_of(log: Sequence[Any]) -> Hashable:
    """The class of a run, written apart from the search: what each worker did and got of what it
    asked for, and in which order any two steps came that use one thing and do not both read."""
    counts: Counter[int] = Counter()
    steps, order = [], set()
    before: list[tuple[int, int, int, int]] = []
    for worker, kind, op, result, *_ in log:
        number = counts[worker]
        counts[worker] += 1
        steps.append((worker, number, kind, op.target, result if kind == CHOOSE else None))
        if kind > GET:
            continue
        for other, place, theirs, target in before:
            if target == op.target and other != worker and (kind, theirs) != (READ, READ):
                order.add((other, place, worker, number))
        before.append((worker, number, kind, op.target))
    return frozenset(steps), frozenset(order)


class Classes(Wrapper):
    """A scheduler, with the class of each of its runs that counts."""

    def __init__(self, inner: Scheduler) -> None:
        super().__init__(inner)
        self.found: Counter[Hashable] = Counter()
        self.begun = len(STATES)

    @property
    def states(self) -> set[Any]:
        """The final states of its runs."""
        return {*STATES[self.begun :]}

    def attach(self, run: Run) -> None:  # type: ignore[override]
        self.run = run
        self.inner.attach(run)

    def end(self, steps: int) -> None:  # type: ignore[override]
        self.inner.end(steps)
        if not self.inner.cut:
            self.found[class_of(self.run.log)] += 1


def searched(
    host: PythonHost, make: Callable[[], Scheduler], most: int
) -> tuple[Classes, Searched]:
    """All that ``make()`` runs."""
    names = host.names
    names.apply_pending()
    names.deferring = True
    scheduler = Restarting(lambda: Classes(make()), names, host.program.aim)
    found = search(host.runner, scheduler, Budget(most), every=True)
    names.deferring = False
    assert not host.backend.stuck and not scheduler.lost
    assert isinstance(scheduler.inner, Classes)
    return scheduler.inner, found


def opened(setup: Any, workers: Any, backend: str = "threading") -> PythonHost:
    def check(state: Any) -> None:
        STATES.append(final(state))

    target = target_for(code=PythonCode(workers, setup, check, ["only", *HERE]))
    host = target.open(Plan(backend, "dpor", every=True).completed(target))
    assert isinstance(host, PythonHost)
    return host


@pytest.mark.parametrize("seed", SEEDS)
def test_every_class_once_and_no_other(seed: int) -> None:
    with opened(*program(seed)) as host:
        every, brute = searched(host, Every, MOST)
        assert brute.exhaustive, "too many orders to try them all"
        some, found = searched(host, DporScheduler, MOST)
        assert found.exhaustive and some.states == every.states
        assert some.found.keys() == every.found.keys()
        assert {*some.found.values()} == {1}, "a class was run more than once"
        for make in (PreemptionBoundedScheduler, DelayBoundedScheduler):
            bounded, found = searched(host, make, MOST)
            assert found.exhaustive and bounded.found == every.found


# --- counts that are known -------------------------------------------------------------------
def three() -> None:
    tracelock.choice("abc")


def four() -> None:
    tracelock.integers(1, 4)


def two_more() -> None:
    tracelock.booleans()
    tracelock.booleans()


def six() -> None:
    tracelock.shuffle([1, 2, 3])


def ten() -> None:
    tracelock.sample(range(5), 2)


@pytest.mark.parametrize(
    ("workers", "count"),
    [
        ([three], 3), ([three, four], 12), ([three, four, two_more], 48), ([six, ten], 60),
        ([two_more, two_more, two_more], 64),
    ],
)  # fmt: skip
def test_of_independent_workers_it_is_the_product(workers: Any, count: int) -> None:
    found = tracelock.explore(workers=workers, strategy="dpor")
    assert (found.verdict, found.executions, found.redundant) == ("verified", count, 0)


def test_setup_comes_before_all_and_multiplies() -> None:
    def setup() -> int:
        return tracelock.integers(1, 3) * (2 if tracelock.booleans() else 1)

    def worker(upto: int) -> None:
        tracelock.integers(1, upto)

    found = tracelock.explore(setup=setup, workers=[worker, worker], strategy="dpor")
    assert found.verdict == "verified"
    assert found.executions == sum((n * m) ** 2 for n in (1, 2, 3) for m in (1, 2))


@pytest.mark.parametrize("strategy", ["dpor", "preemption", "delay", "auto"])
def test_more_values_than_are_tried_are_not_verified(strategy: str) -> None:
    def big() -> None:
        tracelock.integers(0, 10**9)

    found = tracelock.explore(workers=[big], strategy=strategy, schedules=600)
    assert found.verdict == "passed"
    assert "of 1,000,000,001 values: a few alone are tried" in found.summary


# --- what fails ------------------------------------------------------------------------------
class Sum:
    n = 0
    k = 0


def make_sum() -> Sum:
    made = Sum()
    made.k = tracelock.integers(0, 3)
    return made


def add(state: Sum) -> None:
    by = tracelock.integers(0, 10**6)
    if state.k >= 2:
        state.n = state.n + by


def below(state: Sum) -> None:
    assert state.n < 1000


def values_of(trace: Trace) -> list[str]:
    return [event.extra["chosen"] for event in trace.events if event.op == "choose"]


@pytest.mark.parametrize("strategy", ["random", "dpor", "pct", "surw", "pos", "preemption"])
def test_a_failure_is_made_small_with_its_values_and_replayed(strategy: str) -> None:
    found = tracelock.explore(
        setup=make_sum, workers=[add, add], check=below, strategy=strategy, schedules=3_000
    )
    assert found.failed and found.trace is not None
    assert values_of(found.trace)[0] == "2"
    assert sorted(map(int, values_of(found.trace)[1:])) in ([0, 1000], [1000, 1000])
    again = load_trace_text(found.trace.to_text(), "trace")
    result = tracelock.replay(again, setup=make_sum, workers=[add, add], check=below)
    assert result.reproduced
    assert "chooses 1000 (of 0..1000000)" in found.story()


def test_a_token_has_the_numbers_of_the_values() -> None:
    found = tracelock.explore(setup=make_sum, workers=[add, add], check=below, strategy="random")
    assert found.trace is not None
    marks = parse_token(token_of(found.trace)).marks
    chosen = {event.seq: event.result for event in found.trace.events if event.op == "choose"}
    assert {number: mark.number for number, mark in marks.items()} == chosen


def test_a_plain_program_gets_no_values() -> None:
    found = tracelock.explore(setup=make_sum, workers=[add, add], check=below, strategy="random")
    assert found.trace is not None
    with pytest.raises(UsageError, match="a program without tracelock gets none"):
        tracelock.export(found.trace, "python")


def test_redaction_and_home_folders_reach_what_was_chosen() -> None:
    def worker() -> None:
        assert tracelock.choice(["/home/ann/x", "/home/bob/y"]).endswith("x")

    found = tracelock.explore(workers=[worker], strategy="dpor")
    assert found.trace is not None
    assert values_of(found.trace) == ["'/home/bob/y'"]
    assert values_of(without_homes(found.trace)) == ["'~/y'"]


def test_other_alternatives_are_a_divergence_that_says_so() -> None:
    values = ["a", "b", "c"]

    def worker() -> None:
        assert tracelock.choice(tuple(values)) == "a"

    found = tracelock.explore(workers=[worker], strategy="dpor")
    assert found.trace is not None and values_of(found.trace) == ["'b'"]
    values.append("d")
    result = tracelock.replay(found.trace, workers=[worker])
    assert isinstance(result.diverged, Divergence)
    assert "what is chosen among" in str(result.diverged) and "4 values" in str(result.diverged)


@pytest.mark.parametrize("backend", ["asyncio", "trio", "multiprocessing"])
def test_on_every_backend(backend: str) -> None:
    async def task(state: State) -> None:
        assert tracelock.choice([1, 2, 3]) + state.first < 5

    def process(state: State) -> None:
        assert tracelock.choice([1, 2, 3]) + state.first < 5

    def setup() -> State:
        state = State()
        state.first = tracelock.integers(0, 2)
        return state

    work: Any = process if backend == "multiprocessing" else task
    found = tracelock.explore(setup=setup, workers=[work], backend=backend, strategy="dpor")
    assert found.failed and found.trace is not None
    assert [event.result for event in found.trace.events if event.op == "choose"] == [2, 2]
    assert found.confirmed == {backend: "3/3"}


def test_in_processes_of_their_own() -> None:
    found = tracelock.explore(
        setup=make_sum, workers=[add, add], strategy="dpor", isolation="always", schedules=50
    )
    assert found.verdict == "passed" and found.stopped == "schedules"


# --- the functions ---------------------------------------------------------------------------
GOT: list[Any] = []


def every_value(ask: Callable[[], Any]) -> list[Any]:
    """The values of one call, in the order in which a search tries them."""
    made: list[Any] = []

    def worker() -> None:
        made.append(ask())

    def check() -> None:
        GOT.append(made[-1])

    begun = len(GOT)
    found = tracelock.explore(
        workers=[worker], check=check, strategy="preemption", instrument=["only", __name__]
    )
    assert found.verdict == "verified"
    return GOT[begun:][-found.schedules + 2 :]


def test_every_value_in_its_order() -> None:
    assert every_value(lambda: tracelock.choice("abc")) == ["a", "b", "c"]
    assert every_value(lambda: tracelock.integers(-2, 1)) == [-2, -1, 0, 1]
    assert every_value(tracelock.booleans) == [False, True]
    pairs = list(map(list, itertools.combinations("wxyz", 2)))
    assert every_value(lambda: tracelock.sample("wxyz", 2)) == pairs
    orders = list(map(list, itertools.permutations("xyz")))
    assert every_value(lambda: tracelock.shuffle("xyz")) == orders


@pytest.mark.parametrize("size", range(6))
def test_numbers_of_combinations_and_orders(size: int) -> None:
    for k in range(size + 1):
        wanted = list(map(list, itertools.combinations(range(size), k)))
        assert [combination(n, size, k) for n in range(len(wanted))] == wanted
    wanted = list(map(list, itertools.permutations(range(size))))
    assert [permutation(n, size) for n in range(len(wanted))] == wanted


def test_what_cannot_be_chosen_is_said() -> None:
    with pytest.raises(UsageError, match="nothing to choose among"):
        tracelock.choice([])
    with pytest.raises(UsageError, match="no sequence"):
        tracelock.choice({1, 2})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no number from 2 to 1"):
        tracelock.integers(2, 1)
    with pytest.raises(UsageError, match="no whole numbers"):
        tracelock.integers(0.0, 1)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="cannot be had"):
        tracelock.sample([1], 2)
    with pytest.raises(UsageError, match="more than"):
        tracelock.integers(0, 1 << 70)


def test_a_check_chooses_nothing() -> None:
    def check() -> None:
        tracelock.booleans()

    found = tracelock.explore(workers=[three], check=check)
    assert found.failed and "booleans in the check" in found.ways[0].message


OUTSIDE = """
import tracelock
print([tracelock.integers(0, 10**12) for _ in range(3)], tracelock.shuffle(range(30)))
"""


def test_outside_of_explorations_the_same_is_drawn_in_every_process() -> None:
    told = {
        subprocess.run(
            [sys.executable, "-c", OUTSIDE], capture_output=True, text=True, check=True, timeout=60
        ).stdout
        for _ in range(2)
    }
    assert len(told) == 1


def test_large_numbers_are_drawn_from_all_of_them() -> None:
    def worker() -> None:
        drawn = tracelock.integers(0, (1 << 62) - 1)
        assert drawn % 2 == 0

    found = tracelock.explore(workers=[worker], strategy="random", schedules=50)
    assert found.failed and found.trace is not None and values_of(found.trace) == ["1"]


def test_many_things_are_shuffled_and_sampled_one_by_one() -> None:
    def worker() -> None:
        cards = tracelock.shuffle(range(52))
        assert sorted(cards) == list(range(52))
        some = tracelock.sample(range(200), 30)
        assert some == sorted({*some}) and len(some) == 30

    found = tracelock.explore(workers=[worker], strategy="random", schedules=5)
    assert found.verdict == "passed"


def test_a_list_of_others_is_read_when_it_is_chosen_from() -> None:
    def setup() -> list[int]:
        return [1, 2]

    def chooses(values: list[int]) -> None:
        tracelock.choice(values)

    def appends(values: list[int]) -> None:
        values.append(3)

    found = tracelock.explore(setup=setup, workers=[chooses, appends], strategy="dpor")
    assert (found.verdict, found.executions) == ("verified", 2 + 3)
