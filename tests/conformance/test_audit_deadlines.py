"""Limits of time in audits: what is right is verified, and each bug is found that shows only where
the time is up as another call is at work."""

from __future__ import annotations

import asyncio
import importlib
import queue
from pathlib import Path
from typing import Any

import pytest

import tracelock
from tests.helpers.audit_programs import replayed
from tests.helpers.audited_deadlines import NAMES, THREADS
from tracelock.audit.matrix import Audited
from tracelock.history.contracts import LOSES

HERE = "tests.helpers.audited_deadlines"
METHOD = {
    "Slots": "get", "Permit": "acquire", "Leak": "acquire", "Handed": "take", "Mailbox": "get",
    "Outbox": "put",
}  # fmt: skip
KIND = {**dict.fromkeys(THREADS, "wrong state"), "Outbox": "done in timeout"}


def audited(name: str, where: str = HERE, **how: Any) -> Audited:
    return tracelock.audit(f"{where}:{name}", **{"calls": 1, "seconds": 240, **how})


@pytest.mark.parametrize("name", NAMES)
def test_what_is_right_is_verified(name: str) -> None:
    found = audited(f"{name}Right")
    assert found.verdict == "verified", [one.to_data() for one in found.every]
    (cell,) = found.columns["deadline"]
    assert cell.methods[0] == METHOD[name]
    assert cell.cancelled if name not in THREADS else cell.clients >= 3


@pytest.mark.parametrize("name", NAMES)
def test_a_bug_in_it_is_found_by_its_deadline(name: str) -> None:
    found = audited(f"{name}Wrong")
    (cell,) = found.columns["deadline"]
    assert cell.verdict == "failed", found.to_data()
    assert cell.kind == KIND.get(name, "lost in timeout")
    assert {one.verdict for one in found.cells} == {"verified"}, "no limit is needed to see it"


@pytest.mark.parametrize("name", ["Handed"])
def test_on_trio_too(name: str) -> None:
    pytest.importorskip("trio")
    right = audited(f"{name}Right", "tests.helpers.audited_trio", backend="trio")
    assert right.verdict == "verified", [one.to_data() for one in right.every]
    assert right.columns["deadline"][0].cancelled
    wrong = audited(f"{name}Wrong", "tests.helpers.audited_trio", backend="trio")
    assert wrong.columns["deadline"][0].kind == "lost in timeout", wrong.to_data()


@pytest.mark.parametrize(
    ("cls", "init", "methods"),
    [
        (queue.Queue, "Queue(1)", ["put", "get", "qsize"]),
        (asyncio.Queue, "Queue(1)", ["put", "get", "qsize"]),
        (asyncio.Semaphore, "Semaphore(1)", ["acquire", "release"]),
    ],
)
def test_the_standard_library_is_right(cls: type, init: str, methods: list[str]) -> None:
    found = tracelock.audit(cls, init=init, methods=methods, calls=1, seconds=240)
    assert {one.verdict for one in found.columns["deadline"]} == {"verified"}


@pytest.mark.parametrize("name", ["Slots", "Mailbox"])
def test_its_program_fails_and_its_trace_replays(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = audited(f"{name}Wrong", folder=str(tmp_path))
    (cell,) = found.columns["deadline"]
    module = replayed(cell, tmp_path, monkeypatch)
    monkeypatch.setattr(importlib.import_module(HERE), f"{name}Wrong", None)
    right = getattr(importlib.import_module(HERE), f"{name}Right")
    monkeypatch.setattr(module, f"{name}Wrong", right)
    module.test_it()  # once it is mended it passes


def test_what_depends_on_the_time_is_not_judged() -> None:
    (cell,) = audited("Refilled").columns["deadline"]
    assert cell.verdict == "skipped" and "changes as time passes" in cell.reason


def test_what_may_be_lost_by_contract_is_not_judged() -> None:
    (cell,) = audited("HandedWrong", contract={"take": LOSES}).columns["deadline"]
    assert cell.verdict == "skipped" and "as its contract says" in cell.reason


def test_a_deadlock_that_is_right_is_no_program_of_another_anomaly(tmp_path: Path) -> None:
    found = audited("Emptied", methods=["get", "put"], workers=3, folder=str(tmp_path))
    assert {one.kind for one in found.anomalies} == {"raises IndexError"}
    for cell in found.anomalies:
        if cell.recorded is None:
            assert cell.program is None and "wait for ever" in cell.reason
        else:
            assert cell.recorded.verdict.kind == "failed"


def test_a_method_whose_calls_all_raise_is_told() -> None:
    found = audited("Emptied", methods=["put", "broken"])
    assert found.notes == ["broken: every call that was made raises LookupError"]
