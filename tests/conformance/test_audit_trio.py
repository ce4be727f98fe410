"""Audits of coroutine classes of trio: what is right is verified, each seeded bug is found, and
what trio itself has keeps what it promises."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import trio

import tracelock
from tracelock.audit.matrix import Audited
from tracelock.errors import UsageError

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
    assert cell.program is not None and cell.recorded is not None, cell.reason
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module(Path(cell.program).stem)
    again = tracelock.replay(
        cell.recorded, setup=module.setup, workers=module.WORKERS, check=module.check
    )
    assert again.reproduced
    shared = trio.run(module.setup)
    trio.run(module.cancel, shared)  # nobody is at work: nothing happens


def test_a_backend_has_to_be_one() -> None:
    with pytest.raises(UsageError, match="backend of an audit"):
        tracelock.audit("queue:Queue", backend="curio")
    with pytest.raises(UsageError, match="contradict"):
        tracelock.audit("queue:Queue", backend="trio", tasks=False)
