"""TRACELOCK_FORBID_CALL: a site lets nobody run the code that scenarios and traces name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tracelock
from tests.system.plugin_tools import run as run_pytest
from tracelock.backends.calls import FORBID, find_call, may_import, run_call
from tracelock.cli.main import main
from tracelock.errors import TracelockError, UsageError
from tracelock.ops import Op

pytest_plugins = ["pytester"]

#: Imported, it says so in a file; called, it says so in another.
MODULE = """\
open("imported", "w").close()


def called(*given):
    open("called", "w").close()
    return 1
"""
CALLING = """\
format: tracelock-scenario/1
name: calling
shared: {counter: 0}
workers:
  w: {steps: [{call: "named_by_it:called"}, {write: counter, value: counter + 1}]}
"""
PYTHON = """\
format: tracelock-scenario/1
name: real
python: {setup: "named_by_it:called", instrument: [named_by_it]}
workers:
  w: {count: 2, steps: [{call: "named_by_it:called"}]}
"""
PLAIN = """\
format: tracelock-scenario/1
name: plain
shared: {counter: 0}
workers:
  w: {count: 2, steps: [{write: counter, value: counter + 1}]}
finally: [counter == 2]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "named_by_it", raising=False)
    for name, text in (("calling", CALLING), ("real", PYTHON), ("plain", PLAIN)):
        (tmp_path / f"{name}.yaml").write_text(text)
    (tmp_path / "named_by_it.py").write_text(MODULE)
    return tmp_path


@pytest.fixture
def traces(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of each scenario, recorded where it is allowed."""
    for name in ("calling", "real", "plain"):
        words = ["run", f"{name}.yaml", "--strategy", "random", "--seed", "0"]
        assert main([*words, "--trace", f"{name}.json", "--allow-call"]) in (0, 1)
    for name in ("imported", "called"):
        os.unlink(name)
    sys.modules.pop("named_by_it", None)
    monkeypatch.setenv(FORBID, "1")


def nothing_ran() -> bool:
    return not (os.path.exists("imported") or os.path.exists("called"))


@pytest.mark.usefixtures("traces")
def test_every_command_refuses_to_allow(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    for name in ("calling", "real", "plain"):
        scenario, trace = f"{name}.yaml", f"{name}.json"
        for words in (
            ["run", scenario], ["explore", scenario], ["compare", scenario],
            ["export", scenario, "--as", "threading"], ["replay", trace],
            ["check", trace, scenario], ["shrink", trace], ["predict", trace],
            ["explore", scenario, "--jobs", "2"],
        ):  # fmt: skip
            assert main([*words, "--allow-call"]) == 2, words
            told = capsys.readouterr()
            assert told.out == "" and f"{FORBID} is set in this environment" in told.err
    assert nothing_ran()


@pytest.mark.usefixtures("traces")
def test_from_python_too() -> None:
    for name in ("calling", "real", "plain"):
        scenario = tracelock.load_scenario(f"{name}.yaml")
        trace = tracelock.load_trace(f"{name}.json")
        tries: list[Callable[[], Any]] = [
            lambda s=scenario: tracelock.run(s, allow_call=True),
            lambda s=scenario: tracelock.explore(s, allow_call=True),
            lambda s=scenario: tracelock.compare(s, allow_call=True),
            lambda s=scenario: tracelock.export(s, allow_call=True),
            lambda t=trace: tracelock.replay(t, allow_call=True),
            lambda t=trace: tracelock.export(t, allow_call=True),
        ]  # fmt: skip
        for one in tries:
            with pytest.raises(UsageError, match=FORBID):
                one()
    assert nothing_ran()


@pytest.mark.usefixtures("traces")
def test_without_allowing_all_is_as_ever(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explore", "plain.yaml", "--no-trace"]) == 1
    assert main(["replay", "plain.json"]) == 0
    assert main(["compare", "plain.yaml", "--backends", "threading", "--runs", "2"]) == 1
    capsys.readouterr()
    for words in (["run", "calling.yaml"], ["replay", "real.json"], ["compare", "calling.yaml"]):
        assert main(words) == 2
        assert "has to be allowed" in capsys.readouterr().err
    assert nothing_ran()


@pytest.mark.usefixtures("traces")
def test_the_last_gates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the code would be imported or called, whoever has let it come so far."""
    with pytest.raises(UsageError, match=FORBID):
        find_call("named_by_it:called")
    with pytest.raises(UsageError, match=FORBID):
        run_call(Op("call", -1, "workers.w.steps[0]", body="named_by_it:called", value=()), True)
    assert nothing_ran()
    assert may_import(["sys", "named_by_it"]) == ["sys"]
    for value, forbidden in (("", False), ("0", False), ("1", True), ("no", True), (" 0 ", False)):
        monkeypatch.setenv(FORBID, value)
        assert (may_import(["named_by_it"]) == []) == forbidden


@pytest.mark.usefixtures("traces")
def test_a_trace_does_not_say_what_is_imported_beside_code_that_is_given() -> None:
    """Replayed from Python, with the functions given again, a trace still names modules."""
    trace = tracelock.load_trace("real.json")

    def given(*state: object) -> None:
        return None

    try:
        tracelock.replay(trace, setup=lambda: 1, workers=[given, given])
    except TracelockError as error:  # it may end otherwise: it imports nothing
        assert FORBID not in str(error)
    assert nothing_ran()


def test_the_plugin(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makepyfile(named_by_it=MODULE)
    (pytester.path / "calling.tracelock.yaml").write_text(CALLING)
    for more in ([], ["-o", "tracelock_allow_call=true"], ["--tracelock-allow-call"]):
        monkeypatch.setenv(FORBID, "1")
        result = run_pytest(pytester, "--tracelock-scenarios", *more)
        result.assert_outcomes(failed=1)
        told = result.stdout.str()
        assert (FORBID in told) if more else ("has to be allowed" in told)
        assert not (pytester.path / "imported").exists()


def test_in_processes_of_its_own() -> None:
    """As a site sets it: in the environment of a command."""
    for name in ("calling", "real"):
        done = subprocess.run(
            [sys.executable, "-m", "tracelock", "run", f"{name}.yaml", "--allow-call", "--json"],
            env={**os.environ, FORBID: "1"}, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (2, "") and FORBID in done.stderr
    assert nothing_ran()
