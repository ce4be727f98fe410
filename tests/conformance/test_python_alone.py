"""What threading, queue and concurrent.futures do is the same under control as without."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import tracelock
from tests.conformance.python_alone import ALONE, Out
from tests.helpers.amount import amount

#: A deadlock of a plain run would hang: it gets so long, in seconds.
PATIENCE = 30


def plainly(program: Callable[[Out], None]) -> Out:
    """What ``program`` notes on a thread of its own, without any control."""
    out: Out = []
    thread = threading.Thread(target=program, args=(out,), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), out
    return out


@pytest.mark.parametrize("program", ALONE, ids=lambda program: program.__name__)
def test_one_outcome_as_without_control(program: Callable[[Out], None]) -> None:
    expected = plainly(program)
    seen: list[Out] = []

    def check(out: Out) -> None:
        seen.append([*out])

    found = tracelock.explore(
        setup=list,
        workers=[program],
        check=check,
        schedules=amount(12, 40),
        shrink=False,
        instrument=[],
    )
    assert found.verdict in ("passed", "verified", "failed"), (found.summary, found.notes)
    assert not found.failed, found.trace and found.trace.verdict.message
    assert not [note for note in found.notes if "determin" in note]
    assert seen
    for out in seen:
        assert out == expected


def test_a_plain_run_is_as_before_afterwards() -> None:
    before = [plainly(program) for program in ALONE[:4]]

    def nothing(state: Any) -> None:
        threading.Lock().acquire()

    tracelock.explore(setup=list, workers=[nothing], schedules=5)
    assert [plainly(program) for program in ALONE[:4]] == before
