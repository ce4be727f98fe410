"""Audits of classes of coroutines: what is right is verified, cancelled at each await; each seeded
bug is found; and what asyncio documents of its own classes comes out as documented."""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tracelock
from tests.helpers.audited_tasks import NAMES
from tracelock.audit.matrix import Audited
from tracelock.audit.reading import MethodCall
from tracelock.audit.task_judging import takes
from tracelock.report.audit_page import audit_page

HERE = "tests.helpers.audited_tasks"
#: The cell of each bug, and what it is called.
BUGS = {
    "Counter": ("increment", "", "wrong result"),
    "Semaphore": ("acquire", "cancelled", "lost in cancel"),
    "Gate": ("acquire", "cancelled", "raises ValueError"),
    "Queue": ("get", "cancelled", "lost in cancel"),
    "Pool": ("acquire", "cancelled", "lost in cancel"),
    "Once": ("value", "", "wrong result"),
    "Accounts": ("move", "cancelled", "half done"),
    "Server": ("close", "closed", "wrong result"),
}


def audited(name: str, **how: Any) -> Audited:
    return tracelock.audit(f"{HERE}:{name}", **{"calls": 1, "seconds": 240, **how})


@pytest.mark.parametrize("name", NAMES)
def test_what_is_right_is_verified(name: str) -> None:
    found = audited(f"{name}Right")
    assert found.workers == "tasks" and not found.missing
    assert found.verdict == "verified", [one.to_data() for one in found.every]


@pytest.mark.parametrize("name", NAMES)
def test_a_bug_in_it_is_found(name: str) -> None:
    found = audited(f"{name}Wrong")
    method, about, kind = BUGS[name]
    told = {(one.methods[0], one.about, one.kind) for one in found.anomalies}
    assert (method, about, kind) in told, str(found.to_data())
    if about == "cancelled":  # only a cancellation brings it to light
        assert {one.verdict for one in found.cells} == {"verified"}


#: What makes one of asyncio's own, and the methods that are looked at.
OWN = {
    "Lock": ("Lock()", None), "Event": ("Event()", None), "Semaphore": ("Semaphore(1)", None),
    "BoundedSemaphore": ("BoundedSemaphore(1)", None),
    "Barrier": ("Barrier(2)", ["wait", "async with", "abort"]),
    "Queue": ("Queue(1)", ["put", "get", "qsize"]),
    "LifoQueue": ("LifoQueue(1)", ["put", "get", "qsize"]),
    "PriorityQueue": ("PriorityQueue(1)", ["put", "get", "qsize"]),
    "Condition": ("Condition()", ["async with", "wait", "notify"]),
}  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_asyncio_keeps_what_it_promises(name: str) -> None:
    init, methods = OWN[name]
    found = tracelock.audit(f"asyncio:{name}", init=init, methods=methods, calls=1, seconds=240)
    assert found.verdict == "verified", [one.to_data() for one in found.every]
    # of a condition nothing waits here that has the lock
    assert name == "Condition" or any(one.cancelled for one in found.columns["cancelled"])


def test_an_anomaly_of_a_cancellation_is_a_program_that_fails_without_tracelock(
    tmp_path: Path,
) -> None:
    found = audited("SemaphoreWrong", folder=str(tmp_path))
    cell, late = found.anomalies
    assert late.about == "deadline"  # the same is lost where its time is up
    assert cell.client == "acquire() | acquire() || acquire() || release()"
    assert cell.program is not None and cell.recorded is not None
    cell.recorded.save(tmp_path / "trace.json")
    root = Path(__file__).resolve().parents[2]
    line = ["-m", "tracelock", "export", "trace.json", "--as", "python", "-o", "forced.py"]
    env = {"PYTHONPATH": f"{root}:."}
    for arguments, status in ((line, 0), (["forced.py"], 1)):
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=env, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
    assert "this is of no order of the calls: (('cancelled',)" in done.stdout + done.stderr
    sys.path.insert(0, str(tmp_path))
    try:
        module = importlib.import_module(Path(cell.program).stem)
        shared = asyncio.run(module.setup())
        asyncio.run(module.cancel(shared))  # nobody is at work: nothing happens
    finally:
        sys.path.remove(str(tmp_path))


def test_columns_in_the_page_and_in_markdown() -> None:
    found = audited("PoolWrong")
    page = audit_page(found.to_data())
    assert "acquire cancelled: lost in cancel" in page and '<th scope="col">closed</th>' in page
    table = found.to_markdown()
    assert "| | `acquire` | `close` | closed | cancelled |" in table
    assert "| `acquire` | ✓ |  | ✓ | lost in cancel |" in table
    assert found.summary.endswith("cancelled: 1 of 1 methods failed")


def test_which_calls_take_something() -> None:
    taking = ["acquire()", "acquire(1)", "get()", "pop('a')", "receive()", "__aenter__()"]
    for text in taking:
        name = "async with" if text.startswith("__") else text.partition("(")[0]
        assert takes(MethodCall(name, f"it.{text}")), text
    for text in ("get('a')", "put(1)", "wait()", "release()", "lock('a')"):
        assert not takes(MethodCall(text.partition("(")[0], f"it.{text}")), text
    assert not takes(MethodCall("async with", "it.__aexit__(None, None, None)"))


def test_what_is_lost_may_be_what_the_contract_says() -> None:
    found = audited("QueueWrong", contract={"get": "loses"})
    assert found.verdict == "passed" and not found.anomalies
    assert {one.verdict for one in found.columns["cancelled"]} == {"verified"}
    assert [one.verdict for one in found.every if one.verdict != "verified"] == ["skipped"]


def test_a_model_judges_tasks_too() -> None:
    model = "bounded-queue(1, full='QueueFull', empty='QueueEmpty')"
    found = tracelock.audit(
        "asyncio:Queue", init="Queue(1)", methods=["put", "get", "qsize"], model=model, calls=1,
        seconds=240,
    )  # fmt: skip
    assert found.verdict == "verified", [one.to_data() for one in found.every]
