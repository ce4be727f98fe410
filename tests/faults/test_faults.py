"""A slice of the fault harness: see ``tests/faults/run.py``."""

from __future__ import annotations

import errno
import resource
import signal
from pathlib import Path

import pytest

from tests.faults.run import LONG, STATUSES, commands, faults_of, trial, wrong_files
from tracelock.backends.processes import pool
from tracelock.cli.main import main
from tracelock.errors import cure_of, exhausted


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "long.yaml").write_text(LONG)
    return tmp_path


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_whole_files_and_no_process(folder: Path, number: int) -> None:
    line = commands(folder)["run on multiprocessing"]
    ended = trial(line, folder, number=number, after=0.4)
    assert faults_of(ended, line, folder, (*STATUSES, -number)) == []


def test_too_few_open_files_are_no_internal_error(folder: Path) -> None:
    line = commands(folder)["run on multiprocessing"]
    ended = trial(line, folder, limits=[(resource.RLIMIT_NOFILE, 20)])
    assert faults_of(ended, line, folder, (2,)) == []
    assert b"ulimit -n" in ended.err


def test_a_trace_that_does_not_fit_is_absent(folder: Path) -> None:
    line = commands(folder)["run on simulated"]
    ended = trial(line, folder, limits=[(resource.RLIMIT_FSIZE, 1000)])
    assert faults_of(ended, line, folder, (2,)) == []
    assert b"File too large; raise the limit" in ended.err
    assert [path for path in folder.rglob("*") if path.is_file()] == [folder / "long.yaml"]


def test_half_a_trace_is_noticed(folder: Path) -> None:
    (folder / "half.json").write_text('{"format": "tracelock-trace/1",')
    (folder / "half.json.partial").write_text("")
    assert len(wrong_files(folder)) == 2


def test_processes_without_a_writable_dev_shm(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(pool, "ProcessPool", refused)
    line = ["run", str(folder / "long.yaml"), "--backend", "multiprocessing", "--no-trace"]
    assert main(line) == 2
    assert "/dev/shm" in capsys.readouterr().err


def test_what_has_run_out_is_said() -> None:
    assert "ulimit -v" in exhausted(MemoryError())
    assert "ulimit -u" in exhausted(RuntimeError("can't start new thread"))
    assert "ulimit -n" in exhausted(OSError(errno.EMFILE, "Too many open files"))
    assert "ulimit -f" in exhausted(OSError(errno.EFBIG, "File too large"))
    assert exhausted(OSError(errno.EROFS, "x")) == exhausted(RuntimeError("other")) == ""
    assert "another place" in cure_of(OSError(errno.ENOSPC, "x"))
    assert cure_of(ValueError("x")) == ""
