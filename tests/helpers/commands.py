"""Shared by the tests of whole commands: files for them, and what became of their processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tracelock.cli.main import main

#: Runs a command with these arguments here: its status, and what it has printed to both streams.
Shell = Callable[..., tuple[int, str, str]]


def shell_of(capsys: pytest.CaptureFixture[str]) -> Shell:
    def call(*arguments: str) -> tuple[int, str, str]:
        status = main(list(arguments))
        return (status, *capsys.readouterr())

    return call


def refused(shell: Shell, *arguments: str) -> str:
    """What a command says that refuses these arguments: bad usage, with nothing as its result."""
    status, out, err = shell(*arguments)
    assert (status, out) == (2, "")
    return err


def written(folder: Path, document: dict[str, Any]) -> str:
    """The path of a new file with a scenario."""
    path = folder / "scenario.json"
    path.write_text(json.dumps({"format": "tracelock-scenario/1", "name": "s", **document}))
    return str(path)


def lives(pid: int) -> bool:
    """Whether a process has not ended; one that has may wait for somebody to ask for its status."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
