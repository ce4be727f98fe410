"""What CPython with its GIL does with programs of which it is known, and how that is told."""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import tracelock
from tests.programs_interpreter import PROGRAMS, Program
from tracelock.analysis.analyze import analyze
from tracelock.cli.main import main
from tracelock.session.exploring import Exploration
from tracelock.session.interpreters.which import has_gil

pytestmark = pytest.mark.skipif(not has_gil(), reason="this interpreter has no GIL")
NAME = f"CPython {sys.version_info[0]}.{sys.version_info[1]} with its GIL"


class Account:
    def __init__(self) -> None:
        self.total = 0
        self.count = 0
        self.names: dict[str, int] = {}
        self.lock = threading.Lock()

    def pay(self) -> int:
        return self.total


def pays(account: Account) -> None:
    account.total += 5


def pays_and_counts(account: Account) -> None:
    account.total += 5
    account.count += 1


def pays_after_a_call(account: Account) -> None:
    total = account.total
    math.sqrt(2)
    account.total = total + 5


def pays_by_both(account: Account) -> None:
    account.total += 5
    count = account.count
    math.sqrt(2)
    account.count = count + 1


def pays_unless_rich(account: Account) -> None:
    total = account.total
    if total > 1_000:
        print("rich")
    account.total = total + 5


def pays_what_was_read_before_the_lock(account: Account) -> None:
    total = account.total
    with account.lock:
        account.total = total + 5


def right(account: Account) -> None:
    assert account.total == 10, f"total {account.total}"


def right_twice(account: Account) -> None:
    assert (account.total, account.count) == (10, 2), f"{account.total}, {account.count}"


def explored(work: Any, check: Any = right, **options: Any) -> tracelock.Explored:
    return tracelock.explore(setup=Account, workers=[work, work], check=check, **options)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_this_interpreter_does_what_is_known_of_it(program: Program) -> None:
    found = tracelock.explore(
        setup=program.setup, workers=program.workers, check=program.check, strategy="dpor",
        interpreter="this", confirm=0, shrink=False,
    )  # fmt: skip
    truth = program.under_gil((sys.version_info[0], sys.version_info[1]))
    assert found.verdict == ("failed" if truth == "breaks" else "verified"), found.summary


# --- how it is told --------------------------------------------------------------------------
def test_a_failure_that_takes_another_interpreter_says_so_everywhere() -> None:
    found = explored(pays)
    assert found.failed and found.trace is not None
    assert "inside `account.total += 5` (tests/conformance/test_gil_programs.py:" in found.needs
    assert f"which {NAME} never makes (all 2 schedules that it can make pass)" in found.needs
    assert found.needs.endswith("free-threaded builds, PyPy and CPython up to 3.9 do")
    assert found.needs in found.summary and found.needs in found.story()
    assert "preempted, only without the GIL" in found.story(200)
    switches = [event.extra["switch"] for event in found.trace.events if event.extra]
    assert switches == ["only-without-gil"]
    [update] = [one for one in analyze(found.trace) if one.kind == "lost-update"]
    assert update.to_data()["switch"] == "only-without-gil"
    assert f"{NAME} never makes" in update.explanation


def test_a_failure_that_this_interpreter_makes_says_that() -> None:
    found = explored(pays_after_a_call)
    assert found.needs == f"{NAME} can make its switch by itself"
    assert found.trace is not None and found.confirmed == {"threading": "3/3"}
    assert [event.extra["switch"] for event in found.trace.events if event.extra] == ["can"]


def test_one_that_this_interpreter_can_make_is_preferred() -> None:
    found = explored(pays_by_both, check=right_twice)
    assert found.needs == f"{NAME} can make its switch by itself"
    assert found.trace is not None and found.trace.verdict.message.startswith(
        "AssertionError: 10, 1"
    )


def test_verified_says_of_which_interpreter() -> None:
    for work in (pays, pays_unless_rich, pays_what_was_read_before_the_lock):
        found = explored(work, interpreter="this")
        if sys.version_info[:2] == (3, 14) and work is pays_what_was_read_before_the_lock:
            assert found.failed  # a check follows the lock
            continue
        assert found.verdict == "verified" and found.interpreter == NAME
        assert f"that {NAME} can make" in found.summary
        assert found.line.startswith(f"verified (on {NAME}): ")
        assert explored(work).failed


def test_a_trace_keeps_the_class_and_a_replay_tells_it(tmp_path: Path) -> None:
    found = explored(pays)
    assert found.trace is not None
    path = tmp_path / "pays.json"
    found.trace.save(path)
    loaded = tracelock.load_trace(path)
    assert loaded.digest() == found.trace.digest()
    replayed = tracelock.replay(loaded, setup=Account, workers=[pays, pays], check=right)
    assert replayed.reproduced and f"which {NAME} never makes" in replayed.needs
    # it is no part of what a digest is of: on another version it may be another
    text = path.read_text().replace("only-without-gil", "can")
    path.write_text(text)
    assert tracelock.load_trace(path).digest() == loaded.digest()


# --- the forecast ----------------------------------------------------------------------------
def test_the_forecast_lists_each_way_to_fail_without_the_gil(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends: list[float | None] = []
    search = Exploration.search

    def told(self: Exploration, progress: object, end: float | None = None) -> object:
        ends.append(end)
        return search(self, None, end)

    monkeypatch.setattr(Exploration, "search", told)
    before = time.monotonic()
    found = explored(pays_and_counts, check=right_twice, forecast=True, seconds=60)
    after = time.monotonic()
    here, *there = ends  # the seconds are those of all searches
    assert here is not None and here <= after + 30
    assert len(there) == 3 and len(set(there)) == 1
    assert there[0] is not None and before + 60 <= there[0] <= after + 60
    assert found.verdict == "verified" and found.forecast is not None
    assert found.summary.endswith("forecast: 2 ways to fail without the GIL")
    first, second = found.forecast
    assert "`account.total += 5`" in first.needs and "`account.count += 1`" in second.needs
    for one in found.forecast:
        assert one.confirmed == {"threading": "3/3"} and one.kind == "failed"
        replayed = tracelock.replay(
            one.trace, setup=Account, workers=[pays_and_counts] * 2, check=right_twice
        )
        assert replayed.reproduced


def test_there_is_no_forecast_of_what_fails_here_and_none_of_what_never_fails() -> None:
    found = explored(pays_after_a_call, forecast=True)
    assert found.failed and not found.forecast
    assert any("mend that first" in note for note in found.notes)

    def locked(account: Account) -> None:
        with account.lock:
            account.total += 5

    found = explored(locked, forecast=True)
    assert found.verdict == "verified" and found.forecast == []
    assert found.summary.endswith("forecast: nothing was found that fails without the GIL")


BANK = """
class Account:
    total = 0
def setup(): return Account()
def pays(account): account.total += 5
def check(account): assert account.total == 10, f"total {account.total}"
"""
FILE = """
format: tracelock-scenario/1
name: bank
workers:
  pays: {count: 2, steps: [{call: "gil_bank:pays"}]}
python: {setup: "gil_bank:setup", check: "gil_bank:check", interpreter: this}
"""


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gil_bank.py").write_text(BANK)
    (tmp_path / "bank.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    command = ["explore", "bank.yaml", "--allow-call", "--json"]
    assert main([*command]) == 0  # as the file says
    assert json.loads(capsys.readouterr().out)["interpreter"] == NAME
    assert main([*command, "--interpreter", "any", "--trace", "any.json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["interpreter"] == "any" and f"which {NAME} never makes" in data["needs"]
    assert main(["replay", "any.json", "--allow-call"]) == 0
    assert f"which {NAME} never makes" in capsys.readouterr().out
    assert main([*command, "--forecast", "--trace", "found.json"]) == 1
    [one] = json.loads(capsys.readouterr().out)["forecast"]
    assert one["trace"] == "found.json" and Path("found.json").is_file()
    assert "`def pays(account): account.total += 5`" in one["needs"]


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("pypy", "unknown interpreter 'pypy': it is any"),
        ("gil-2.7", "run tracelock with CPython 2.7"),
    ],
)
def test_what_cannot_be_followed_here_is_refused(wanted: str, told: str) -> None:
    with pytest.raises(tracelock.UsageError, match=told):
        explored(pays, interpreter=wanted)


def test_the_running_version_by_its_name_is_this_one() -> None:
    version = f"gil-{sys.version_info[0]}.{sys.version_info[1]}"
    assert explored(pays, interpreter=version, strategy="dpor").verdict == "verified"


def test_steps_of_a_scenario_have_no_interpreter() -> None:
    scenario = tracelock.load_scenario(
        Path(__file__).parents[2] / "scenarios" / "unlocked_counter.yaml"
    )
    with pytest.raises(tracelock.UsageError, match="interpreter= is for Python code"):
        tracelock.explore(scenario, interpreter="this")


def test_processes_and_tasks_are_explored_as_they_are() -> None:
    async def work(account: Account) -> None:
        account.total += 5

    found = tracelock.explore(setup=Account, workers=[work, work], check=right, interpreter="this")
    assert found.verdict == "verified" and found.needs == ""
