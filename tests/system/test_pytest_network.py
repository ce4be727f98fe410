"""Faults of the network in tests, by the command line."""

from __future__ import annotations

import pytest

from tests.system.plugin_tools import PLUGIN, run

pytest_plugins = ["pytester"]

ASKS = """\
import socket
import threading

import pytest


def serves(server):
    connection, _ = server.accept()
    with connection:
        try:
            connection.sendall(connection.recv(9))
        except OSError:
            pass


def asks():
    with socket.create_server(("localhost", 80)) as server:
        thread = threading.Thread(target=serves, args=(server,))
        thread.start()
        with socket.create_connection(("localhost", 80)) as connection:
            connection.sendall(b"?")
            assert connection.recv(9) == b"?"


@pytest.mark.tracelock(schedules=60, seed=1)
def test_it_asks():
    asks()


@pytest.mark.tracelock(schedules=20, seed=1, faults=0)
def test_it_asks_without_faults():
    asks()
"""


def test_faults_come_in_where_the_marker_does_not_say(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_asks=ASKS)
    run(pytester, "test_asks.py").assert_outcomes(passed=2)
    kinds = "--tracelock-fault-kinds=reset, half-closed"
    result = run(pytester, "test_asks.py", "--tracelock-faults=1", kinds)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["FAILED *test_it_asks*"])
    (trace,) = (pytester.path / ".tracelock").rglob("*.json")
    node = "test_asks.py::test_it_asks"
    again = run(pytester, node, f"--tracelock-replay={trace}")  # with the faults of the trace
    again.stdout.fnmatch_lines(["*reproduced*"])
    token = next(line.split()[1] for line in result.outlines if line.startswith("  token: "))
    again = run(pytester, node, f"--tracelock-token={token}")  # with those of the token
    again.stdout.fnmatch_lines(["*reproduced*"])


def test_a_token_replays_in_a_fresh_process(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_asks=ASKS)
    node, kinds = "test_asks.py::test_it_asks", "--tracelock-fault-kinds=delay, reset"
    result = run(pytester, node, "--tracelock-faults=2", kinds)
    result.assert_outcomes(failed=1)
    token = next(line.split()[1] for line in result.outlines if line.startswith("  token: "))
    for path in (pytester.path / ".tracelock").rglob("*.json"):
        path.unlink()  # nothing else knows of it
    again = pytester.runpytest_subprocess(*PLUGIN, node, f"--tracelock-token={token}")
    again.stdout.fnmatch_lines(["*reproduced, it ended as recorded*"])
    assert again.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--tracelock-faults=-1", "*invalid number, 0 or more, value: '-1'*"),
        ("--tracelock-fault-kinds=rest", "*--tracelock-fault-kinds: *'rest' is no fault*"),
    ],
)
def test_what_is_no_fault_is_refused(pytester: pytest.Pytester, option: str, told: str) -> None:
    pytester.makepyfile(test_asks=ASKS)
    result = run(pytester, "test_asks.py", option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([told])
