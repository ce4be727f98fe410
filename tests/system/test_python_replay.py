"""Traces of Python code replay in other processes and versions, and say what has changed."""

from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tracelock
from tests.helpers.amount import amount
from tracelock.session.replaying import conclusion
from tracelock.trace import load_trace

BANK = """\
class Account:
    def __init__(self, balance):
        self.balance = balance
        self.log = []

    def withdraw(self, amount):
        if self.balance >= amount:
            self.balance -= amount
            self.log.append(amount)


def setup():
    return Account(100)


def withdraw(account):
    account.withdraw(60)


def check(account):
    assert account.balance >= 0, account.balance
"""
AGAIN = """\
import sys
sys.path.insert(0, sys.argv[1])
import bank, tracelock
result = tracelock.replay(tracelock.load_trace(sys.argv[2]), setup=bank.setup,
                          workers=[bank.withdraw, bank.withdraw], check=bank.check)
print(result.reproduced, len(result.trace.events), result.diverged)
"""


class Case:
    """A module ``bank`` in a folder of its own, and the failing trace of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.module: Any = None
        self.write(BANK)
        explored = tracelock.explore(
            setup=self.module.setup,
            workers=[self.module.withdraw] * 2,
            check=self.module.check,
            instrument=["bank"],
        )
        assert explored.failed and explored.trace is not None
        assert explored.confirmed == {"threading": "3/3"}
        self.path = folder / "trace.json"
        explored.trace.save(self.path)

    def write(self, source: str) -> None:
        """Make ``source`` the module, imported anew."""
        (self.folder / "bank.py").write_text(source, encoding="utf-8")
        sys.modules.pop("bank", None)
        importlib.invalidate_caches()
        cache = self.folder / "__pycache__"
        for file in cache.glob("bank.*") if cache.is_dir() else ():
            file.unlink()
        self.module = importlib.import_module("bank")

    def replay(self) -> tracelock.ReplayResult:
        module = self.module
        return tracelock.replay(
            load_trace(self.path),
            setup=module.setup, workers=[module.withdraw] * 2, check=module.check,
        )  # fmt: skip


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Case(tmp_path)
    sys.modules.pop("bank", None)


def test_the_trace_names_places_functions_and_sources(case: Case) -> None:
    trace = load_trace(case.path)
    python = trace.scenario["python"]
    lines = {"bank.py:7", "bank.py:8", "bank.py:9"}
    assert {event.at for event in trace.events} == lines
    assert python["places"] == dict.fromkeys(lines, "Account.withdraw")
    assert set(python["sources"]) == {"bank.py"}
    assert python["sources"]["bank.py"].startswith("sha256:")
    targets = {event.target for event in trace.events}
    assert targets == {"Account#1.balance", "Account#1.log[]"}
    assert trace.workers == ["withdraw[0]", "withdraw[1]"]
    assert trace.verdict.message.startswith("AssertionError: -20")


def interpreters() -> list[str]:
    """This Python and those next to it that have what tracelock needs."""
    found = [sys.executable]
    for version in ("3.11", "3.12", "3.13"):
        name = f"python{version}"
        try:
            done = subprocess.run(
                [name, "-c", "import pydantic, anyio, yaml, sys; print(sys.executable)"],
                capture_output=True, text=True, timeout=30,
            )  # fmt: skip
        except OSError:
            continue
        if done.returncode == 0 and done.stdout.strip() not in found:
            found.append(done.stdout.strip())
    return found


@pytest.mark.parametrize("interpreter", interpreters())
def test_it_fails_the_same_way_in_fresh_processes(case: Case, interpreter: str) -> None:
    events = len(load_trace(case.path).events)
    root = str(Path(tracelock.__file__).resolve().parents[1])
    for seed in ("0", "1", "2")[: amount(1, 3)]:
        done = subprocess.run(
            [interpreter, "-c", AGAIN, str(case.folder), str(case.path)],
            capture_output=True, text=True, timeout=60,
            env={"PYTHONPATH": root, "PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        assert done.stdout.strip() == f"True {events} None", done.stderr


def test_lines_that_have_moved_are_followed_and_named(case: Case) -> None:
    moved = BANK.replace("class Account", "import os\n\n\nclass Account")
    case.write(
        moved.replace("            self.log", "            self.count = 1\n            self.log")
    )
    result = case.replay()
    assert result.reproduced, result.diverged
    [note] = result.notes
    assert note.startswith("changed since the recording: bank.py")


def test_a_function_with_another_body_is_followed_as_far_as_it_goes(case: Case) -> None:
    """It reads once instead of twice now: the events that are gone are counted."""
    case.write(
        BANK.replace(
            "        if self.balance >= amount:\n            self.balance -= amount",
            "        left = self.balance - amount\n        if left >= 0:\n"
            "            self.balance = left",
        )
    )
    result = case.replay()
    assert not result.reproduced  # both write 40 now: the balance is not under zero
    assert result.verdict.kind == "passed"
    assert "2 are gone" in result.notes[0]


def test_a_mended_program_passes_now(case: Case) -> None:
    mended = BANK.replace(
        "class Account:", "import threading\n\nLOCK = threading.Lock()\n\n\nclass Account:"
    )
    case.write(
        mended.replace("    account.withdraw(60)", "    with LOCK:\n        account.withdraw(60)")
    )
    result = case.replay()
    assert not result.reproduced
    assert (result.diverged, result.verdict.kind) == (None, "passed")
    assert any("changed since the recording: bank.py" in note for note in result.notes)
    assert conclusion(result, load_trace(case.path).verdict)[0] == "passes now"


def test_the_same_source_and_another_start_is_a_divergence(case: Case) -> None:
    module = case.module
    result = tracelock.replay(
        load_trace(case.path),
        setup=lambda: module.Account(200), workers=[module.withdraw] * 2, check=module.check,
    )  # fmt: skip
    assert not result.reproduced
    assert result.diverged is not None and result.diverged.seq == 0
    assert "another value" in str(result.diverged)


def test_other_workers_are_refused(case: Case) -> None:
    module = case.module
    with pytest.raises(tracelock.TraceError, match=r"withdraw\[0\]"):
        tracelock.replay(load_trace(case.path), setup=module.setup, workers=[module.check] * 2)
    with pytest.raises(tracelock.UsageError, match="workers="):
        tracelock.replay(load_trace(case.path))


def test_the_story_shows_the_interleaving(case: Case) -> None:
    module = case.module
    explored = tracelock.explore(
        setup=module.setup, workers=[module.withdraw] * 2, check=module.check, instrument=["bank"]
    )
    with pytest.raises(tracelock.SearchFailed) as failed:
        explored.raise_for_failure()
    text = str(failed.value)
    for wanted in (
        "Account.balance = -20",
        "bank.py:8",
        "AssertionError: -20",
        "preempted",
    ):
        assert wanted in text, text
    assert textwrap.dedent(text) == text


NAMES = """\
import sys
import tracelock

class Store:
    value, seen = 0, ()

def setup():
    return Store()

def add(store):
    for name in {"one", "two", "three", "four", "five", "six", "seven"}:
        if name == "five":
            value = store.value
            store.value = value + 1
        elif name < "p":
            store.seen += (name,)

def check(store):
    assert store.value == 2, store.value

if __name__ == "__main__":
    import names
    found = tracelock.explore(setup=names.setup, workers=[names.add] * 2, check=names.check)
    assert found.failed, found
    found.trace.save(sys.argv[1])
    print(found.trace.environment["hash_seed"], [one for one in found.notes if "hashes" in one])
"""


def test_what_depends_on_hashes_of_text_says_so_and_gets_them(tmp_path: Path) -> None:
    (tmp_path / "names.py").write_text(NAMES)
    root = str(Path(tracelock.__file__).resolve().parents[1])

    def python(seed: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            capture_output=True, text=True, timeout=60, cwd=tmp_path,
            env={"PYTHONPATH": root, "PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin"},
        )  # fmt: skip

    def replayed(seed: str, *isolated: str) -> subprocess.CompletedProcess[str]:
        return python(seed, *isolated, "-m", "tracelock", "replay", "trace.json", "--allow-call")

    assert python("5", "names.py", "trace.json").stdout == "5 []\n"
    for seed in ("5", "6", "random"):
        done = replayed(seed)
        assert done.returncode == 0, done.stdout + done.stderr
    trace = load_trace(tmp_path / "trace.json")
    trace.environment["hash_seed"] = "random"  # as one that was recorded where nothing was set
    trace.save(tmp_path / "trace.json")
    done = replayed("6")
    assert done.returncode == 3
    assert "record it again with PYTHONHASHSEED=0" in done.stdout + done.stderr
    drawn = python("random", "names.py", "trace.json").stdout
    assert drawn.startswith("random ['the program goes through a set of text, whose order is")
