"""Tests with ``@given``: Hypothesis draws an input, and the schedules are explored under it."""

from __future__ import annotations

import pytest

from tests.system.plugin_tools import COUNTER, run
from tracelock.trace import load_trace

pytest_plugins = ["pytester"]

_HEAD = (
    """\
import asyncio
import threading
import unittest

import pytest
from hypothesis import HealthCheck, assume, event, example, given, note, settings
from hypothesis import strategies as st

FEW = settings(
    max_examples=10, database=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

"""
    + COUNTER
    + """\
@pytest.fixture
def counter():
    counter = Counter()
    yield counter
    counter.closed = True


"""
)
_BAD = (
    _HEAD
    + """
@pytest.mark.tracelock(seconds=600)
@FEW
@given(n=st.integers(0, 20), items=st.lists(st.integers(), min_size=1))
def test_it(counter, n, items):
    assume(n % 5 != 4)
    note(f"n is {n}")
    event("it runs")
    items.append(n)
    both(counter.race if n >= 7 else counter.add)
    assert counter.n == 2
    assert items[:-1].count(n) == 0 or len(items) < 99
"""
)


def test_input_and_schedule_are_both_small_and_come_back(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=_BAD)
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([
        "*it takes 1 preemptive switch*",
        "note: the input is n=7, items=?0? (* were explored)",
    ])  # fmt: skip
    (path,) = (pytester.path / ".tracelock").glob("*.json")
    assert load_trace(path).scenario["python"]["hypothesis"]["input"] == "n=7, items=[0]"
    result = run(pytester, "--tracelock-replay", str(path))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["still fails: reproduced, it ended as recorded"])


def test_what_hypothesis_can_do(pytester: pytest.Pytester) -> None:
    """Its examples, its deadline, its data, its async functions and methods."""
    pytester.makepyfile(
        test_it=_HEAD
        + """
@pytest.mark.tracelock(schedules=6)
@settings(FEW, deadline=1, max_examples=3)
@given(st.integers(0, 3))
@example(77)
@example(3)
def test_example(n):
    counter = Counter()
    both(counter.race if n == 77 else counter.add)
    assert counter.n == 2


@pytest.mark.tracelock(schedules=6)
@settings(FEW, deadline=1, max_examples=3)
@given(st.data())
def test_data(data):
    counter = Counter()
    for _ in range(data.draw(st.integers(0, 2))):
        both(counter.add if data.draw(st.booleans()) else counter.add)
    assert counter.n % 2 == 0


@pytest.mark.tracelock(schedules=6)
@settings(FEW, max_examples=3)
@given(st.integers(1, 2))
async def test_async(n):
    done = []

    async def work():
        await asyncio.sleep(0)
        done.append(n)

    await asyncio.gather(work(), work())
    assert done == [n, n]


class TestIt:
    @pytest.mark.tracelock(schedules=6)
    @settings(FEW, max_examples=3)
    @given(st.integers(1, 2))
    def test_method(self, counter, n):
        assert not hasattr(self, "n")
        self.n = n
        for _ in range(n):
            both(counter.add)
        assert counter.n == 2 * n


class TestCase(unittest.TestCase):
    def setUp(self):
        self.counter = Counter()

    @pytest.mark.tracelock(schedules=6)
    @settings(FEW, max_examples=3)
    @given(st.integers(1, 2))
    def test_method(self, n):
        both(self.counter.add)
        self.assertEqual(self.counter.n, 2)

    @pytest.mark.tracelock(schedules=6)
    @settings(FEW, max_examples=3)
    @given(st.integers(1, 2))
    def test_race(self, n):
        both(self.counter.race)
        self.assertEqual(self.counter.n, 2)
"""
    )
    result = run(pytester, "-v", "-p", "asyncio")
    result.assert_outcomes(passed=4, failed=2)
    result.stdout.fnmatch_lines(["*note: the input is n=77 *", "*note: the input is n=1 *"])
    (path,) = (pytester.path / ".tracelock").glob("*test_example*")
    result = run(pytester, "-k", "test_example", "--tracelock-replay", str(path))
    result.stdout.fnmatch_lines(["still fails: reproduced, it ended as recorded"])


def test_examples_that_do_not_count(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it=_HEAD
        + """
@pytest.mark.tracelock(schedules=6)
@settings(FEW, max_examples=1)
@given(st.integers())
def test_skips(n):
    pytest.skip("not now")


@pytest.mark.tracelock(schedules=6)
@settings(FEW, max_examples=1)
@given(st.integers())
def test_rejects_all(n):
    assume(False)
"""
    )
    result = run(pytester, "-v")
    result.assert_outcomes(failed=1, skipped=1)
    result.stdout.fnmatch_lines(["*filtering out a lot*"])


def test_unmarked(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it=_HEAD
        + """
@FEW
@given(st.booleans())
def test_it(wrong):
    counter = Counter()
    both(counter.race if wrong else counter.add)
    assert counter.n == 2


@FEW
@given(st.integers())
def test_alone(n):
    assert n == n
"""
    )
    result = run(pytester, "--tracelock", "--tracelock-seconds=60")
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines([
        "note: the input is wrong=True (* were explored)",
        "1 test explored: 1 failed; 1 had nothing concurrent; 0 not explored",
    ])  # fmt: skip


def test_hypothesis_is_not_imported_for_others() -> None:
    import subprocess
    import sys

    code = (
        "import sys, tracelock.pytest_plugin.given, tracelock.pytest_plugin.marked\n"
        "assert 'hypothesis' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
