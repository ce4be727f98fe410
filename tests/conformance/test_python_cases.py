"""What is found in real threaded code, what is proved of it, and what is not claimed."""

from __future__ import annotations

import gc
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

import tracelock
from tests.conformance import python_cases as cases
from tests.conformance import python_locks
from tracelock.engine.limits import RunLimits
from tracelock.session.explored import Explored

HERE = ["tests.conformance.python_cases"]


def explore(
    setup: Callable[[], Any],
    workers: Sequence[Callable[..., Any]],
    check: Callable[..., Any] | None = None,
    **more: Any,
) -> Explored:
    more.setdefault("schedules", None)
    more.setdefault("seconds", 30)
    return tracelock.explore(setup=setup, workers=workers, check=check, instrument=HERE, **more)


def message(found: Explored) -> str:
    assert found.failed, found.summary
    assert found.trace is not None
    return found.trace.verdict.message


def replays(found: Explored, setup: Callable[[], Any], workers: Any, check: Any = None) -> bool:
    assert found.trace is not None
    return tracelock.replay(found.trace, setup=setup, workers=workers, check=check).reproduced


def counts(value: int) -> Callable[[Any], None]:
    def check(state: Any) -> None:
        assert state.value == value, state.value

    return check


# --- orders ----------------------------------------------------------------------------------
def test_who_takes_the_lock_first_is_reversed() -> None:
    winners = set()
    workers = [cases.take_it("first"), cases.take_it("second")]
    found = explore(
        cases.race_for_a_lock, workers, lambda state: winners.add(state.winner), strategy="dpor"
    )
    assert found.verdict == "verified"
    assert winners == {"first", "second"}


def test_not_in_then_set_is_a_race() -> None:
    def check(state: Any) -> None:
        assert len(state.count) == 1

    workers = [cases.make_once, cases.make_once]
    found = explore(cases.empty_dict, workers, check)
    assert found.trace is not None and found.failed
    made = [event for event in found.trace.events if event.target == "SimpleNamespace#1.made[]"]
    assert [event.op for event in made] == ["read", "read", "write", "write"]
    assert len({event.worker for event in made[:2]}) == 2
    assert replays(found, cases.empty_dict, workers, check)


# --- conditions ------------------------------------------------------------------------------
@pytest.mark.parametrize("order", [1, -1])
def test_a_lost_wake_up_is_a_deadlock(order: int) -> None:
    workers = [cases.wait_if_empty, cases.fill][::order]
    found = explore(cases.mailbox, workers)
    assert "wait_if_empty waits at condition@" in message(found)
    assert found.trace is not None and found.trace.verdict.kind == "deadlock"
    assert replays(found, cases.mailbox, workers)


@pytest.mark.parametrize("order", [1, -1])
def test_the_right_loop_is_verified(order: int) -> None:
    for wait in (cases.wait_while_empty, cases.wait_while_empty_for_a_time):
        waited: list[float] = []

        def check(state: Any, waited: list[float] = waited) -> None:
            assert state.got == 1
            waited.append(state.waited)

        found = explore(cases.mailbox, [wait, cases.fill][::order], check, strategy="dpor")
        assert found.verdict == "verified", found.summary
        # the minute is one of virtual time, and it passes only where nothing else can happen
        assert set(waited) == {0}


def test_a_timeout_that_hides_a_lost_wake_up_is_told() -> None:
    found = explore(cases.mailbox, [cases.wait_if_empty_for_a_time, cases.fill])
    assert not found.failed
    assert any("timed out" in note and "python_cases.py" in note for note in found.notes)


# --- threads that workers start --------------------------------------------------------------
STARTERS = [
    cases.two_threads(cases.add), cases.two_jobs, cases.two_timers, cases.two_of_a_subclass
]  # fmt: skip


@pytest.mark.parametrize("work", STARTERS, ids=["threads", "executor", "timers", "subclass"])
def test_a_race_of_threads_that_a_worker_starts(work: Callable[..., Any]) -> None:
    found = explore(cases.counter, [work], counts(2), schedules=1_000)
    assert "AssertionError: 1" in message(found)
    assert replays(found, cases.counter, [work], counts(2))


def test_locked_threads_of_a_worker_are_verified() -> None:
    work = cases.two_threads(cases.add_locked)
    found = explore(cases.counter, [work], counts(2), strategy="dpor")
    assert found.verdict == "verified", found.summary


# --- locks by name ---------------------------------------------------------------------------
def test_two_locks_imported_by_name_in_two_orders() -> None:
    before = python_locks.a, python_locks.b, cases.a, cases.b
    workers = [cases.a_then_b, cases.b_then_a]
    found = explore(cases.counter, workers)
    text = message(found)
    assert "python_locks.a" in text and "python_locks.b" in text
    assert replays(found, cases.counter, workers)
    assert (python_locks.a, python_locks.b, cases.a, cases.b) == before
    assert not python_locks.a.locked() and not python_locks.b.locked()


def test_two_locks_in_one_order_are_verified() -> None:
    found = explore(cases.counter, [cases.a_then_b, cases.a_then_b], counts(2), strategy="dpor")
    assert found.verdict == "verified", found.summary


# --- who waits comes first -------------------------------------------------------------------
@pytest.mark.parametrize(
    "workers",
    [
        [cases.get_from_queue, cases.put_into_queue],
        [cases.get_by_condition, cases.put_by_condition],
        [cases.meet, cases.meet],
    ],
    ids=["queue", "condition", "barrier"],
)
@pytest.mark.parametrize("strategy", ["auto", "random", "pct", "pos", "dpor"])
def test_consumer_first_terminates(workers: Any, strategy: str) -> None:
    def check(state: Any) -> None:
        assert state.got == [7] * (2 if workers[0] is cases.meet else 1)

    found = explore(cases.channel, workers, check, strategy=strategy, schedules=300)
    assert found.verdict in ("passed", "verified"), found.summary


# --- finalizers ------------------------------------------------------------------------------
def test_a_finalizer_may_take_a_lock() -> None:
    found = explore(cases.counter, [cases.drop_one, cases.add_locked], counts(2), strategy="dpor")
    assert found.verdict == "verified", found.summary


def test_a_finalizer_that_waits_for_its_own_thread_is_a_deadlock() -> None:
    workers = [cases.drop_one_in_the_lock, cases.add_locked]
    found = explore(cases.counter, workers, counts(2))
    assert "held by itself" in message(found)
    assert replays(found, cases.counter, workers, counts(2))


# --- no end ----------------------------------------------------------------------------------
@pytest.mark.parametrize("order", [1, -1])
def test_a_spin_wait_ends_by_the_bound_of_steps(order: int) -> None:
    limits = RunLimits(steps=300, stall=0.3)
    workers = [cases.spin_for_flag, cases.raise_flag][::order]

    def check(state: Any) -> None:
        assert state.count == 1

    found = explore(cases.flag, workers, check, schedules=100, limits=limits)
    assert found.verdict in ("passed", "unfinished"), found.summary
    assert any(way.kind == "passed" for way in found.ways)  # it does see the flag in some
    found = explore(
        cases.flag, [cases.spin_for_ever, cases.raise_flag], schedules=20, limits=limits
    )
    assert found.verdict == "unfinished", found.summary


def test_a_worker_stuck_in_c_is_named_and_nothing_is_claimed() -> None:
    made = []

    def setup() -> Any:
        made.append(cases.pipe())
        return made[-1]

    affinity = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    found = explore(
        setup, [cases.read_from_pipe, cases.add], schedules=50, limits=RunLimits(stall=0.3)
    )
    try:
        assert found.verdict == "unfinished"
        text = "\n".join([found.summary, *found.notes])
        assert "read_from_pipe is stuck" in text
        assert "os.read(state.read, 1)" in text
        assert "deadlock" not in found.summary
        assert affinity is None or os.sched_getaffinity(0) == affinity
    finally:
        for state in made:
            os.write(state.write, b"x")
    # what was left behind does no harm to the next one
    found = explore(cases.counter, [cases.add_locked, cases.add_locked], counts(2))
    assert found.verdict == "verified", found.summary
    for state in made:
        os.close(state.write)


# --- not by the schedule alone ---------------------------------------------------------------
@pytest.mark.parametrize("work", [cases.draw, cases.by_address], ids=["random", "addresses"])
def test_what_is_not_deterministic_is_named(work: Callable[..., Any]) -> None:
    found = explore(cases.counter, [work, work], schedules=30)
    assert any("not deterministic" in note for note in found.notes), found.notes


# --- patches ---------------------------------------------------------------------------------
def surroundings() -> dict[str, Any]:
    """What is patched while tracelock is at work, and more than that."""
    classes = [
        threading.Thread, threading.Condition, threading.Semaphore, threading.BoundedSemaphore,
        threading.Event, threading.Barrier, queue.Queue, queue.LifoQueue,
    ]  # fmt: skip
    seen: dict[str, Any] = {
        f"{cls.__name__}.{name}": value for cls in classes for name, value in vars(cls).items()
        if not name.startswith("__") or name == "__init__"
    }  # fmt: skip
    for module in (threading, queue, time, cases, python_locks):
        seen |= {f"{module.__name__}.{name}": value for name, value in vars(module).items()}
    for function in (cases.add, cases.make_once, cases.fill, cases.Noted.__del__):
        seen[f"{function.__name__}.__code__"] = function.__code__
    seen["gc"] = gc.isenabled()
    seen["meta_path"] = list(sys.meta_path)
    return seen


@pytest.mark.parametrize("work", [cases.add, cases.add_locked, cases.fail, cases.two_jobs])
def test_patches_are_undone(work: Callable[..., Any]) -> None:
    before = surroundings()
    explore(cases.counter, [work, work], counts(2), schedules=20)
    after = surroundings()
    assert before.keys() == after.keys()
    assert [name for name in before if before[name] is not after[name]
            and before[name] != after[name]] == []  # fmt: skip


# --- errors and ends -------------------------------------------------------------------------
@pytest.mark.parametrize("work", [cases.fail, cases.fail_in_a_thread])
def test_an_exception_is_a_failure_unless_expected(work: Callable[..., Any]) -> None:
    found = explore(cases.counter, [work, cases.add_locked], schedules=20)
    assert "LookupError: nothing here" in message(found)
    assert "python_cases.py" in message(found)
    found = explore(
        cases.counter, [work, cases.add_locked], counts(1), schedules=20,
        expected_errors=[LookupError],
    )  # fmt: skip
    assert not found.failed, found.summary
    found = explore(cases.counter, [work], schedules=20, expected_errors=[ValueError], shrink=False)
    assert found.failed


def test_system_exit_ends_a_thread_quietly() -> None:
    assert not explore(cases.counter, [cases.exit_quietly, cases.add_locked], counts(1)).failed


def test_a_daemon_is_left_behind_and_another_thread_is_not() -> None:
    found = explore(cases.counter, [cases.leave_a_daemon], counts(1), schedules=20)
    assert not found.failed, message(found)
    found = explore(cases.counter, [cases.leave_a_thread], schedules=20)
    assert "forgotten waits at" in message(found)
