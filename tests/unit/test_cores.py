"""The core that a controlled run keeps to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracelock.engine import cores

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="cores cannot be chosen on this system"
)


@pytest.fixture(autouse=True)
def all_cores_again() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    yield
    assert os.sched_getaffinity(0) == before


@pytest.mark.parametrize("text", [None, "", "1 (a) b) S 2", "1 (x) S " + "no " * 60])
def test_a_system_that_does_not_say(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = tmp_path / "stat"
    if text is not None:
        stat.write_text(text)
    monkeypatch.setattr(cores, "_STAT", stat)
    with cores.one_core():
        assert os.sched_getaffinity(0) == {min(os.sched_getaffinity(0))}
    assert cores._current({3, 5}) == 3


def test_which_field_it_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By proc(5) field 39, counted from one; the second may have spaces and brackets in it."""
    stat = tmp_path / "stat"
    stat.write_text("1 (a (b) c) " + " ".join(str(number) for number in range(3, 53)))
    monkeypatch.setattr(cores, "_STAT", stat)
    assert cores._current({7, 39}) == 39
    assert cores._current({7, 8}) == 7


@pytest.fixture
def policy() -> Iterator[int]:
    before = os.sched_getscheduler(0)
    if before not in (os.SCHED_OTHER, os.SCHED_BATCH):
        pytest.skip("this process is scheduled by a policy of its own")
    yield before
    os.sched_setscheduler(0, before, os.sched_param(0))


def test_who_is_woken_waits_and_all_is_as_it_was_afterwards(policy: int) -> None:
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    with cores.one_core():
        assert os.sched_getscheduler(0) == os.SCHED_BATCH
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_policy_that_somebody_has_chosen_stays(policy: int) -> None:
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    with cores.one_core():
        assert os.sched_getscheduler(0) == os.SCHED_BATCH
    assert os.sched_getscheduler(0) == os.SCHED_BATCH


def test_a_sandbox_that_lets_nobody_choose(monkeypatch: pytest.MonkeyPatch, policy: int) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with cores.one_core():
        pass
    monkeypatch.undo()
    assert os.sched_getscheduler(0) == policy
