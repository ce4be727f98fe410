"""A search of real code that was ended at any point goes on to what a whole one comes to."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import spread_programs as programs
from tests.helpers.amount import amount
from tracelock.errors import UsageError
from tracelock.explore.spread import relearning
from tracelock.explore.spread.checkpoint import CheckpointFile
from tracelock.session.api import explore
from tracelock.session.explored import Explored
from tracelock.session.plan import Spreading

ROOT = Path(__file__).resolve().parents[2]
WHOLE = {"every": True, "shrink": False, "confirm": 0, "seconds": None, "schedules": 4_000}
RIGHT = {
    "setup": programs.account, "workers": [programs.deposit] * 2, "check": programs.all_there,
}  # fmt: skip
WRONG = {
    "setup": programs.account, "workers": [programs.charge] * 2, "check": programs.charged,
}  # fmt: skip
LEARNS = {"setup": programs.account, "workers": [programs.late] * 2}
OWN = {"setup": programs.account, "workers": [programs.own_lock] * 2}
TASKS = {"setup": programs.account, "workers": [programs.step] * 3, "check": programs.stepped}
BEYOND = {"setup": programs.account, "workers": [programs.meets] * 2}
TRIO = {"setup": programs.account, "workers": [programs.trio_step] * 2, "backend": "trio"}


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relearning, "FIRST_COUNT", 3)
    monkeypatch.setattr(relearning, "GROWTH", 1)


def result(explored: Explored, counts: bool = True) -> tuple[Any, ...]:
    """All that has to be the same. ``counts``: how often each end was come to, too."""
    ways = sorted(
        (way.kind, way.failure or "", way.message, way.count if counts else 0)
        for way in explored.ways
    )
    return explored.verdict, explored.executions, explored.schedules, explored.redundant, ways


class Kept:
    """The file of a search. ``states``: its texts, each time that it is written."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = folder / "search.json"
        self.states: list[str] = []
        self.then: Callable[[int], None] = lambda number: None
        write = CheckpointFile.write

        def noted(file: CheckpointFile) -> None:
            write(file)
            self.states.append(self.path.read_text())
            self.then(len(self.states))

        monkeypatch.setattr(CheckpointFile, "write", noted)
        monkeypatch.setattr(CheckpointFile, "due", True)

    def explore(self, **given: Any) -> Explored:
        return explore(**{**WHOLE, **given}, spreading=Spreading(checkpoint=str(self.path)))


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    return Kept(tmp_path, monkeypatch)


@pytest.mark.parametrize(("program", "strategy"), [
    (WRONG, "dpor"), (LEARNS, "dpor"), (OWN, "dpor"), (TASKS, "dpor"), (BEYOND, "dpor"),
    (TRIO, "dpor"), (LEARNS, "preemption"), (TASKS, "preemption"), (TRIO, "delay"),
    (WRONG, "delay"),
])  # fmt: skip
def test_what_a_killed_process_leaves_behind_is_gone_on_with(
    kept: Kept, program: dict[str, Any], strategy: str
) -> None:
    """Whenever it is killed: the file is what was written last, and nothing else is left."""
    if program is TRIO:
        pytest.importorskip("trio")
    if strategy != "dpor":
        program = {**program, "schedules": 40}
    check_each_state(kept, program, strategy, amount(2, 12))


def check_each_state(kept: Kept, program: dict[str, Any], strategy: str, most: int) -> None:
    whole = explore(**{**WHOLE, **program}, strategy=strategy)
    kept.path.unlink(missing_ok=True)
    kept.states.clear()
    first = kept.explore(**program, strategy=strategy)
    assert result(first) == result(whole)
    states = kept.states[:]
    for state in states[1 :: max(1, len(states) // most)]:
        kept.path.write_text(state)
        assert result(kept.explore(**program, strategy=strategy)) == result(whole)


def test_a_search_in_parts(kept: Kept) -> None:
    """Each run makes so many more schedules."""
    for program, most in ((WRONG, 25), ({**TASKS, "workers": [programs.step] * 2}, 3)):
        whole = explore(**{**WHOLE, **program}, strategy="dpor")
        kept.path.unlink(missing_ok=True)
        for schedules in (most, 4_000):
            found = kept.explore(**{**program, "schedules": schedules}, strategy="dpor")
            assert schedules == 4_000 or found.schedules == schedules
        assert result(found) == result(whole)


def test_ctrl_c(kept: Kept) -> None:
    whole = explore(**WHOLE, **WRONG, strategy="dpor")

    def stop(number: int) -> None:
        if number == 4:
            signal.raise_signal(signal.SIGINT)

    kept.then = stop
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored
    try:
        part = kept.explore(**WRONG, strategy="dpor")
    finally:
        signal.signal(signal.SIGINT, before)
    assert part.stopped == "interrupted" and part.schedules < whole.schedules
    assert result(kept.explore(**WRONG, strategy="dpor")) == result(whole)


def test_out_of_time(kept: Kept) -> None:
    """What was found in the part that time has cut short is told, and found again."""
    whole = explore(**WHOLE, **WRONG, strategy="dpor")
    for _ in range(3):
        part = kept.explore(**{**WRONG, "seconds": 0.06}, strategy="dpor")
        assert part.verdict in ("failed", "unfinished", "passed")
        assert part.executions <= whole.executions
    assert result(kept.explore(**WRONG, strategy="dpor")) == result(whole)


def test_auto_keeps_all_its_stages(kept: Kept) -> None:
    for program in (RIGHT, TASKS):
        given = {**program, "schedules": 200}
        counts = program is RIGHT  # of tasks, what a sampler draws is not the same in every process
        whole = result(explore(**{**WHOLE, **given}), counts)
        kept.path.unlink(missing_ok=True)
        kept.states.clear()
        assert result(kept.explore(**given), counts) == whole
        states = kept.states[:]
        stages = [len(json.loads(state)["stages"]) for state in states]
        for number in {stages.index(2), stages.index(2) - 1, len(states) - 1}:
            kept.path.write_text(states[number])
            assert result(kept.explore(**given), counts) == whole


def test_the_first_failure_ends_it_each_time(kept: Kept) -> None:
    first = kept.explore(**{**WRONG, "every": False}, strategy="dpor")
    again = kept.explore(**{**WRONG, "every": False}, strategy="dpor")
    for found in (first, again):
        assert found.verdict == "failed" and found.trace is not None
    assert again.trace is not None and first.trace is not None
    assert again.trace.events == first.trace.events


# --- what is refused -------------------------------------------------------------------------
def test_another_program_or_option(kept: Kept) -> None:
    kept.explore(**{**RIGHT, "schedules": 4}, strategy="dpor")
    text = kept.path.read_text()
    for given, why in (
        (WRONG, "another scenario"), ({**RIGHT, "check": None}, "another scenario"),
        ({**RIGHT, "cancellations": 1}, "another scenario"),
        ({**RIGHT, "isolation": "always"}, "another scenario"),
        ({**RIGHT, "strategy": "preemption"}, "its strategy is dpor, not preemption"),
        ({**RIGHT, "seed": 3}, "its seed is 0, not 3"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=why):
            kept.explore(**{"strategy": "dpor", **given})
    for name, why in (("python", "its Python is another"), ("rules", "it is of another rules")):
        data = json.loads(text)
        data["search"][name] = "another"
        kept.path.write_text(json.dumps(data))
        with pytest.raises(UsageError, match=why):
            kept.explore(**RIGHT, strategy="dpor")


def test_another_version_of_the_code(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("kept_code_one", "kept_code_two")
    one, two = (tmp_path / f"{name}.py" for name in names)
    two.write_text("def add(box):\n    box[0] = box[0] + 1\n")
    one.write_text(
        "import kept_code_two\ndef setup():\n    return [0]\n"
        "def work(box):\n    kept_code_two.add(box)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    try:
        module = importlib.import_module(names[0])
        program = {"setup": module.setup, "workers": [module.work] * 2, "instrument": names[:1]}
        kept.explore(**{**program, "schedules": 3}, strategy="dpor")
        text, was = kept.path.read_text(), two.read_text()
        two.write_text(was + "# another line\n")
        with pytest.raises(UsageError, match="the source of kept_code_two has changed since"):
            kept.explore(**program, strategy="dpor")
        assert kept.path.read_text() == text  # it is left as it was
        two.write_text(was)
        assert kept.explore(**program, strategy="dpor").executions
    finally:
        for name in names:
            sys.modules.pop(name, None)


def test_damaged_trees(kept: Kept) -> None:
    for program in (RIGHT, TASKS):
        kept.path.unlink(missing_ok=True)
        kept.explore(**{**program, "schedules": 4}, strategy="dpor")
        data = json.loads(kept.path.read_text())
        del data["digest"]
        data["stages"]["dpor"]["tree"]["left"] = {"parts": 1}
        kept.path.write_text(json.dumps(data))
        with pytest.raises(UsageError, match="damaged"):
            kept.explore(**program, strategy="dpor")


def test_of_a_program_that_depends_on_more_nothing_is_verified(kept: Kept) -> None:
    program = {"setup": programs.account, "workers": [programs.differs] * 2}
    found = [
        kept.explore(**{**program, "schedules": most}, strategy="dpor") for most in (6, 20, 500)
    ]
    assert found[-1].verdict == "unfinished"
    assert any("not deterministic" in note for note in found[-1].notes)


# --- real processes --------------------------------------------------------------------------
_KILLED = """
import os, signal, sys
from tests.helpers import spread_programs as programs
from tracelock.explore.spread import relearning
from tracelock.explore.spread.checkpoint import CheckpointFile
from tracelock.cli.main import main

counter, writes, early = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "early"
relearning.FIRST_COUNT, relearning.GROWTH = 3, 1
def count():  # in a file: variables are put back after each schedule
    return os.stat(counter).st_size
def die(*given, real=os.replace):
    if count() == writes and early:
        os.kill(os.getpid(), signal.SIGKILL)
    real(*given)
os.replace = die
def write(file, real=CheckpointFile.write):
    os.truncate(counter, count() + 1)
    real(file)
    if count() == writes:
        os.kill(os.getpid(), signal.SIGKILL)
CheckpointFile.write = write
CheckpointFile.due = True
sys.exit(main(sys.argv[4:]))
"""


@pytest.mark.parametrize(("workers", "count"), [("charge", 2), ("step", 3)])
def test_processes_that_are_killed(workers: str, count: int, tmp_path: Path) -> None:
    path, counter = tmp_path / "search.json", tmp_path / "writes"
    scenario = tmp_path / "program.yaml"
    check = {"charge": "charged", "step": "stepped"}[workers]
    scenario.write_text(
        "format: tracelock-scenario/1\nname: kept\n"
        "python: {setup: 'tests.helpers.spread_programs:account', "
        f"check: 'tests.helpers.spread_programs:{check}'}}\n"
        f"workers:\n  worker: {{count: {count}, steps: "
        f"[call: 'tests.helpers.spread_programs:{workers}']}}\n"
    )
    given = [
        "explore", str(scenario), "--allow-call", "--strategy", "dpor", "--all", "--no-trace",
        "--json", "--no-shrink", "--schedules", "4000", "--seconds", "600",
    ]  # fmt: skip

    def run(writes: int, when: str, *more: str) -> subprocess.CompletedProcess[str]:
        counter.write_bytes(b"")
        return subprocess.run(
            [sys.executable, "-c", _KILLED, str(counter), str(writes), when, *given, *more],
            cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    whole = run(-1, "late")
    for writes, when in ((2, "early"), (3, "late"), (3, "early")):
        killed = run(writes, when, "--checkpoint", str(path))
        assert killed.returncode == -signal.SIGKILL, (writes, when, killed.stderr, killed.stdout)
        json.loads(path.read_text())
    last = run(-1, "late", "--checkpoint", str(path))
    assert last.returncode == whole.returncode, last.stderr
    one, other = json.loads(whole.stdout), json.loads(last.stdout)
    for key in ("verdict", "schedules", "redundant", "outcomes"):
        assert one[key] == other[key]
