"""Crashes of the machine as they are asked for by an option, in a scenario, by the marker."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import tracelock
from tests.system.plugin_tools import run
from tracelock.cli.main import main
from tracelock.instrument import callers

pytest_plugins = ["pytester"]

CODE = """\
import os
import tempfile


def setup():
    folder = tempfile.mkdtemp()
    with open(f"{folder}/a", "w") as file:
        file.write("old")
    return folder


def save(folder):
    with open(f"{folder}/a.tmp", "w") as file:
        file.write("new content")
    os.replace(f"{folder}/a.tmp", f"{folder}/a")


def save_well(folder):
    with open(f"{folder}/a.tmp", "w") as file:
        file.write("new content")
        file.flush()
        os.fsync(file.fileno())
    os.replace(f"{folder}/a.tmp", f"{folder}/a")


def recover(folder):
    with open(f"{folder}/a") as file:
        found = file.read()
    assert found in ("old", "new content"), repr(found)
"""
DOCUMENT = """\
format: tracelock-scenario/1
name: saving
workers:
  saver: {{steps: [{{call: "crashing_saver:{worker}"}}]}}
python:
  setup: "crashing_saver:setup"
  {more}
"""
CHECK = 'check: "crashing_saver:recover"'
MARKED = """\
import os

import pytest
import tracelock


def save(path, sync):
    with open(f"{path}.tmp", "w") as file:
        file.write("new")
        if sync:
            file.flush()
            os.fsync(file.fileno())
    os.replace(f"{path}.tmp", path)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a").write_text("old")
    return tmp_path


def restarted(folder):
    assert (folder / "a").read_text() in ("old", "new")


@pytest.mark.tracelock(crash_consistency=True, strategy="dpor")
@pytest.mark.parametrize("sync", [True, False])
def test_settings(folder, sync):
    tracelock.after_crash(lambda: restarted(folder))
    save(folder / "a", sync)
"""


@pytest.fixture
def saver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "crashing_saver.py").write_text(CODE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "180")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(callers, "_paths", {})
    monkeypatch.delitem(sys.modules, "crashing_saver", raising=False)
    return tmp_path / "saving.yaml"


@pytest.mark.parametrize(
    ("worker", "more", "options", "fails"),
    [
        ("save", CHECK, ("--crash-consistency",), True),
        ("save", CHECK, (), False),
        ("save", "crash_consistency: true\n  " + CHECK, (), True),
        ("save_well", "crash_consistency: true\n  " + CHECK, (), False),
        ("save", CHECK.replace("check", "recover") + "\n  crash_consistency: {block: 4}", (), True),
    ],
)
def test_by_scenarios_and_options(
    saver: Path, worker: str, more: str, options: tuple[str, ...], fails: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    saver.write_text(DOCUMENT.format(worker=worker, more=more), encoding="utf-8")
    command = ["explore", saver.name, "--allow-call", "--strategy", "dpor", "--trace", "t.json"]
    assert main([*command, *options]) == fails
    out = capsys.readouterr().out
    if fails:
        assert "the machine crashes: it loses the 11 bytes written to a.tmp" in out
        assert "fix: call flush and os.fsync on a.tmp, before a rename" in out
        assert "With a crash that loses nothing in its place it passes." in out
        assert tracelock.load_trace("t.json").scenario["python"]["crash_consistency"]
        assert main(["replay", "t.json", "--allow-call"]) == 0
    else:
        assert "the machine crashes" not in out


def test_what_makes_no_sense_in_a_scenario(saver: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = "crash_consistency: 3\n  " + CHECK
    saver.write_text(DOCUMENT.format(worker="save", more=more), encoding="utf-8")
    assert main(["explore", saver.name, "--allow-call"]) == 2
    assert "true, false or a mapping belongs here" in capsys.readouterr().err


def test_the_marker(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "180")
    pytester.makepyfile(MARKED)
    result = run(pytester)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*the machine crashes: it loses the 3 bytes written to a.tmp*"])
