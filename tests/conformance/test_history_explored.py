"""Histories of controlled schedules: each schedule is judged by itself."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import tracelock
from tracelock.history import models


class Box:
    """A value that is taken out once, with and without a lock."""

    def __init__(self, lock: bool) -> None:
        self.items = [1]
        self.lock = threading.Lock() if lock else None

    def pop(self) -> Any:
        if self.lock is None:
            return self._pop()
        with self.lock:
            return self._pop()

    def _pop(self) -> Any:
        if not self.items:
            return None
        item = self.items[-1]
        self.items = self.items[:-1]
        return item


class Setting:
    def __init__(self, lock: bool) -> None:
        self.history = tracelock.History()
        self.box = self.history.watch(Box(lock))


def take(setting: Setting) -> None:
    setting.box.pop()


def judge(setting: Setting) -> None:
    setting.history.check(models.StackSpec([1], empty=None)).require()


def test_a_race_is_one_that_no_order_explains() -> None:
    found = tracelock.explore(
        setup=lambda: Setting(False),
        workers=[take, take],
        check=judge,
        strategy="dpor",
        shrink=False,
    )
    assert found.verdict == "failed" and found.trace is not None
    assert "no order of the calls explains pop() -> 1" in found.trace.verdict.message


def test_recording_does_not_keep_a_search_from_its_proof() -> None:
    found = tracelock.explore(
        setup=lambda: Setting(True), workers=[take, take], check=judge, strategy="dpor"
    )
    assert found.verdict == "verified", found.summary


class OwnReads:
    """A register that gives what was there at first: reads share nothing with writes."""

    def __init__(self) -> None:
        self.first = self.last = 0

    def write(self, value: int) -> None:
        self.last = value

    def read(self) -> int:
        return self.first


class Registered:
    def __init__(self) -> None:
        self.history = tracelock.History()
        self.register = self.history.watch(OwnReads())


def read(setting: Registered) -> None:
    setting.register.read()


def write(setting: Registered) -> None:
    setting.register.write(1)


def judge_register(setting: Registered) -> None:
    setting.history.check(models.RegisterSpec(0)).require()


@pytest.mark.parametrize("workers", [[read, write], [write, read]])
def test_every_order_of_calls_and_returns_is_tried(workers: list[Any]) -> None:
    """The two calls touch different variables: by those alone, one of their orders is enough."""
    found = tracelock.explore(
        setup=Registered, workers=workers, check=judge_register, strategy="dpor", shrink=False
    )
    assert found.verdict == "failed"


ELSEWHERE = Registered()  # made before control begins


def cleared() -> Registered:
    ELSEWHERE.history.clear()
    return ELSEWHERE


@pytest.mark.parametrize("setup", [cleared, lambda: ELSEWHERE])
def test_a_history_that_was_made_before_is_under_control_too(setup: Any) -> None:
    found = tracelock.explore(
        setup=setup, workers=[read, write], check=judge_register, strategy="dpor", shrink=False
    )
    assert found.verdict == "failed"
    ELSEWHERE.history.clear()
    ELSEWHERE.register.read()
    assert len(ELSEWHERE.history.operations) == 1


@pytest.mark.tracelock(strategy="dpor")
@tracelock.linearizable(models.StackSpec([1], empty=None))
def test_a_marked_test_is_judged_in_each_schedule(history: tracelock.History) -> None:
    box = history.watch(Box(True))
    threads = [threading.Thread(target=box.pop) for _ in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
