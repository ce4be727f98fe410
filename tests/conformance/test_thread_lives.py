"""Whether a thread lives, and how many do, depends on the schedule, also of threads without a step
of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import tracelock


class State:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.value: Any = 0
        self.result: Any = None


def started(target: Callable[[], object] = lambda: None) -> threading.Thread:
    thread = threading.Thread(target=target)
    thread.start()
    return thread


def alive(s: State) -> None:
    thread = started()
    s.result = thread.is_alive()
    thread.join()


def joined_at_once(s: State) -> None:
    thread = started()
    thread.join(timeout=0)
    s.result = thread.is_alive()
    thread.join()


def alive_after_its_work(s: State) -> None:
    def work() -> None:
        with s.lock:
            s.value = 1

    thread = started(work)
    with s.lock:
        seen = s.value
    s.result = thread.is_alive(), seen
    thread.join()


def counted(s: State) -> None:
    before = threading.active_count()
    thread = started()
    s.result = threading.active_count() - before
    thread.join()


def listed(s: State) -> None:
    thread = started()
    s.result = thread in threading.enumerate()
    thread.join()


def joined(s: State) -> None:
    thread = started()
    thread.join()
    s.result = thread.is_alive(), thread in threading.enumerate()


CASES: list[tuple[Callable[[State], None], set[Any]]] = [
    (alive, {True, False}),
    (joined_at_once, {True, False}),
    (alive_after_its_work, {(True, 0), (True, 1), (False, 0), (False, 1)}),
    (counted, {0, 1}),
    (listed, {True, False}),
    (joined, {(False, False)}),
]


@pytest.mark.parametrize("strategy", ["dpor", "random", "preemption"])
@pytest.mark.parametrize(("work", "results"), CASES, ids=lambda one: getattr(one, "__name__", ""))
def test_each_answer_is_found(
    work: Callable[[State], None], results: set[Any], strategy: str
) -> None:
    found: set[Any] = set()
    explored = tracelock.explore(
        setup=State, workers=[work], check=lambda s: found.add(s.result), strategy=strategy,
        schedules=100, isolation="never",
    )  # fmt: skip
    if strategy == "dpor":
        # what is learned first may have been seen in schedules that count no more
        assert explored.verdict == "verified"
    assert not explored.failed
    assert found == results


def test_without_such_a_question_the_end_is_no_step() -> None:
    def starts(s: State) -> None:
        for thread in [started() for _ in range(3)]:
            thread.join()

    explored = tracelock.explore(setup=State, workers=[starts, starts], strategy="dpor")
    assert (explored.verdict, explored.executions) == ("verified", 1)


def test_a_race_on_it_is_told_and_replayed() -> None:
    def work(s: State) -> None:
        thread = started()
        assert not thread.is_alive()
        thread.join()

    explored = tracelock.explore(setup=State, workers=[work])
    assert explored.failed and explored.trace is not None
    assert explored.confirmed == {"threading": "3/3"}
    again = tracelock.replay(explored.trace, setup=State, workers=[work])
    assert again.reproduced
