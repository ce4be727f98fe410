"""A few mutated inputs for every reader; ``python tests/fuzz/run.py`` tries as many as one will."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from random import Random

import pytest

from tests.fuzz import mutate, pieces
from tests.fuzz.pieces import Came, Piece, run_pieces
from tests.fuzz.run import pieces_of
from tests.fuzz.targets import TARGETS, Target, Tried, try_one

#: Inputs that were crashes when they were found: target, number.
FOUND: tuple[tuple[str, int], ...] = (
    ("checkpoint", 67), ("checkpoint", 96), ("recover", 874), ("shrink", 1607), ("validate", 2871),
    ("validate yaml", 14915), ("explore", 8597),
)  # fmt: skip
#: Beside the threads of pytest-xdist, which the forked processes do not need.
forks = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
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


@pytest.mark.parametrize("inputs", [1, 40, 12_345])
def test_all_inputs_are_in_one_piece_each(inputs: int) -> None:
    numbers: dict[str, list[int]] = {}
    for piece in pieces_of(inputs, [*_BY_NAME]):
        assert piece.count <= 500
        numbers.setdefault(piece.target, []).extend(range(piece.first, piece.first + piece.count))
    assert all(found == list(range(len(found))) for found in numbers.values())
    assert numbers.keys() == _BY_NAME.keys()
    assert inputs <= sum(map(len, numbers.values())) <= inputs + len(_BY_NAME)
    assert len(numbers["show"]) >= len(numbers["run"]) >= len(numbers["explore"])


def tried(piece: Piece, limit: float = 60.0) -> Came:
    """What comes of a piece."""
    whole = Came()
    for name, came in run_pieces([piece], 1, limit, time.time() + 60):
        assert name == piece.target
        whole.add(came)
    return whole


@forks
def test_a_piece_is_tried_in_a_process_of_its_own() -> None:
    came = tried(Piece("show", 10, 5))
    assert (came.done, came.wrong) == (5, [])
    assert 0 < came.taken < 5 and came.worst > 0 and came.peak > 0
    assert {came.slowest, came.largest} <= set(range(10, 15))


@forks
@pytest.mark.parametrize("how", ["dies", "hangs", "raises"])
def test_a_crash_is_of_the_input_it_was_met_with(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def does(target: Target, number: int, folder: Path, limit: float) -> Tried:
        if number != 12:
            return Tried(0.0, None, True)
        if how == "dies":
            os.kill(os.getpid(), signal.SIGSEGV)
        if how == "hangs":
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
            time.sleep(60)
        return Tried(0.0, "wrong")

    monkeypatch.setattr(pieces, "try_one", does)
    monkeypatch.setattr(pieces, "GRACE", 0.2)
    came = tried(Piece("show", 10, 5), limit=0.2)
    assert came.done == 5
    assert [number for number, _ in came.wrong] == [12]
    said = {"dies": "the process ended: -11 Fatal Python error: Segmentation fault",
            "hangs": "the process ended: -9", "raises": "wrong"}  # fmt: skip
    assert came.wrong[0][1].startswith(said[how])
