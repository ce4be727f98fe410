"""Programs with known truth over the constructs of the interpreter: no false pass, no alarm."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

import tracelock
from tests.conformance import interpreter_cases as cases
from tests.conformance import interpreter_more as more
from tests.conformance.interpreter_cases import CASES, Case
from tests.helpers.amount import amount

AMOUNT = amount(150, 1_000)
HERE = [cases.__name__, more.__name__]
ALL = [pytest.param(each, id=each.name) for each in CASES]


def explore(case: Case, **options: Any) -> Any:
    return tracelock.explore(
        setup=case.setup, workers=case.workers, check=case.check, instrument=HERE,
        schedules=AMOUNT, seconds=30, shrink=False, confirm=1, **options,
    )  # fmt: skip


@pytest.mark.parametrize("case", ALL)
def test_the_default_strategy_knows_the_truth(case: Case) -> None:
    found = explore(case)
    assert found.failed == case.wrong, f"{case.why}\n{found.summary}\n{found.story()}"
    assert not [note for note in found.notes if "deterministic" in note]


@pytest.mark.parametrize("case", ALL)
def test_dpor_claims_nothing_false(case: Case) -> None:
    found = explore(case, strategy="dpor")
    assert found.failed == case.wrong, f"{case.why}\n{found.summary}\n{found.story()}"


def test_nothing_is_proved_where_isinstance_may_change_its_answer() -> None:
    def setup() -> Any:
        return SimpleNamespace(thing=cases.Lazy())

    def use(s: Any) -> None:
        isinstance(s.thing, cases.Lazy)

    found = tracelock.explore(
        setup=setup, workers=[cases.become_another, use], instrument=HERE, strategy="dpor"
    )
    assert found.verdict == "passed"
    assert "isinstance() and type()" in found.account.unseen["__class__"]
    assert "not seen: __class__" in found.summary


def test_nothing_is_proved_where_a_death_follows_no_access() -> None:
    found = tracelock.explore(
        setup=cases.boxed, workers=[cases.take_with_a_lock, cases.look_once], instrument=HERE,
        strategy="dpor",
    )  # fmt: skip
    assert found.verdict == "passed"
    assert found.account.unseen["the death of Thing#1"].startswith("in take_with_a_lock")


def test_a_look_depends_on_the_store_that_lets_go() -> None:
    """The trace has both, and is replayed by what it says."""
    case = next(each for each in CASES if each.name == "weakref_looked_at_twice")
    found = tracelock.explore(
        setup=case.setup, workers=case.workers, instrument=HERE, strategy="dpor"
    )
    assert found.trace is not None and found.failed
    again = tracelock.replay(found.trace, setup=case.setup, workers=case.workers)
    assert again.reproduced
