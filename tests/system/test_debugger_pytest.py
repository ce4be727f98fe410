"""``pytest --pdb`` on a failing schedule, and ``breakpoint()`` in tests under control."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.debugged import POOL, Terminal, terminal
from tests.system.plugin_tools import PLUGIN

TEST = """\
import threading

import pytest

from dbg_tested import Pool


@pytest.fixture
def pool():
    return Pool()


@pytest.mark.tracelock(schedules=100)
def test_pool(pool):
    errors = []

    def user(number):
        try:
            conn = pool.take()
        except IndexError as error:
            errors.append(error)
            return
        pool.give(conn)

    threads = [threading.Thread(target=user, args=(n,), name=f"user-{n}") for n in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not errors


def test_other():
    assert True
"""
CALLS = """\
import pytest

class Counter:
    n = 0

def add(counter):
    mine = counter.n
    breakpoint()
    counter.n = mine + 1

@pytest.mark.tracelock(schedules=50)
def test_calls():
    import threading
    counter = Counter()
    threads = [threading.Thread(target=add, args=(counter,)) for _ in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert counter.n == 2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tested")
    (folder / "dbg_tested.py").write_text(POOL, encoding="utf-8")
    (folder / "test_pool.py").write_text(TEST, encoding="utf-8")
    (folder / "test_calls.py").write_text(CALLS, encoding="utf-8")
    return folder


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[Terminal]:
    with terminal(folder, "pytest", *PLUGIN, "-p", "no:cacheprovider", "-q", *arguments) as one:
        yield one


def test_pdb_stops_in_the_test_and_not_in_the_plugin(folder: Path) -> None:
    with running(folder, "--pdb", "test_pool.py") as one:
        shown = one.until("(tracelock) ")
        assert "tracelock replays it" in shown
        replayed = shown.partition("tracelock replays it")[2]
        assert "-- failure in test_pool: AssertionError" in replayed
        assert "test_pool.py(30)test_pool()" in replayed and "-> assert not errors" in replayed
        assert "pop from empty list" in one.ask("p errors")
        stack = one.ask("w")
        assert stack.count("()\n") == 1, stack  # the test's own frame and no other
        assert "user-1" in one.ask("workers")
        assert "next: event" in one.ask("back")
        one.ask("b dbg_tested.py:13")
        back = one.ask("rc")
        assert "-> return self._idle.pop()" in back
        assert "user()" in one.ask("up")
        one.type("q\n")
        assert "1 failed" in one.until("1 failed") + "1 failed"
        assert one.ends() == 2  # as pytest ends when its own debugger is left

    traces = list((folder / ".tracelock").glob("test_pool*.json"))
    assert len(traces) == 1
    trace = str(traces[0].relative_to(folder))
    with terminal(folder, "tracelock", "replay", trace, "--allow-call", "--pdb") as one:
        assert "-- failure in test_pool" in one.until("(tracelock) ")
        assert "next: event 4 of" in one.ask("goto 4")
        one.type("\x04")
        assert one.ends() == 0


def test_calls_of_breakpoint_are_passed_over_in_a_search_and_stop_a_replay(folder: Path) -> None:
    with running(folder, "test_calls.py") as one:
        shown = one.until("1 failed")
        assert one.ends() == 1
    assert shown.count("was passed over: a search stops nowhere") == 1
    assert "\n(tracelock) " not in shown and "(Pdb)" not in shown
    (trace,) = (folder / ".tracelock").glob("test_calls*.json")
    name = str(trace.relative_to(folder))
    with terminal(folder, "tracelock", "replay", name, "--allow-call") as one:
        assert "-- breakpoint() in " in one.until("(tracelock) ")
        assert one.ask("p mine").strip() == "0"
        one.type("q\n")
        assert one.ends() == 0
