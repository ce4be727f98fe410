"""State machines of Hypothesis, run by several workers at once."""

from __future__ import annotations

import asyncio
import re
import threading
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

import tracelock
from tracelock.errors import UsageError


class Store:
    def __init__(self) -> None:
        self.held: dict[int, int] = {}
        self.count = 0
        self.lock = threading.Lock()

    def put(self, key: int, value: int) -> None:
        if key not in self.held:
            self.count += 1
        self.held[key] = value


class LockedStore(Store):
    def put(self, key: int, value: int) -> None:
        with self.lock:
            super().put(key, value)


class StoreMachine(RuleBasedStateMachine):
    make: type[Store] = Store
    keys: Any = Bundle("keys")

    def __init__(self) -> None:
        super().__init__()
        self.store = self.make()

    @initialize(target=keys, key=st.integers(0, 1))
    def first(self, key: int) -> int:
        return key

    @rule(target=keys, key=st.integers(0, 3))
    def new_key(self, key: int) -> int:
        return key

    @rule(key=keys, value=st.integers(0, 3))
    def put(self, key: int, value: int) -> None:
        self.store.put(key, value)

    @invariant()
    def counted(self) -> None:
        assert self.store.count == len(self.store.held)


class LockedMachine(StoreMachine):
    make = LockedStore


class TaskMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.value = 0
        self.calls: list[int] = []

    @rule(by=st.integers(1, 3))
    async def add(self, by: int) -> None:
        before = self.value
        await asyncio.sleep(0)
        self.value = before + by
        self.calls.append(by)

    @precondition(lambda self: self.value > 1_000)
    @rule()
    async def never(self) -> None:
        raise AssertionError("its precondition never holds")

    @invariant()
    def summed(self) -> None:
        assert self.value == sum(self.calls)


def test_the_smallest_client_is_told_with_its_schedule() -> None:
    with pytest.raises(tracelock.SearchFailed) as failed:
        tracelock.run_state_machine_concurrently(
            StoreMachine, calls=2, clients=20, schedules=20, seconds=200
        )
    told = str(failed.value)
    for worker in (0, 1):
        assert re.search(rf"worker {worker}: .*put\(\S+ \S+\)", told), told
    assert "before: first(key=0)" in told and "1 preemptive switch" in told
    assert "assert self.store.count == len(self.store.held)" in told


def test_a_right_one_passes() -> None:
    found = tracelock.run_state_machine_concurrently(
        LockedMachine, calls=2, clients=8, schedules=15, seconds=20
    )
    assert found.verdict == "passed" and found.summary.startswith("passed: 8 clients")


def test_of_tasks() -> None:
    with pytest.raises(tracelock.SearchFailed) as failed:
        tracelock.run_state_machine_concurrently(
            TaskMachine, calls=2, clients=10, schedules=20, seconds=120
        )
    assert "worker 0: add(by=1)\nworker 1: add(by=1)\n" in str(failed.value)


def test_what_cannot_be_done_at_once_is_refused() -> None:
    class Consuming(RuleBasedStateMachine):
        keys: Any = Bundle("keys")

        @rule(target=keys)
        def key(self) -> int:
            return 1

        @rule(key=consumes(keys))
        def take(self, key: int) -> None: ...

    with pytest.raises(UsageError, match="consumes, filters or maps a bundle"):
        tracelock.run_state_machine_concurrently(Consuming)
    with pytest.raises(UsageError, match="no RuleBasedStateMachine"):
        tracelock.run_state_machine_concurrently(Store)
    with pytest.raises(UsageError, match="at least one worker"):
        tracelock.run_state_machine_concurrently(StoreMachine, workers=0)
