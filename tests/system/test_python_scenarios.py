"""Scenarios of real Python code: the ``python`` key, and the command line for them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import tracelock
from tests.helpers.commands import Shell, refused, shell_of
from tracelock.instrument import callers
from tracelock.scenario.language.jsonschema import scenario_schema
from tracelock.scenario.loading import load_scenario_text, scenario_from_data

ROOT = Path(__file__).resolve().parents[2]
HEAD = "format: tracelock-scenario/1\nname: bank\n"
WORKERS = """\
workers:
  adder:
    count: 2
    steps:
      - call: "racy_bank.race:add"
        args: [index + 1]
"""
DOCUMENT = (
    HEAD
    + WORKERS
    + """\
python:
  setup: "racy_bank.race:setup"
  check: "racy_bank.race:check"
  instrument: [racy_bank]
"""
)
CODE = """\
class Account:
    def __init__(self):
        self.balance = 0

    def add(self, amount):
        self.balance += amount


def setup():
    return Account()


def add(account, amount=1):
    account.add(amount)


def overdraw(account):
    raise ValueError(f"balance is {account.balance}")


def check(account):
    assert account.balance == 3, f"balance is {account.balance}"


class Overdrawn(Exception):
    pass


number = 3
"""


@pytest.fixture(autouse=True)
def bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package ``racy_bank`` in the current folder, where the command line finds it."""
    package = tmp_path / "racy_bank"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "race.py").write_text(CODE, encoding="utf-8")
    (tmp_path / "bank.yaml").write_text(DOCUMENT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(callers, "_paths", {})  # of the folders of other tests
    before = set(sys.modules)
    yield tmp_path  # type: ignore[misc]
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "racy_bank":
            del sys.modules[name]


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return shell_of(capsys)


def problems(text: str) -> list[str]:
    with pytest.raises(tracelock.ScenarioError) as caught:
        load_scenario_text(text, "f")
    return [str(problem) for problem in caught.value.problems]


# --- the document ----------------------------------------------------------------------------
FULL = """\
python:
  setup: "bank:setup"
  check: "bank:check"
  instrument: [bank, queue]
  expected_errors: [ValueError, "bank.errors:Overdrawn"]
  cancellations: 2
  gc: true
  collections: 1
  pytest: "tests/test_bank.py::test_x[a]"
  exploration: 1
  sources: {bank.py: "sha256:0"}
  places: {"bank.py:3": Account.add}
"""


def test_all_keys_are_read_and_written() -> None:
    scenario = load_scenario_text(HEAD + WORKERS + FULL, "f")
    assert scenario.python is not None
    assert scenario.python.instrument == ["bank", "queue"]
    assert scenario.python.gc is True
    data = scenario.to_data()
    assert scenario_from_data(data) == scenario
    assert load_scenario_text(scenario.to_yaml(), "f") == scenario
    assert jsonschema.Draft7Validator(scenario_schema()).is_valid(data)


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ("python: 3", "f:9:9: python: a mapping with setup, check and instrument belongs here"),
        ("python:", "python: a mapping with setup, check and instrument belongs here, not nothing"),
        ("python: {setpu: 'a:b'}", 'f:9:10: python.setpu: unknown key "setpu" (did you mean'),
        ("python: {setup: bank}", 'f:9:17: python.setup: "module:function" belongs here, not'),
        ("python: {check: 3}", "f:9:17: python.check: a text belongs here, not a number; quote it"),
        ("python: {instrument: bank}", "a list of modules belongs here, not a text: write [bank]"),
        ("python: {instrument: [a-b]}", 'python.instrument[0]: the name of a module belongs here'),
        ("python: {expected_errors: [ValueEror]}", '"ValueEror" (did you mean "ValueError"?)'),
        ("python: {expected_errors: ['a:b:c']}", '"module:Class" belongs here, not "a:b:c"'),
        ("python: {cancellations: -1}", "f:9:25: python.cancellations: cancellations must be 0 or"),
        ("python: {gc: maybe}", "true, false or a whole number belongs here, not a text"),
        ("python: {sources: [a]}", "python.sources: a mapping belongs here, not a list"),
        ("python: {}\nshared: {x: 1}", "f:10:1: shared: a scenario of Python code has no shared"),
        ("python: {}\nobjects: {m: lock}", "has no objects: that is up to python.setup"),
        ("python: {}\nfinally: [true]", "has no finally: that is up to python.check"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(part: str, told: str) -> None:
    found = problems(HEAD + WORKERS + part + "\n")
    assert any(told in one for one in found), found


@pytest.mark.parametrize(
    ("worker", "told"),
    [
        ("{steps: [checkpoint]}", "with python, a worker is one call step"),
        ("{steps: [{call: 'a:b'}, {call: 'a:b'}]}", "f:4:14: workers.w.steps: with python"),
        ("{steps: [{call: 'a:b', into: x}]}", "nobody could read what a worker's function returns"),
        ("{start: manual, steps: [{call: 'a:b'}]}", "every worker of Python code starts by itself"),
        ("{steps: [{call: 'a:b', args: [x]}]}", "x"),
    ],
)
def test_a_worker_of_python_code_is_one_call(worker: str, told: str) -> None:
    found = problems(f"{HEAD}workers:\n  w: {worker}\npython: {{}}\n")
    assert any(told in one for one in found), found


# --- running it ------------------------------------------------------------------------------
@pytest.mark.parametrize("command", ["explore", "run"])
def test_nothing_is_imported_unless_that_is_allowed(shell: Shell, bank: Path, command: str) -> None:
    (bank / "racy_bank" / "__init__.py").write_text("raise SystemExit('ran')", encoding="utf-8")
    err = refused(shell, command, "bank.yaml")
    assert "bank.yaml:10:3: python: runs Python code, which has to be allowed: --allow-call" in err
    assert "bank.yaml:7:9: workers.adder.steps[0]: runs Python code" in err
    assert "racy_bank" not in sys.modules and not (bank / "traces").exists()


def test_explore_finds_shrinks_and_keeps(shell: Shell) -> None:
    status, out, err = shell("explore", "bank.yaml", "--allow-call", "--trace", "t.json")
    assert (status, err) == (1, "")
    assert "adder[0]" in out and "adder[1]" in out and "setup" not in out
    assert re.search(r"race.py:6 +self.balance \+= amount +Account.balance is 0\n", out)
    assert "AssertionError: balance is " in out
    assert "confirmed on threading, 3 of 3 replays" in out
    assert "replay it: tracelock replay t.json --allow-call" in out
    trace = tracelock.load_trace("t.json")
    python = trace.scenario["python"]
    assert python["setup"] == "racy_bank.race:setup" and trace.scenario["name"] == "bank"
    assert set(python["sources"]) == {"racy_bank/race.py"}
    assert python["places"] == {"racy_bank/race.py:6": "Account.add"}
    assert trace.workers[:2] == ["adder[0]", "adder[1]"]
    status, out, _ = shell(
        "explore", "bank.yaml", "--allow-call", "--no-trace", "--first", "t.json", "--json"
    )
    assert (status, json.loads(out)["schedules"]) == (1, 1)


@pytest.mark.parametrize("signature", ["account, amount", "account, amount, /", "account, *more"])
def test_args_come_after_what_setup_made(shell: Shell, bank: Path, signature: str) -> None:
    body = "account.add(more[0])" if "*" in signature else "account.add(amount)"
    code = CODE.replace("def add(account, amount=1):\n    account.add(amount)",
                        f"def add({signature}):\n    {body}")  # fmt: skip
    assert code != CODE
    (bank / "racy_bank" / "race.py").write_text(code, encoding="utf-8")
    status, out, _ = shell("explore", "bank.yaml", "--allow-call", "--trace", "t.json")
    assert status == 1 and "AssertionError: balance is " in out
    events = tracelock.load_trace("t.json").events
    assert {event.value for event in events if event.op == "write"} == {1, 2}
    assert shell("replay", "t.json", "--allow-call")[0] == 0


def test_what_holds_is_verified(shell: Shell, bank: Path) -> None:
    code = CODE.replace("self.balance += amount", "pass").replace("== 3", "== 0")
    (bank / "racy_bank" / "race.py").write_text(code, encoding="utf-8")
    status, out, _ = shell("explore", "bank.yaml", "--allow-call")
    assert status == 0 and out.startswith("verified: ")


@pytest.fixture
def trace(shell: Shell) -> str:
    shell("explore", "bank.yaml", "--allow-call", "--trace", "t.json")
    return "t.json"


def test_replay_needs_a_word_and_finds_the_functions_by_name(shell: Shell, trace: str) -> None:
    assert "that has to be allowed (--allow-call" in refused(shell, "replay", trace)
    status, out, err = shell("replay", trace, "--allow-call")
    assert (status, err) == (0, "")
    assert "self.balance += amount" in out
    assert "    racy_bank/race.py:22 in check\n" in out, "the traceback of what went wrong"
    assert "still fails: reproduced, it ended as recorded" in out
    status, out, _ = shell("replay", trace, "--allow-call", "--bisect")
    assert status == 1
    status, _, err = shell("replay", trace, "--allow-call", "--backend", "trio")
    assert status == 2 and "replayed on the backend that it was recorded on" in err


def test_a_page_with_the_passing_twin_needs_a_word_too(shell: Shell, trace: str) -> None:
    status, _, err = shell("report", trace, "--find-twin", "-o", "page.html")
    assert status == 2 and "--allow-call" in err
    status, _, err = shell("report", trace, "--find-twin", "--allow-call", "-o", "page.html")
    assert status == 0, err
    page = Path("page.html").read_text(encoding="utf-8")
    assert [f'data-run="{key}"' in page for key in "abc"] == [True, True, False]


def test_replay_in_a_fresh_process(trace: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tracelock", "replay", trace, "--allow-call"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "reproduced" in done.stdout


def test_replay_after_a_fix_says_what_became_of_it(bank: Path, trace: str) -> None:
    code = CODE.replace("self.balance += amount", "self.balance = self.balance + amount  # same")
    (bank / "racy_bank" / "race.py").write_text(code.replace("== 3", ">= 0"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "tracelock", "replay", trace, "--allow-call"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "passes now: not reproduced" in done.stdout
    assert "changed since the recording: racy_bank/race.py" in done.stdout


def test_show_runs_nothing_and_shows_only_lines_that_are_still_those(
    shell: Shell, bank: Path, trace: str
) -> None:
    for name in [name for name in sys.modules if name.startswith("racy_bank")]:
        del sys.modules[name]
    status, out, _ = shell("show", trace)
    assert status == 0 and "racy_bank/race.py:6  self.balance += amount" in out
    assert "racy_bank" not in sys.modules
    (bank / "racy_bank" / "race.py").write_text("# changed\n" + CODE, encoding="utf-8")
    status, out, _ = shell("show", trace)
    assert status == 0 and "racy_bank/race.py:6" in out and "self.balance" not in out


def test_a_failing_worker_is_shown_with_its_traceback(shell: Shell, bank: Path) -> None:
    document = DOCUMENT.replace("race:add", "race:overdraw").replace(
        "\n        args: [index + 1]", ""
    )
    Path("bank.yaml").write_text(document, encoding="utf-8")
    status, out, _ = shell("explore", "bank.yaml", "--allow-call", "--trace", "t.json")
    assert status == 1
    line = 1 + CODE.split("\n").index('    raise ValueError(f"balance is {account.balance}")')
    assert "failed: ValueError: balance is 0" in out
    assert f"    racy_bank/race.py:{line} in overdraw\n" in out
    expected = document + "  expected_errors: [ValueError]\n"
    expected = expected.replace('  check: "racy_bank.race:check"\n', "")
    Path("bank.yaml").write_text(expected, encoding="utf-8")
    assert shell("explore", "bank.yaml", "--allow-call")[0] == 0


def test_run_is_controlled_and_says_so(shell: Shell) -> None:
    outcomes = set()
    for seed in range(8):
        status, out, _ = shell(
            "run", "bank.yaml", "--allow-call", "--strategy", "random", "--seed", str(seed),
            "--trace", f"r{seed}.json",
        )  # fmt: skip
        assert f"(controlled: random, seed {seed})" in out
        outcomes.add(status)
        again, _, _ = shell("replay", f"r{seed}.json", "--allow-call")
        assert again == 0
        if len(outcomes) == 2:
            break
    assert outcomes == {0, 1}
    _, out, _ = shell("run", "bank.yaml", "--allow-call", "--no-trace")
    assert "of real code there is no free one" in out
    status, out, _ = shell("run", "bank.yaml", "--allow-call", "--no-trace", "--runs", "20")
    assert status == 1 and "20 runs of bank on threading (controlled: random, seed " in out
    assert "passed" in out and "failed (finally)" in out


def test_shrink(shell: Shell) -> None:
    for seed in range(12):
        status, _, _ = shell(
            "run", "bank.yaml", "--allow-call", "--strategy", "random", "--seed", str(seed),
            "--trace", "long.json",
        )  # fmt: skip
        if status == 1:
            break
    status, out, _ = shell("shrink", "long.json", "--allow-call", "-o", "short.json")
    assert status == 0 and "1 preemptive switch" in out
    assert shell("replay", "short.json", "--allow-call")[0] == 0
    status, _, err = shell("shrink", "long.json", "-o", "other.json")
    assert status == 2 and "--allow-call" in err and not Path("other.json").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("race:setup", "race:setpu"), "bank.yaml:10:10: python.setup: cannot get racy_bank.race:"),
        (("race:add", "rice:add"), "bank.yaml:7:15: workers.adder.steps[0].call: cannot get "),
        (("race:check", "race:number"), "racy_bank.race:number is no function: it is a int"),
        (("[racy_bank]", "[racy_bank]\n  expected_errors: ['racy_bank.race:Nobody']"), "Nobody"),
        (("[racy_bank]", "[racy_bank]\n  expected_errors: ['racy_bank.race:add']"), "no exception"),
        (("[racy_bank]", "[racy_bnak]"), "racy_bnak cannot be imported"),
    ],
)
def test_names_that_lead_nowhere(shell: Shell, change: tuple[str, str], told: str) -> None:
    Path("bank.yaml").write_text(DOCUMENT.replace(*change), encoding="utf-8")
    assert told in refused(shell, "explore", "bank.yaml", "--allow-call")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--engine", "simulated"), "there is no simulation of Python code"),
        (("--strategy", "states"), "real code cannot be copied"),
        (("--backend", "simulated"), "Python code runs on threading"),
        (("--cancellations", "-1"), "less than 0"),
        (("--faults", "-1"), "less than 0"),
        (("--fault-kinds", "flood"), "'flood' is no fault; there are refused"),
    ],
)
def test_options_that_make_no_sense_for_code(
    shell: Shell, options: tuple[str, ...], told: str
) -> None:
    status, out, err = shell("explore", "bank.yaml", "--allow-call", *options)
    assert status == 2 and told in err and not out


def test_options_for_code_alone(shell: Shell) -> None:
    counter = str(ROOT / "scenarios" / "locked_counter.yaml")
    for option in (
        ("--gc",), ("--cancellations", "1"), ("--instrument", "all"), ("--faults", "1"),
        ("--fault-kinds", "reset"),
    ):  # fmt: skip
        status, _, err = shell("explore", counter, *option)
        assert status == 2 and "are for scenarios of Python code" in err


def test_faults_are_in_the_trace(shell: Shell) -> None:
    shell("explore", "bank.yaml", "--allow-call", "--faults", "2", "--fault-kinds", "reset,delay",
          "--trace", "t.json")  # fmt: skip
    network = tracelock.load_trace("t.json").scenario["python"]["network"]
    assert network["faults"] == "2" and network["kinds"] == "reset, delay"


def test_gc_is_in_the_trace(shell: Shell) -> None:
    shell("explore", "bank.yaml", "--allow-call", "--gc", "--trace", "t.json")
    assert tracelock.load_trace("t.json").scenario["python"]["collections"] == 1
    assert shell("replay", "t.json", "--allow-call")[0] == 0


@pytest.mark.parametrize(
    ("options", "written", "named"),
    [
        (("--instrument", "bisect"), "", ["racy_bank.race", "bisect"]),
        (("--instrument", "only,racy_bank"), "", ["racy_bank"]),
        (("--instrument", "all"), "", ["racy_bank.race", "all"]),
        ((), "all", ["racy_bank.race", "all"]),
        ((), "[bisect]", ["racy_bank.race", "bisect"]),
        ((), "[only, racy_bank]", ["racy_bank"]),
    ],
)
def test_what_is_looked_into_besides(
    shell: Shell, bank: Path, options: tuple[str, ...], written: str, named: list[str]
) -> None:
    path = bank / "bank.yaml"
    text = path.read_text().replace("  instrument: [racy_bank]\n", "")
    if written:
        text = text.replace("python:\n", f"python:\n  instrument: {written}\n")
    path.write_text(text)
    status, _, err = shell("explore", "bank.yaml", "--allow-call", "--trace", "t.json", *options)
    assert status == 1, err
    assert tracelock.load_trace("t.json").scenario["python"]["instrument"] == named
    assert shell("replay", "t.json", "--allow-call")[0] == 0


# --- from Python -----------------------------------------------------------------------------
def test_the_same_from_python(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(bank))
    scenario = load_scenario_text(DOCUMENT, "f")
    with pytest.raises(tracelock.UnsupportedError):
        tracelock.explore(scenario)
    with pytest.raises(tracelock.UnsupportedError):
        tracelock.run(scenario)
    found = tracelock.explore(scenario, allow_call=True)
    assert found.failed and found.trace is not None
    with pytest.raises(tracelock.UsageError, match="allow_call=True"):
        tracelock.replay(found.trace)
    assert tracelock.replay(found.trace, allow_call=True).reproduced
    assert tracelock.run(scenario, allow_call=True, seed=1).mode == "controlled"


def saved(workers: list[Any], names: str = "t.json", **more: Any) -> None:
    found = tracelock.explore(workers=workers, instrument=["racy_bank"], schedules=50, **more)
    assert found.trace is not None
    found.trace.save(names)


def test_functions_that_were_given_in_python_are_found_by_name(
    shell: Shell, bank: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(bank))
    import racy_bank.race as race  # type: ignore[import-not-found]

    saved([race.add, race.overdraw, race.add], setup=race.setup, expected_errors=[race.Overdrawn])
    trace = tracelock.load_trace("t.json")
    assert trace.scenario["python"]["expected_errors"] == ["racy_bank.race:Overdrawn"]
    status, out, err = shell("replay", "t.json", "--allow-call")
    assert (status, err) == (0, "") and "reproduced" in out


def test_functions_that_have_no_name_say_what_else_to_do(
    shell: Shell, bank: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(bank))
    import racy_bank.race as race

    def inner(account: Any) -> None:
        account.add(1)

    saved([lambda account: account.add(1), inner], setup=race.setup, check=race.check)
    err = refused(shell, "replay", "t.json", "--allow-call")
    assert "worker is a lambda in " in err and ", line " in err
    assert "inner is inner, which a function of " in err
    assert (
        "tracelock.replay(tracelock.load_trace(PATH), setup=..., workers=[...], check=...)" in err
    )
    again = tracelock.replay(
        tracelock.load_trace("t.json"), setup=race.setup, check=race.check,
        workers=[lambda account: account.add(1), inner],
    )  # fmt: skip
    assert again.diverged is None or "lambda" not in str(again.diverged)


def test_two_functions_of_one_name_are_two_entries(
    bank: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(bank))
    import racy_bank.race as race

    (bank / "racy_bank" / "other.py").write_text(
        textwrap.dedent(
            """
            def add(account):
                account.balance += 10
            """
        ),
        encoding="utf-8",
    )
    import racy_bank.other as other  # type: ignore[import-not-found]

    saved([race.add, other.add], setup=race.setup, check=lambda account: account.balance == 11)
    trace = tracelock.load_trace("t.json")
    workers = trace.scenario["workers"]
    assert {name: entry["steps"][0]["call"] for name, entry in workers.items()} == {
        "add[0]": "racy_bank.race:add", "add[1]": "racy_bank.other:add",
    }  # fmt: skip


# --- what is patched -------------------------------------------------------------------------
def test_backends_lists_every_patch(shell: Shell) -> None:
    from tracelock.instrument.patches import table

    status, out, _ = shell("backends", "--json")
    assert status == 0
    assert json.loads(out)["patches"] == {patch.name: patch.how for patch in table()}
    _, out, _ = shell("backends")
    assert "controlled: a scheduling point, the scheduler decides" in out
    for patch in table():
        owner, _, name = patch.name.rpartition(".")
        assert f"    {owner}: " in out and name in out
