"""What expressions may cost: no operation is long, and no step is."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.unit.test_program import build, failure
from tracelock.errors import StepFailure
from tracelock.scenario.compile import costs, values

LITTLE = 2_000_000  # of a step: a tenth of what it may cost
BIG = "[0] * 190000"
PAIR = "[[0]] * 90000"


def many(joint: str, part: str, around: str = "{}") -> str:
    """As many of ``part`` as fit into the longest expression."""
    return around.format(joint.join([part] * (9_900 // len(part + joint))))


#: Expressions that went on for minutes, or would have: each has a bounded cost or is refused.
HOSTILE = {
    "the list of lists": "[[0] * 1000000] * 1000000 == [[0] * 1000000] * 1000000",
    "the list of lists, smaller": many(" and ", f"[{BIG}] == [{BIG}]"),
    "order": f"[{BIG}, 1] < [{BIG}, 2]",
    "in": many(" or ", f"[1] in {PAIR}"),
    "not in": many(" and ", f"[[1]] not in {PAIR}"),
    "text in": many(" or ", "('a' * 90000 + 'b') in 'a' * 190000"),
    "sum of large ones": many(", ", "sum([x] * 2000, x)", "max({})"),
    "max": many(", ", PAIR, "max({})"),
    "min of texts": many(", ", "1000 * ('a' * 100)", "min({})"),
    "chain": many(" == ", PAIR),
    "float": many(", ", "float('1' * 190000)", "max({})"),
    "copies": many(", ", "len([0] * 190000)", "max({})"),
    "literal": many(", ", "[0] * 190000", "[{}]"),
    "add": many(", ", "len([0] * 30000 + [0] * 30000)", "max({})"),
}


@pytest.mark.parametrize("expr", HOSTILE.values(), ids=HOSTILE)
def test_no_expression_goes_over_more_than_a_step_may(
    expr: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid: list[int] = []
    before = costs.spend

    def spend(cost: int) -> None:
        paid.append(cost)
        before(cost)

    monkeypatch.setattr(costs, "MAX_STEP_COST", LITTLE)
    for module in (costs, values):
        monkeypatch.setattr(module, "spend", spend)
    big = [{"let": {"x": "1"}}, {"repeat": 63, "do": [{"let": {"x": "x * 2"}}]}]
    bigger = [{"let": {"x": f"x{' * x' * 5}"}}, {"let": {"x": "x * x"}}]
    machine = build([*big, *bigger, {"let": {"y": expr}}]).machine(0)
    paid.clear()
    try:
        machine.begin()
    except StepFailure as error:
        assert error.message.startswith(("value too large", "too much work", "TypeError"))
    assert sum(paid) <= LITTLE + max(paid)
    assert max(paid, default=0) <= costs.MAX_SIZE


def test_a_loop_without_a_visible_step_pays_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "MAX_STEP_COST", LITTLE)
    for steps in (
        [{"repeat": 1000, "do": [{"let": {"x": f"{BIG} == {BIG}"}}]}],
        [{"atomic": [{"let": {"x": many(" and ", f"{BIG} == {BIG}")}}]}],
    ):
        error = failure(steps)
        assert error.message.startswith("too much work: one step goes over more than 2,000,000")


def test_each_step_begins_a_new_account_and_a_worker_has_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(costs, "MAX_STEP_COST", LITTLE)
    monkeypatch.setattr(costs, "MAX_COST", 5 * LITTLE)
    machine = build([{"repeat": 2000, "do": [{"let": {"x": BIG}}, "checkpoint"]}]).machine(0)
    op, steps = machine.begin(), 0
    with pytest.raises(StepFailure, match="a worker goes over more than 10,000,000"):
        while op is not None:
            op, steps = machine.resume(None), steps + 1
    assert steps * 190_000 > LITTLE
    assert machine.copy().spent == machine.spent > costs.MAX_COST


def test_a_check_that_costs_too_much_is_an_error_of_the_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(costs, "MAX_STEP_COST", LITTLE)
    costly = many(" and ", f"[{BIG}] == [{BIG}]")
    program = build([{"write": "m", "value": 1}], **{"finally": [costly, f"{BIG} == {BIG}"]})
    state = list(program.layout.initial)
    with pytest.raises(StepFailure, match="too much work"):
        program.finally_[0].holds(state)
    assert program.finally_[1].holds(state)


def test_messages_show_the_beginning_of_a_large_value_alone() -> None:
    deep: Any = [0] * 200_000
    for _ in range(30):
        deep = [deep, deep]
    begun = time.thread_time()
    assert values.describe(deep) == "[" * 31 + "0, 0" + values.describe(deep)[35:]
    assert len(values.describe(deep)) == 100 and values.describe([1, "a", None]) == '[1, "a", null]'
    assert time.thread_time() - begun < 60  # it took for ever


@pytest.mark.parametrize(
    ("items", "start"), [([2**70] * 30_000, 0), ([1] * 30_000, 2**200), ([0.5] * 30_000, 2)]
)
def test_sums_in_pieces_are_sums(items: list[Any], start: Any) -> None:
    costs.afresh()
    assert values.sum_(items, start) == sum(items, start)
