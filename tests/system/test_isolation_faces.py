"""Schedules in forked processes, from pytest and from the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.plugin_tools import PLUGIN, ROOT

pytest_plugins = ["pytester"]
ALONE = [f"-pno:{name}" for name in ("xdist", "asyncio", "anyio", "hypothesispytest")]
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
CODE = """\
import ctypes
import threading


class Account:
    def __init__(self):
        self.total = 0

    def add(self):
        self.total += 1

    def fall(self):
        if self.total != 2:
            ctypes.string_at(0)


def setup():
    return Account()


def add(account):
    account.add()


def check(account):
    account.fall()
"""
TESTS = """\
import threading

import pytest

from falling import Account


def both(*methods):
    threads = [threading.Thread(target=method) for method in methods]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.tracelock(isolation="always", schedules=50)
def test_falls():
    account = Account()
    both(account.add, account.add)
    account.fall()


@pytest.mark.tracelock(isolation="always", schedules=20)
def test_stands(tmp_path):
    account, lock = Account(), threading.Lock()

    def add():
        with lock:
            account.add()

    both(add, add)
    account.fall()
    (tmp_path / "made").touch()


def test_after():
    pass
"""
SCENARIO = """\
format: tracelock-scenario/1
name: falling
workers:
  adder:
    count: 2
    steps:
      - call: "falling:add"
python:
  setup: "falling:setup"
  check: "falling:check"
"""


def test_a_test_run_goes_on_after_a_segmentation_fault(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(falling=CODE, test_falling=TESTS)
    # a process of its own: in this one, whose threads may not be forked, all would be over
    result = pytester.runpytest_subprocess(*PLUGIN, *ALONE)
    result.assert_outcomes(failed=1, passed=2)
    text = result.stdout.str()
    assert "the process was killed by SIGSEGV, in test_falls" in text
    (trace,) = pytester.path.glob(".tracelock/*.json")
    falls = "test_falling.py::test_falls"
    again = pytester.runpytest_subprocess(*PLUGIN, *ALONE, falls)
    assert "found after 1 schedule" in again.stdout.str()
    replayed = pytester.runpytest_subprocess(
        *PLUGIN, *ALONE, "--tracelock-replay", str(trace), falls
    )
    assert "reproduced" in replayed.stdout.str()


def test_the_command_line_survives_and_replays(tmp_path: Path) -> None:
    (tmp_path / "falling.py").write_text(CODE)
    (tmp_path / "falling.yaml").write_text(SCENARIO)

    def tracelock(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "tracelock", *words, "--allow-call"], check=False,
            capture_output=True, text=True, cwd=tmp_path, timeout=100,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "180"},
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    status, told = tracelock(
        "explore", "falling.yaml", "--isolation", "always", "--trace", "falls.json"
    )
    assert status == 1 and "the process was killed by SIGSEGV, in the check" in told, told
    status, told = tracelock("replay", "falls.json")
    assert status == 0 and "reproduced" in told, told
