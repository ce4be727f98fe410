"""What commands write: whole or not at all, where they are told to, and never over an input."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tracelock
from tracelock.cli.main import main
from tracelock.errors import UsageError
from tracelock.trace import outputs
from tracelock.trace.outputs import check_output, descriptor_of, write_new, write_whole

ROOT = Path(__file__).resolve().parents[2]
COUNTER = str(ROOT / "scenarios" / "unlocked_counter.yaml")
LOST = str(ROOT / "traces" / "unlocked_counter.json")
DEADLOCK = str(ROOT / "traces" / "deadlock_ab_ba.json")
#: Each option that names a file to be written, with the command that it belongs to.
COMMANDS: dict[str, list[str]] = {
    "run": ["run", COUNTER, "--strategy", "random", "--seed", "0", "--trace"],
    "runs": ["run", COUNTER, "--strategy", "random", "--seed", "0", "--runs", "9", "--trace"],
    "explore": ["explore", COUNTER, "--strategy", "dpor", "--no-shrink", "--no-confirm", "--trace"],
    "check": ["check", LOST, COUNTER, "--no-shrink", "--no-confirm", "--trace"],
    "shrink": ["shrink", LOST, "--no-confirm", "-o"],
    "recover": ["recover", LOST, "-o"],
    "html": ["report", DEADLOCK, "--as", "html", "-o"],
    "markdown": ["report", DEADLOCK, "--as", "markdown", "-o"],
    "program": ["export", COUNTER, "--as", "threading", "-o"],
    "test": ["export", COUNTER, "--as", "pytest", "-o"],
}
COMPARED = ["compare", COUNTER, "--backends", "asyncio", "--runs", "1", "--seconds", "1"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def in_shell(words: list[str], redirected: str) -> subprocess.CompletedProcess[str]:
    """A command line in a shell of its own, with what is written behind it."""
    line = f'"$@" {redirected}'
    return subprocess.run(
        ["sh", "-c", line, "sh", sys.executable, "-m", "tracelock", *words], capture_output=True,
        text=True, timeout=100, check=False,
    )  # fmt: skip


# --- every command -----------------------------------------------------------------------------
@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_is_replaced_whole(command: str, tmp_path: Path) -> None:
    """Its permissions, other names that are links to it, and its neighbours stay."""
    kept = tmp_path / "kept"
    kept.write_text("before")
    kept.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to("kept")
    assert main([*COMMANDS[command], "link"]) in (0, 1)
    assert link.is_symlink() and kept.read_text() not in ("", "before")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o640
    others = {"link-2"} if command == "runs" else set()
    assert {path.name for path in tmp_path.iterdir()} <= {"kept", "link"} | others


@pytest.mark.parametrize("command", COMMANDS)
def test_a_device_stays_a_device(command: str, tmp_path: Path) -> None:
    (tmp_path / "nowhere").symlink_to("/dev/null")
    before = os.stat("/dev/null")
    for path in ("/dev/null", "nowhere"):
        assert main([*COMMANDS[command], path]) in (0, 1)
    after = os.stat("/dev/null")
    assert stat.S_ISCHR(after.st_mode)
    assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)
    assert os.listdir() == ["nowhere"]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("path", ["-", "/dev/stdout", "/dev/fd/1"])
def test_standard_output(command: str, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It gets the document and nothing else; all else that is said goes to standard error."""
    if path == "/dev/fd/1" and command not in ("run", "html"):
        return
    assert main([*COMMANDS[command], path]) in (0, 1)
    out, _ = capsys.readouterr()
    named = "-o" in COMMANDS[command]
    assert main([*COMMANDS[command], "file"]) in (0, 1)
    assert not os.path.exists("-")
    whole = Path("file").read_text(encoding="utf-8")
    if command in ("run", "runs", "explore", "check"):  # their times differ
        loader = json.JSONDecoder()
        data, end = loader.raw_decode(out)
        assert data["format"] == "tracelock-trace/1" and data.keys() == json.loads(whole).keys()
        assert command == "runs" or out[end:] == "\n"
    else:
        assert named and out == whole


@pytest.mark.parametrize("command", COMMANDS)
def test_folders_and_what_is_read_are_refused_before_anything_is_run(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = COMMANDS[command]
    for path in (".", "/", "file/below", *([] if os.geteuid() == 0 else ["/nothing"])):
        (tmp_path / "file").write_text("")
        assert main([*words, path]) == 2
        out, err = capsys.readouterr()
        assert out == "" and f"cannot write {path}" in err
    mine = tmp_path / ("in.yaml" if words[1].endswith("yaml") else "in.json")
    mine.write_bytes(Path(words[1]).read_bytes())
    (tmp_path / "also").symlink_to(mine.name)
    for path in (mine.name, "./" + mine.name, "also"):
        assert main([words[0], mine.name, *words[2:], path]) == 2
        assert f"{path} is what this command reads" in capsys.readouterr().err
    assert mine.read_bytes() == Path(words[1]).read_bytes()


def test_all_files_of_a_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    words = [*COMPARED, "--html", "/dev/null", "--svg", "c.svg", "-o", "-"]
    assert main(words) in (0, 1, 5)
    out, err = capsys.readouterr()
    assert json.loads(out)["format"] == "tracelock-comparison/1" and "picture: c.svg" in err
    assert Path("c.svg").read_text().startswith("<svg") and stat.S_ISCHR(
        os.stat("/dev/null").st_mode
    )
    for more, told in (
        (["--html", "x", "--svg", "x"], "x is named for two outputs"),
        (["--html", "-", "-o", "/dev/stdout"], "is named for two outputs"),
        (["--html", "-", "--json"], "with --json"),
        (["--html", COUNTER], "is what this command reads"),
    ):
        assert main([*COMPARED, *more]) == 2
        assert told in capsys.readouterr().err


def test_redirections_of_a_shell(tmp_path: Path) -> None:
    """What the shell has opened is written as it is open: not from its start, not beside it."""
    (tmp_path / "log").write_text("before\n")
    done = in_shell(COMMANDS["markdown"] + ["/dev/stdout"], ">> log")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "log").read_text().startswith("before\n## ")
    done = in_shell(COMMANDS["program"] + ["out.py"], "> out.py")
    text = (tmp_path / "out.py").read_text()
    assert done.returncode == 0 and text.startswith('"""') and "written: out.py" in text
    done = in_shell(COMMANDS["run"] + ["-"], "| head -c 5; exit 0")
    assert done.stdout == '{"for' and "Traceback" not in done.stderr
    done = in_shell(COMMANDS["html"] + ["-"], ">&-")
    assert done.returncode == 2 and "it is closed" in done.stderr


def test_a_pipe_with_a_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_text()))
    reader.start()
    assert main([*COMMANDS["program"], "pipe"]) == 0
    reader.join(30)
    assert got and "def main():" in got[0] and stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_shrink_makes_a_new_scenario_only(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["shrink", LOST, "--no-confirm", "-o", "small.json", "--scenario"]
    Path("mine.yaml").write_text("mine")
    assert main([*words, "mine.yaml"]) == 2
    assert "mine.yaml is there already" in capsys.readouterr().err
    assert Path("mine.yaml").read_text() == "mine" and not Path("small.json").exists()
    assert main([*words, "-"]) == 0
    assert tracelock.load_scenario_text(capsys.readouterr().out, "s.yaml", "yaml").workers


def test_a_checkpoint_is_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    for path in ("/dev/null", "-"):
        assert main(["explore", COUNTER, "--checkpoint", path]) == 2
        assert "it is no file" in capsys.readouterr().err
    Path("mine").write_text("mine")
    assert main(["explore", COUNTER, "--strategy", "dpor", "--checkpoint", "mine"]) == 2
    assert "not a checkpoint" in capsys.readouterr().err and Path("mine").read_text() == "mine"


#: Modules that open files to write them, or as ``os.open`` does, and which.
WRITERS = {
    "trace/outputs.py": "all that a command, a test or a caller is to find",
    "compare/native.py": "programs, in a temporary folder",
    "atomicity/asked.py": "/dev/null",
    "atomicity/program.py": "a module, in a temporary folder",
    "audit/source.py": "a module of clients, in a temporary folder",
    "campaign/folder.py": "the lock of a folder",
    "campaign/turns.py": "what a search is to go on from, in a temporary folder",
    "instrument/crashes/tree.py": "files as a crash left them, and as they were before",
    "instrument/databases/copies.py": "databases as they were before, and a lock beside them",
    "teeth/processes.py": "what a process is to do, in a temporary folder",
    "teeth/child.py": "its answer, in that folder",
    "instrument/rewrite/caching.py": "rewritten code beside Python's own, if it can be",
    "instrument/isolation/probing.py": "/dev/null",
    "cli/streams.py": "/dev/null",
    "trace/rescue.py": "/dev/null",
    "trace/folder.py": "the .gitignore of .tracelock",
    "session/forcing/exporting.py": "programs, in a temporary folder",
}


def test_there_is_one_writer() -> None:
    opens = re.compile(
        r"""open\(.*["'](?:[wax]b?|r\+b?)["']|\.write_(?:text|bytes)\(|\bos\.open\("""
    )
    package = ROOT / "tracelock"
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if opens.search(path.read_text(encoding="utf-8"))
    }
    assert found == set(WRITERS)


# --- the writer --------------------------------------------------------------------------------
def failing(error: BaseException) -> Iterator[str]:
    yield "half"
    raise error


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"),
                                   KeyboardInterrupt(), ValueError("no")])  # fmt: skip
def test_what_goes_wrong_leaves_what_was_there(error: BaseException, tmp_path: Path) -> None:
    for name in ("there", "there.gz"):
        Path(name).write_text("before")
        with pytest.raises((UsageError, type(error))) as raised:
            write_whole(name, failing(error))
        if isinstance(error, OSError):
            assert "give another place for it" in str(raised.value)
        assert Path(name).read_text() == "before"
    with pytest.raises((UsageError, type(error))):
        write_new(["new-1", "new-2"], failing(error))
    assert sorted(os.listdir()) == ["there", "there.gz"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_full_device(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("run", "html", "program"):
        assert main([*COMMANDS[command], "/dev/full"]) == 2
        assert "cannot write /dev/full: No space left on device" in capsys.readouterr().err


def test_where_there_is_no_room(tmp_path: Path) -> None:
    """No file may be larger than a few hundred bytes here: that is a disk that is full half-way."""
    (tmp_path / "there.html").write_text("before")
    for words, path in (
        (COMMANDS["html"], "there.html"), (COMMANDS["html"], "new.html"),
        (COMMANDS["run"], "t.json"),
    ):  # fmt: skip
        done = subprocess.run(
            ["sh", "-c", 'ulimit -f 1; exec "$@"', "sh", sys.executable, "-m", "tracelock", *words,
             path],
            capture_output=True, text=True, timeout=100, check=False,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},  # Python's own would be half there
        )  # fmt: skip
        assert done.returncode == 2, done.stderr
        assert f"cannot write {path}: File too large; raise the limit on the size" in done.stderr
    assert os.listdir() == ["there.html"] and Path("there.html").read_text() == "before"


def test_a_new_name_is_one_that_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a-1").write_text("mine")
    Path("a-2").symlink_to("nowhere")
    assert write_new((f"a-{n}" for n in range(1, 9)), ["new"]) == "a-3"

    def no_links(*names: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(outputs.os, "link", no_links)
    assert write_new((f"a-{n}" for n in range(1, 9)), ["new"]) == "a-4"
    with pytest.raises(UsageError, match="all names like it are taken"):
        write_new(["a-1", "a-2"], ["new"])
    assert sorted(os.listdir()) == ["a-1", "a-2", "a-3", "a-4"]
    assert (Path("a-1").read_text(), Path("a-3").read_text()) == ("mine", "new")


def as_nobody(do: Callable[[], None]) -> None:
    """Do it as a user who may not do everything: in a forked process."""
    if os.geteuid() != 0:
        do()
        return
    pid = os.fork()
    if not pid:
        status = 1
        try:
            os.setgid(65534)
            os.setuid(65534)
            do()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


def test_without_permission(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & stat.S_IXOTH and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | stat.S_IXOTH)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o755)
    (closed / "open").write_text("before")
    (closed / "open").chmod(0o666)
    shut = tmp_path / "shut"
    shut.write_text("before")
    shut.chmod(0o444)
    if os.geteuid() != 0:
        closed.chmod(0o555)

    def refuses() -> None:
        for path, told in (
            (closed / "new", "no permission to write in"),
            (closed / "open", "made beside its place"), (shut, "ermission"),
        ):  # fmt: skip
            for write in (check_output, lambda path: write_whole(path, ["x"])):
                with pytest.raises(UsageError, match="cannot write") as raised:
                    write(path)
                assert told in str(raised.value) and str(path) in str(raised.value)

    as_nobody(refuses)
    assert shut.read_text() == (closed / "open").read_text() == "before"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs files of two users")
def test_the_owner_stays_and_links_of_others_in_open_folders_are_not_followed(
    tmp_path: Path,
) -> None:
    mine = tmp_path / "mine"
    mine.write_text("before")
    os.chown(mine, 65534, 65534)
    mine.chmod(0o600)
    write_whole(mine, ["after"])
    now = mine.stat()
    assert (now.st_uid, now.st_gid, stat.S_IMODE(now.st_mode)) == (65534, 65534, 0o600)
    if Path("/proc/sys/fs/protected_symlinks").read_text().strip() != "1":
        return  # the system lets everybody
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    for name, target in (("link", tmp_path / "victim"), ("dangling", tmp_path / "none")):
        (shared / name).symlink_to(target)
        os.lchown(shared / name, 65534, 65534)
    (tmp_path / "victim").write_text("before")
    for name in ("link", "dangling"):
        with pytest.raises(UsageError, match="Permission denied"):
            write_whole(shared / name, ["after"])
    assert (tmp_path / "victim").read_text() == "before" and not (tmp_path / "none").exists()


def test_a_link_is_not_followed_where_the_tool_chose_the_name(tmp_path: Path) -> None:
    """Who unpacks an archive, or clones a repository, gets links with it."""
    (tmp_path / "in").mkdir()
    trace = tmp_path / "in" / "lost.json"
    trace.write_bytes(Path(LOST).read_bytes()[:-9])
    for name in ("lost.json.recovered.json", "lost.min.json"):
        (tmp_path / "in" / name).symlink_to(tmp_path / f"planted-{name}")
    assert main(["recover", str(trace)]) == 0
    assert (tmp_path / "in" / "lost.json.recovered-2.json").is_file()
    trace.write_bytes(Path(LOST).read_bytes())
    assert main(["shrink", str(trace), "--no-confirm"]) == 2
    link = tmp_path / "in" / "kept.json"
    link.symlink_to(tmp_path / "victim")
    (tmp_path / "victim").write_text("before")
    write_whole(link, ["after"], follow=False)
    assert not link.is_symlink() and link.read_text() == "after"
    assert (tmp_path / "victim").read_text() == "before"
    assert not list(tmp_path.glob("planted*"))


def test_what_is_an_open_file_of_this_process() -> None:
    assert [descriptor_of(path) for path in ("/dev/stdout", "/dev/stderr", "/dev/fd/7")] == [
        1,
        2,
        7,
    ]
    assert descriptor_of(f"/proc/{os.getpid()}/fd/3") == descriptor_of("/proc/self/fd/3") == 3
    assert descriptor_of("/dev/../dev//stdout") == 1
    os.symlink("/dev/stdout", "link")
    os.symlink("link", "longer")
    os.symlink("round", "round")
    assert descriptor_of("longer") == 1
    for path in ("round", "none", "/dev/null", "/proc/1/fd/3", "a\0b", "/dev/fd/x"):
        assert descriptor_of(path) is None
    with pytest.raises(UsageError):
        write_whole("round", ["x"])
    with pytest.raises(UsageError):
        write_whole("a\0b", ["x"])
