"""The programs of which it is known what goes wrong with the GIL and without it."""

from __future__ import annotations

import pytest

import tracelock
from tests.bench.bench_interpreters import run_freely, truth_here
from tests.programs_interpreter import PROGRAMS, Program


def named(program: Program) -> str:
    return program.name


def test_there_are_thirty_half_of_them_breakable_under_the_gil() -> None:
    assert len({program.name for program in PROGRAMS}) == 30
    assert sum(program.gil == "breaks" for program in PROGRAMS) == 15
    assert all(program.free == "breaks" for program in PROGRAMS if program.gil == "breaks")


@pytest.mark.parametrize("program", PROGRAMS, ids=named)
def test_before_every_access_is_what_a_build_without_the_gil_does(program: Program) -> None:
    found = tracelock.explore(
        setup=program.setup, workers=program.workers, check=program.check,
        confirm=0, shrink=False,
    )  # fmt: skip
    assert found.failed == (program.free == "breaks")
    assert found.failed or found.exhaustive


@pytest.mark.parametrize(
    "program", [one for one in PROGRAMS if truth_here(one) == "right"], ids=named
)
def test_what_is_right_here_does_not_break_when_it_runs_freely(program: Program) -> None:
    assert run_freely(program, 5.0, rounds=2_000).wrong == ""
