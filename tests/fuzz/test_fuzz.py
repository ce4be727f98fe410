"""A few mutated inputs for every reader; ``python tests/fuzz/run.py`` tries as many as one will."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.fuzz import mutate
from tests.fuzz.targets import TARGETS, Target, try_one

#: Inputs that were crashes when they were found: target, number.
FOUND: tuple[tuple[str, int], ...] = (("checkpoint", 67), ("checkpoint", 96))
_BY_NAME = {target.name: target for target in TARGETS}


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_nothing_that_is_read_is_a_crash(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        tried = try_one(target, number, tmp_path, limit=60)
        assert tried.wrong is None, f"{target.name} {number}: {tried.wrong}"


@pytest.mark.parametrize(("name", "number"), FOUND)
def test_what_was_a_crash_is_none(
    name: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert try_one(_BY_NAME[name], number, tmp_path, limit=60).wrong is None


def test_an_input_has_a_number_and_is_the_same_every_time() -> None:
    for make in (mutate.scenario, mutate.trace):
        assert len({make(Random(number)) for number in range(30)}) > 25
        assert make(Random("seven")) == make(Random("seven"))


def test_a_crash_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def fails(command: list[str]) -> int:
        raise ZeroDivisionError(command[0])

    monkeypatch.setattr("tests.fuzz.targets.main", fails)
    assert try_one(_BY_NAME["show"], 0, tmp_path, limit=60).wrong == "ZeroDivisionError: show"
    monkeypatch.setattr("tests.fuzz.targets.main", lambda command: 4)
    assert try_one(_BY_NAME["show"], 0, tmp_path, limit=60).wrong is not None
