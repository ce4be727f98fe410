"""What pytest makes for a test is made anew for each schedule: races on it are found, each time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.plugin_tools import run
from tracelock.trace import load_trace

pytest_plugins = ["pytester"]

#: A cache that makes the same thing twice where two threads come at once, and its fixture.
CACHE = """\
import asyncio
import logging
import threading
import unittest

import pytest

THREADS = threading.active_count()


class Cache:
    def __init__(self):
        self.kept = {}
        self.made = 0

    def get(self, key):
        if key not in self.kept:
            self.made += 1
            self.kept[key] = object()
        return self.kept[key]


def both(function):
    threads = [threading.Thread(target=function) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.fixture
def cache(tmp_path):
    made = Cache()
    made.path = tmp_path
    yield made
    made.closed = True  # also of one whose schedule ended badly

"""
#: Where the cache can come from, with what the test says of it in the end.
RACES = {
    "a fixture": """
@pytest.mark.tracelock
def test_it(cache):
    both(lambda: cache.get(1))
    assert cache.made == 1
""",
    "a fixture of a fixture": """
@pytest.fixture(params=[1, 2])
def keyed(cache, request, monkeypatch):
    monkeypatch.setenv("KEY", str(request.param))
    return cache, request.param

@pytest.mark.tracelock
def test_it(keyed):
    both(lambda: keyed[0].get(keyed[1]))
    assert keyed[0].made == 1
""",
    "setup_method": """
@pytest.mark.tracelock
class TestIt:
    def setup_method(self):
        self.cache = Cache()

    def test_it(self):
        both(lambda: self.cache.get(1))
        assert self.cache.made == 1
""",
    "self": """
@pytest.mark.tracelock
class TestIt:
    def cache(self):
        self.__dict__.setdefault("own", Cache())
        return self.own

    def test_it(self):
        cache = self.cache()
        both(lambda: cache.get(1))
        assert cache.made == 1
""",
    "an autouse fixture": """
@pytest.mark.tracelock
class TestIt:
    @pytest.fixture(autouse=True)
    def prepare(self, request):
        self.cache = Cache()
        request.addfinalizer(self.cache.kept.clear)

    def test_it(self):
        both(lambda: self.cache.get(1))
        assert self.cache.made == 1
""",
    "what a fixture finds when it is torn down": """
@pytest.fixture
def checked():
    cache = Cache()
    yield cache
    assert cache.made == 1

@pytest.mark.tracelock
def test_it(checked):
    both(lambda: checked.get(1))
""",
    "setUp": """
@pytest.mark.tracelock
class TestIt(unittest.TestCase):
    def setUp(self):
        self.cache = Cache()

    def tearDown(self):
        self.cache = None

    def test_it(self):
        both(lambda: self.cache.get(1))
        self.assertEqual(self.cache.made, 1)
""",
    "a sub-test": """
@pytest.mark.tracelock
class TestIt(unittest.TestCase):
    def test_it(self):
        for key in range(2):
            with self.subTest(key=key):
                cache = Cache()
                both(lambda: cache.get(key))
                self.assertEqual(cache.made, 1)
""",
    "an async fixture": """
@pytest.fixture
async def made():
    await asyncio.sleep(0)
    yield Cache()
    await asyncio.sleep(0)

async def get(cache):
    if 1 not in cache.kept:
        await asyncio.sleep(0)
        cache.made += 1
        cache.kept[1] = object()

@pytest.mark.tracelock
async def test_it(made, cache):
    await asyncio.gather(get(made), get(made))
    assert made.made == 1
""",
}


@pytest.mark.parametrize("name", RACES)
def test_a_race_on_it_is_found_kept_and_tried_first(pytester: pytest.Pytester, name: str) -> None:
    pytester.makepyfile(test_it=CACHE + RACES[name])
    asynchronous = name == "an async fixture"
    options = ("-oasyncio_mode=auto",) if asynchronous else ()
    for found in ("found after", "found after 1 schedule;"):
        result = run(pytester, *options, others=asynchronous)
        result.assert_outcomes(failed=2 if name == "a fixture of a fixture" else 1)
        text = result.stdout.str()
        assert found in text and "ScheduleFailed: AssertionError" in text
        assert "not deterministic" not in text
    for path in Path(pytester.path, ".tracelock").glob("*.json"):
        assert load_trace(path).verdict.kind == "failed"


def test_what_is_right_passes_and_each_schedule_has_its_own(pytester: pytest.Pytester) -> None:
    """What fixtures count, log records, files in a folder that has the same name each time."""
    pytester.makepyfile(
        test_right=CACHE
        + """
class Locked(Cache):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()

    def get(self, key):
        with self.lock:
            return super().get(key)


@pytest.fixture
def locked():
    return Locked()


@pytest.mark.tracelock(schedules=40)
class TestIt:
    def setup_method(self):
        self.calls = []

    def test_it(self, locked, tmp_path, caplog, capsys, monkeypatch):
        self.calls.append(1)
        monkeypatch.setattr(Cache, "more", 1, raising=False)
        logging.warning("once")
        print("once")
        (tmp_path / "file").touch(exist_ok=False)
        both(lambda: locked.get(1))
        assert locked.made == 1
        assert self.calls == [1] and len(caplog.records) == 1
        assert capsys.readouterr().out == "once\\n"
        assert tmp_path.name == "test_it0"


@pytest.mark.tracelock(schedules=40)
class TestCase(unittest.TestCase):
    def setUp(self):
        self.cache = Locked()

    def test_it(self):
        both(lambda: self.cache.get(1))
        self.assertEqual(self.cache.made, 1)

    def test_skipped(self):
        self.skipTest("not today")

    @unittest.expectedFailure
    def test_expected(self):
        self.fail("known")


def test_nothing_is_left():
    assert not hasattr(Cache, "more")
"""
    )
    run(pytester).assert_outcomes(passed=3, skipped=1, xfailed=1)


def test_a_fixture_that_fails_or_skips(pytester: pytest.Pytester) -> None:
    """As without control: the one is an error, the other skips the test."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def broken():
            raise ValueError("no")

        @pytest.fixture
        def away():
            pytest.skip("not here")

        @pytest.mark.tracelock
        def test_broken(broken):
            pass

        @pytest.mark.tracelock
        def test_away(away):
            pass
        """
    )
    run(pytester).assert_outcomes(errors=1, skipped=1)


def test_a_fixture_that_cannot_be_made_anew_is_named(pytester: pytest.Pytester) -> None:
    """Its value lives through all schedules: nobody is to think otherwise."""
    pytester.makepyfile(
        test_it="""
        import pytest

        @pytest.fixture
        async def basket(request):
            return []

        @pytest.mark.tracelock(schedules=5)
        async def test_it(basket):
            assert basket == []
        """
    )
    result = run(pytester, "-oasyncio_mode=auto", others=True)
    result.stdout.fnmatch_lines(["*fixtures that cannot be made anew for each schedule: basket;*"])


_WIDER = """
import itertools


@pytest.fixture(scope="module")
def shared():
    return Cache()


@pytest.fixture(scope="session")
def numbers():
    return (number for number in itertools.count())


@pytest.mark.tracelock
def test_it(shared, cache):
    both(lambda: shared.get(1))
    assert shared.made == 1


@pytest.mark.tracelock(schedules=20)
def test_what_cannot_be_put_back(numbers, cache):
    lock = threading.Lock()

    def work():
        with lock:
            next(numbers)

    both(work)


def test_afterwards(shared):
    assert shared.made == 0
"""


def test_what_wider_fixtures_made_is_put_back_or_named(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=CACHE + _WIDER)
    result = run(pytester)
    result.assert_outcomes(failed=1, passed=2)
    told = "schedules write to what wider fixtures have made, and it cannot be put back: numbers (s"
    result.stdout.fnmatch_lines([
        "failed: found after * schedules; it takes 1 preemptive switch",
        f"*TracelockWarning: {told}*",
    ])  # fmt: skip
    result = run(pytester, "-o", "tracelock_strict=true", "-k", "cannot")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"tracelock: {told}*(tracelock_strict is set)"])


_ENDS = """
@pytest.fixture
def locks(monkeypatch):
    monkeypatch.setenv("IN_A_SCHEDULE", "1")
    one, two = threading.Lock(), threading.Lock()
    yield one, two
    with one, two:
        pass


@pytest.mark.tracelock
def test_a_deadlock(locks):
    one, two = locks

    def work(first, second):
        with first, second:
            pass

    threads = [threading.Thread(target=work, args=pair) for pair in ((one, two), (two, one))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


TIMES = []


@pytest.fixture
def rare():
    TIMES.append(1)
    if COUNT[0].get() > 2:
        pytest.skip("not twice")


class Count:
    def __init__(self):
        import tempfile

        self.path = tempfile.mktemp()

    def get(self):
        with open(self.path, "a") as file:
            file.write("x")
            return file.tell()


COUNT = [Count()]


@pytest.mark.tracelock(schedules=20)
def test_skipped_later(rare, cache):
    both(lambda: cache.get(1))


@pytest.mark.tracelock(schedules=20)
def test_fails_in_the_body(cache):
    both(lambda: cache.get(1))
    if cache.made == 2:
        pytest.fail("made twice")


def test_afterwards():
    import os

    assert "IN_A_SCHEDULE" not in os.environ
    assert threading.active_count() == THREADS
"""


def test_however_a_schedule_ends(pytester: pytest.Pytester) -> None:
    """A teardown after a deadlock does not hang; a fixture may skip a later schedule."""
    pytester.makepyfile(test_it=CACHE + _ENDS)
    result = run(pytester, "-rs")
    result.assert_outcomes(failed=2, passed=1, skipped=1)
    result.stdout.fnmatch_lines(["deadlock", "Failed: made twice*", "SKIPPED*not twice"])
