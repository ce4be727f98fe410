"""What the engine for real Python code promises, beside the objects themselves."""

from __future__ import annotations

import collections
import contextvars
import dataclasses
import gc
import os
import queue
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import tracelock
from tracelock import RunLimits, UsageError


def explore(**options: Any) -> tracelock.Explored:
    options.setdefault("instrument", [])
    options.setdefault("schedules", 120)
    return tracelock.explore(**options)


def events(explored: tracelock.Explored) -> list[tuple[str, str, str | None]]:
    assert explored.trace is not None
    trace = explored.trace
    return [(trace.workers[e.worker], e.op, e.target) for e in trace.events]


# --- garbage collections ---------------------------------------------------------------------
class Node:
    """Garbage that only the collector frees: its finalizer takes a lock."""

    def __init__(self, lock: Any) -> None:
        self.me = self
        self.lock = lock

    def __del__(self) -> None:
        with self.lock:
            pass


def garbage(kind: Callable[[], Any]) -> Callable[[], Any]:
    def setup() -> Any:
        lock = kind()
        Node(lock)
        return lock

    return setup


def holder(lock: Any) -> None:
    with lock:
        time.sleep(0)


def test_a_finalizer_that_takes_the_lock_its_thread_holds_is_a_deadlock() -> None:
    explored = explore(setup=garbage(threading.Lock), workers=[holder], gc=True)
    assert explored.failed and explored.confirmed == {"threading": "3/3"}
    assert [op for _, op, _ in events(explored)] == ["acquire", "sleep", "call"]
    assert events(explored)[-1][2] == "gc.collect"
    assert explored.trace is not None
    [blocked] = explored.trace.verdict.blocked
    assert blocked.holder == ["holder"] and "held by itself" in explored.trace.verdict.message


def test_without_collections_and_with_a_reentrant_lock_it_passes() -> None:
    assert not explore(setup=garbage(threading.Lock), workers=[holder]).failed
    explored = explore(setup=garbage(threading.RLock), workers=[holder], gc=True)
    assert explored.verdict == "passed", explored.summary


def test_collections_are_off_otherwise_and_on_again_afterwards() -> None:
    seen = []
    explore(workers=[lambda: seen.append(gc.isenabled())])
    assert set(seen) == {False}
    assert gc.isenabled() and gc.get_freeze_count() == 0


# --- setup and check -------------------------------------------------------------------------
def test_what_setup_raises_is_the_callers_error() -> None:
    def setup() -> None:
        raise KeyError("no such account")

    with pytest.raises(UsageError, match="setup failed: KeyError"):
        explore(setup=setup, workers=[lambda s: None])


def test_a_setup_that_never_ends_is_named() -> None:
    def setup() -> None:
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()

    with pytest.raises(UsageError, match=r"setup never ends: .*held by itself"):
        explore(setup=setup, workers=[lambda s: None])


def test_threads_that_setup_starts_are_workers() -> None:
    def setup() -> dict[str, Any]:
        state: dict[str, Any] = {"ready": threading.Event(), "go": threading.Event(), "n": 0}

        def server() -> None:
            state["ready"].set()
            state["go"].wait()
            state["n"] += 1

        state["thread"] = threading.Thread(target=server)
        state["thread"].start()
        state["ready"].wait()
        return state

    def client(state: dict[str, Any]) -> None:
        state["go"].set()
        state["thread"].join()

    def check(state: dict[str, Any]) -> bool:
        return bool(state["n"] == 1)

    assert explore(setup=setup, workers=[client], check=check).verdict == "verified"
    explored = explore(setup=setup, workers=[lambda state: state["thread"].join()], check=check)
    assert explored.failed and explored.trace is not None
    assert explored.trace.verdict.kind == "deadlock"
    assert {one.worker for one in explored.trace.verdict.blocked} == {"worker", "server"}


def test_a_check_that_blocks_is_a_finding() -> None:
    def leak(lock: Any) -> None:
        lock.acquire()

    def check(lock: Any) -> None:
        with lock:
            pass

    explored = explore(setup=threading.Lock, workers=[leak], check=check)
    assert explored.failed and explored.trace is not None
    assert explored.trace.verdict.message.startswith("the check never ends")


WAITS: dict[str, Callable[[Any], object]] = {
    "condition": lambda it: it.condition.wait(),
    "event": lambda it: threading.Event().wait(),
    "queue": lambda it: queue.Queue[int]().get(),
    "barrier": lambda it: threading.Barrier(2).wait(),
    "semaphore": lambda it: threading.Semaphore(0).acquire(),
}


@pytest.mark.parametrize("kind", WAITS)
@pytest.mark.parametrize("where", ["setup", "check"])
def test_what_waits_for_ever_with_locks_held_is_told(kind: str, where: str) -> None:
    """Locks that ``with`` gives back on the way out are no steps any more."""

    class State:
        def __init__(self) -> None:
            self.condition = threading.Condition()
            self.lock = threading.RLock()

    def waits(it: State) -> None:
        with it.lock, it.condition:
            WAITS[kind](it)

    def setup() -> State:
        made = State()
        if where == "setup":
            waits(made)
        return made

    def work(it: State) -> None:
        with it.lock:
            pass

    if where == "setup":
        with pytest.raises(tracelock.UsageError, match="setup never ends: setup waits"):
            tracelock.explore(workers=[work, work], setup=setup, schedules=5)
    else:
        found = tracelock.explore(workers=[work, work], setup=setup, check=waits, schedules=5)
        assert found.trace is not None
        assert found.trace.verdict.message.startswith("the check never ends: ")
        assert found.confirmed == {"threading": "3/3"}


@pytest.mark.parametrize(
    ("check", "failed"),
    [(lambda s: False, True), (lambda s: None, False), (lambda s: True, False), (len, False)],
)
def test_a_check_fails_by_raising_or_by_false(check: Callable[[Any], Any], failed: bool) -> None:
    assert explore(setup=list, workers=[lambda s: None], check=check).failed is failed


def test_errors_of_workers() -> None:
    def boom(state: Any) -> None:
        raise KeyError("boom")

    explored = explore(setup=dict, workers=[boom])
    assert explored.failed and explored.trace is not None
    verdict = explored.trace.verdict
    assert verdict.failure == "error"
    assert verdict.message.splitlines()[0] == "KeyError: 'boom'"
    assert "in test_errors_of_workers.<locals>.boom" in verdict.message
    assert "tracelock/instrument" not in verdict.message
    assert explore(setup=dict, workers=[boom], expected_errors=[KeyError]).verdict == "verified"
    assert explore(setup=dict, workers=[boom], expected_errors=[ValueError]).failed


# --- between schedules -----------------------------------------------------------------------
LOCAL = threading.local()
VARIABLE: contextvars.ContextVar[int] = contextvars.ContextVar("VARIABLE", default=0)


def test_nothing_is_left_of_the_schedule_before() -> None:
    seen = []

    def worker() -> None:
        seen.append((getattr(LOCAL, "n", 0), VARIABLE.get()))
        LOCAL.n = VARIABLE.set(7) and 7
        time.sleep(0)

    explore(workers=[worker, worker])
    assert len(seen) > 20 and set(seen) == {(0, 0)}


def test_a_lock_that_outlives_its_exploration_is_controlled_in_the_next() -> None:
    """It has a model there, whatever its number was before (as in a module's global cache)."""
    kept: list[Any] = []

    def make() -> None:
        if not kept:
            kept.extend(threading.Lock() for _ in range(6))
        with kept[5]:
            pass

    def use() -> None:
        with kept[5]:
            pass

    assert explore(workers=[make, make], schedules=3).verdict == "passed"
    again = explore(workers=[use, use], instrument=[__name__])
    assert again.verdict == "verified"
    trace = again.ways[0].trace()
    locks = [(e.op, e.target) for e in trace.events if e.op in ("acquire", "release")]
    assert [op for op, _ in locks] == ["acquire", "release"] * 2 and len({t for _, t in locks}) == 1


def test_time_stands_still_but_for_sleeping() -> None:
    seen = set()

    def worker() -> None:
        begun, wall = time.monotonic(), time.time()
        time.sleep(3600)
        seen.add((time.monotonic() - begun, time.time() - wall, time.perf_counter_ns()))

    explored = explore(workers=[worker], schedules=30)
    assert explored.verdict == "verified", explored.summary  # no hour was slept: that is stuck
    assert seen == {(3600.0, 3600.0, 4_600_000_000_000)}


def test_the_shortest_sleeps_come_to_an_end() -> None:
    def worker() -> None:
        end = time.time() + 0.01
        while time.time() <= end:
            time.sleep(sys.float_info.min)

    explored = explore(workers=[worker])
    assert explored.verdict == "verified", explored.summary


# --- originals that somebody kept ------------------------------------------------------------
@dataclasses.dataclass
class Made:
    lock: Any = dataclasses.field(default_factory=threading.Lock)


class Keeps:
    clock = time.monotonic
    lock = threading.Lock()

    def __init__(self) -> None:
        self.own = threading.RLock()
        self.make = threading.Lock


class Unhashable(type):
    """Its classes cannot be hashed, so that no table can be asked about them."""

    def __eq__(cls, other: object) -> bool:
        return NotImplemented


class Odd(metaclass=Unhashable):
    def __init__(self) -> None:
        self.lock = threading.Lock()


def keeper() -> Callable[[], Any]:
    kept = threading.Lock
    return lambda: kept


KEPT, KEEPS, REGISTRY = keeper(), Keeps(), collections.defaultdict(threading.Lock)
ODD = Odd()


def sleeps(sleep: Any = time.sleep) -> Any:
    return sleep


def kinds() -> set[str]:
    REGISTRY.clear()
    things = (
        Made().lock, Keeps.__dict__["lock"], KEEPS.own, KEEPS.make, KEPT(), ODD.lock, REGISTRY["x"],
        sleeps(), sleeps.__defaults__[0], threading.Lock, threading.Thread.start,  # type: ignore
        threading.Condition.wait, time.monotonic,
    )  # fmt: skip
    homes = {str(getattr(thing, "__module__", None) or type(thing).__module__) for thing in things}
    clock = "virtual" if Keeps.clock() < 1_001 else "real"
    return {home.partition(".")[0] for home in homes} | {clock}


def test_originals_are_replaced_wherever_they_are_kept_and_put_back() -> None:
    """Imported earlier under another name, as a default, in a closure, a class, an object."""
    before = kinds()
    seen: list[set[str]] = []
    explore(workers=[lambda: seen.append(kinds())], schedules=2)
    assert seen[0] == {"tracelock", "virtual"}
    assert kinds() == before and "tracelock" not in before


# --- the limits of control -------------------------------------------------------------------
QUICK = RunLimits(steps=2_000, stall=0.5)


def test_a_worker_that_blocks_outside_is_named_with_its_stack() -> None:
    reading, writing = os.pipe()
    try:
        explored = explore(workers=[lambda: os.read(reading, 1)], limits=QUICK)
    finally:
        os.write(writing, b"x")
    assert explored.verdict == "unfinished" and "is stuck outside" in explored.summary
    assert any("os.read(reading, 1)" in note for note in explored.notes)
    assert not explored.failed and not explored.exhaustive
    time.sleep(0.05)
    os.close(reading)
    os.close(writing)


def test_a_loop_without_a_step_is_ended() -> None:
    def spin() -> None:
        while True:
            pass

    before = threading.active_count()
    explored = explore(workers=[spin], limits=QUICK)
    assert explored.verdict == "unfinished" and "is stuck outside" in explored.summary
    assert threading.active_count() == before


def test_a_spin_wait_ends_by_the_bound_on_steps() -> None:
    event = threading.Event

    def spin(flag: Any) -> None:
        while not flag.is_set():
            pass

    explored = explore(setup=event, workers=[spin], limits=QUICK, schedules=4)
    assert explored.verdict == "unfinished"
    explored = explore(setup=event, workers=[spin, lambda flag: flag.set()], limits=QUICK)
    assert not explored.failed


@pytest.mark.parametrize("clock", ["monotonic", "process_time"])
def test_waiting_for_the_clock_is_named(clock: str) -> None:
    def spin() -> None:
        look = getattr(time, clock)
        end = look() + 1
        while look() < end:
            pass

    explored = explore(workers=[spin], schedules=4)
    assert explored.verdict == "unfinished" and "it waits for the clock" in explored.summary


def test_a_program_that_does_not_depend_on_the_schedule_alone_is_named() -> None:
    def worker(lock: Any) -> None:
        with open("/dev/urandom", "rb") as file:
            chance = random.Random(file.read(8))
        for _ in range(chance.randrange(1, 50)):
            with lock:
                pass

    explored = explore(setup=threading.Lock, workers=[worker, worker])
    assert any("not deterministic" in note for note in explored.notes)
    assert not explored.exhaustive


def test_a_lost_wakeup_that_a_timeout_hides_is_noted() -> None:
    def consumer(condition: Any) -> None:
        with condition:
            condition.wait(timeout=1)

    def producer(condition: Any) -> None:
        with condition:
            condition.notify()

    explored = explore(setup=threading.Condition, workers=[consumer, producer])
    assert not explored.failed
    assert any("only because its wait timed out" in note for note in explored.notes)
    without = explore(
        setup=threading.Condition,
        workers=[lambda c: c.__enter__() and c.wait(), producer],
    )
    assert without.failed


def test_one_exploration_at_a_time() -> None:
    def nested() -> None:
        explore(workers=[lambda: None])

    with pytest.raises(UsageError, match="at work already"):
        explore(workers=[nested])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": []}, "no workers"),
        ({"workers": [3]}, "callable"),
        ({"workers": [lambda: None], "instrument": "bank"}, "list of modules"),
        ({"workers": [lambda: None], "instrument": ["no.such.module"]}, "cannot be imported"),
        ({"workers": [lambda: None], "strategy": "states"}, "states"),
        ({"workers": [lambda: None], "backend": "greenlets"}, "unknown backend"),
        ({"workers": [lambda: None], "schedules": 0}, "budget"),
        ({"workers": [lambda: None], "cancellations": -1}, "cancellations"),
    ],
)
def test_bad_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        explore(**options)


# --- shared variables ------------------------------------------------------------------------
class Box:
    """Two numbers of which only one is used by both workers."""

    def __init__(self) -> None:
        self.shared = 0
        self.own = [0, 0]
        self.setting = 5


def add(place: int) -> Callable[[Box], None]:
    def worker(box: Box) -> None:
        mine = Box()
        mine.shared += 1
        for _ in range(box.setting):
            box.own[place] = place
        box.shared += 1

    worker.__name__ = f"add{place}"
    return worker


def test_only_what_two_workers_touch_is_a_scheduling_point() -> None:
    explored = tracelock.explore(
        setup=Box, workers=[add(0), add(1)], check=lambda box: box.shared == 2,
        instrument=[__name__], schedules=200,
    )  # fmt: skip
    assert explored.failed and explored.trace is not None
    targets = {event.target for event in explored.trace.events if "own" not in str(event.target)}
    assert targets == {"Box#1.shared"}
    assert explored.switches == 1


def extend(state: dict[str, list[int]]) -> None:
    state["a"].extend(state["b"])


def append(state: dict[str, list[int]]) -> None:
    state["b"].append(1)


def test_a_method_that_reads_another_container_depends_on_it() -> None:
    """``extend`` is one step that reads its argument: both orders are found, by dpor too."""
    explored = tracelock.explore(
        setup=lambda: {"a": [], "b": [0]}, workers=[extend, append],
        check=lambda state: len(state["a"]) == 1, instrument=[__name__], strategy="dpor",
        every=True,
    )  # fmt: skip
    assert {way.kind for way in explored.ways} == {"passed", "failed"}
    assert explored.trace is not None
    assert [event.op for event in explored.trace.events] == ["write", "atomic"]
