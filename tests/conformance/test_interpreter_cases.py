"""Programs with known truth over the constructs of the interpreter: no false pass, no alarm."""

from __future__ import annotations

from typing import Any

import pytest

import tracelock
from tests.conformance.interpreter_cases import CASES, Case
from tests.helpers.amount import amount

AMOUNT = amount(150, 1_000)
HERE = ["tests.conformance.interpreter_cases"]
ALL = [pytest.param(each, id=each.name) for each in CASES]


def explore(case: Case, **more: Any) -> Any:
    return tracelock.explore(
        setup=case.setup, workers=case.workers, check=case.check, instrument=HERE,
        schedules=AMOUNT, seconds=30, shrink=False, confirm=1, **more,
    )  # fmt: skip


@pytest.mark.parametrize("case", ALL)
def test_the_default_strategy_knows_the_truth(case: Case) -> None:
    found = explore(case)
    assert found.failed == case.wrong, f"{case.why}\n{found.summary}\n{found.story()}"


@pytest.mark.parametrize("case", ALL)
def test_dpor_claims_nothing_false(case: Case) -> None:
    found = explore(case, strategy="dpor")
    assert found.failed == case.wrong, f"{case.why}\n{found.summary}\n{found.story()}"
