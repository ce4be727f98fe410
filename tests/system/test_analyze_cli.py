"""``tracelock analyze``: what it prints where, for people and for programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

import tracelock
from tests.helpers.commands import Shell, refused, shell_of
from tests.helpers.tracing import trace_of
from tracelock.analysis.derived.usage import Spread
from tracelock.analysis.finders.turns import duration

ROOT = Path(__file__).resolve().parents[2]
DEADLOCK = str(ROOT / "traces" / "deadlock_ab_ba.json")


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")

    return partial(shell_of(capsys), "analyze")


def test_a_deadlock_is_told_with_its_events(shell: Shell) -> None:
    status, out, err = shell(DEADLOCK)
    assert (status, err) == (0, "")  # it only reads
    lines = out.splitlines()
    assert lines[0] == "scenario: deadlock-ab-ba"
    assert lines[1] == "backend:  threading, controlled, 2 events"
    assert lines[2].startswith("verdict:  deadlock: transfer[0] waits for account[1] (held by")
    assert "error: Deadlock: transfer[0] -> transfer[1] -> transfer[0] [deadlock]" in lines
    assert "  #0     transfer[0]: acquire account[0]  workers.transfer.steps[0]" in lines
    assert lines[-1] == "1 error"
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("path", sorted((ROOT / "traces").glob("*.json")), ids=lambda p: p.stem)
def test_eighty_columns_are_enough(shell: Shell, path: Path) -> None:
    status, out, _ = shell(str(path))
    assert status == 0
    assert max(len(line) for line in out.splitlines()) <= 80
    assert out.isascii() and "\x1b" not in out


def test_json_is_one_object_with_all_of_it(shell: Shell) -> None:
    status, out, err = shell(DEADLOCK, "--json")
    assert (status, err, out.count("\n")) == (0, "", 1)
    data = json.loads(out)
    assert list(data) == [
        "name", "backend", "mode", "workers", "events", "verdict", "counts", "findings", "locks",
    ]  # fmt: skip
    assert data["workers"] == ["transfer[0]", "transfer[1]"]
    assert (data["events"], data["verdict"]["kind"]) == (2, "deadlock")
    assert data["counts"] == {"error": 1, "warning": 0, "note": 0}
    (finding,) = data["findings"]
    assert list(finding) == [
        "kind", "severity", "title", "explanation", "events", "workers", "targets",
        "diagnosis", "cure", "places", "rank", "root",
    ]  # fmt: skip
    assert (finding["kind"], finding["severity"]) == ("deadlock", "error")
    assert (finding["events"], finding["workers"]) == ([0, 1], [0, 1])
    assert sorted(finding["targets"]) == ["account[0]", "account[1]"]
    assert [lock["name"] for lock in data["locks"]] == ["account[0]", "account[1]"]
    assert set(data["locks"][0]["wait"]) == {"count", "total", "p50", "p90", "p99", "max"}


def test_the_root_is_told_in_full_and_the_others_are_folded(shell: Shell) -> None:
    trace = str(ROOT / "traces" / "unlocked_counter.json")
    status, out, _ = shell(trace)
    assert status == 0
    lines = out.splitlines()
    root = lines.index("error: Lost update of counter [lost-update]")
    assert lines[root + 1].startswith("  incrementer[0] wrote `counter` back after incrementer[1]")
    assert "  cure: hold one lock from the read to the write." in lines
    also = lines.index("also seen (--all tells them in full)")
    assert also > root
    assert "  warning: Data race on counter [data-race]" in lines[also:]
    assert "Neither holds a lock" not in " ".join(out.split())
    full = shell(trace, "--all")[1]
    assert "also seen" not in full
    assert "warning: Data race on counter [data-race]" in full.splitlines()
    assert "Neither holds a lock" in " ".join(full.split())
    data = json.loads(shell(trace, "--json")[1])["findings"]
    assert [one["rank"] for one in data] == list(range(len(data)))
    assert [one["root"] for one in data] == [True] + [False] * (len(data) - 1)
    assert data[0]["places"] == ["workers.incrementer.steps[0]"]


def test_a_trace_without_events_and_without_findings(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "empty.json"
    trace_of("").save(path)
    status, out, _ = shell(str(path))
    assert status == 0
    assert out.splitlines()[-1].startswith("nothing is found in this trace; that is no proof")
    status, out, _ = shell(str(path), "--json")
    assert json.loads(out)["findings"] == []


def test_the_locks_of_a_free_run_with_their_times(shell: Shell, tmp_path: Path) -> None:
    rows = ["v acquire a", "v release a", "w acquire a waited=2500000", "w release a"]
    path = tmp_path / "locks.json"
    trace_of("\n".join(rows), {"a": "lock"}, apart=1_000_000).save(path)
    out = shell(str(path))[1]
    assert "locks (times: median / 99% / longest)" in out
    row = next(line for line in out.splitlines() if line.startswith("  a  "))
    assert row.split() == [
        "a", "2", "1", "2.5ms", "/", "2.5ms", "/", "2.5ms", "1.0ms", "/", "1.0ms", "/", "1.0ms",
    ]  # fmt: skip
    assert "Waiting: p50 2.5 ms, p90 2.5 ms, p99 2.5 ms" in " ".join(out.split())


@pytest.mark.parametrize("text", ["", "[]", '{"format": "tracelock-trace/9"}', '{"a": 1}'])
def test_bad_input(shell: Shell, tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    for more in ((), ("--json",)):
        assert "bad.json" in refused(shell, str(path), *more)
    assert shell(str(tmp_path / "absent.json"))[0] == 2


def test_names_of_strangers_do_no_harm(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "evil.json"
    trace = trace_of("v write x = 1\nw read x -> 1")
    trace.workers = ["v\x1b[31m\n", "w\u202e" + "long" * 60]
    trace.scenario = {"name": "\x1b]0;title\x07", "workers": {"v": ["no", {"steps": 3}]}}
    trace.save(path)
    status, out, _ = shell(str(path))
    assert status == 0
    assert "Data race on x" in out
    assert not {"\x1b", "\x07", "\u202e"} & set(out)


def test_colours_on_a_terminal_only(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tracelock", "analyze", DEADLOCK]
    bare = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    bare["PYTHONPATH"] = str(ROOT)
    piped = subprocess.run(command, capture_output=True, text=True, env=bare, check=True)
    assert "\x1b" not in piped.stdout
    bare |= {"FORCE_COLOR": "1", "TERM": "xterm"}
    forced = subprocess.run(command, capture_output=True, text=True, env=bare, check=True)
    assert "\x1b[1;31merror: \x1b[0m" in forced.stdout


def test_json_needs_neither_pydantic_nor_rich() -> None:
    code = (
        "import sys; from tracelock.cli.main import main; "
        f"main(['analyze', {DEADLOCK!r}, '--json']); "
        "print([m for m in ('pydantic', 'rich', 'tracelock.scenario', 'asyncio') "
        "if m in sys.modules], file=sys.stderr)"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True
    )
    assert done.stderr == "[]\n"


def test_the_public_name() -> None:
    found = tracelock.analyze(tracelock.load_trace(DEADLOCK))
    assert isinstance(found, tracelock.Analysis)
    assert [one.kind for one in found] == ["deadlock"]
    assert isinstance(found[0], tracelock.Finding)


@pytest.mark.parametrize(
    ("durations", "expected"),
    [
        ([], (0, 0, 0, 0)),
        ([7], (7, 7, 7, 7)),
        (list(range(1, 101)), (50, 90, 99, 100)),
        (list(range(1, 11)), (5, 9, 10, 10)),
        ([3, 1, 2], (2, 3, 3, 3)),
    ],
)
def test_percentiles_are_the_nearest_rank(
    durations: list[int], expected: tuple[int, int, int, int]
) -> None:
    spread = Spread.of(durations)
    assert (spread.p50, spread.p90, spread.p99, spread.max) == expected
    assert (spread.count, spread.total) == (len(durations), sum(durations))


@pytest.mark.parametrize(
    ("ns", "text"),
    [(0, "0 ns"), (999, "999 ns"), (12_345, "12.3 us"), (4_000_000, "4.0 ms"), (2.5e9, "2.5 s")],
)
def test_durations(ns: int, text: str) -> None:
    assert duration(int(ns)) == text
