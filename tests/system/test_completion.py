"""Completion in real shells: what is offered where the user presses Tab."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tracelock.cli.main import main
from tracelock.cli.options import SHELLS
from tracelock.cli.usage.completion import completion

#: What is typed, all that is offered then, and what is not, besides what is not in the table.
CASES = {
    "tracelock exp": {"explore", "export"},
    "tracelock show": {"show"},
    "tracelock explore --ba": {"--backend"},
    "tracelock explore --backend a": {"asyncio"},
    "tracelock explore --backend=a": {"asyncio"},
    "tracelock run --strategy d": {"delay", "dpor", "directed"},
    "tracelock explore --clock ": {"virtual", "adversarial"},
    "tracelock completion ": {"bash", "zsh", "fish"},
    "tracelock export --as ": {
        "threading", "multiprocessing", "asyncio", "trio", "pytest", "python",
    },
    "tracelock explore ": {"a.yaml", "b.yml", "t.json", "dir", "one two"},
    "tracelock explore --jobs 2 --all ": {"a.yaml", "b.yml", "t.json", "dir", "one two"},
    "tracelock explore dir/": {"dir/in.yaml"},
    "tracelock validate a.yaml ": {"a.yaml", "b.yml", "t.json", "dir", "one two"},
    "tracelock explore @deadlock_": {
        "@deadlock_ab_ba", "@deadlock_lock_order", "@deadlock_one_lock", "@deadlock_timeout",
    },
    "tracelock explore --backend asyncio @pi": {"@pi"},
    "tracelock check t.json @pi": {"@pi"},
    "tracelock validate @pi @ab": {"@aba"},
    "tracelock scenarios deadlock_a": {"deadlock_ab_ba"},
    "tracelock tour ra": {"race"},
    "tracelock replay ": {"t.json", "t.json.gz", "dir", "one two"},
    "tracelock explore a.yaml --first ": {"t.json", "t.json.gz", "dir", "one two"},
    "tracelock report t.json --sources ": {"dir", "one two"},
    "tracelock report t.json -o ": {
        "a.yaml", "b.yml", "t.json", "t.json.gz", "note.txt", "dir", "one two",
    },
}  # fmt: skip
#: Where nothing can be known.
NOTHING = (
    "tracelock run --seed ",
    "tracelock replay @",
    "tracelock atomic ",
    "tracelock nothing --",
)
_SETUP = r"""
PS1='ASK> '; autoload -Uz compinit; compinit -u -D; source "$SCRIPT"
compadd() {
  if [[ " $* " == *" -"[ADO]" "* ]]; then builtin compadd "$@"; return; fi
  local -a hits; builtin compadd -A hits "$@"; (( $#hits )) && print -rl -- $hits >> "$OFFERS"
  builtin compadd "$@"
}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    here = tmp_path / "here"
    for name in ("dir", "one two"):
        (here / name).mkdir(parents=True)
    for name in ("a.yaml", "b.yml", "t.json", "t.json.gz", "note.txt", "dir/in.yaml", "dir/n.txt"):
        (here / name).touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    # all words stand in the script: no program is started to complete a line
    traps = tmp_path / "traps"
    traps.mkdir()
    for name in ("tracelock", "python", "python3"):
        (traps / name).write_text(f"#!/bin/sh\ntouch '{tmp_path}/started'\n")
        (traps / name).chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(traps), os.environ["PATH"]]))
    yield here
    assert not (tmp_path / "started").exists()


def in_bash(line: str, folder: Path) -> set[str]:
    words = [*re.findall(r"=|@|[^ =@]+", line), *([""] if line.endswith(" ") else [])]
    code = (
        'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tracelock;'
        ' printf "%s\\n" "${COMPREPLY[@]}"'
    )
    return lines_of(["bash", "--norc", "-c", code, script(folder, "bash"), *words], folder)


def in_fish(line: str, folder: Path) -> set[str]:
    code = f"source '{script(folder, 'fish')}'; complete -C '{line}'"
    told = lines_of(["fish", "--no-config", "-c", code], folder)
    return {one.partition("\t")[0].rpartition("=")[2] for one in told}


def in_zsh(line: str, folder: Path) -> set[str]:
    """zsh completes for its line editor alone: it is given a terminal."""
    setup, offers, done = (folder.parent / name for name in ("setup", "offers", "done"))
    setup.write_text(_SETUP)
    offers.write_text("")
    environment = {
        **os.environ, "SCRIPT": script(folder, "zsh"), "OFFERS": str(offers), "DONE": str(done),
        "TERM": "xterm",
    }  # fmt: skip
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        ["zsh", "-f", "-i"], stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder,
        env=environment, start_new_session=True,
    ) as child:  # fmt: skip
        try:
            os.close(theirs)
            os.write(ours, f"source '{setup}'\n".encode())
            shown, asked, end = b"", False, time.monotonic() + 60
            while not done.exists() and time.monotonic() < end:
                if select.select([ours], [], [], 0.05)[0]:
                    shown += os.read(ours, 65536)
                if not asked and b"ASK> " in shown:
                    os.write(ours, line.encode() + b"\t\x15print > $DONE\n")
                    asked = True
            assert done.exists(), shown
        finally:
            child.kill()
            os.close(ours)
    return set(offers.read_text().splitlines())


def script(folder: Path, shell: str) -> str:
    path = folder.parent / f"completion.{shell}"
    path.write_text(completion(shell))
    return str(path)


def lines_of(command: list[str], folder: Path) -> set[str]:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=True, cwd=folder,
    )  # fmt: skip
    assert done.stderr == ""
    return set(done.stdout.splitlines()) - {""}


ASK: dict[str, Callable[[str, Path], set[str]]] = {
    "bash": in_bash, "zsh": in_zsh, "fish": in_fish
}  # fmt: skip


def test_every_shell_is_asked() -> None:
    assert ASK.keys() == set(SHELLS)


@pytest.mark.parametrize("shell", SHELLS)
def test_what_is_offered(shell: str, folder: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    for line, wanted in CASES.items():
        (folder.parent / "done").unlink(missing_ok=True)
        found = {one.replace("\\ ", " ").rstrip("/") for one in ASK[shell](line, folder)}
        # a part of a path is offered whole or only its last part
        assert {one.rpartition("/")[2] for one in found} == {
            one.rpartition("/")[2] for one in wanted
        }, line


@pytest.mark.parametrize("shell", SHELLS)
def test_nothing_is_offered_where_nothing_is_known(shell: str, folder: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    for line in NOTHING:
        (folder.parent / "done").unlink(missing_ok=True)
        assert ASK[shell](line, folder) == set(), line


def test_of_two_arguments_each_has_its_files(folder: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    assert "a.yaml" not in in_bash("tracelock check ", folder)
    assert "a.yaml" in in_bash("tracelock check --backend asyncio --jobs=2 t.json ", folder)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_command_prints_the_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    told = capsys.readouterr().out
    assert told == completion(shell)
    assert not re.search("@[A-Z]+@", told)
