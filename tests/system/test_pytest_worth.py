"""A test that passes under control and shows nothing says so."""

from __future__ import annotations

import pytest

from tests.system.plugin_tools import run

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
