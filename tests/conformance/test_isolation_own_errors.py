"""What goes wrong in tracelock itself in a forked process is told as that, with where it was."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

import tracelock
from tests.helpers.apart import Account, add, add_safely, dying
from tests.helpers.forked import QUICK, explored, it_can_be_forked, waiting_in_c
from tracelock.instrument.backend import PythonBackend
from tracelock.instrument.isolation import child, listening
from tracelock.instrument.state.program import KeptState
from tracelock.instrument.threads.watchdog import Watchdog
from tracelock.instrument.worker import MainBlocked

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.usefixtures(it_can_be_forked.__name__),
]
FAILED = "tracelock failed in the forked process"


def broken(*_: Any, **__: Any) -> Any:
    raise IndexError("a mistake of ours")


@pytest.mark.parametrize(
    ("owner", "name"),
    [(PythonBackend, "begin_apart"), (child.ForkedBatch, "_record"), (child, "flush"),
     (child, "packed"), (child.ForkedBatch, "_watch_phases")],
)  # fmt: skip
def test_it_is_an_internal_error_with_its_traceback(
    owner: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, broken)
    with pytest.raises((tracelock.InternalError, IndexError)) as raised:
        explored(add, add_safely, isolation="always")
    told = "".join([str(raised.value), *getattr(raised.value, "__notes__", ())])
    assert "not deterministic" not in told
    assert "forked process" in told
    assert "IndexError: a mistake of ours" in told and "in broken" in told


def test_so_it_is_in_the_middle_of_a_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    """There it is what it would be in this process, and says where it was."""
    monkeypatch.setattr(PythonBackend, "_unwind", broken)
    with pytest.raises(IndexError, match="a mistake of ours") as raised:
        explored(add, add_safely, isolation="always")
    (note,) = raised.value.__notes__
    assert "In the forked process that ran the schedule" in note and "in broken" in note


TICKS = iter(tick for tick in range(100))


def next_tick(account: Account) -> None:
    next(TICKS)


def test_so_it_is_in_the_first_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KeptState, "leaking", broken)
    with pytest.raises(tracelock.InternalError, match=FAILED) as raised:
        explored(next_tick, add_safely)
    assert "IndexError: a mistake of ours" in str(raised.value)


def test_what_the_watchdog_raises_too_late_is_raised_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``setup`` or ``check`` has just ended when it is to be ended."""
    here = os.getpid()
    plain = child.ForkedBatch._ended

    def ended(self: Any, controller: Any) -> bool:
        watchdog: Watchdog = self.backend._watchdog
        assert watchdog.error is MainBlocked and os.getpid() != here
        watchdog._interrupt()  # as from the other thread
        time.sleep(0)
        return plain(self, controller)

    monkeypatch.setattr(child.ForkedBatch, "_ended", ended)
    found, isolation = explored(add, add_safely, isolation="always", check=lambda _: True)
    assert found.verdict in ("passed", "verified") and isolation.forks
    monkeypatch.undo()
    found, _ = explored(add, isolation="always", limits=QUICK, check=forever)
    assert found.trace is not None  # in time it still comes
    assert "the check never ends" in found.trace.verdict.message


def forever(account: Account) -> None:
    while True:
        pass


def test_a_worker_that_is_being_seen_to_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine that may take longer than a process that stands still is waited for: what
    another worker could end is no failure."""
    monkeypatch.setattr(listening, "MORE", 0.4)  # less than it takes to give up a worker
    with waiting_in_c() as (waits, ends):
        found, _ = explored(
            waits, ends, isolation="always", limits=QUICK, schedules=4, strategy="random",
            shrink=False,
        )  # fmt: skip
    assert not any(way.kind == "crashed" for way in found.ways)


def test_a_program_that_ends_its_process_is_still_told_as_that() -> None:
    found, _ = explored(dying(lambda: os._exit(1)), add, isolation="always")
    assert found.trace is not None and found.trace.verdict.kind == "crashed"
    assert found.trace.verdict.message == "the process died: exit status 1, in dies"
