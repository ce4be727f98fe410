"""A recorder that is killed leaves what it had recorded; a run that ends leaves nothing else."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.commands import lives, written
from tracelock.cli.main import main
from tracelock.errors import TraceError
from tracelock.trace import Events, Trace, Verdict, load_trace, recover, rescue

BOUND = 60.0  # seconds until what is waited for is given up


def again(*steps: dict[str, Any], times: int = 10_000_000) -> list[dict[str, Any]]:
    # slow enough to be replayed soon
    return [{"repeat": times, "do": [*steps, {"sleep": 0.001}]}]


#: Runs without an end.
ENDLESS = {
    "lock": {"objects": {"l": "lock"}, "shared": {"x": 0}, "workers": {
        "a": {"count": 3, "steps": again(
            {"acquire": "l"}, {"read": "x", "into": "t"}, {"write": "x", "value": "t + 1"},
            {"release": "l"},
        )},
    }},
    "queue": {"objects": {"q": {"type": "queue", "maxsize": 5}}, "workers": {
        "p": {"count": 2, "steps": again({"put": "q", "value": 1})},
        "c": {"count": 2, "steps": again({"get": "q", "into": "t"})},
    }},
    "try": {"objects": {"s": {"type": "semaphore", "value": 2}}, "workers": {
        "a": {"count": 4, "steps": again(
            {"acquire": "s", "blocking": False, "into": "g"},
            {"if": "g", "then": [{"release": "s"}]},
        )},
    }},
}  # fmt: skip


def partials(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.partial"))


def events_of(partial: Path) -> int:
    try:
        return recover(partial).events_kept
    except TraceError:
        return 0


def copied(recorder: int, known: Collection[int] = ()) -> int:
    """Wait until the recorder has a copy beside those that are known: a process of its that has a
    session of its own."""
    deadline = time.monotonic() + BOUND
    while time.monotonic() < deadline:
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                leads = int(fields[3]) == int(stat.parent.name)
                if int(fields[1]) == recorder and leads and int(fields[2]) not in known:
                    return int(fields[2])
        time.sleep(0.05)
    raise AssertionError("the run was not copied")


def ended(process: int) -> bool:
    """Whether a process comes to its end."""
    deadline = time.monotonic() + BOUND
    while lives(process) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not lives(process)


def settled(folder: Path) -> Path:
    """What was left, when it grows no more."""
    before, deadline = -1, time.monotonic() + BOUND
    while time.monotonic() < deadline:
        found = partials(folder)
        now = events_of(found[0]) if found else -1
        if now > 0 and now == before:
            return found[0]
        before = now
        time.sleep(0.3)
    raise AssertionError(f"nothing whole was left in {os.listdir(folder)}")


REAL = ["threading", "multiprocessing", "asyncio", "trio"]
#: Under control nothing takes time: these have many events.
CONTROLLED = ["simulated", "threading --strategy random"]
HOW = [(how, waits) for how in REAL for waits in sorted(ENDLESS)]
HOW += [(how, "lock") for how in CONTROLLED]


@pytest.mark.parametrize(("how", "waits"), HOW)
def test_a_killed_recorder_leaves_what_it_had(how: str, waits: str, tmp_path: Path) -> None:
    trace = tmp_path / "t.json"
    scenario = written(tmp_path, ENDLESS[waits])
    run = ["run", scenario, "--trace", str(trace), "--backend", *how.split()]
    child = subprocess.Popen(
        [sys.executable, "-m", "tracelock", *run],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        copy = copied(child.pid)
    finally:
        os.killpg(child.pid, 9)
    assert child.communicate(timeout=BOUND) == (b"", b"")
    partial = settled(tmp_path)
    assert ended(copy)
    assert not trace.exists()
    assert main(["recover", str(partial), "-o", str(trace)]) == 0
    found = load_trace(str(trace))
    assert found.verdict.kind == "unfinished" and len(found.events) > 500
    assert main(["replay", str(trace)]) == 0


def test_of_two_copies_one_saves(tmp_path: Path) -> None:
    """The recorder may die when a new copy is ready and the one before is not yet ended."""
    trace = tmp_path / "t.json"
    program = (
        "import sys\n"
        "from tracelock.cli.main import main\n"
        "from tracelock.trace.rescue import Rescue\n"
        "Rescue._end = staticmethod(lambda copy: None)\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    run = ["run", written(tmp_path, ENDLESS["lock"]), "--trace", str(trace)]
    child = subprocess.Popen([sys.executable, "-c", program, *run], start_new_session=True)
    try:
        copies: set[int] = set()
        while len(copies) < 3:
            copies.add(copied(child.pid, copies))
    finally:
        os.killpg(child.pid, 9)
        child.wait(BOUND)
    assert all(ended(copy) for copy in copies)
    settled(tmp_path)
    assert len(partials(tmp_path)) == 1


def test_a_run_that_ends_leaves_its_trace_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    fork = rescue.Rescue._fork

    def noted(self: rescue.Rescue, so_far: Any, files: bool) -> int:
        made.append(fork(self, so_far, files))
        return made[-1]

    monkeypatch.setattr(rescue, "FIRST", 0.01)
    monkeypatch.setattr(rescue.Rescue, "_fork", noted)
    scenario = written(tmp_path, ENDLESS["lock"])
    trace = tmp_path / "t.json"
    assert main(["run", scenario, "--trace", str(trace), "--max-seconds", "0.5"]) == 5
    assert sorted(os.listdir(tmp_path)) == ["scenario.json", "t.json"]
    assert made
    for copy in made:
        with pytest.raises(ProcessLookupError):
            os.kill(copy, 0)


def test_a_pipe_that_is_closed_is_closed_for_its_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of the process has copies of what is open in it: none of them may stay open."""
    (tmp_path / "piping.py").write_text(
        "import os, select, time\n"
        "def through():\n"
        "    reader, writer = os.pipe()\n"
        "    time.sleep(0.5)\n"
        "    os.close(writer)\n"
        "    assert select.select([reader], [], [], 5)[0]\n"
        "    os.close(reader)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(rescue, "FIRST", 0.1)
    monkeypatch.setattr(rescue, "PAUSE", 60)
    calls = {"workers": {"a": {"count": 2, "steps": again({"call": "piping:through"}, times=2)}}}
    scenario, trace = written(tmp_path, calls), str(tmp_path / "t.json")
    assert main(["run", scenario, "--backend", "threading", "--allow-call", "--trace", trace]) == 0


def test_a_short_run_is_never_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> int:
        raise AssertionError("a copy of a short run")

    monkeypatch.setattr(rescue, "FIRST", 30)
    monkeypatch.setattr(rescue.Rescue, "_fork", never)
    short = {"shared": {"x": 0}, "workers": {"a": {"steps": [{"write": "x", "value": 1}]}}}
    assert main(["run", written(tmp_path, short), "--trace", str(tmp_path / "t.json")]) == 0


def test_a_run_does_without_where_no_file_can_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def pipe() -> tuple[int, int]:
        if made:
            raise OSError(errno.EMFILE, "Too many open files")
        made.extend(real())
        return made[0], made[1]

    real = os.pipe
    monkeypatch.setattr(rescue.os, "pipe", pipe)
    with rescue.Rescue(str(tmp_path / "t.json")) as keeper:
        keeper.watch(lambda: 0, lambda: pytest.fail("nobody was to be asked"))
    for end in made:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(end)


def test_nothing_is_left_of_a_run_without_events(tmp_path: Path) -> None:
    keeper = rescue.Rescue(str(tmp_path / "t.json"))
    keeper._save(Trace({}, "simulated", "controlled", None, "virtual", {}, ["a"], Events(),
                       Verdict("unfinished")))  # fmt: skip
    assert os.listdir(tmp_path) == []
