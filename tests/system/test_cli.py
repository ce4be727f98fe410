"""The command line: what it prints where, what it keeps, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import tracelock
from tests.helpers.commands import Shell, refused, shell_of
from tracelock.cli import options as cli_options
from tracelock.cli.keeping import slug
from tracelock.cli.output import json_text, speaks_unicode, width_of

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = ROOT / "scenarios"
DEADLOCK = str(SCENARIOS / "deadlock_ab_ba.yaml")
COUNTER = str(SCENARIOS / "unlocked_counter.yaml")
LOCKED = str(SCENARIOS / "locked_counter.yaml")
FOREVER = """\
format: tracelock-scenario/1
name: forever
shared: {n: 0}
workers:
  w:
    count: 2
    steps:
      - while: "true"
        do:
          - write: n
            value: n + 1
          - sleep: 0.001
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return shell_of(capsys)


@pytest.fixture
def failed(shell: Shell) -> str:
    """A trace of a lost update."""
    for seed in range(50):
        status, _, _ = shell(
            "run", COUNTER, "--strategy", "random", "--seed", str(seed), "--trace", "lost.json"
        )
        if status == 1:
            return "lost.json"
    raise AssertionError("no seed found it")


def traces() -> list[str]:
    here = os.listdir(".tracelock") if os.path.isdir(".tracelock") else []
    return sorted(name for name in here if name != ".gitignore")


# --- run -------------------------------------------------------------------------------------
def test_run_tells_the_verdict_and_keeps_the_trace(shell: Shell) -> None:
    status, out, err = shell("run", DEADLOCK, "--strategy", "random", "--seed", "0")
    assert (status, err) == (1, "")
    assert out.startswith("deadlock  deadlock-ab-ba on threading (random, seed 0): 2 events in ")
    line = (
        "  transfer[0] waits for account[1] (held by transfer[1]) "
        f"at workers.transfer.steps[0].do[0]  ({DEADLOCK}:19)\n"
    )
    assert line in out
    assert "final state: balance = [100, 100]\n" in out
    path = ".tracelock/deadlock-ab-ba-threading-deadlock-1.json"
    assert f"trace: {path}\n" in out
    assert f"replay it: tracelock replay {path}\n" in out
    assert tracelock.load_trace(path).verdict.kind == "deadlock"


def test_run_never_overwrites_and_keeps_failures_alone(shell: Shell) -> None:
    for _ in range(3):
        assert shell("run", DEADLOCK, "--strategy", "random", "--seed", "0")[0] == 1
        assert shell("run", LOCKED)[0] == 0
    assert traces() == [f"deadlock-ab-ba-threading-deadlock-{n}.json" for n in (1, 2, 3)]
    assert Path(".tracelock/.gitignore").read_text().splitlines()[-1] == "*"
    assert not os.path.exists("traces")
    Path(".tracelock/.gitignore").unlink()  # whoever wants to keep them in git
    shell("run", DEADLOCK, "--strategy", "random", "--seed", "0")
    assert not os.path.exists(".tracelock/.gitignore")


def test_run_is_a_free_run_on_threads_unless_told_otherwise(shell: Shell) -> None:
    status, out, _ = shell("run", LOCKED, "--trace", "t.json")
    assert status == 0
    assert out.startswith("passed  locked-counter on threading (free run): ")
    trace = tracelock.load_trace("t.json")
    assert (trace.mode, trace.backend, trace.strategy) == ("recorded", "threading", None)


def test_run_says_which_seed_it_drew(shell: Shell) -> None:
    _, out, _ = shell("run", COUNTER, "--strategy", "random", "--trace", "one.json")
    found = re.search(r"\(random, seed (\d+)\)", out)
    assert found is not None
    shell("run", COUNTER, "--strategy", "random", "--seed", found[1], "--trace", "two.json")
    assert tracelock.load_trace("one.json").digest() == tracelock.load_trace("two.json").digest()
    _, out, err = shell("run", COUNTER, "--strategy", "random", "--json", "--no-trace")
    json.loads(out)
    assert re.fullmatch(r"seed \d+\n", err)


def test_run_where_the_trace_goes(shell: Shell) -> None:
    assert shell("run", LOCKED, "--trace", "sub/t.json.gz")[0] == 0
    assert Path("sub/t.json.gz").read_bytes()[:2] == b"\x1f\x8b"
    assert tracelock.load_trace("sub/t.json.gz").verdict.kind == "passed"
    assert shell("run", LOCKED, "--trace", "sub/t.json.gz")[0] == 0  # named, so overwritten
    assert os.listdir("sub") == ["t.json.gz"]
    status, out, _ = shell("run", LOCKED, "--no-trace")
    assert status == 0
    assert "replay it" not in out
    assert traces() == []


@pytest.mark.parametrize("path", ["", ".", "file/t.json"])
def test_run_refuses_a_trace_that_cannot_be_written_before_it_runs(
    shell: Shell, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("file").write_text("")
    monkeypatch.setattr("tracelock.session.Session.each", None)
    assert refused(shell, "run", LOCKED, "--trace", path).count("\n") == 1


def test_run_as_json(shell: Shell) -> None:
    status, out, err = shell("run", DEADLOCK, "--strategy", "random", "--seed", "0", "--json")
    assert (status, err) == (1, "")
    data = json.loads(out)
    assert list(data) == ["verdict", "trace", "events", "seconds"]
    trace = tracelock.load_trace(data["trace"])
    assert data["verdict"] == trace.verdict.to_data()
    assert data["events"] == len(trace.events) == 2
    assert 0 < data["seconds"] < 60
    assert json.loads(shell("run", LOCKED, "--json", "--no-trace")[1])["trace"] is None


def test_many_runs_are_counted(shell: Shell) -> None:
    arguments = ("run", COUNTER, "--strategy", "random", "--seed", "1", "--runs", "200")
    status, out, err = shell(*arguments)
    assert (status, err) == (1, "")
    assert out.startswith("200 runs of unlocked-counter on threading (random, seed 1) in ")
    path = ".tracelock/unlocked-counter-threading-failed-1.json"
    rows = dict(re.findall(r"^  (passed|failed \(finally\)) +(\d+) +[\d.]+ %", out, re.M))
    assert set(rows) == {"passed", "failed (finally)"}
    assert sum(map(int, rows.values())) == 200
    assert f"replay it: tracelock replay {path}\n" in out
    assert traces() == [os.path.basename(path)]
    assert shell("replay", path)[0] == 0
    data = json.loads(shell(*arguments, "--json")[1])
    assert data["runs"] == 200
    assert {one["kind"]: one["count"] for one in data["outcomes"]} == {
        "passed": int(rows["passed"]),
        "failed": int(rows["failed (finally)"]),
    }
    assert [list(one) for one in data["outcomes"]] == [["kind", "failure", "count", "trace"]] * 2
    assert data["outcomes"][0]["trace"] is None
    assert data["verdict"]["kind"] == "failed"
    assert data["trace"] == data["outcomes"][1]["trace"]


def test_many_runs_keep_the_first_of_each_kind(shell: Shell) -> None:
    Path("both.yaml").write_text(
        "format: tracelock-scenario/1\nname: both\nshared: {n: 0}\nobjects: {m: lock}\n"
        "workers:\n  w:\n    count: 2\n    steps:\n      - write: n\n        value: n + 1\n"
        "      - if: n == 1 and index == 0\n        then: [{acquire: m}, {acquire: m}]\n"
        "      - assert: n > 0 and n != 2\n",
    )
    status, out, _ = shell(
        "run", "both.yaml", "--strategy", "random", "--seed", "2", "--runs", "100", "--json",
        "--trace", "kept.json",
    )  # fmt: skip
    assert status == 1
    outcomes = json.loads(out)["outcomes"]
    kept = sorted(one["trace"] for one in outcomes if one["kind"] != "passed")
    assert kept == sorted(path.name for path in Path(".").glob("kept*.json"))
    assert kept[:2] == ["kept-2.json", "kept.json"]
    for one in outcomes:
        if one["trace"]:
            verdict = tracelock.load_trace(one["trace"]).verdict
            assert (verdict.kind, verdict.failure) == (one["kind"], one["failure"])


def test_a_limit_ends_a_run_as_unfinished(shell: Shell) -> None:
    Path("forever.yaml").write_text(FOREVER)
    status, out, _ = shell("run", "forever.yaml", "--strategy", "random", "--max-steps", "50")
    assert status == 5
    assert out.startswith("unfinished  ")
    assert "nothing is claimed" in out
    assert traces() == ["forever-threading-unfinished-1.json"]
    status, out, _ = shell(
        "run", "forever.yaml", "--strategy", "random", "--max-steps", "50", "--runs", "3", "--json"
    )
    assert status == 5
    assert json.loads(out)["outcomes"][0]["count"] == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", LOCKED, "--seed", "1"], "--seed needs a --strategy"),
        (["run", LOCKED, "--clock", "adversarial"], "--clock needs a --strategy"),
        (["run", LOCKED, "--start-method", "fork"], "start method"),
        (["run", LOCKED, "--backend", "smoke"], "invalid choice: 'smoke'"),
        (["run", LOCKED, "--strat", "random"], "--strat"),
        (["run", LOCKED, "--runs", "0"], "0 is less than 1"),
        (["run", LOCKED, "--max-seconds", "nan"], "not a positive number"),
        (["run", LOCKED, "--trace", "x", "--no-trace"], "not allowed with"),
        (["run", "nowhere.yaml"], "nowhere.yaml: "),
        (["replay", "nowhere.json"], "cannot read nowhere.json"),
        (["run", str(SCENARIOS / "crash_holding_lock.yaml")], "multiprocessing"),
        ([], "tracelock COMMAND --help"),
        (["frob"], "frob"),
    ],
)
def test_bad_usage(shell: Shell, arguments: list[str], said: str) -> None:
    err = refused(shell, *arguments)
    assert said in err
    assert "Traceback" not in err
    assert os.listdir() == []


def test_bad_input_tells_all_problems_and_nothing_is_run(shell: Shell) -> None:
    Path("bad.yaml").write_text(
        "format: tracelock-scenario/1\nname: bad\nworkers:\n  w:\n    steps:\n"
        "      - raed: x\n      - acquire: nothing\n"
    )
    err = refused(shell, "run", "bad.yaml", "--json")
    assert re.search(r"^bad\.yaml:6:\d+: workers\.w\.steps\[0\]", err, re.M)
    assert re.search(r"^bad\.yaml:7:\d+: workers\.w\.steps\[1\]", err, re.M)
    assert os.listdir() == ["bad.yaml"]


def test_call_steps_need_the_word_of_the_user(shell: Shell) -> None:
    Path("mine.py").write_text("def twice(n):\n    return 2 * n\n")
    Path("call.yaml").write_text(
        "format: tracelock-scenario/1\nname: call\nshared: {n: 0}\nworkers:\n  w:\n    steps:\n"
        "      - call: 'mine:twice'\n        args: [4]\n        into: got\n"
        "      - write: n\n        value: got\nfinally: ['n == 8']\n"
    )
    status, _, err = shell("run", "call.yaml")
    assert status == 2
    assert "--allow-call" in err
    path = list(sys.path)
    try:
        status, out, _ = shell("run", "call.yaml", "--allow-call", "--trace", "t.json")
        assert status == 0
        assert "replay it: tracelock replay t.json --allow-call\n" in out
        assert shell("replay", "t.json")[0] == 2
        assert shell("replay", "t.json", "--allow-call")[0] == 0
    finally:
        sys.path[:] = path
        sys.modules.pop("mine", None)


# --- replay, show ------------------------------------------------------------------------------
def test_replay_prints_the_steps_and_the_verdict(shell: Shell, failed: str) -> None:
    status, out, err = shell("replay", failed)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "scenario: unlocked-counter"
    head = next(line for line in lines if line.startswith("  #"))
    assert head.split() == ["#", "incrementer[0]", "incrementer[1]", "step"]
    assert "┄ preempted (could have gone on)" in out
    assert "counter == 2 is false: counter is 1" in out
    assert lines[-1] == "still fails: reproduced, it ended as recorded"


def test_replay_on_another_backend(shell: Shell, failed: str) -> None:
    status, out, _ = shell("replay", failed, "--backend", "simulated")
    assert status == 0
    assert "backend:  threading, replayed on simulated\n" in out


def test_replay_where_the_trace_is_impossible(shell: Shell, failed: str) -> None:
    status, out, _ = shell("replay", failed, "--backend", "asyncio")
    assert status == 3
    lines = out.splitlines()
    assert re.fullmatch(
        r"impossible here  at event 1: asyncio: incrementer\[(\d)\] cannot come in here: "
        r"incrementer\[(\d)\] has not suspended",
        lines[-3],
    )
    assert lines[-2].startswith("  expected: incrementer[")


def changed(path: str, **verdict: Any) -> str:
    data = json.loads(Path(path).read_text())
    data["verdict"].update(verdict)
    Path("changed.json").write_text(json.dumps(data))
    return "changed.json"


def test_replay_that_ends_differently(shell: Shell, failed: str) -> None:
    other = changed(failed, kind="passed", failure=None)
    status, out, _ = shell("replay", other)
    assert status == 1
    assert out.endswith("not reproduced: it ended failed (finally), recorded was passed\n")
    status, out, _ = shell("replay", other, "--json")
    assert status == 1
    assert json.loads(out)["reproduced"] is False
    other = changed(failed, state={"counter": 77})
    assert shell("replay", other)[1].endswith("in another state, recorded was failed (finally)\n")


def diverging(path: str) -> str:
    text = Path(path).read_text()
    Path("diverging.json").write_text(text.replace('"value": 1', '"value": 7', 1))
    return "diverging.json"


def test_replay_that_diverges(shell: Shell, failed: str) -> None:
    other = diverging(failed)
    status, out, _ = shell("replay", other)
    assert status == 3
    lines = out.splitlines()
    assert lines[-3].startswith("diverged  at event 2: the value differs")
    assert re.fullmatch(r"  expected: incrementer\[\d\] write counter value 7", lines[-2])
    assert re.fullmatch(r"  got:      incrementer\[\d\] write counter value 1", lines[-1])
    assert "  1  " in out  # the steps so far
    status, out, _ = shell("replay", other, "--json")
    assert status == 3
    data = json.loads(out)
    assert list(data) == ["conclusion", "reproduced", "diverged", "verdict", "needs"]
    assert list(data["diverged"]) == ["seq", "expected", "got", "why"]
    assert data["diverged"]["seq"] == 2


def test_replay_as_json(shell: Shell, failed: str) -> None:
    status, out, _ = shell("replay", failed, "--json")
    assert status == 0
    assert json.loads(out) == {
        "conclusion": "still fails",
        "reproduced": True,
        "diverged": None,
        "verdict": tracelock.load_trace(failed).verdict.to_data(),
        "needs": None,
    }


def test_bisect_says_what_git_wants(shell: Shell, failed: str) -> None:
    assert shell("replay", failed, "--bisect")[0] == 1
    assert shell("replay", changed(failed, state={"counter": 0}), "--bisect")[0] == 0
    assert shell("replay", diverging(failed), "--bisect")[0] == 125
    assert shell("replay", "nowhere.json", "--bisect")[0] == 125
    shell("run", LOCKED, "--trace", "passed.json")
    status, out, err = shell("replay", "passed.json", "--bisect")
    assert (status, out) == (125, "")
    assert "records no failure" in err


def test_show_prints_the_trace_without_running_it(
    shell: Shell, failed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracelock.session.Session", None)
    status, out, _ = shell("show", failed)
    assert status == 0
    assert "read counter = 0" in out
    assert "failed (finally)\n  counter == 2 is false: counter is 1 at finally[0]\n" in out
    data = json.loads(shell("show", failed, "--json")[1])
    assert data["events"] == len(data["rows"]) == 4
    assert data["rows"][1]["switch"]["kind"] == "preempted"


def test_show_of_a_long_trace(shell: Shell) -> None:
    Path("forever.yaml").write_text(FOREVER)
    shell("run", "forever.yaml", "--strategy", "random", "--max-steps", "500", "--trace", "t.json")
    numbers = re.compile(r"^ {0,2}(\d+)  ", re.M)
    out = shell("show", "t.json")[1]
    assert len(numbers.findall(out)) == 200
    assert "300 events left out" in out
    assert len(numbers.findall(shell("show", "t.json", "--all")[1])) == 500
    assert numbers.findall(shell("show", "t.json", "--around", "250")[1]) == [
        str(n) for n in range(240, 261)
    ]
    status, out, err = shell("show", "t.json", "--around", "500")
    assert (status, out, err) == (2, "", "there is no event 500 in 500 events\n")


# --- the rest ----------------------------------------------------------------------------------
def test_validate(shell: Shell) -> None:
    Path("bad.yaml").write_text("format: tracelock-scenario/1\nname: bad\nworkers: 3\nx: 1\n")
    status, out, err = shell("validate", LOCKED, "bad.yaml", "nowhere.yaml", COUNTER)
    assert status == 2
    assert out == f"{LOCKED}: OK\n{COUNTER}: OK\n"
    assert len(re.findall(r"^bad\.yaml:\d+:\d+: ", err, re.M)) == 2
    assert "nowhere.yaml: " in err
    assert shell("validate", LOCKED)[0] == 0


def test_validate_as_json(shell: Shell, failed: str) -> None:
    """One object with every mistake of every file; what the text says, in parts."""
    Path("bad.yaml").write_text("format: tracelock-scenario/1\nname: bad\nworkers: 3\nx: 1\n")
    files = ("bad.yaml", LOCKED, failed, "nowhere.yaml")
    status, out, err = shell("validate", "--json", *files)
    assert (status, err, out.count("\n")) == (2, "", 1)
    data = json.loads(out)
    assert list(data) == ["valid", "files", "problems"]
    assert data["valid"] is False
    assert [(one["file"], one["valid"]) for one in data["files"]] == [
        ("bad.yaml", False), (LOCKED, True), (failed, False), ("nowhere.yaml", False),
    ]  # fmt: skip
    keys = ["file", "line", "column", "path", "message"]
    assert [list(one) for one in data["problems"]] == [keys] * 4
    places = [tuple(one.values())[:4] for one in data["problems"]]
    assert places == [
        ("bad.yaml", 3, 10, "workers"), ("bad.yaml", 4, 1, "x"), (failed, None, None, ""),
        ("nowhere.yaml", None, None, ""),
    ]  # fmt: skip
    text = shell("validate", *files)[2]
    assert text.count("\n") == 4
    for one in data["problems"]:
        assert one["message"] in text
    status, out, _ = shell("validate", LOCKED, "--json")
    assert (status, json.loads(out)) == (
        0, {"valid": True, "problems": [], "files": [{"file": LOCKED, "valid": True, "note": None}]}
    )  # fmt: skip


NOTHING = """\
format: tracelock-scenario/1
name: nothing
shared: {n: 0}
workers:
  w:
    count: 2
    steps:
      - write: n
        value: n + 1
"""


@pytest.mark.parametrize("strategy", ["auto", "dpor", "states", "random"])
def test_a_scenario_with_nothing_to_check_is_told_so(shell: Shell, strategy: str) -> None:
    Path("nothing.yaml").write_text(NOTHING)
    explore = ("explore", "nothing.yaml", "--strategy", strategy, "--schedules", "900")
    status, out, _ = shell(*explore)
    assert status == 0
    told = "; there is nothing to check in it: it has no assert, always or finally, and no worker"
    assert told in out.splitlines()[0]
    assert told in json.loads(shell(*explore, "--json")[1])["summary"]
    Path("nothing.yaml").write_text(NOTHING + "finally: ['n > 0']\n")
    assert "nothing to check" not in shell(*explore)[1]


def test_run_and_validate_tell_it_too(shell: Shell) -> None:
    Path("nothing.yaml").write_text(NOTHING)
    assert "  note: there is nothing to check in it" in shell("run", "nothing.yaml")[1]
    status, out, _ = shell("validate", "nothing.yaml")
    assert (status, out.partition(" (")[0]) == (0, "nothing.yaml: OK")
    assert "there is nothing to check in it" in out
    data = json.loads(shell("validate", "nothing.yaml", "--json")[1])
    assert data["valid"] and "there is nothing to check" in data["files"][0]["note"]


def test_schema(shell: Shell) -> None:
    status, out, _ = shell("schema")
    assert status == 0
    assert json.loads(out) == tracelock.scenario_schema()


def test_recover(shell: Shell, failed: str) -> None:
    whole = Path(failed).read_bytes()
    Path("cut.json").write_bytes(whole[: whole.index(b'"seq": 2') + 20])
    status, _, err = shell("show", "cut.json")
    assert status == 2
    assert "tracelock recover" in err
    status, out, _ = shell("recover", "cut.json")
    assert status == 0
    assert out.startswith("cut.json.recovered.json: 2 events kept\n")
    assert shell("recover", "cut.json")[1].startswith("cut.json.recovered-2.json: ")
    shell("recover", "cut.json", "-o", "mine.json")
    assert len(tracelock.load_trace("mine.json").events) == 2
    status, out, _ = shell("recover", failed)
    assert (status, out) == (0, f"{failed} is whole: there is nothing to recover\n")


def test_backends(shell: Shell) -> None:
    status, out, _ = shell("backends")
    assert status == 0
    backends, _, patches = out.partition("\n\n")
    assert [line.split()[0] for line in backends.splitlines() if not line.startswith(" ")] == list(
        cli_options.BACKENDS
    )
    assert patches.startswith("Python code, while it is explored")
    rows = json.loads(shell("backends", "--json")[1])["backends"]
    assert [row["name"] for row in rows] == list(cli_options.BACKENDS)


def test_version_and_help(shell: Shell) -> None:
    assert shell("--version") == (0, f"tracelock {tracelock.__version__}\n", "")
    assert f'version = "{tracelock.__version__}"' in (ROOT / "pyproject.toml").read_text()
    status, out, _ = shell("--help")
    assert status == 0
    assert "exit status:" in out
    for command in ("run", "replay", "show", "validate", "schema", "recover", "backends"):
        assert f"\n    {command} " in out
        assert shell(command, "--help")[0] == 0


def test_the_choices_on_the_command_line_are_those_of_the_session() -> None:
    from tracelock import session

    for name in ("BACKENDS", "CLOCKS"):
        assert set(getattr(session, name)) == set(getattr(cli_options, name))


# --- when things go wrong ----------------------------------------------------------------------
@pytest.mark.parametrize("error", [RuntimeError("boom"), tracelock.ModelMismatch("boom")])
def test_an_internal_error_says_what_to_report(
    shell: Shell, failed: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(*arguments: object, **more: object) -> None:
        raise error

    monkeypatch.setattr("tracelock.cli.replay.replay", broken)
    status, out, err = shell("replay", failed)
    assert (status, out) == (4, "")
    assert "boom" in err
    assert "Traceback" in err
    assert "internal error" in err
    assert f"tracelock {tracelock.__version__}" in err
    assert sys.version.split()[0] in err
    assert shell("replay", failed, "--bisect")[0] == 125


def test_an_interrupted_tally_is_printed(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    from tracelock.session import Session

    each = Session.each

    def interrupted(self: Session, runs: int, record: bool = True) -> Iterator[Any]:
        yield from each(self, 20, record)
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "each", interrupted)
    arguments = ("run", LOCKED, "--strategy", "random", "--runs", "1000")
    status, out, err = shell(*arguments)
    assert status == 5
    assert "interrupted after 20 of 1,000 runs" in err
    assert out.startswith("20 runs of locked-counter")
    data = json.loads(shell(*arguments, "--json")[1])
    assert (data["runs"], data["outcomes"][0]["count"]) == (20, 20)


@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("panic", [ImportError, SystemError, BaseException])
def test_what_an_import_makes_of_an_interrupt(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, panic: type[BaseException],
    arrives: bool,
) -> None:  # fmt: skip
    """Code in C that is being imported may turn it into something else."""
    (tmp_path / "turning.py").write_text(
        "import signal\n"
        "try:\n"
        f"    {arrives} and signal.raise_signal(signal.SIGINT)\n"
        "finally:\n"
        f"    raise {panic.__name__}('panic')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    def turning(*arguments: object, **more: object) -> int:
        import_module("turning")
        return 0

    monkeypatch.setattr("tracelock.cli.documents.validate_command", turning)
    if arrives:
        assert shell("validate", LOCKED) == (130, "", "interrupted\n")
    elif issubclass(panic, Exception):
        status, _, said = shell("validate", LOCKED)
        assert status == 4 and "panic" in said
    else:
        with pytest.raises(panic, match="panic"):
            shell("validate", LOCKED)


def test_an_interrupt_before_anything_happened(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object, **more: object) -> Iterator[Any]:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr("tracelock.session.Session.each", interrupted)
    assert shell("run", LOCKED) == (5, "", "interrupted: nothing was recorded\n")
    assert shell("run", LOCKED, "--runs", "5")[0] == 5
    status, out, _ = shell("run", LOCKED, "--runs", "5", "--json")
    assert (status, json.loads(out)["runs"]) == (5, 0)


def test_names_of_strangers_do_no_harm(shell: Shell) -> None:
    assert slug("../../etc/x y") == "etc-x-y"
    assert slug("\x1b[31m") == "31m"
    assert slug("///") == "scenario"
    assert len(slug("x" * 500)) == 60
    text = Path(DEADLOCK).read_text().replace("name: deadlock-ab-ba", 'name: "../e\\e[31mvil"')
    Path("evil.yaml").write_text(text)
    status, out, _ = shell("explore", "evil.yaml")
    assert status == 1
    assert "\x1b" not in out
    assert traces() == ["e-31mvil-threading-deadlock-1.json"]


def test_json_has_no_infinities() -> None:
    assert json.loads(json_text({"a": [float("inf"), 1.5]})) == {"a": ["inf", 1.5]}


def test_what_the_terminal_can_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "61")
    assert width_of() == 61
    monkeypatch.setenv("COLUMNS", "wide")
    assert width_of() == 100
    assert not speaks_unicode(None)


# --- as a process ------------------------------------------------------------------------------
def process(*arguments: str, **more: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **more.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, "-m", "tracelock", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **more,
    )  # fmt: skip


def finished(*arguments: str, **more: Any) -> tuple[int, str, str]:
    with process(*arguments, **more) as child:
        out, err = child.communicate(timeout=30)
        return child.returncode, out, err


def test_help_imports_nothing_of_substance() -> None:
    code = (
        "import sys\nfrom tracelock.cli.main import main\nstatus = main(['--help'])\n"
        "print('MODULES', *sorted(sys.modules))\nsys.exit(status)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=30,
    )  # fmt: skip
    modules = set(result.stdout.rpartition("MODULES")[2].split())
    heavy = {
        "pydantic",
        "jinja2",
        "yaml",
        "rich",
        "anyio",
        "trio",
        "asyncio",
        "dataclasses",
        "json",
    }
    if sys.version_info >= (3, 14):
        heavy.remove("dataclasses")  # what is printed in colours needs them
    assert not modules & heavy
    assert {name for name in modules if name.startswith("tracelock")} == {
        "tracelock", "tracelock.cli", "tracelock.cli.asking", "tracelock.cli.asking.rows",
        "tracelock.cli.main", "tracelock.cli.options",
        "tracelock.cli.streams", "tracelock.cli.usage", "tracelock.cli.usage.examples",
        "tracelock.cli.usage.parsers", "tracelock.cli.usage.suggestions",
        "tracelock.cli.usage.values", "tracelock.schedulers",
        "tracelock.schedulers.strategies",
    }  # fmt: skip


def test_json_on_a_pipe_is_pure_and_ascii() -> None:
    status, out, _ = finished(
        "run", COUNTER, "--strategy", "random", "--runs", "20", "--json",
        env={"FORCE_COLOR": "1", "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert status in (0, 1)
    assert out.isascii()
    assert out.count("\n") == 1
    assert json.loads(out)["runs"] == 20


def test_no_colours_on_a_pipe_and_ascii_where_nothing_else_goes(failed: str) -> None:
    status, out, err = finished("replay", failed, env={"PYTHONIOENCODING": "ascii"})
    assert (status, err) == (0, "")
    assert out.isascii()
    assert "\x1b" not in out
    assert "- preempted" in out
    _, out, _ = finished("replay", failed, env={"FORCE_COLOR": "1"})
    assert "\x1b[" in out
    _, out, _ = finished("replay", failed, env={"FORCE_COLOR": "1", "NO_COLOR": "1"})
    assert "\x1b" not in out


def test_a_reader_that_goes_away_ends_the_output_quietly(shell: Shell) -> None:
    Path("forever.yaml").write_text(FOREVER)
    shell("run", "forever.yaml", "--strategy", "random", "--max-steps", "3000", "--trace", "t.json")
    with process("show", "t.json", "--all") as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline() == "scenario: forever\n"
        child.stdout.close()
        assert child.stderr.read() == ""
        assert child.wait(30) == 0


def wait_until_busy(pid: int) -> None:
    """Wait until a child has computed for longer than it takes to start, on any machine: a second
    and a half of its own processor time, or 60 seconds of anybody's."""
    ticks = os.sysconf("SC_CLK_TCK")
    for _ in range(600):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if (int(fields[11]) + int(fields[12])) / ticks >= 1.5:
            return
        time.sleep(0.1)


@pytest.mark.parametrize(
    "more", [(), ("--strategy", "random", "--max-steps", "100000000")], ids=["free", "controlled"]
)
def test_ctrl_c_leaves_a_whole_trace(shell: Shell, more: tuple[str, ...]) -> None:
    Path("forever.yaml").write_text(FOREVER)
    with process("run", "forever.yaml", "--trace", "t.json", "--json", *more) as child:
        wait_until_busy(child.pid)
        child.send_signal(signal.SIGINT)
        child.send_signal(signal.SIGINT)  # as a process group would get it
        out, err = child.communicate(timeout=30)
    assert "Traceback" not in err
    assert child.returncode == 5
    data = json.loads(out)
    assert data["verdict"]["kind"] == "unfinished"
    assert data["verdict"]["message"] == "interrupted"
    trace = tracelock.load_trace("t.json")
    assert len(trace.events) == data["events"] > 0
    assert sorted(os.listdir()) == ["forever.yaml", "t.json"]


# --- as a library ------------------------------------------------------------------------------
def test_the_package_is_imported_lazily_and_completely() -> None:
    code = (
        "import sys, tracelock\n"
        "assert not {'pydantic', 'jinja2', 'yaml', 'rich', 'dataclasses'} & set(sys.modules)\n"
        "for name in tracelock.__all__: getattr(tracelock, name)\n"
        "assert set(tracelock.__all__) <= set(dir(tracelock))\n"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=30,
    )  # fmt: skip
    assert (
        len(set(tracelock.__all__)) == len(tracelock.__all__) and "__version__" in tracelock.__all__
    )
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        tracelock.nothing_of_the_kind  # noqa: B018
    from tracelock.errors import ScenarioError
    from tracelock.scenario.language.verbs import VERBS

    assert tracelock.ScenarioError is ScenarioError
    assert {row.model.__name__ for row in VERBS.values()} <= set(tracelock.__all__)
