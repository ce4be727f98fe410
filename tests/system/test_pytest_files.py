"""Scenario files and traces as tests, where they are asked for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.system.plugin_tools import ROOT, run
from tracelock.session.api import replay
from tracelock.trace import load_trace

pytest_plugins = ["pytester"]

BANK = """\
class Account:
    def __init__(self):
        self.balance = 0


def add(account, amount):
    account.balance += amount


def check(account):
    return account.balance == 3
"""
PYTHON = """\
format: tracelock-scenario/1
name: bank
workers:
  adder:
    count: 2
    steps:
      - call: "bank:add"
        args: [index + 1]
python:
  setup: "bank:Account"
  check: "bank:check"
  instrument: [bank]
"""


def scenario(pytester: pytest.Pytester, name: str, text: str = "") -> Path:
    path = pytester.path / f"{name}.tracelock.yaml"
    path.write_text(text or (ROOT / "scenarios" / f"{name}.yaml").read_text(), encoding="utf-8")
    return path


def test_only_on_request(pytester: pytest.Pytester) -> None:
    scenario(pytester, "unlocked_counter")
    (pytester.path / "other.yaml").write_text("a: 1\n", encoding="utf-8")
    assert run(pytester).ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result = run(pytester, "--tracelock-scenarios")
    assert result.ret == 0 and result.parseoutcomes()["passed"] == 4
    pytester.makeini("[pytest]\ntracelock_scenarios = true\n")
    assert run(pytester).ret == 0


def test_expect_is_checked_on_each_backend(pytester: pytest.Pytester) -> None:
    path = scenario(pytester, "unlocked_counter")
    result = run(pytester, "--tracelock-scenarios", "-v")
    lines = "\n".join(result.stdout.lines)
    for backend in ("threading", "multiprocessing", "asyncio", "trio"):
        assert f"{path.name}::{backend} PASSED" in lines
    right = path.read_text(encoding="utf-8")
    expected = {
        "threading: passes\n": "test fails where a schedule does",
        "threading: deadlock\n": "expected: deadlock; failed: found after",
        "threading: {verdict: fails, switches: 2}\n": "expected: 2 preemptive switches",
    }
    head, _, _ = right.partition("expect:")
    for line, told in expected.items():
        path.write_text(f"{head}expect:\n  {line}", encoding="utf-8")
        result = run(pytester, "--tracelock-scenarios")
        result.assert_outcomes(failed=1)
        text = result.stdout.str()
        assert ("preempted" in text) if "passes" in line else (told in text)
        assert "Traceback" not in text and "files.py" not in text


def test_without_expect_no_schedule_may_fail(pytester: pytest.Pytester) -> None:
    for name in ("locked_counter", "deadlock_ab_ba"):
        head, _, _ = (ROOT / "scenarios" / f"{name}.yaml").read_text().partition("expect:")
        scenario(pytester, name, head)
    result = run(pytester, "--tracelock-scenarios")
    result.assert_outcomes(passed=1, failed=1)
    assert "waits for account[1] (held by transfer[1])" in result.stdout.str()
    (path,) = pytester.path.glob(".tracelock/*.json")
    assert f"  replay it: tracelock replay .tracelock/{path.name}" in result.stdout.lines
    again = run(pytester, "--tracelock-scenarios")
    assert "found after 1 schedule;" in again.stdout.str()
    assert replay(load_trace(path)).reproduced


def test_an_unsound_scenario_is_an_error_with_its_place(pytester: pytest.Pytester) -> None:
    scenario(pytester, "bad", "format: tracelock-scenario/1\nname: x\nworker: {}\n")
    result = run(pytester, "--tracelock-scenarios")
    result.assert_outcomes(errors=1)
    assert 'bad.tracelock.yaml:3:1: worker: unknown key "worker"' in result.stdout.str()


def test_python_code_needs_a_word(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(bank=BANK)
    pytester.syspathinsert()
    path = scenario(pytester, "bank", PYTHON)
    result = run(pytester, "--tracelock-scenarios")
    result.assert_outcomes(failed=1)
    assert f"{path.name}:10:3: python: runs Python code, which has to be allowed" in (
        result.stdout.str()
    )
    result = run(pytester, "--tracelock-scenarios", "--tracelock-allow-call")
    result.assert_outcomes(failed=1)
    assert "bank:check returned False" in result.stdout.str()
    assert "adder[0]" in result.stdout.str()
    scenario(pytester, "bank", PYTHON + "expect: {threading: {verdict: fails, switches: 1}}\n")
    run(pytester, "--tracelock-scenarios", "--tracelock-allow-call").assert_outcomes(passed=1)


def test_traces_must_reproduce(pytester: pytest.Pytester) -> None:
    traces = pytester.path / "traces"
    traces.mkdir()
    shutil.copy(ROOT / "traces" / "unlocked_counter.json", traces)
    run(pytester).assert_outcomes()
    run(pytester, "--tracelock-scenarios").assert_outcomes(passed=1)
    path = traces / "unlocked_counter.json"
    text = path.read_text(encoding="utf-8")
    changed = text.replace('"value": "counter + 1"', '"value": "counter + 2"')
    assert changed != text
    path.write_text(changed, encoding="utf-8")
    result = run(pytester, "--tracelock-scenarios")
    result.assert_outcomes(failed=1)
    assert "the replay diverged: event" in result.stdout.str()
    path.write_text("{", encoding="utf-8")
    result = run(pytester, "--tracelock-scenarios")
    result.assert_outcomes(failed=1)
    assert "Traceback" not in result.stdout.str()
