"""``tracelock teeth`` on the command line and as a function."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import tracelock
from tests.helpers.commands import Shell, refused, shell_of, written
from tracelock.teeth.processes import TrialProcesses

ROOT = Path(__file__).resolve().parents[2]
BANK = """\
import threading


class Bank:
    def __init__(self):
        self.lock = threading.Lock()
        self.total = 0

    def add(self, amount: int):
        with self.lock:
            before = self.total
            self.total = before + amount

    def value(self):
        with self.lock:
            return self.total


def prog():
    bank = Bank()
    other = threading.Thread(target=bank.add, args=(1,))
    other.start()
    bank.add(1)
    other.join()
    assert bank.value() == 2


def fails():
    with threading.Lock():
        raise ValueError("as it is")
"""
TEST = """\
import threading

import pytest

from bank import Bank


@pytest.fixture
def bank():
    return Bank()


def added(bank):
    guard = threading.Lock()
    with guard:
        other = threading.Thread(target=bank.add, args=(1,))
    other.start()
    bank.add(1)
    other.join()


def test_sound(bank):
    lock = threading.Lock()
    with lock:
        added(bank)
    assert bank.value() == 2


@pytest.mark.tracelock(schedules=1)
def test_without_teeth(bank):
    added(bank)
    assert bank.value() > 0
"""
LOCKED = {
    "shared": {"n": 0},
    "objects": {"guard": "lock"},
    "workers": {
        "adder": {
            "count": 2,
            "steps": [
                {"with": "guard", "do": [
                    {"read": "n", "into": "seen"}, {"write": "n", "value": "seen + 1"},
                ]},
            ],
        },
    },
}  # fmt: skip


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
          tmp_path: Path) -> Shell:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    return shell_of(capsys)


def run(folder: Path, *line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tracelock", "teeth", *line, "--seconds", "400"], cwd=folder,
        capture_output=True, text=True, timeout=200, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_a_scenario_that_checks_what_its_lock_is_for(shell: Shell, tmp_path: Path) -> None:
    path = written(tmp_path, {**LOCKED, "finally": ["n == 2"]})
    status, out, _ = shell("teeth", path, "--json")
    data = json.loads(out)
    assert (status, data["verdict"], data["score"]) == (0, "killed", 1.0)
    assert data["kind"] == "scenario" and data["original"]["verdict"] == "verified"
    assert [one["kind"] for one in data["mutants"]] == ["removed", "narrowed", "narrowed"]
    assert all("n == 2 is false" in one["failure"] for one in data["mutants"])
    # the trace has the changed scenario in it: it is replayed as it is
    assert shell("replay", data["mutants"][0]["trace"])[0] == 0


def test_a_scenario_that_checks_nothing(shell: Shell, tmp_path: Path) -> None:
    path = written(tmp_path, {**LOCKED, "finally": ["n > 0"]})
    status, out, _ = shell("teeth", path, "--no-trace")
    assert status == 1
    assert "survived, verified" in out and "score 0% (0 of 3)" in out
    found = tracelock.teeth(tracelock.load_scenario(path), kinds=["removed"])
    assert [one.verdict for one in found.mutants] == ["verified"]
    assert found.verdict == "survived" and found.score == 0.0


def test_steps_that_are_not_reached(shell: Shell, tmp_path: Path) -> None:
    steps = [{"if": "n > 5", "then": LOCKED["workers"]["adder"]["steps"]}]  # type: ignore[index]
    workers = {"adder": {"count": 2, "steps": steps}}
    path = written(tmp_path, {**LOCKED, "workers": workers, "finally": ["n == 0"]})
    status, out, _ = shell("teeth", path, "--json")
    data = json.loads(out)
    assert (status, data["verdict"], data["score"]) == (5, "nothing", None)
    assert {one["verdict"] for one in data["mutants"]} == {"not run"}


def test_what_makes_no_sense_is_refused(shell: Shell, tmp_path: Path) -> None:
    failing = written(tmp_path, {**LOCKED, "finally": ["n == 3"]})
    assert "fails as it is" in refused(shell, "teeth", failing)
    assert "no step that holds a lock" in refused(
        shell, "teeth", written(tmp_path, {"shared": {"n": 0}, "workers": {"one": {"steps": [
            {"write": "n", "value": 1}]}}}))  # fmt: skip
    python = {"workers": {"one": {"steps": [{"call": "bank:prog"}]}}, "python": {}}
    assert "--allow-call" in refused(shell, "teeth", written(tmp_path, python))
    assert "no such file of tests" in refused(shell, "teeth", "test_nothing.py::test_it")
    assert "what is asked about is" in refused(shell, "teeth", "bank")
    assert "of the audit of a class" in refused(shell, "teeth", "@locked_counter", "--init", "X()")
    assert "--strategy takes NAME=EXPR" in refused(shell, "teeth", "bank:Bank", "--strategy", "x")
    with pytest.raises(tracelock.UsageError, match="cannot be imported by name"):
        tracelock.teeth(lambda: None)
    with pytest.raises(tracelock.UsageError, match="kind of change"):
        tracelock.teeth("bank:prog", kinds=["turned"])
    with pytest.raises(tracelock.UsageError, match="more than nothing"):
        tracelock.teeth("bank:prog", seconds=0)
    with pytest.raises(tracelock.UsageError, match="what is asked about"):
        tracelock.teeth(7)  # type: ignore[arg-type]


def test_a_function_of_a_module(tmp_path: Path) -> None:
    (tmp_path / "bank.py").write_text(BANK)
    found = run(tmp_path, "bank:prog", "--change", "removed", "--json", "--jobs", "2")
    assert found.returncode == 1, found.stdout + found.stderr
    data = json.loads(found.stdout)
    assert data["kind"] == "function" and data["modules"] == ["bank"]
    add, value, never = data["mutants"]
    assert (add["verdict"], add["line"], add["function"]) == ("killed", 10, "Bank.add")
    assert (add["was"], add["now"]) == ("with self.lock:", "if True:  # without self.lock")
    assert "AssertionError" in add["failure"] and add["switches"] == 1
    assert (value["verdict"], value["useless"]) == ("verified", False)
    assert never["verdict"] == "not run"
    assert (data["score"], data["counts"]["not run"]) == (0.5, 1)
    trace = tracelock.load_trace(tmp_path / add["trace"])
    assert trace.verdict.kind == "failed" and trace.extra["mutant"]["kind"] == "removed"
    # nothing of it is left on disk
    assert (tmp_path / "bank.py").read_text() == BANK
    assert {one.name for one in tmp_path.iterdir()} <= {"bank.py", ".tracelock", "__pycache__"}
    plain = subprocess.run(
        [sys.executable, "-c", "import bank; bank.prog(); print(bank.Bank.add.__code__.co_names)"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "'lock'" in plain.stdout
    # its trace is followed on the mutant, and on no other code
    again = replayed(tmp_path, add["trace"])
    assert again.returncode == 0, again.stdout + again.stderr
    assert "still fails: reproduced" in again.stdout and "of the mutant" in again.stderr
    (tmp_path / "bank.py").write_text("\n" + BANK)
    moved = replayed(tmp_path, add["trace"])
    assert moved.returncode == 2 and "which has changed since" in moved.stderr, moved.stderr


def replayed(folder: Path, trace: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tracelock", "replay", trace, "--allow-call"], cwd=folder,
        capture_output=True, text=True, timeout=200, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_processes_that_run_are_ended(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\n\ntime.sleep(1000)\n")
    request = {"subject": "slow:prog", "path": [str(tmp_path), *sys.path], "options": {}}
    trials = TrialProcesses(str(tmp_path), "call", request)
    answers: list[dict[str, Any]] = []
    waiting = threading.Thread(target=lambda: answers.append(trials.run(900, None, None)))
    waiting.start()
    while not trials.running:
        time.sleep(0.01)
    trials.end()
    waiting.join(120)
    assert [one["verdict"] for one in answers] == ["ended"]
    assert trials.run(900, None, None)["verdict"] == "ended"  # and none begins any more


def test_what_fails_as_it_is_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bank.py").write_text(BANK)
    for subject, said in (
        ("bank:fails", "fails as it is (ValueError: as it is"), ("bank:nothing", "has no nothing"),
        ("bank:Bank.add", "cannot be called without arguments"), ("ban:prog", "cannot import ban"),
    ):  # fmt: skip
        found = run(tmp_path, subject)
        assert found.returncode == 2 and said in found.stderr, found.stderr


def test_tests_as_pytest_has_them(tmp_path: Path) -> None:
    (tmp_path / "bank.py").write_text(BANK)
    (tmp_path / "test_bank.py").write_text(TEST)
    found = run(tmp_path, "test_bank.py::test_sound", "--change", "removed", "--json")
    data = json.loads(found.stdout)
    assert data["kind"] == "test" and found.returncode == 1, found.stderr
    again = replayed(tmp_path, data["mutants"][0]["trace"])
    assert again.returncode == 0 and "still fails" in again.stdout, again.stdout + again.stderr
    verdicts = {one["function"]: one["verdict"] for one in data["mutants"]}
    # of a file of tests what is in no test is looked at, too
    assert verdicts == {
        "Bank.add": "killed", "Bank.value": "verified", "fails": "not run", "added": "verified",
    }  # fmt: skip
    # the marker's number of schedules is no bound here, and its own traces are left alone
    weak = run(tmp_path, "test_bank.py::test_without_teeth", "--change", "removed", "--json",
               "--module", "bank", "--no-trace")  # fmt: skip
    data = json.loads(weak.stdout)
    assert [one["verdict"] for one in data["mutants"]][:2] == ["verified", "verified"]
    assert (weak.returncode, data["score"], data["modules"]) == (1, 0.0, ["bank"])
    names = {one.name for one in (tmp_path / ".tracelock").iterdir()} - {".gitignore"}
    assert all(one.startswith("teeth-") for one in names)


def test_a_test_that_explores_by_itself_is_run_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "bank.py").write_text(BANK)
    (tmp_path / "test_explores.py").write_text(
        "import tracelock\nfrom bank import prog\n\n"
        "def test_it():\n    tracelock.explore(workers=[prog]).raise_for_failure()\n"
    )
    found = run(tmp_path, "test_explores.py", "--change", "removed", "--json")
    data = json.loads(found.stdout)
    assert found.returncode == 5 and "explores by itself" in data["original"]["summary"]
    assert [one["verdict"] for one in data["mutants"]] == ["killed", "unproved", "not run"]


def test_a_class_is_judged_by_its_audit(tmp_path: Path) -> None:
    (tmp_path / "bank.py").write_text(BANK)
    found = run(tmp_path, "bank:Bank", "--change", "removed", "--json")
    data = json.loads(found.stdout)
    assert (found.returncode, data["kind"]) == (1, "class"), found.stderr
    add, value, _ = data["mutants"]
    assert add["verdict"] == "killed" and "add(" in add["failure"]
    assert tracelock.load_trace(tmp_path / add["trace"]).verdict.kind == "failed"
    assert value["verdict"] == "verified" and data["useless"] == [2]
    # what a test does not miss may be asked of the class, too
    found = run(tmp_path, "bank:prog", "--change", "removed", "--json", "--audit", "--no-trace")
    data = json.loads(found.stdout)
    assert (data["kind"], data["useless"], data["notes"]) == ("function", [2], []), found.stderr
