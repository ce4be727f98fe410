"""What pytest makes for a test is made anew for each of its schedules."""

from __future__ import annotations

import pytest

from tests.system.plugin_tools import run

pytest_plugins = ("pytester",)

_SHARED = """\
import threading

import pytest


class Once:
    def __init__(self):
        self.made = None
        self.times = 0

    def get(self):
        if self.made is None:
            self.times += 1
            self.made = object()
        return self.made


def race(once):
    threads = [threading.Thread(target=once.get) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert once.times == 1


"""

_WAYS = {
    "fixture": """\
@pytest.fixture
def once():
    return Once()


@pytest.mark.tracelock
def test_race(once):
    race(once)
""",
    "yield and another fixture": """\
@pytest.fixture
def inner():
    yield Once()


@pytest.fixture(params=[0])
def once(inner, request):
    request.addfinalizer(lambda: None)
    return inner


@pytest.mark.tracelock
def test_race(once, tmp_path, monkeypatch, capsys, caplog):
    (tmp_path / "new").mkdir()
    race(once)
""",
    "setup_method": """\
class TestOnce:
    def setup_method(self):
        self.once = Once()

    @pytest.mark.tracelock
    def test_race(self):
        race(self.once)
""",
    "autouse fixture and self": """\
class TestOnce:
    @pytest.fixture(autouse=True)
    def make(self):
        self.once = Once()

    @pytest.mark.tracelock
    def test_race(self):
        race(self.once)
""",
    "setup_function": """\
def setup_function(function):
    global once
    once = Once()


@pytest.mark.tracelock
def test_race():
    race(once)
""",
    "unittest": """\
import unittest


class TestOnce(unittest.TestCase):
    def setUp(self):
        self.once = Once()

    @pytest.mark.tracelock
    def test_race(self):
        race(self.once)
""",
}


@pytest.mark.parametrize("way", _WAYS)
def test_what_is_made_for_a_test_is_new_in_each_schedule(
    pytester: pytest.Pytester, way: str
) -> None:
    pytester.makepyfile(test_it=_SHARED + _WAYS[way])
    for _ in range(2):  # the second time the schedule that was kept is tried first
        result = run(pytester)
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["*assert 2 == 1*"])
        result.stdout.no_fnmatch_line("*not deterministic*")


def test_each_is_torn_down_and_right_code_passes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""\
import threading
import unittest

import pytest

LIVING = []


class Counter:
    def __init__(self):
        self.lock, self.n = threading.Lock(), 0

    def add(self):
        with self.lock:
            self.n += 1


def use(counter):
    threads = [threading.Thread(target=counter.add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.n == 2


@pytest.fixture
def counter():
    assert not LIVING
    LIVING.append(1)
    yield Counter()
    LIVING.pop()


@pytest.mark.tracelock
def test_function(counter, tmp_path, caplog):
    use(counter)


class TestCase(unittest.TestCase):
    def setUp(self):
        assert not LIVING
        LIVING.append(1)
        self.counter = Counter()

    def tearDown(self):
        LIVING.pop()

    @pytest.mark.tracelock
    def test_method(self):
        with self.subTest("one"):
            use(self.counter)

    @pytest.mark.tracelock
    def test_skipped(self):
        self.skipTest("not now")


def test_afterwards():
    assert not LIVING
"""
    )
    run(pytester).assert_outcomes(passed=3, skipped=1)


def test_what_fails_in_tearing_down_fails_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it=_SHARED
        + """\
@pytest.fixture
def once():
    once = Once()
    yield once
    assert once.times == 1, "built twice"


@pytest.mark.tracelock
def test_race(once):
    threads = [threading.Thread(target=once.get) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""
    )
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*built twice*"])


def test_tearing_down_after_a_deadlock_does_not_hang(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""\
import threading

import pytest


@pytest.fixture
def locks(monkeypatch):
    monkeypatch.setenv("IN_A_SCHEDULE", "1")
    one, two = threading.Lock(), threading.Lock()
    yield one, two
    with one, two:
        pass


@pytest.mark.tracelock
def test_order(locks):
    one, two = locks

    def work(first, second):
        with first, second:
            pass

    threads = [threading.Thread(target=work, args=pair) for pair in ((one, two), (two, one))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_afterwards():
    import os

    assert "IN_A_SCHEDULE" not in os.environ
"""
    )
    result = run(pytester)
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["*deadlock*"])
