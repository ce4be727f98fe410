"""Programs with known truth over the constructs of the interpreter: no false pass, no alarm."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

import tracelock
from tests.conformance import interpreter_cases as cases
from tests.conformance import interpreter_idioms as idioms
from tests.conformance import interpreter_more as more
from tests.conformance import interpreter_twins as twins
from tests.conformance.interpreter_cases import CASES, Case
from tests.helpers.amount import FULL, amount

AMOUNT = amount(150, 1_000)
HERE = [cases.__name__, more.__name__, idioms.__name__, twins.__name__]
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
    cut = found.schedules >= AMOUNT and not found.exhaustive  # more may be needed than are tried
    right = found.failed == case.wrong or (cut and found.verdict == "passed")
    assert right, f"{case.why}\n{found.summary}\n{found.story()}"


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


def added_by_exec(s: Any) -> None:
    exec("s.n += 1", {"s": s})


def sends_a_coroutine(s: Any) -> None:
    with contextlib.suppress(StopIteration, RuntimeError):
        s.coroutine.send(None)


@pytest.mark.parametrize(
    ("work", "what"), [(added_by_exec, "code of no module"), (sends_a_coroutine, "coroutine")]
)
def test_nothing_is_proved_of_what_is_not_seen(work: Any, what: str) -> None:
    async def nothing() -> None:
        pass

    def setup() -> Any:
        return SimpleNamespace(n=0, coroutine=nothing())

    found = tracelock.explore(
        setup=setup, workers=[work, work], check=lambda s: s.coroutine.close(),
        instrument=[__name__], strategy="dpor",
    )  # fmt: skip
    assert found.verdict == "passed" and what in found.account.not_seen


# --- their truth -----------------------------------------------------------------------------
def test_half_of_them_are_wrong() -> None:
    wrong = sum(each.wrong for each in CASES)
    assert len(CASES) >= 240 and 0.45 < wrong / len(CASES) < 0.55
    assert len({each.name for each in CASES}) == len(CASES)


def test_the_mended_ones_pass_in_any_order_of_their_workers() -> None:
    """So they are right, since one lock makes their workers run one after the other."""
    assert [
        each.name for each in (*twins.MENDED, *twins.TWINS) if not twins.passes_in_turn(each)
    ] == []


@pytest.mark.skipif(not FULL, reason="minutes: TRACELOCK_TESTS=full asks for it")
def test_the_interpreter_alone_agrees() -> None:
    """No right program goes wrong where threads are switched as often as can be; some wrong do."""
    code = f"from {twins.__name__.rpartition('.')[0]} import interpreter_stress as s; s.main(0.3)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=900)
    told = json.loads(ran.stdout)
    truth = {each.name: each.wrong for each in CASES}
    assert told.keys() == truth.keys()
    assert {name: count for name, count in told.items() if count and not truth[name]} == {}
    assert sum(1 for name, count in told.items() if count and truth[name]) > 5
