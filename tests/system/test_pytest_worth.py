"""A test that passes under control and shows nothing says so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.system.plugin_tools import COUNTER, PLUGIN, run

pytest_plugins = ["pytester"]

_SOURCE = """\
import threading

import pytest


@pytest.mark.tracelock(schedules=20)
def test_alone():
    assert 1 + 1 == 2


@pytest.mark.tracelock(schedules=20)
def test_threads():
    lock = threading.Lock()

    def work():
        with lock:
            pass

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.tracelock(schedules=20)
def test_nothing_shared():
    def work():
        return sum([1, 2])

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.tracelock(schedules=20)
def test_skipped():
    pytest.skip("no reason to warn")
"""


def test_what_shows_nothing_is_warned_of(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=_SOURCE)
    result = run(pytester)
    result.assert_outcomes(passed=3, skipped=1, warnings=2)
    result.stdout.fnmatch_lines([
        "*TracelockWarning: nothing ran concurrently*",
        "*TracelockWarning: 3 threads, 0 locks, 0 shared variables: nothing that they share was*",
    ])  # fmt: skip


def test_strictly_it_fails(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=_SOURCE)
    result = run(pytester, "-o", "tracelock_strict=true")
    result.assert_outcomes(passed=1, failed=2, skipped=1)


def test_what_only_an_assertion_looks_at_is_seen(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        import threading

        import pytest


        class Seats:
            def __init__(self):
                self.free, self.taken = ["a"], []

            def take(self):
                return self.free.pop() if self.free else None

            def give(self):
                self.taken.append("a")
                self.free.append("a")
                self.taken.remove("a")


        def both(first, second):
            threads = [threading.Thread(target=one) for one in (first, second)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()


        @pytest.mark.tracelock
        def test_method():
            seats = Seats()

            def take():
                assert seats.take() in ("a", None)

            both(take, take)


        @pytest.mark.tracelock
        def test_container():
            seats = Seats()

            def look():
                assert "a" not in seats.taken

            both(seats.give, look)
        """
    )
    result = run(pytester)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*IndexError: pop from empty list*", "*assert 'a' not in *'a'*"])


def _results(pytester: pytest.Pytester, source: str, *more: str) -> dict[str, dict[str, Any]]:
    pytester.makepyfile(test_it=source)
    run(pytester, "--tracelock-json=out.json", *more)
    data = json.loads((pytester.path / "out.json").read_text())
    return {name.partition("::")[2]: one for name, one in data["tests"].items()}


def test_one_schedule_is_enough_where_there_is_no_other(pytester: pytest.Pytester) -> None:
    results = _results(
        pytester,
        """
        import asyncio
        import threading
        import time

        import pytest


        @pytest.mark.tracelock(schedules=40)
        def test_locks():
            lock = threading.Lock()
            with lock:
                time.sleep(1)


        @pytest.mark.tracelock(schedules=40, strategy="random")
        def test_sampled():
            pass


        @pytest.mark.tracelock(schedules=40)
        async def test_loop():
            asyncio.get_running_loop().call_soon(len, "")
            await asyncio.sleep(1)
        """,
    )
    assert {name: (one["verdict"], one["schedules"]) for name, one in results.items()} == {
        "test_locks": ("verified", 3), "test_sampled": ("passed", 3), "test_loop": ("verified", 3),
    }  # fmt: skip


def test_others_are_tried_where_there_may_be_some(pytester: pytest.Pytester) -> None:
    """Threads that come late, cancellations, timers, chance, what lives on in files or is seen by
    nobody."""
    results = _results(
        pytester,
        """
        import asyncio
        import random
        import sqlite3
        import threading
        import time
        from pathlib import Path

        import pytest

        FILE = Path(__file__).with_name("runs")


        @pytest.mark.tracelock(schedules=40)
        def test_late():
            FILE.touch()
            runs = len(FILE.read_text())
            FILE.write_text("x" * (runs + 1))
            if runs > 6:
                thread = threading.Thread(target=len, args=("",))
                thread.start()
                thread.join()


        @pytest.mark.tracelock(schedules=40)
        def test_chance():
            random.random()


        @pytest.mark.tracelock(schedules=40)
        def test_unseen():
            sqlite3.Connection(":memory:").close()  # which is not what ``connect`` gives


        @pytest.mark.tracelock(schedules=40, clock="adversarial")
        def test_timer():
            time.sleep(1)


        @pytest.mark.tracelock(schedules=40, cancellations=1)
        async def test_cancelled():
            await asyncio.sleep(1)
        """,
    )
    few = [name for name, one in results.items() if one["schedules"] < 12]
    assert len(results) == 5
    assert not few
    assert results["test_late"]["account"]["workers"] == 2


def test_others_are_tried_in_processes_apart(pytester: pytest.Pytester) -> None:
    """In a process of its own: none forks while threads live that other tests have left."""
    pytester.makepyfile(
        test_it="""
        import pytest


        @pytest.mark.tracelock(schedules=40, isolation="always", seconds=120)
        def test_apart():
            pass
        """
    )
    pytester.runpytest_subprocess(*PLUGIN, "--tracelock-json=out.json").assert_outcomes(passed=1)
    (one,) = json.loads((pytester.path / "out.json").read_text())["tests"].values()
    assert one["schedules"] >= 12


def test_a_cancelled_task_alone_is_worth_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        import asyncio

        import pytest


        @pytest.mark.tracelock(schedules=40, cancellations=1)
        async def test_task():
            await asyncio.sleep(1)


        @pytest.mark.tracelock(schedules=40, cancellations=1)
        def test_nobody():
            pass
        """
    )
    result = run(pytester)
    result.assert_outcomes(passed=2, warnings=1)


_REWRITTEN = (
    """
import threading
import weakref

import pytest
"""
    + COUNTER
    + """
@pytest.mark.tracelock(schedules=40)
def test_reference():
    assert weakref.ref(setattr)()
    both(len.__repr__)


@pytest.mark.tracelock(schedules=40, expected_errors=[AssertionError])
def test_expected():
    counter = Counter()

    def looks():
        counter.n += 1
        assert counter.n == 17

    both(looks)
"""
)


def test_an_assertion_that_pytest_has_rewritten_is_the_same_assertion(
    pytester: pytest.Pytester,
) -> None:
    """What is looked at through a weak reference stays itself, and to put a failure into words
    is no use of what is shared."""
    results = _results(pytester, _REWRITTEN)
    assert {name: one["verdict"] for name, one in results.items()} == {
        "test_reference": "verified", "test_expected": "verified",
    }, results  # fmt: skip
