"""A campaign with its searches: on the command line, in processes, and on a cluster."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.commands import Shell, shell_of
from tracelock.campaign.folder import CampaignFolder
from tracelock.campaign.found import subjects
from tracelock.campaign.programs import target_of_subject
from tracelock.campaign.running import Campaign, Campaigned, HowToCampaign
from tracelock.campaign.turns import MUTATING, Turn, take_turn
from tracelock.errors import UsageError
from tracelock.session.api import replay
from tracelock.trace import load_trace

ROOT = Path(__file__).resolve().parents[2]
COUNTER = """\
format: tracelock-scenario/1
name: counter
shared: {n: 0}
objects: {m: lock}
workers:
  w: {count: 2, steps: [{read: n, into: r}, {write: n, value: r + 1}]}
finally: [n == 2]
"""
LOCKED = COUNTER.replace("[{read", "[{with: m, do: [{read").replace("+ 1}]", "+ 1}]}]")
#: Too many orders for any test, and what fails in few of them.
LARGE = """\
format: tracelock-scenario/1
name: large
shared: {a: 0, b: 0, seen: 0}
workers:
  w: {count: 3, steps: [{repeat: 6, do: [{read: a, into: r}, {write: a, value: r + 1},
    {read: b, into: s}, {write: b, value: s + r}]}]}
finally: [a >= 1]
"""
PROGRAM = """\
import threading


def setup():
    return {"n": 0}


def add(shared):
    shared["n"] += 1


workers = [add, add]


def check(shared):
    assert shared["n"] == 2
"""


class HereExecutor(Executor):
    """Takes each turn at once, in this process; Ctrl-C comes after ``most``."""

    def __init__(self, most: int = 1_000) -> None:
        self.most = most
        self.turns: list[Turn] = []
        self.results: list[Any] = []

    def submit(self, fn: Any, /, *given: Any, **named: Any) -> Future[Any]:
        if len(self.turns) == self.most:
            raise KeyboardInterrupt
        self.turns.append(given[0])
        future: Future[Any] = Future()
        future.set_result(fn(*given))
        self.results.append(future.result())
        return future

    def submit_turn(self, turn: Turn) -> Future[Any]:
        return self.submit(take_turn, turn)


def campaign(folder: Path, executor: HereExecutor, **how: Any) -> Campaigned:
    found = subjects(str(folder))
    with CampaignFolder(str(folder / ".tracelock" / "campaign")) as kept:
        return Campaign(kept, found, HowToCampaign(1e4, executor=executor, **how)).run()


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setattr(sys, "path", list(sys.path))
    return shell_of(capsys)


def test_new_then_known_then_gone(tmp_path: Path) -> None:
    for name, text in {"a.yaml": COUNTER, "b.yaml": LOCKED}.items():
        (tmp_path / name).write_text(text)
    first = campaign(tmp_path, HereExecutor(), turn=60.0)
    assert [(one.subject, one.identity[0], one.confirmed) for one in first.new] == [
        ("a.yaml", "failed", "3/3")
    ]
    assert [one.record.verdict for one in first.contenders] == ["failed", "verified"]
    assert (first.stopped, first.whole) == ("", True)
    path = tmp_path / ".tracelock" / "campaign" / first.new[0].trace
    assert replay(load_trace(path)).reproduced
    assert (tmp_path / ".tracelock" / ".gitignore").read_text().endswith("*\n")
    again = campaign(tmp_path, HereExecutor(), turn=60.0)
    assert (again.new, [one.subject for one in again.again]) == ([], ["a.yaml"])
    (tmp_path / "a.yaml").write_text(COUNTER.replace("n == 2", "n >= 1"))
    mended = campaign(tmp_path, HereExecutor(), turn=60.0)
    assert ([one.subject for one in mended.gone], mended.again, mended.new) == (["a.yaml"], [], [])
    (tmp_path / "a.yaml").write_text(COUNTER)
    back = campaign(tmp_path, HereExecutor(), turn=60.0)
    assert [one.subject for one in back.new] == ["a.yaml"]


def test_what_a_turn_showed_is_gone_on_with(tmp_path: Path) -> None:
    """By the next turn, and by the next campaign: prefixes that were kept are followed, and the
    exhaustive search goes on."""
    (tmp_path / "a.yaml").write_text(LARGE)
    executor = HereExecutor(4)
    first = campaign(tmp_path, executor, turn=0.3)
    assert (first.stopped, first.turns) == ("interrupted", 4)
    kinds = [turn.kind for turn in executor.turns]
    assert kinds == ["first", "exhaustive", "mutating", "exhaustive"]
    first_part, second_part = (json.loads(executor.results[place].checkpoint) for place in (1, 3))
    made = [part["stages"]["dpor"]["schedules"] for part in (first_part, second_part)]
    assert made[0] <= made[1]
    assert executor.turns[3].checkpoint == executor.results[1].checkpoint
    corpus = first.contenders[0].corpus
    assert corpus.observed == executor.results[2].observed > 0
    assert len(corpus.counts) == first.contenders[0].new
    later = HereExecutor(3)
    second = campaign(tmp_path, later, turn=0.3)
    assert second.contenders[0].corpus.prefixes[: len(corpus.prefixes)] == corpus.prefixes
    mutating = next(turn for turn in later.turns if turn.kind == MUTATING)
    assert mutating.corpus and mutating.counts.keys() >= corpus.counts.keys()
    assert mutating.seed not in [turn.seed for turn in executor.turns]


def test_code_is_imported_only_where_that_is_allowed(
    tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "p.py").write_text(f"open({str(mark)!r}, 'w').close()\n{PROGRAM}")
    found = subjects(str(tmp_path))
    with pytest.raises(UsageError, match="--allow-call"):
        target_of_subject(found[0], allow_call=False)
    status, out, _ = shell("campaign", str(tmp_path), "--seconds", "5")
    assert status == 5
    assert "has to be allowed: --allow-call" in out
    monkeypatch.setenv("TRACELOCK_FORBID_CALL", "1")
    status, _, err = shell("campaign", str(tmp_path), "--seconds", "5", "--allow-call")
    assert (status, "TRACELOCK_FORBID_CALL" in err) == (2, True)
    result = take_turn(Turn(found[0], MUTATING, 0.1, 1, allow_call=True))
    assert "TRACELOCK_FORBID_CALL" in result.problem
    assert not mark.exists()


def test_a_module_that_is_another_one_is_not_searched(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text(PROGRAM)
    result = take_turn(Turn(subjects(str(tmp_path))[0], MUTATING, 0.1, 1, allow_call=True))
    assert "the module json is another one here" in result.problem and not result.internal


def test_what_is_told(tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def workers(self: Campaign) -> Iterator[Any]:
        yield HereExecutor().submit_turn, 1, None

    monkeypatch.setattr(Campaign, "_workers", workers)
    (tmp_path / "a.yaml").write_text(COUNTER)
    (tmp_path / "bad.yaml").write_text(f"{COUNTER}nonsense: 1\n")
    command = ("campaign", str(tmp_path), "--seconds", "1000", "--turn", "60")
    status, out, err = shell(*command)
    assert (status, err) == (1, "")
    assert "new failures:\n  a.yaml: failed (finally) at finally[0]\n    n == 2 is false" in out
    assert "confirmed, 3 of 3 replays" in out
    assert re.search(r"bad\.yaml: not searched as it should: .*nonsense", out)
    assert "campaign 1: 1 new failure; 1 turn, " in out
    assert "nothing is left to search; 1 of 2 not searched: nothing is claimed of them" in out
    status, out, _ = shell(*command, "--json")
    told = json.loads(out)
    assert (status, told["status"], told["campaign"], told["new"]) == (5, 5, 2, [])
    assert [one["subject"] for one in told["known"]] == ["a.yaml"]
    assert load_trace(told["known"][0]["trace"]).verdict.failure == "finally"
    assert [(one["name"], one["searched"]) for one in told["subjects"]] == [
        ("a.yaml", True), ("bad.yaml", False)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "more", [["--hours", "1", "--seconds", "1"], ["--jobs", "0"], ["--turn", "0"]]
)
def test_what_makes_no_sense(more: list[str], tmp_path: Path, shell: Shell) -> None:
    (tmp_path / "a.yaml").write_text(COUNTER)
    status, out, err = shell("campaign", str(tmp_path), *more)
    assert (status, out) == (2, "") and more[0] in err
    assert not (tmp_path / ".tracelock").exists()


# --- extended ----------------------------------------------------------------------------------
def test_in_a_process_of_its_own(tmp_path: Path, shell: Shell) -> None:
    (tmp_path / "campaign_program.py").write_text(PROGRAM)
    status, out, err = shell("campaign", str(tmp_path), "--seconds", "120", "--allow-call")
    assert (status, err) == (1, "")
    assert "campaign_program.py: failed (finally)" in out
    assert "confirmed, 3 of 3 replays" in out
    line = next(line for line in out.splitlines() if "replay it" in line)
    assert f"PYTHONPATH={tmp_path} tracelock replay " in line
    done = subprocess.run(
        [sys.executable, "-m", "tracelock", *line.partition(" tracelock ")[2].split()],
        capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_several_processes_and_one_that_dies(tmp_path: Path, shell: Shell) -> None:
    """A program that ends its process is set aside, and the others are searched."""
    for number in range(2):
        (tmp_path / f"campaign_good{number}.py").write_text(PROGRAM)
    (tmp_path / "campaign_bad.py").write_text(f"import os\nos._exit(3)\n{PROGRAM}")
    status, out, _ = shell(
        "campaign", str(tmp_path), "--seconds", "120", "--jobs", "2", "--allow-call", "--json"
    )
    told = json.loads(out)
    assert status == 1
    assert {one["subject"] for one in told["new"]} == {
        "campaign_good0.py", "campaign_good1.py"
    }  # fmt: skip
    bad = told["subjects"][0]
    assert (bad["name"], bad["searched"]) == ("campaign_bad.py", False)
    assert "ended the process" in bad["over"]
    assert any("exit status 3" in note for note in told["notes"])


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_campaign_that_is_ended_is_gone_on_with(how: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(COUNTER)
    (tmp_path / "b.yaml").write_text(LARGE)
    command = [
        sys.executable, "-m", "tracelock", "campaign", str(tmp_path), "--json", "--turn", "0.3",
        "--seconds", "600",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True,
    )  # fmt: skip
    state = tmp_path / ".tracelock" / "campaign" / "campaign.json"
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end:  # until both have been searched
            if state.exists():
                known = json.loads(state.read_text())
                turns = [one["turns"] for one in known["subjects"].values()]
                if len(turns) == 2 and all(turns) and known["failures"]:
                    break
            time.sleep(0.05)
        process.send_signal(how)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    if how is signal.SIGINT:
        told = json.loads(out)
        assert (process.returncode, told["stopped"], len(told["new"])) == (1, "interrupted", 1), err
        assert "Traceback" not in err
    kept = json.loads(state.read_text())
    assert [one["subject"] for one in kept["failures"]] == ["a.yaml"]
    again = campaign(tmp_path, HereExecutor(2), turn=0.3)
    assert (again.number, again.new, len(again.again)) == (2, [], 1)


def test_a_dask_cluster_of_two_takes_turns(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    (tmp_path / "a.yaml").write_text(COUNTER)
    (tmp_path / "b.yaml").write_text(LOCKED)
    (tmp_path / "campaign_clustered.py").write_text(PROGRAM)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        how = HowToCampaign(600.0, dask=cluster.scheduler_address, allow_call=True)
        with CampaignFolder(str(tmp_path / "kept")) as folder:
            done = Campaign(folder, subjects(str(tmp_path)), how).run()
    assert sorted(one.subject for one in done.new) == ["a.yaml", "campaign_clustered.py"]
    assert (done.stopped, done.whole) == ("", True)
