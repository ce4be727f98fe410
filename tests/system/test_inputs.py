"""A file of another kind than a command reads is told what it is, and what to do with it."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from pathlib import Path

import pytest

from tests.helpers.commands import Shell, refused, shell_of
from tracelock.cli.inputs import kind_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def shell(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Shell:
    monkeypatch.chdir(tmp_path)
    for name in ("scenarios", "traces"):
        os.mkdir(name)
    shutil.copy(ROOT / "scenarios" / "pi.yaml", "scenarios")
    shutil.copy(ROOT / "traces" / "deadlock_ab_ba.json", "traces")
    shutil.copy("traces/deadlock_ab_ba.json", "t.json")
    shutil.copy("scenarios/pi.yaml", "s.yaml")
    shutil.copy(ROOT / "tests" / "data" / "classic.json", "c.json")
    Path("t.json.gz").write_bytes(gzip.compress(Path("t.json").read_bytes()))
    Path("bank.py").write_text("x = 1\n")
    Path("test_bank.py").write_text("def test_it(): pass\n")
    return shell_of(capsys)


TRACE = "t.json: this is a trace, not a scenario: 'tracelock replay t.json' runs it again"
SCENARIO = "s.yaml: this is a scenario, not a trace: 'tracelock explore s.yaml' looks for "


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("explore t.json", TRACE),
        ("run t.json", TRACE),
        ("compare t.json", TRACE),
        (
            "explore t.json.gz",
            "this is a trace, not a scenario: 'tracelock replay t.json.gz'",
        ),
        ("replay s.yaml", SCENARIO),
        ("show s.yaml", SCENARIO),
        ("shrink s.yaml", SCENARIO),
        ("analyze s.yaml", SCENARIO),
        ("attach s.yaml", SCENARIO),
        ("report s.yaml -o x.html", "s.yaml: this is a scenario, not a trace or comparison: "),
        ("report t.json --twin s.yaml -o x.html", SCENARIO),
        ("explore s.yaml --first t.json s.yaml", SCENARIO),
        ("check s.yaml t.json", "; check takes the trace first, then the scenario\n"),
        (
            "explore c.json",
            "this is a comparison, not a scenario: 'tracelock report c.json -o",
        ),
        (
            "explore test_bank.py",
            "Python code, not a scenario: 'pytest --tracelock test_bank",
        ),
        (
            "replay test_bank.py",
            "Python code, not a trace: 'pytest --tracelock test_bank.py'",
        ),
        ("explore bank.py", "'pytest --tracelock' explores tests of it, tracelock.explore(workers"),
        (
            "replay bank.py",
            "bank.py: this is Python code, not a trace: 'pytest --tracelock'",
        ),
        ("export bank.py --as pytest", "bank.py: this is Python code, not a scenario or trace: "),
        ("explore scenarios", "scenarios: this is a folder, not a scenario: name a file in it"),
        ("explore scenarios/pii.yaml", "no such file: did you mean scenarios/pi.yaml?"),
        ("explore pi", "pi: there is no such file: did you mean scenarios/pi.yaml?"),
        ("replay deadlok_ab_ba", "there is no such file: did you mean traces/deadlock_ab_ba.json?"),
        ("replay traces/deadlock_ab_ba.jsn", "did you mean traces/deadlock_ab_ba.json?"),
        ("explore nothing-like-it.yaml", "nothing-like-it.yaml: cannot be read: No such file"),
        ("replay nothing-like-it.json", "cannot read nothing-like-it.json: No such file"),
    ],
)
def test_what_a_file_is(shell: Shell, line: str, said: str) -> None:
    err = refused(shell, *line.split())
    assert said in err and err.count("\n") == 1


def test_what_is_told_to_do_works(shell: Shell) -> None:
    """The commands in the messages, taken from these."""
    for line in ("explore t.json", "replay s.yaml", "explore c.json"):
        command = shell(*line.split())[2].split("'")[1]
        assert shell(*command.split()[1:])[0] in (0, 1), command


def test_a_page_a_checkpoint_and_a_trace_of_python_code(shell: Shell) -> None:
    shell("report", "t.json", "-o", "page.html")
    assert "page.html: this is a page, not a trace: " in shell("replay", "page.html")[2]
    shell("explore", "s.yaml", "--strategy", "dpor", "--schedules", "2", "--checkpoint", "k.json",
          "--no-trace")  # fmt: skip
    assert "goes on from it by --checkpoint k.json" in shell("explore", "k.json")[2]
    data = json.loads(Path("t.json").read_text())
    data["scenario"]["python"] = {"setup": "bank:setup"}
    Path("p.json").write_text(json.dumps(data))
    assert "'tracelock replay p.json --allow-call' runs it" in shell("explore", "p.json")[2]


def test_status_for_bisect(shell: Shell) -> None:
    assert shell("replay", "s.yaml", "--bisect")[0] == 125


def test_what_does_not_say_its_kind_is_left_to_who_reads_it(shell: Shell) -> None:
    Path("cut.json.gz").write_bytes(gzip.compress(os.urandom(5000))[:900])
    Path("empty.yaml").write_text("")
    os.mkfifo("pipe")
    for name in ("cut.json.gz", "empty.yaml", "pipe", "nowhere", "\0"):
        assert kind_of(name) == ("", False)
    status, _, err = shell("explore", "empty.yaml")
    assert status == 2 and "the document is empty" in err
