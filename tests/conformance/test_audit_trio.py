"""Audits of coroutine classes of trio: what is right is verified, each seeded bug is found, and
what trio itself has keeps what it promises."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

import tracelock
from tests.helpers.audit_programs import replayed
from tracelock.audit.matrix import Audited
from tracelock.errors import UsageError
from tracelock.session.exporting import export

ROOT = Path(__file__).resolve().parents[2]
HERE = "tests.helpers.audited_trio"
#: What each bug is called, and in which column it is found; "": beside another call.
BUGS = {
    "Counter": ("wrong result", ""), "Semaphore": ("lost in cancel", "cancelled"),
    "Mail": ("lost in cancel", "cancelled"),
}  # fmt: skip


def audited(name: str, **how: Any) -> Audited:
    return tracelock.audit(f"{HERE}:{name}", backend="trio", calls=1, seconds=240, **how)


@pytest.mark.parametrize("name", BUGS)
def test_what_is_right_is_verified(name: str) -> None:
    found = audited(f"{name}Right")
    assert found.verdict == "verified", [one.to_data() for one in found.every]
    assert found.backend == "trio" and found.workers == "tasks"
    assert any(one.cancelled for one in found.columns["cancelled"])


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_in_it_is_found(name: str) -> None:
    kind, about = BUGS[name]
    found = audited(f"{name}Wrong")
    assert (kind, about) in {(one.kind, one.about) for one in found.anomalies}, found.to_data()


@pytest.mark.parametrize(
    ("name", "init", "methods"),
    [
        ("Lock", "Lock()", ["acquire_nowait", "async with"]),
        ("Semaphore", "Semaphore(1)", ["acquire", "release"]),
        ("Event", "Event()", ["wait", "set", "is_set"]),
        ("CapacityLimiter", "CapacityLimiter(1)", ["async with"]),
    ],
)
def test_trio_keeps_what_it_promises(name: str, init: str, methods: list[str]) -> None:
    found = tracelock.audit(
        f"trio:{name}", init=init, methods=methods, backend="trio", calls=1, seconds=240
    )
    assert found.verdict in ("verified", "passed"), [one.to_data() for one in found.every]
    assert not found.anomalies


def test_an_anomaly_of_a_cancellation_is_a_program_whose_trace_replays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = audited("MailWrong", methods=["put", "get"], folder=str(tmp_path))
    cell = found.anomalies[0]
    module = replayed(cell, tmp_path, monkeypatch)
    assert cell.program is not None and cell.recorded is not None
    # and once more where there is no tracelock, in a folder that has nothing else
    source = export(cell.recorded, "python")
    for text in (source, Path(cell.program).read_text(encoding="utf-8")):
        ast.parse(text, feature_version=(3, 9))
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "tracelock.py").write_text("raise ImportError('there is none')\n")
    (empty / "forced.py").write_text(source, encoding="utf-8")
    path = os.pathsep.join([str(empty), str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "forced.py"], cwd=empty, capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": path}, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and "of no order of the calls" in done.stdout, done
    shared = trio.run(module.setup)
    trio.run(module.cancel, shared)  # nobody is at work: nothing happens


def test_a_backend_has_to_be_one() -> None:
    with pytest.raises(UsageError, match="backend of an audit"):
        tracelock.audit("queue:Queue", backend="curio")
    with pytest.raises(UsageError, match="contradict"):
        tracelock.audit("queue:Queue", backend="trio", tasks=False)
