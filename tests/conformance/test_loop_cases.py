"""Programs with known truth on loops: no false pass, no false alarm, nothing false proved."""

from __future__ import annotations

from typing import Any

import pytest

import tracelock
from tests.conformance import loop_cases, trio_cases
from tests.conformance.loop_cases import CASES, LoopCase
from tests.helpers.amount import FULL, amount

AMOUNT = amount(40, 1_000)
HERE = [loop_cases.__name__, trio_cases.__name__]
ALL = [pytest.param(each, id=each.name) for each in CASES]
#: By default each strategy is shown every third program, and together they are shown all.
PART = [ALL[place :: 1 if FULL else 3] for place in range(3)]


def explore(case: LoopCase, **more: Any) -> tracelock.Explored:
    return tracelock.explore(
        setup=case.setup, workers=case.workers, check=case.check, instrument=HERE,
        backend=case.where, schedules=AMOUNT, seconds=30, shrink=False, confirm=1, **more,
    )  # fmt: skip


def test_they_are_as_many_as_they_should_be() -> None:
    assert len(CASES) > 80
    wrong = sum(case.wrong for case in CASES)
    assert abs(len(CASES) - 2 * wrong) <= len(CASES) // 5  # about half and half
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", ALL if FULL else [*PART[0], *PART[1]])
def test_the_default_strategy_knows_the_truth(case: LoopCase) -> None:
    found = explore(case)
    assert found.failed == case.wrong, f"{case.why}\n{found.summary}\n{found.story()}"


@pytest.mark.parametrize("case", PART[2])
def test_dpor_claims_nothing_false(case: LoopCase) -> None:
    found = explore(case, strategy="dpor")
    assert found.failed == case.wrong, f"{case.why}\n{found.summary}\n{found.story()}"
