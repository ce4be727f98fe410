"""Invariants between the steps of real code: no state that there is in between is passed over."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import tracelock
from tests.helpers import looking_on as elsewhere
from tests.helpers import watched_programs
from tests.helpers.looking_on import states_in_between
from tests.helpers.watched_programs import State, looked_at, workers
from tests.oracles.every import Every
from tracelock.errors import UsageError
from tracelock.explore.search import Budget, search
from tracelock.schedulers.base import Scheduler
from tracelock.schedulers.dpor.scheduler import DporScheduler
from tracelock.session.code import PythonCode
from tracelock.session.plan import Plan
from tracelock.session.python_host import PythonHost
from tracelock.session.python_schedulers import Restarting
from tracelock.session.targets import target_for
from tracelock.trace import load_trace_text

#: More runs than this a program may not have, and the programs that have fewer.
MOST = 400
SEEDS = sorted({*range(40)} - {17, 20, 27, 35, 37, 38})
HERE = ["only", __name__, watched_programs.__name__]


# --- against every order of random programs ---------------------------------------------------
def states_seen(host: PythonHost, seen: set[Any], make: Any) -> tuple[set[Any], bool, int]:
    """The states that the invariant of ``host`` has met in the schedules of ``make()``."""
    names, learners = host.names, (host.program.aim, host.backend.hub.invariants)
    names.apply_pending()
    names.deferring = True
    scheduler = Restarting(make, names, *learners)
    seen.clear()
    found = search(host.runner, scheduler, Budget(MOST), every=True)
    names.deferring = False
    assert not found.failures() and not scheduler.lost
    return set(seen), found.exhaustive, found.schedules


@pytest.mark.parametrize("seed", SEEDS)
def test_the_states_in_between_are_those_of_every_order(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = states_in_between(monkeypatch)

    def invariant(state: State) -> None:
        looked_at(state)

    code = PythonCode(workers(seed), State, None, HERE, always=invariant)
    target = target_for(code=code)
    host = target.open(Plan("threading", "dpor", every=True).completed(target))
    assert isinstance(host, PythonHost)
    with host:
        every, all_of_them, runs = states_seen(host, seen, Every)
        assert all_of_them, "too many orders to try them all"

        def dpor() -> Scheduler:
            return host.scheduler("dpor", 0, None)

        some, exhaustive, fewer = states_seen(host, seen, dpor)
        assert exhaustive and some == every and fewer <= runs


# --- what is known ---------------------------------------------------------------------------
class Pair:
    def __init__(self) -> None:
        self.a, self.b = 50, 50
        self.lock = threading.Lock()


def move(pair: Pair) -> None:
    with pair.lock:
        pair.a = pair.a - 10
        pair.b = pair.b + 10


def back(pair: Pair) -> None:
    with pair.lock:
        pair.b = pair.b - 5
        pair.a = pair.a + 5


def sum_is_kept(pair: Pair) -> None:
    assert pair.a + pair.b == 100


def sum_is_kept_unlocked(pair: Pair) -> bool:
    return pair.lock.locked() or pair.a + pair.b == 100


@pytest.mark.parametrize("strategy", ["dpor", "random", "auto"])
def test_a_failure_names_the_step_and_is_replayed(strategy: str) -> None:
    given: dict[str, Any] = {
        "setup": Pair, "workers": [move, back], "always": sum_is_kept,
    }  # fmt: skip
    found = tracelock.explore(**given, strategy=strategy)
    assert found.failed and found.trace is not None
    verdict = found.trace.verdict
    assert (verdict.kind, verdict.failure, verdict.worker) == ("failed", "always", None)
    assert "(sum_is_kept, after move: write Pair#1.a at" in verdict.message
    assert [event.op for event in found.trace.events][-1] == "write"
    assert len(found.trace.events) == 3 and found.confirmed == {"threading": "3/3"}
    again = load_trace_text(found.trace.to_text(), "trace")
    assert tracelock.replay(again, **given).reproduced
    assert not tracelock.replay(again, setup=Pair, workers=[move, back]).reproduced


def test_what_asks_the_lock_holds_everywhere() -> None:
    found = tracelock.explore(
        setup=Pair, workers=[move, back], always=sum_is_kept_unlocked, strategy="dpor"
    )
    assert (found.verdict, found.executions) == ("verified", 2)


class Two:
    x = 0
    y = 0


def sets_x(two: Two) -> None:
    two.x = 1


def sets_y(two: Two) -> None:
    two.y = 1


def not_y_alone(two: Two) -> bool:
    return not (two.y and not two.x)


def small(two: Two) -> bool:
    return two.x < 2


def test_two_writes_that_commute_for_all_others_do_not_for_it() -> None:
    plain = tracelock.explore(setup=Two, workers=[sets_x, sets_y], strategy="dpor")
    assert (plain.verdict, plain.executions) == ("verified", 1)
    one = tracelock.explore(setup=Two, workers=[sets_x, sets_y], always=small, strategy="dpor")
    assert (one.verdict, one.executions) == ("verified", 1)
    for strategy in ("dpor", "preemption", "auto"):
        both = tracelock.explore(
            setup=Two, workers=[sets_x, sets_y], always=[small, not_y_alone], strategy=strategy
        )
        assert both.failed and "after sets_y: write Two#1.y" in both.ways[-1].message


def test_it_is_evaluated_where_what_it_read_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    def looks(state: State) -> bool:
        return state.x < 100

    def writes_much(state: State) -> None:
        for number in range(20):
            state.y = number
        state.x = 1

    def reads(state: State) -> None:
        assert state.y + state.x < 40

    seen = states_in_between(monkeypatch)
    found = tracelock.explore(
        setup=State, workers=[writes_much, reads], always=looks, strategy="dpor", instrument=HERE
    )
    assert found.verdict == "verified" and len(found.account.variables) == 2  # type: ignore[union-attr]
    assert seen == {(0, 0, 0), (1, 19, 0)}


def test_one_that_the_program_adds() -> None:
    def setup() -> Two:
        two = Two()

        @tracelock.always
        def x_is_small() -> bool:
            return two.x < 3

        assert x_is_small()
        return two

    def worker(two: Two) -> None:
        two.x = tracelock.integers(0, 4)

    found = tracelock.explore(setup=setup, workers=[worker, worker], strategy="dpor")
    assert found.failed and found.trace is not None and found.confirmed == {"threading": "3/3"}
    assert [event.extra["chosen"] for event in found.trace.events if event.op == "choose"] == ["3"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_of_tasks_it_is_looked_at_where_others_can_come_in(backend: str) -> None:
    async def pause() -> None:
        if backend == "asyncio":
            await asyncio.sleep(0)
        else:
            import trio

            await trio.lowlevel.checkpoint()

    async def keeps(two: Two) -> None:
        two.x += 1
        two.y += 1
        await pause()
        two.x += 1
        two.y += 1

    async def breaks(two: Two) -> None:
        two.x += 1
        await pause()
        two.y += 1

    def same(two: Two) -> None:
        assert two.x == two.y

    kept = tracelock.explore(
        setup=Two, workers=[keeps, keeps], always=same, backend=backend, strategy="dpor"
    )
    assert kept.verdict == "verified"
    broken = tracelock.explore(
        setup=Two, workers=[keeps, breaks], always=same, backend=backend, strategy="random"
    )
    assert broken.failed and broken.confirmed == {backend: "3/3"}
    assert "after breaks: " in broken.ways[-1].message


def test_it_only_looks() -> None:
    def changes(two: Two) -> None:
        two.x = 5

    def takes(pair: Pair) -> None:
        with pair.lock:
            pass

    def chooses(two: Two) -> None:
        tracelock.booleans()

    async def waits(two: Two) -> None: ...

    for made, invariant, told in (
        (Two, changes, "it changes a Two of the program"),
        (Pair, takes, "only a worker may do"),
        (Two, chooses, "only a worker may do"),
        (Two, waits, "plain function"),
    ):
        work: Any = move if made is Pair else sets_x
        with pytest.raises(UsageError, match=told):
            tracelock.explore(setup=made, workers=[work], always=invariant)
    with pytest.raises(UsageError, match="cannot be looked at"):
        tracelock.explore(setup=Two, workers=[sets_x], always=small, backend="multiprocessing")


def test_before_the_first_step_and_outside_of_explorations() -> None:
    def never(two: Two) -> bool:
        return False

    found = tracelock.explore(setup=Two, workers=[sets_x], always=never)
    assert found.failed and "before the first step" in found.ways[0].message
    assert tracelock.always(small) is small
    with pytest.raises(UsageError, match="plain function"):
        tracelock.always(3)  # type: ignore[type-var]


def test_what_is_not_looked_into_is_evaluated_after_every_step_and_not_verified() -> None:
    found = tracelock.explore(
        setup=Two, workers=[sets_x, sets_y, sets_x], always=elsewhere.positive,
        instrument=["only", __name__], strategy="dpor",
    )  # fmt: skip
    assert found.verdict == "passed"
    assert "the invariant positive" in found.summary


def test_it_reads_the_same_in_processes_of_their_own() -> None:
    found = tracelock.explore(
        setup=Two, workers=[sets_x, sets_y], always=small, strategy="dpor", isolation="always"
    )
    assert (found.verdict, found.executions) == ("verified", 1)


def test_a_scheduler_of_the_users_own_is_not_told_what_is_watched() -> None:
    for strategy, verdict in (("dpor", "verified"), (DporScheduler(), "passed")):
        found = tracelock.explore(
            setup=Two, workers=[sets_x, sets_y], always=small, strategy=strategy
        )
        assert found.verdict == verdict
    assert "a scheduler of your own" in found.summary
