"""``pytest --tracelock``: a suite as it is, of which what is concurrent is explored."""

from __future__ import annotations

import json

import pytest

from tests.system.plugin_tools import COUNTER, run, summary

pytest_plugins = ["pytester"]

_HEAD = (
    """\
import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
import unittest

import pytest

THREADS = threading.active_count()

"""
    + COUNTER
)
_ORDINARY = """\
@pytest.fixture
def counter():
    counter = Counter()
    yield counter
    assert counter.n == 2


def test_right(counter):
    both(counter.add)


def test_wrong(counter):
    both(counter.race)


def test_alone(capsys):
    print("alone")
    assert capsys.readouterr().out == "alone\\n"


def test_fails():
    print("what it says")
    assert 1 == 2


def test_skips():
    pytest.skip("not here")


@pytest.mark.xfail
def test_expected_to_fail():
    assert 1 == 2


@pytest.mark.xfail(strict=True)
def test_a_known_race():
    counter = Counter()
    both(counter.race)
    assert counter.n == 2


@pytest.mark.parametrize("times", [1, 2])
def test_parametrized(times):
    counter = Counter()
    for _ in range(times):
        both(counter.add)
    assert counter.n == 2 * times


class TestCase(unittest.TestCase):
    def setUp(self):
        self.counter = Counter()

    def test_right(self):
        both(self.counter.add)
        self.assertEqual(self.counter.n, 2)

    def test_wrong(self):
        both(self.counter.race)
        self.assertEqual(self.counter.n, 2)

    def test_alone(self):
        self.skipTest("no")
"""


def test_only_what_is_concurrent_is_explored(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=_HEAD + _ORDINARY)
    result = run(pytester, "--tracelock", "--tracelock-seconds=60", "-v")
    result.assert_outcomes(passed=5, failed=3, skipped=2, xfailed=2)
    assert summary(result) == ["test_it.py::test_wrong", "test_it.py::TestCase::test_wrong"]
    result.stdout.fnmatch_lines([
        "*assert 1 == 2*",
        "test_it.py::test_right  verified: 2 interleavings of 3 threads, 1 lock, *",
        "7 tests explored: 4 verified, 3 failed; 3 had nothing concurrent; 0 not explored",
    ])  # fmt: skip
    # the first run of each is pytest's own
    plain = run(pytester)
    plain.assert_outcomes(passed=7, failed=2, skipped=2, xfailed=1)


def test_its_replay_command_reproduces(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=_HEAD + _ORDINARY)
    wrong = ("--tracelock-seconds=60", "-k", "test_wrong and not Case")
    run(pytester, "--tracelock", *wrong).assert_outcomes(failed=1)
    (trace,) = (pytester.path / ".tracelock").glob("*.json")
    result = run(pytester, "test_it.py::test_wrong", "--tracelock-replay", str(trace))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["still fails: reproduced, it ended as recorded"])


_SOCKETS = """\
def served():
    with socket.create_server(("127.0.0.1", 0)) as server:
        def serve():
            with server.accept()[0] as connection:
                connection.sendall(b"ab")

        thread = threading.Thread(target=serve)
        thread.start()
        with socket.create_connection(server.getsockname()) as connection:
            yield connection
        thread.join()


serving = pytest.fixture(served)


def test_reads_all(serving):
    assert serving.recv(1) + serving.recv(1) == b"ab"


def test_reads_once(serving):
    assert serving.recv(2) == b"ab"


@pytest.fixture(scope="module")
def elsewhere():
    with socket.create_server(("127.0.0.1", 0)) as server:  # of the process, not of the test
        yield server.getsockname()


def test_outside(elsewhere):
    both(lambda: socket.create_connection(elsewhere).close())


def test_alone():
    socket.create_server(("127.0.0.1", 0)).close()
"""


def test_sockets_between_its_threads_are_explored(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=_HEAD + _SOCKETS)
    result = run(pytester, "--tracelock", "--tracelock-seconds=60", "--tracelock-json", "all.json")
    result.assert_outcomes(passed=3, failed=1)
    found = json.loads((pytester.path / "all.json").read_text())["tests"]
    told = {node.partition("::")[2]: one for node, one in found.items()}
    assert {name: one["verdict"] for name, one in told.items()} == {
        "test_reads_all": "verified",
        "test_reads_once": "failed",
        "test_outside": "not explored",
        "test_alone": "alone",
    }
    assert "which no worker of the run serves" in told["test_outside"]["why"]


_UNCONTROLLED = """\
def test_processes():
    both(lambda: subprocess.run([sys.executable, "-c", ""], check=True))


@pytest.fixture(scope="module")
def standing():
    event = threading.Event()
    thread = threading.Thread(target=event.wait)
    thread.start()
    yield event
    event.set()
    thread.join()


def test_with_a_thread_of_the_module(standing):
    assert not standing.is_set()


def test_with_the_same_thread(standing):
    assert not standing.is_set()


RUNS = []


def test_only_once():
    RUNS.append(1)
    both(Counter().add)
    open("once.txt", "x").close()


def test_that_ends_the_process():
    both(Counter().add)
    if os.environ.get("ENDS") != "no":  # of this process alone
        os.environ["ENDS"] = "no"
    else:
        os._exit(3)
"""


def test_what_cannot_be_controlled_is_named_and_stays_as_it_is(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=_HEAD + _UNCONTROLLED)
    result = run(pytester, "--tracelock", "--tracelock-seconds=60", "--tracelock-json", "all.json")
    result.assert_outcomes(passed=5)
    found = json.loads((pytester.path / "all.json").read_text())["tests"]
    assert {node.partition("::")[2]: one.get("why", "") for node, one in found.items()} == {
        "test_processes": "it starts processes",
        **dict.fromkeys(
            ("test_with_a_thread_of_the_module", "test_with_the_same_thread"),
            "something that a fixture has started runs meanwhile: standing (module)",
        ),
        "test_only_once": "it passes by itself, and fails in every schedule under control: "
        "FileExistsError: [Errno 17] File exists: 'once.txt'",
        "test_that_ends_the_process": "it passes by itself, and fails in every schedule under "
        "control: the process died: exit status 3, in test_that_ends_the_process",
    }
    result.stdout.fnmatch_lines(["0 tests explored; 5 not explored"])


def test_what_is_shown_is_of_the_schedule_that_fails(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it=_HEAD
        + """
import logging


def test_it():
    counter = Counter()
    print("begins")
    both(counter.race)
    print("ends with", counter.n)
    logging.warning("logged %s", counter.n)
    assert counter.n == 2
"""
    )
    result = run(pytester, "--tracelock", "--tracelock-seconds=60")
    result.assert_outcomes(failed=1)
    lines = result.stdout.lines
    assert [line for line in lines if line in ("begins", "ends with 1", "ends with 2")] == [
        "begins", "ends with 1",
    ]  # fmt: skip
    result.stdout.fnmatch_lines(["*logged 1"])
    result.stdout.no_fnmatch_line("*logged 2")


def test_its_bounds(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it=_HEAD
        + """
def test_it():
    counter = Counter()
    both(lambda: [counter.add() for _ in range(5)])
"""
    )
    result = run(
        pytester, "--tracelock", "--tracelock-schedules=7", "--tracelock-json=all.json",
        "-o", "tracelock_seconds=3",
    )  # fmt: skip
    result.assert_outcomes(passed=1)
    (found,) = json.loads((pytester.path / "all.json").read_text())["tests"].values()
    assert (found["verdict"], found["schedules"]) == ("passed", 7)
    assert run(pytester, "--tracelock-seconds=0").ret == pytest.ExitCode.USAGE_ERROR
    result = run(pytester, "--tracelock", "-o", "tracelock_seconds=no")
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_with_xdist(pytester: pytest.Pytester) -> None:
    """What the workers of xdist explore comes along, and the statistics of it."""
    pytester.makepyfile(test_it=_HEAD + _ORDINARY)
    result = run(
        pytester, "--tracelock", "--tracelock-seconds=60", "-n2", "--tracelock-statistics",
        others=True,
    )  # fmt: skip
    result.assert_outcomes(passed=5, failed=3, skipped=2, xfailed=2)
    result.stdout.fnmatch_lines([
        "test_it.py::test_right  verified: 2 interleavings of 3 threads, 1 lock, *",
        "  threads: 3, at most 3 at a time",
        "  shared variables: Counter#1.n (by 2)",
        "7 tests explored: 4 verified, 3 failed; 3 had nothing concurrent; 0 not explored",
    ])  # fmt: skip


@pytest.mark.parametrize("marked", [False, True])
def test_one_that_is_timed_out_says_what_was_tried(pytester: pytest.Pytester, marked: bool) -> None:
    # as pytest-timeout ends a test: from a signal handler
    pytester.makeconftest(
        """
import signal

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    def ended(number, frame):
        pytest.fail("Timeout >1.0s")

    before = signal.signal(signal.SIGALRM, ended)
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
"""
    )
    pytester.makepyfile(
        test_it=_HEAD
        + ("@pytest.mark.tracelock(seconds=30)" if marked else "")
        + """
def test_it():
    counter = Counter()
    both(lambda: [counter.add() for _ in range(50)])


def test_afterwards():
    assert threading.active_count() == THREADS
    assert threading.Lock.__module__ == "_thread"
"""
    )
    result = run(pytester, "--tracelock", "--tracelock-seconds=30", "--tracelock-schedules=99999")
    # a test that has passed by itself stays so
    result.assert_outcomes(passed=1 if marked else 2, failed=1 if marked else 0)
    result.stdout.fnmatch_lines(["*schedules were tried*none failed*"])
