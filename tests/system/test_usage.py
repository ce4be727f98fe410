"""How the command line explains itself: help pages with examples that work, and what it says of
words that it does not know."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.commands import Shell, refused, shell_of
from tracelock.cli.options import all_commands
from tracelock.cli.usage.examples import EXAMPLES, closing, statuses, welcome

ROOT = Path(__file__).resolve().parents[2]
#: Examples that end with another status than 0 or 1, and how.
STATUSES = {"tracelock replay lost.json --backend asyncio": 3}


@pytest.fixture
def shell(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return shell_of(capsys)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An empty folder, but for the places that examples of shells write to."""
    for name in (".zfunc", ".config/fish/completions"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


# --- examples --------------------------------------------------------------------------------
def test_every_command_has_two_to_four_examples_of_its_own() -> None:
    assert EXAMPLES.keys() == all_commands().keys()
    for command, examples in EXAMPLES.items():
        assert 2 <= len(examples) <= 4, command
        assert any(f"tracelock {command}" in one.line for one in examples), command


@pytest.mark.parametrize("command", EXAMPLES)
def test_help_ends_with_the_examples(shell: Shell, command: str) -> None:
    status, out, err = shell(command, "--help")
    assert (status, err) == (0, "")
    told = out.partition("\nexamples:\n")[2]
    for one in EXAMPLES[command]:
        assert f"  {one.line}\n" in told
        assert one.about.split()[0] in told


@pytest.mark.parametrize("command", EXAMPLES)
def test_every_example_works(command: str, repository: Path) -> None:
    """As it stands there, by bash, in an empty folder; those of a command in turn."""
    if (bash := shutil.which("bash")) is None:
        pytest.skip("there is no bash")
    bin_ = repository / "bin"
    bin_.mkdir()
    tool = bin_ / "tracelock"
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tracelock "$@"\n')
    tool.chmod(0o755)
    path = os.pathsep.join([str(bin_), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "HOME": str(repository), "PYTHONPATH": str(ROOT)}
    for one in EXAMPLES[command]:
        if one.slow:
            continue
        done = subprocess.run(
            [bash, "-c", one.line], capture_output=True, text=True, timeout=120, check=False,
            cwd=repository, env=environment,
        )  # fmt: skip
        allowed = (STATUSES[one.line],) if one.line in STATUSES else (0, 1)
        assert done.returncode in allowed, (one.line, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        wrote = ">" in one.line or "source" in one.line
        assert done.stdout or wrote or " -o " in one.line, one.line


@pytest.mark.parametrize("width", [20, 48, 78, 200])
def test_only_commands_are_wider_than_the_terminal(width: int) -> None:
    pages = [welcome(width), statuses(width), *(closing(name)(width) for name in EXAMPLES)]
    for page in pages:
        for line in page.splitlines():
            longest = max(map(len, line.split()), default=0)
            command = re.match("  (tracelock|pytest|head|source) ", line)
            assert len(line) <= max(width, longest + 6) or command, line


# --- nothing at all ----------------------------------------------------------------------------
def test_tracelock_alone_says_where_to_begin(shell: Shell) -> None:
    """With real code first; it is bad usage all the same, so that an empty variable in a script
    is never taken for a passed test."""
    err = refused(shell)
    places = [err.index(word) for word in ("pytest --tracelock", "atomic", "explore @", "tour")]
    assert places == sorted(places)
    assert "tracelock COMMAND --help" in err
    assert len(err.splitlines()) <= 32
    assert max(map(len, err.splitlines())) <= 80


# --- what is not known ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("exlpore x", "tracelock: there is no command exlpore: did you mean explore?\n"),
        ("Replay x", "tracelock: there is no command Replay: did you mean replay?\n"),
        ("zzz", "tracelock: there is no command zzz (there are run, replay, explore, "),
        (
            "explore --bakend asyncio x.yaml",
            "tracelock explore: there is no option --bakend: did you mean --backend?\n",
        ),
        ("explore --bakend=asyncio", "there is no option --bakend: did you mean --backend?\n"),
        ("run x.yaml -s 3", "tracelock run: there is no option -s\n"),
        ("run x.yaml --zzz", "tracelock run: there is no option --zzz\n"),
        ("--vresion", "tracelock: there is no option --vresion: did you mean --version?\n"),
        ("--seed 3 run x.yaml", "tracelock: --seed stands after the command"),
        ("explore x.yaml --backend asynco", "'asynco': did you mean asyncio? (choose from thr"),
        ("explore x.yaml --strategy dproo", "'dproo': did you mean dpor? (choose from auto, "),
        ("run x.yaml --clock virtul", "'virtul': did you mean virtual?"),
        ("export x.yaml --as pytset", "'pytset': did you mean pytest?"),
        ("report x.json --as hmtl", "'hmtl': did you mean html?"),
        ("completion fihs", "'fihs': did you mean fish?"),
        ("explore x.yaml --backend zzz", "invalid choice: 'zzz' (choose from threading, "),
        ("explore a.yaml b.yaml", "tracelock explore: unexpected argument: b.yaml\n"),
        ("explore a b c", "tracelock explore: unexpected arguments: b c\n"),
    ],
)
def test_what_is_misspelt_is_told(shell: Shell, line: str, said: str) -> None:
    err = refused(shell, *line.split())
    assert said in err
    assert re.search(r"\(see tracelock( \w+)? --help\)\n$", err)


def test_what_only_looks_like_an_option_is_none(shell: Shell) -> None:
    assert "no option" not in shell("run", "--", "--zzz")[2]
    assert "no option" not in shell("run", "x.yaml", "--strategy", "random", "--seed", "-5")[2]
    assert shell("explore", "--zzz", "--help")[0] == 0
    assert shell("atomic", "x = 1", "--setup", "-x if y else z", "--no-trace")[0] == 0


def test_the_harm_in_words_is_shown_only(shell: Shell) -> None:
    for line in (["\x1b[2J"], ["run", "--\x1b[2J"], ["run", "x", "--backend", "\x1b[2J"]):
        assert "\x1b" not in shell(*line)[2]
