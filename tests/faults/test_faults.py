"""A slice of the fault harness: see ``tests/faults/run.py``."""

from __future__ import annotations

import errno
import resource
import signal
from pathlib import Path

import pytest

from tests.faults.lines import ENDLESS, LONG, commands, fill, on_terminal, with_workers
from tests.faults.trials import (
    STATUSES,
    TOLD,
    Ended,
    Strike,
    faults_of,
    left_on,
    not_recovered,
    trial,
    wrong_files,
)
from tracelock.backends.processes import pool
from tracelock.cli.main import main
from tracelock.errors import cure_of, exhausted


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "long.yaml").write_text(LONG)
    (tmp_path / "endless.yaml").write_text(ENDLESS)
    return tmp_path


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_whole_files_and_no_process(folder: Path, number: int) -> None:
    line = commands(folder)["run on multiprocessing"]
    ended = trial(line, folder, Strike(number, 0.4))
    assert faults_of(ended, line, folder, (*STATUSES, -number)) == []


@pytest.mark.parametrize("name", ["run", "explore, real engine", "explore with jobs"])
def test_a_killed_worker_is_told(tmp_path: Path, name: str) -> None:
    fill(tmp_path)
    line = with_workers(tmp_path)[name]
    ended = trial(line, tmp_path, Strike(signal.SIGKILL, 1.0, worker=0.5))
    assert faults_of(ended, line, tmp_path, STATUSES) == []
    assert ended.struck and TOLD.search(ended.out)


def test_a_long_recording_that_is_killed_is_recovered(folder: Path) -> None:
    line = ["run", str(folder / "endless.yaml"), "--trace", str(folder / "t.json")]
    ended = trial(line, folder, Strike(signal.SIGKILL, 1.0, begun=True))
    assert faults_of(ended, line, folder, (-signal.SIGKILL,)) == []
    assert not_recovered(folder) == []


@pytest.mark.parametrize(("name", "strike"), [
    ("run often", Strike(signal.SIGTERM, 0.1, drawn=True)),
    ("run often", Strike(signal.SIGKILL, 0.1, drawn=True)),
    ("explore with jobs", Strike(signal.SIGINT, 0.1, typed=True, drawn=True)),
    ("show step by step", Strike(signal.SIGTERM, 0.1, drawn=True)),
    ("show step by step", Strike(signal.SIGINT, 0.1, typed=True, drawn=True)),
])  # fmt: skip
def test_a_terminal_is_left_as_it_was(tmp_path: Path, name: str, strike: Strike) -> None:
    fill(tmp_path)
    line = on_terminal(tmp_path)[name]
    ended = trial(line, tmp_path, strike, terminal=True)
    assert faults_of(ended, line, tmp_path, (*STATUSES, -strike.number)) == []
    assert b"\x1b[" in ended.out


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
    left = {path.name for path in folder.rglob("*") if path.is_file()}
    assert left == {"long.yaml", "endless.yaml"}


def test_what_is_wrong_is_noticed(tmp_path: Path) -> None:
    def said(ended: Ended) -> list[str]:
        return faults_of(ended, ["run", "--json"], tmp_path, (0, 5))

    assert said(Ended(0, b"{}", b"")) == []
    assert said(Ended(None, b"", b"")) == ["did not end within 40 s"]
    assert said(Ended(4, b"{} {}", b"", [7])) == [
        "status 4", "1 processes live on", "stdout is not one JSON object",
    ]  # fmt: skip
    assert said(Ended(0, b"", b"Traceback\nXError: y")) == ["traceback (XError: y)"]
    assert said(Ended(5, b"", b"unfinished", struck="python worker"))[0].startswith("nothing is")
    assert said(Ended(5, b"", b"b died", struck="python worker")) == []
    assert said(Ended(0, b"", b"", struck="python worker")) == []
    assert said(Ended(0, b"", b"", terminal=["others"])) == ["others"]
    assert not_recovered(tmp_path) == ["0 .partial files"]


def test_what_is_left_on_a_terminal_is_noticed() -> None:
    assert left_on(b"\x1b[?25l...\x1b[?25h \x1b[1;31mred\x1b[0m \x1b[?2004h\x1b[?2004l") == []
    assert left_on(b"\x1b[?25h\x1b[?25l") == ["the terminal is left with mode 25 reset"]
    assert left_on(b"\x1b[?1049;25h") == ["the terminal is left with mode 1049 set"]
    assert left_on(b"\x1b[0m\x1b[1;31mred") == ["the terminal is left with the style 1;31"]


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
