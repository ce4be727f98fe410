"""What each verb asks for and what it does with the answer, one small worker at a time."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tracelock import ops
from tracelock.errors import Cancelled, LimitReached, ScopeExpired, StepFailure
from tracelock.ops import EMPTY, NAMES, Op
from tracelock.scenario.compile import rounds
from tracelock.scenario.language.models import Scenario
from tracelock.scenario.program import Machine, Program

SHARED = {"n": 0, "m": 5, "a": [10, 20, 30]}
OBJECTS = {
    "lock": "lock",
    "pair": {"type": "lock", "count": 2},
    "cond": "condition",
    "guard": "lock",
    "full": {"type": "condition", "lock": "guard"},
    "conds": {"type": "condition", "count": 2},
    "event": "event",
    "queue": {"type": "queue", "maxsize": 2},
    "sem": {"type": "semaphore", "value": 3},
}


def build(steps: list[Any], count: int = 1, fuel: int = 10_000_000, **more: Any) -> Program:
    workers = {
        "w": {"count": count, "steps": steps},
        "helper": {"count": 3, "start": "manual", "steps": ["checkpoint"]},
        "single": {"start": "manual", "steps": []},
    }
    document = {"name": "t", "shared": SHARED, "objects": OBJECTS, "workers": workers, **more}
    return Program(Scenario.model_validate(document), fuel=fuel)


def number(program: Program, name: str) -> int:
    return program.layout.names.index(name)


def show(program: Program, op: Op | None) -> str | None:
    """``write n 3``: verb, target, value."""
    if op is None:
        return None
    words = [NAMES[op.kind]]
    if op.kind in ops.ON_WORKER:
        words.append(program.layout.workers[op.target].name)
    elif op.target >= 0:
        words.append(program.layout.names[op.target])
    if op.value is not None:
        words.append(repr(op.value))
    return " ".join(words)


def drive(
    steps: list[Any], *results: Any, count: int = 1, worker: int = 0
) -> tuple[list[str | None], Machine]:
    """Play a worker with these results (errors are thrown) and a memory; what it asked for."""
    program = build(steps, count)
    machine = program.machine(worker)
    memory = list(program.layout.initial)
    answers: Iterator[Any] = iter(results)
    asked: list[str | None] = []
    op = machine.begin()
    while op is not None and len(asked) < 200:
        asked.append(show(program, op))
        if op.kind == ops.READ:
            result = memory[op.target]
        elif op.kind == ops.WRITE:
            memory[op.target] = op.value
            result = None
        elif op.kind == ops.ATOMIC:
            op.body.run(memory.__getitem__, memory.__setitem__)
            result = None
        else:
            result = next(answers, None)
        op = machine.throw(result) if isinstance(result, BaseException) else machine.resume(result)
    asked.append(None)
    if "atomic" in asked:
        asked.append(repr(memory))
    return asked, machine


def failure(steps: list[Any], *results: Any, **more: Any) -> StepFailure:
    with pytest.raises(StepFailure) as caught:
        drive(steps, *results, **more)
    return caught.value


def final(steps: list[Any], *results: Any, expr: str, **more: Any) -> str | None:
    """What ``expr`` is at the end: it is put into a queue."""
    asked, _ = drive([*steps, {"put": "queue", "value": expr}], *results, **more)
    last = asked[-2]
    assert last is not None
    return last.removeprefix("put queue ")


# --- shared variables ------------------------------------------------------------------------
def test_a_mention_of_a_shared_variable_is_a_read() -> None:
    asked, _ = drive([{"write": "n", "value": "n + m"}])
    assert asked == ["read n", "read m", "write n 5", None]


def test_every_op_carries_the_path_of_its_step() -> None:
    program = build(
        [{"with": "lock", "do": [{"if": "n == 0", "then": [{"write": "n", "value": 1}]}]}]
    )
    machine = program.machine(0)
    paths = []
    op = machine.begin()
    while op is not None:
        paths.append((NAMES[op.kind], op.at))
        op = machine.resume(0)
    assert paths == [
        ("acquire", "workers.w.steps[0]"),
        ("read", "workers.w.steps[0].do[0]"),
        ("write", "workers.w.steps[0].do[0].then[0]"),
        ("release", "workers.w.steps[0]"),
    ]


def test_a_block_may_hold_nothing_but_an_empty_let() -> None:
    nothing: list[Any] = [{"let": {}}]
    steps = [
        {"let": {"k": 1}},
        {"if": "k == 1", "then": nothing, "else": nothing},
        {"repeat": 2, "do": [{"if": "k == 2", "then": nothing}, *nothing]},
        {"write": "n", "value": 2},
        {"atomic": [{"if": "k == 1", "then": nothing}, *nothing]},
    ]
    asked, _ = drive(steps)
    assert asked[0] == "write n 2"
    assert "atomic" in asked


def test_index_and_count_are_constants_of_the_instance() -> None:
    steps = [{"write": "a[count - 1 - index]", "value": "index * 100 + count"}]
    assert drive(steps, count=2, worker=0)[0] == ["write a[1] 2", None]
    assert drive(steps, count=2, worker=1)[0] == ["write a[0] 102", None]


def test_ops_without_anything_dynamic_are_made_once() -> None:
    program = build([{"acquire": "lock"}, {"write": "n", "value": 3}])
    first, second = program.machine(0), program.machine(0)
    assert first.begin() is second.begin()
    assert first.resume(None) is second.resume(None)


def test_element_by_value_counts_from_the_end_where_negative() -> None:
    steps = [{"let": {"i": -1}}, {"read": "a[i]", "into": "x"}, {"write": "a[i - 1]", "value": "x"}]
    assert drive(steps)[0] == ["read a[2]", "write a[1] 30", None]


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("i", "IndexError: index out of range"),
        ("7", "IndexError: index out of range"),
        ("-4", "IndexError: index out of range"),
        ("i / 2", "TypeError: list indices must be integers or slices, not float"),
        ("'x'", "TypeError: list indices must be integers or slices, not str"),
    ],
)
def test_bad_element(index: str, message: str) -> None:
    for step in ({"read": f"a[{index}]"}, {"write": f"a[{index}]", "value": 1}):
        error = failure([{"let": {"i": 3}}, step])
        assert (error.failure, error.message, error.at) == ("error", message, "workers.w.steps[1]")


def test_whole_array_is_read_element_by_element_and_len_reads_nothing() -> None:
    asked, _ = drive([{"let": {"x": "sum(a) + len(a)"}}, {"write": "n", "value": "x"}])
    assert asked == ["read a[0]", "read a[1]", "read a[2]", "write n 63", None]


def test_short_circuits_read_no_more_than_they_must() -> None:
    assert drive([{"if": "n and m"}])[0] == ["read n", None]
    assert drive([{"if": "m or n"}])[0] == ["read m", None]
    assert drive([{"let": {"x": "1 if m else n"}}])[0] == ["read m", None]
    assert drive([{"let": {"x": "n < 0 < m"}}])[0] == ["read n", None]
    assert drive([{"let": {"x": "n < 1 < m"}}])[0] == ["read n", "read m", None]


def test_target_is_evaluated_before_value() -> None:
    asked, _ = drive([{"write": "a[n]", "value": "m"}])
    assert asked == ["read n", "read m", "write a[0] 5", None]
    assert failure([{"write": "a[9]", "value": "m"}]).message.startswith("IndexError")


def test_compare_exchange_exchange_and_fetch_add() -> None:
    program = build(
        [
            {"compare_exchange": "n", "expect": 0, "value": "m", "into": "ok"},
            {"exchange": "n", "value": 7, "into": "old"},
            {"fetch_add": "a[1]", "by": 2, "into": "older"},
            {"put": "queue", "value": "[ok, old, older]"},
        ]
    )
    machine = program.machine(0)
    assert show(program, machine.begin()) == "read m"
    op = machine.resume(5)
    assert op is not None and (op.kind, op.expect, op.value) == (ops.COMPARE_EXCHANGE, 0, 5)
    assert show(program, machine.resume(True)) == "exchange n 7"
    assert show(program, machine.resume(5)) == "fetch_add a[1] 2"
    assert show(program, machine.resume(20)) == "put queue [True, 5, 20]"


@pytest.mark.parametrize("value", ["[1]", "1e308 * 10", "x"])
def test_a_shared_variable_holds_one_finite_scalar(value: str) -> None:
    for verb, key in (("write", "value"), ("exchange", "value"), ("fetch_add", "by")):
        error = failure([{"let": {"x": "[1]"}}, {verb: "n", key: value}])
        assert error.failure == "error" and error.at == "workers.w.steps[1]"


# --- locals and errors -----------------------------------------------------------------------
def test_let_sets_in_order() -> None:
    assert final([{"let": {"x": 2, "y": "x * 3"}}], expr="[x, y]") == "[2, 6]"


def test_a_local_that_is_not_set() -> None:
    steps = [{"if": "index == 1", "then": [{"let": {"x": 1}}]}, {"let": {"y": "x"}}]
    error = failure(steps)
    assert (error.message, error.at) == ("NameError: local x is not set", "workers.w.steps[1]")
    later = [{"read": "n", "into": "y"}, {"if": "y", "then": [{"let": {"x": 1}}]}]
    assert failure([*later, {"let": {"z": "x"}}]).message == "NameError: local x is not set"


@pytest.mark.parametrize(
    ("expr", "message"),
    [
        ("1 / n", "ZeroDivisionError: division by zero"),
        ("1 // (m - 5)", "ZeroDivisionError: division by zero"),
        ("1 % n", "ZeroDivisionError: division by zero"),
        ("x / 0.0", "ZeroDivisionError: division by zero"),
        ("x + 'a'", "TypeError: unsupported operand type(s) for +: 'int' and 'str'"),
        ("sqrt(-x)", "ValueError: square root of a negative number"),
        ("max([])", "ValueError: max() of an empty list"),
        ("x[0]", "TypeError: 'int' object is not subscriptable"),
        ("[1][x]", "IndexError: index out of range"),
    ],
)
def test_errors_read_the_same_everywhere(expr: str, message: str) -> None:
    error = failure([{"let": {"x": 3}}, {"let": {"y": expr}}])
    assert (error.failure, error.message, error.at) == ("error", message, "workers.w.steps[1]")


def test_assert_says_what_it_saw() -> None:
    steps = [{"let": {"x": 3}}, {"assert": "n == x - index"}]
    error = failure(steps)
    assert error.failure == "assert"
    assert error.message == "n == x - index is false: n is 0, x is 3, index is 0"
    assert failure([{"assert": "m == 1 or n == 1"}]).message == (
        "m == 1 or n == 1 is false: m is 5, n is 0"
    )
    assert failure([{"assert": "n == 1 and m == 1"}]).message == (
        "n == 1 and m == 1 is false: n is 0"
    )
    assert failure([{"assert": "a[n] < 0"}]).message == "a[n] < 0 is false: n is 0, a[n] is 10"
    assert failure([{"assert": "sum(a) < 0"}]).message == "sum(a) < 0 is false: a is [10, 20, 30]"
    assert failure([{"assert": False}]).message == "false is false"
    assert failure([{"assert": "n", "message": "no n"}]).message == "no n"
    assert drive([{"assert": "m == 5"}])[0] == ["read m", None]


def test_fail() -> None:
    error = failure(["checkpoint", {"fail": "so it is"}])
    assert (error.failure, error.message, error.at) == ("assert", "so it is", "workers.w.steps[1]")


# --- locks and what else there is ------------------------------------------------------------
def first(steps: list[Any]) -> Op:
    op = build(steps).machine(0).begin()
    assert op is not None
    return op


def test_acquire() -> None:
    op = first([{"acquire": "lock"}])
    assert (op.blocking, op.timeout, op.soft) == (True, None, False)
    op = first([{"acquire": "lock", "blocking": False, "into": "x"}])
    assert (op.blocking, op.timeout, op.soft) == (False, None, True)
    op = first([{"acquire": "lock", "timeout": "0.5 + index"}])
    assert (op.blocking, op.timeout, op.soft) == (True, 0.5, False)
    op = first([{"let": {"x": 2}}, {"acquire": "lock", "timeout": "x"}])
    assert op.timeout == 2
    steps = [{"acquire": "lock", "timeout": 1, "into": "x"}]
    assert final(steps, True, expr="x") == "True"
    assert final(steps, False, expr="x") == "False"
    assert drive([{"acquire": "lock", "timeout": 1}], False)[0] == ["acquire lock", None]


@pytest.mark.parametrize("seconds", ["-1", "'soon'", "2e9", "true"])
def test_seconds_are_a_number_that_a_clock_can_wait(seconds: str) -> None:
    for step in ({"sleep": seconds}, {"acquire": "lock", "timeout": seconds}):
        assert failure([step]).failure == "error"
        assert failure(
            [{"let": {"s": seconds}}, {k: v if v != seconds else "s" for k, v in step.items()}]
        )


def test_release_and_permits() -> None:
    assert drive([{"release": "sem"}])[0] == ["release sem 1", None]
    assert drive([{"release": "sem", "n": "m - 3"}])[0] == ["read m", "release sem 2", None]
    assert "TypeError" in failure([{"release": "sem", "n": 1.5}]).message


def test_a_condition_is_locked_by_its_lock() -> None:
    program = build([{"with": "full", "do": [{"wait": "full"}, {"notify": "full", "all": True}]}])
    machine = program.machine(0)
    assert show(program, machine.begin()) == "acquire guard"
    assert show(program, machine.resume(True)) == "wait full"
    assert show(program, machine.resume(True)) == "notify full -1"
    assert show(program, machine.resume(None)) == "release guard 1"
    program = build([{"let": {"i": 1}}, {"acquire": "conds[i]"}, {"notify": "conds[i]", "n": 2}])
    machine = program.machine(0)
    op = machine.begin()
    assert op is not None and program.layout.spec(op.target).type == "condition_lock"
    assert op.target == program.layout.spec(program.layout.arrays["conds"][0] + 1).lock
    assert show(program, machine.resume(True)) == "notify conds[1] 2"


def test_wait_until_checks_before_and_after_each_wait() -> None:
    program = build([{"wait": "cond", "until": "n > 0", "into": "x"}, {"write": "m", "value": "x"}])
    machine = program.machine(0)
    assert show(program, machine.begin()) == "read n"
    for _ in range(3):
        assert show(program, machine.resume(0)) == "wait cond"
        assert show(program, machine.resume(True)) == "read n"
    assert show(program, machine.resume(1)) == "write m True"


@pytest.mark.parametrize("late", [0, 1])
def test_wait_until_out_of_time_looks_once_more(late: int) -> None:
    steps = [
        {"wait": "cond", "until": "n", "timeout": "m", "into": "x"},
        {"write": "m", "value": "x"},
    ]
    program = build(steps)
    machine = program.machine(0)
    assert show(program, machine.begin()) == "read m"
    assert show(program, machine.resume(2)) == "read n"
    op = machine.resume(0)
    assert op is not None and (NAMES[op.kind], op.timeout, op.soft) == ("wait", 2, True)
    assert show(program, machine.resume(False)) == "read n"
    assert show(program, machine.resume(late)) == f"write m {bool(late)}"


def test_wait_set_clear_notify() -> None:
    steps = [{"set": "event"}, {"clear": "event"}, {"wait": "event", "timeout": 1, "into": "x"}]
    assert final(steps, None, None, False, expr="x") == "False"
    assert drive([{"notify": "cond"}])[0] == ["notify cond 1", None]
    assert drive([{"notify": "cond", "n": -1}])[0] == ["notify cond 0", None]


def test_put_and_get() -> None:
    op = first([{"put": "queue", "value": "[1, [2]]", "timeout": 3, "into": "x"}])
    assert (op.value, op.timeout, op.soft) == ([1, [2]], 3, True)
    steps = [{"put": "queue", "value": 1, "blocking": False, "into": "x"}]
    assert final(steps, False, expr="x") == "False"
    assert failure([{"put": "queue", "value": 1, "blocking": False}], False).message == (
        "Full: queue is full"
    )
    tried = {"get": "queue", "blocking": False, "into": "x", "got": "y"}
    assert final([tried], EMPTY, expr="[x, y]") == "[None, False]"
    assert final([{"let": {"x": 1}}, tried], EMPTY, expr="[x, y]") == "[1, False]"
    assert final([tried], 7, expr="[x, y]") == "[7, True]"
    assert final([{"get": "queue", "into": "x", "got": "y"}], 7, expr="[x, y]") == "[7, True]"
    error = failure([{"get": "queue", "timeout": 1, "into": "x"}], EMPTY)
    assert (error.failure, error.message) == ("error", "Empty: queue is empty")


def test_sleep_and_checkpoint() -> None:
    assert drive([{"sleep": "0.5 * (index + 1)"}, "checkpoint"])[0] == [
        "sleep 0.5", "checkpoint", None,
    ]  # fmt: skip


def test_spawn_join_cancel() -> None:
    asked, _ = drive([{"spawn": "helper"}, {"cancel": "helper[1]"}, {"spawn": "single"}])
    assert asked == [
        "spawn helper[0]", "spawn helper[1]", "spawn helper[2]", "cancel helper[1]",
        "spawn single", None,
    ]  # fmt: skip
    steps = [{"join": "helper", "timeout": 1, "into": "x"}]
    assert final(steps, True, True, True, expr="x") == "True"
    assert final(steps, True, False, True, expr="x") == "False"
    asked, _ = drive([{"let": {"i": 2}}, {"join": "helper[i]"}])
    assert asked == ["join helper[2]", None]
    assert failure([{"let": {"i": 3}}, {"spawn": "helper[i]"}]).message.startswith("IndexError")


def test_crash_and_call() -> None:
    assert first(["crash"]).kind == ops.CRASH
    program = build(
        [{"call": "mod:fn", "args": ["n", 2], "into": "x"}, {"write": "n", "value": "x"}]
    )
    machine = program.machine(0)
    machine.begin()
    op = machine.resume(1)
    assert op is not None and (op.kind, op.value, op.body) == (ops.CALL, [1, 2], "mod:fn")
    assert show(program, machine.resume(9)) == "write n 9"
    machine = program.machine(0)
    machine.begin()
    machine.resume(1)
    with pytest.raises(StepFailure, match="a object is no value of the language"):
        machine.resume(object())


def test_work_takes_time_only_when_busy() -> None:
    program = build([{"work": 2_000}])

    def lines(busy: bool) -> int:
        """How many lines of Python are run: a measure of work that no clock disturbs."""
        count = 0

        def trace(*_: object) -> object:
            nonlocal count
            count += 1
            return trace

        before = sys.gettrace()
        sys.settrace(trace)  # type: ignore[arg-type]
        try:
            program.machine(0, busy=busy).begin()
        finally:
            sys.settrace(before)
        return count

    assert lines(busy=False) < 200
    assert lines(busy=True) > 2_000
    with pytest.raises(LimitReached):
        build([{"work": 2e9}]).machine(0).begin()


# --- loops -----------------------------------------------------------------------------------
def test_repeat_evaluates_its_count_once() -> None:
    asked, _ = drive([{"repeat": "m - 3", "index": "i", "do": [{"write": "m", "value": "i"}]}])
    assert asked == ["read m", "write m 0", "write m 1", None]
    assert "TypeError" in failure([{"repeat": 1.5, "do": ["checkpoint"]}]).message
    assert "TypeError" in failure([{"repeat": 1.5, "do": []}]).message
    assert drive([{"repeat": -1, "do": ["checkpoint"]}])[0] == [None]


def test_break_and_continue() -> None:
    body = [{"if": "i == 1", "then": ["continue"]}, {"if": "i == 3", "then": ["break"]}]
    seen = {"write": "n", "value": "i"}
    asked, _ = drive([{"repeat": 9, "index": "i", "do": [*body, seen]}])
    assert asked == ["write n 0", "write n 2", None]
    quiet = {"let": {"t": "t + i"}}
    loop = {"repeat": 9, "index": "i", "do": [*body, quiet]}
    assert final([{"let": {"t": 0}}, loop], expr="[t, i]") == "[2, 3]"


def test_while_reads_in_every_round() -> None:
    steps = [{"while": "n < 2", "do": [{"write": "n", "value": "n + 1"}]}]
    assert drive(steps)[0] == [
        "read n", "read n", "write n 1", "read n", "read n", "write n 2", "read n", None,
    ]  # fmt: skip


def test_a_million_rounds_are_shallow() -> None:
    program = build([{"repeat": 1_000_000, "do": [{"let": {"x": 1}}]}])
    assert program.machine(0).begin() is None
    # A loop with a visible step in it that never comes: each round is a jump.
    jumping = [{"let": {"x": 0}}, {"repeat": 200_000, "do": [{"if": "x", "then": ["checkpoint"]}]}]
    assert build(jumping).machine(0).begin() is None
    program = build([{"repeat": 100_000, "do": [{"write": "n", "value": 1}]}])
    machine = program.machine(0)
    rounds = 0
    op = machine.begin()
    while op is not None:
        rounds += 1
        op = machine.resume(None)
    assert rounds == 100_000


@pytest.mark.parametrize(
    "steps",
    [
        [{"while": True, "do": []}],
        [{"repeat": 10**30, "do": [{"let": {"x": 1}}]}],
        [{"repeat": 2000, "do": [{"repeat": 2000, "do": [{"let": {"x": 1}}]}]}],
        [{"let": {"x": 0}}, {"while": True, "do": [{"if": "x", "then": ["checkpoint"]}]}],
        [{"try": [{"while": True, "do": []}], "finally": ["checkpoint"]}],
    ],
)
def test_loops_without_a_visible_step_run_out_of_fuel(steps: list[Any]) -> None:
    with pytest.raises(LimitReached, match="100,000 rounds"):
        build(steps, fuel=100_000).machine(0).begin()


@pytest.mark.parametrize("body", [1, 60])
@pytest.mark.parametrize("jumps", [True, False])
def test_the_clock_is_looked_at_now_and_then(
    body: int, jumps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []
    monkeypatch.setattr(rounds, "monotonic", lambda: looks.append(0.0) or 0.0)
    do: list[Any] = [{"let": {"x": 1}}] * body
    if jumps:  # a loop that is left and entered by its segments
        do.append({"if": "x == 0", "then": ["checkpoint"]})
    with rounds.rounds_until(1e9, "much later"):
        assert build([{"repeat": 50_000, "do": do}]).machine(0).begin() is None
    lines = 50_000 * body
    assert lines / rounds.WORK <= len(looks) <= 30 + 60 * lines / rounds.WORK


def test_rounds_end_with_the_time_there_is() -> None:
    endless = build([{"while": True, "do": []}])
    with rounds.rounds_until(0.0, "the time is up"):
        with pytest.raises(LimitReached, match="the time is up"):
            endless.machine(0).begin()
        with rounds.rounds_until(1e9, "much later"), pytest.raises(LimitReached, match="is up"):
            endless.machine(0).begin()
        with rounds.rounds_until(None, ""):
            rounds.no_more_rounds("at once")
            with pytest.raises(LimitReached, match="at once"):
                endless.machine(0).begin()
        assert rounds.seconds_left() == 0
    rounds.look()
    assert rounds.seconds_left() > 1e9


def test_fuel_is_for_the_way_between_two_visible_steps() -> None:
    body = ["checkpoint", {"repeat": 600, "do": [{"let": {"x": 1}}]}]
    machine = build([{"repeat": 50, "do": body}], fuel=1000).machine(0)
    op, steps = machine.begin(), 0
    while op is not None:
        op, steps = machine.resume(None), steps + 1
    assert steps == 50  # 30,000 rounds of the inner loop, no more than 600 on the way to a step


# --- ways out of blocks ----------------------------------------------------------------------
LEAVING: list[Any] = [
    ({"write": "n", "value": 1}, None),
    ("stop", None),
    ({"fail": "x"}, StepFailure),
    ({"let": {"y": "1 / 0"}}, StepFailure),
]


@pytest.mark.parametrize(("step", "error"), LEAVING)
def test_with_releases_however_it_is_left(step: Any, error: type[Exception] | None) -> None:
    program = build([{"with": "pair[n]", "do": [{"with": "lock", "do": [step]}]}])
    machine = program.machine(0)
    asked = []
    go: Callable[[], Op | None] = machine.begin
    try:
        while (op := go()) is not None:
            asked.append(show(program, op))
            go = lambda: machine.resume(1)  # noqa: E731
    except StepFailure as raised:
        assert error is StepFailure and raised.at == "workers.w.steps[0].do[0].do[0]"
    else:
        assert error is None
    assert asked[:3] == ["read n", "acquire pair[1]", "acquire lock"]
    assert asked[-2:] == ["release lock 1", "release pair[1] 1"]


def test_break_releases_on_its_way_out_of_a_loop() -> None:
    inside = [{"with": "lock", "do": [{"try": ["break"], "finally": ["checkpoint"]}]}]
    asked, _ = drive([{"repeat": 3, "do": inside}, {"write": "n", "value": 1}])
    assert asked == ["acquire lock", "checkpoint", "release lock 1", "write n 1", None]
    inside = [{"with": "lock", "do": [{"if": "m == 5", "then": ["continue"]}, "crash"]}]
    asked, _ = drive([{"repeat": 2, "do": inside}])
    assert asked == ["acquire lock", "read m", "release lock 1"] * 2 + [None]


def test_an_error_thrown_at_an_op_unwinds_the_blocks_around_it() -> None:
    program = build(
        [{"try": [{"with": "lock", "do": ["checkpoint"]}], "finally": [{"set": "event"}]}]
    )
    machine = program.machine(0)
    machine.begin()
    assert show(program, machine.resume(True)) == "checkpoint"
    error = StepFailure("error", "RuntimeError: x", "there")
    assert show(program, machine.throw(error)) == "release lock 1"
    assert show(program, machine.resume(None)) == "set event"
    with pytest.raises(StepFailure) as caught:
        machine.resume(None)
    assert caught.value is error
    assert machine.resume(None) is None


def test_an_acquire_that_fails_has_nothing_to_release() -> None:
    machine = build([{"with": "lock", "do": ["checkpoint"]}]).machine(0)
    machine.begin()
    with pytest.raises(Cancelled):
        machine.throw(Cancelled())


def test_a_later_error_replaces_the_earlier_one() -> None:
    error = failure([{"try": [{"fail": "one"}], "finally": [{"fail": "two"}]}])
    assert error.message == "two"
    second = StepFailure("error", "RuntimeError: release", "x")
    assert failure([{"with": "lock", "do": [{"fail": "one"}]}], True, second) is second
    assert failure([{"with": "lock", "do": []}], True, second) is second


def test_stop_in_finally_forgets_the_error() -> None:
    assert drive([{"try": [{"fail": "one"}], "finally": ["stop"]}])[0] == [None]


def test_timeout_block() -> None:
    steps = [
        {"timeout": "m", "into": "x", "do": [{"with": "lock", "do": [{"sleep": 9}]}]},
        {"write": "n", "value": "x"},
    ]
    program = build(steps)
    machine = program.machine(0)
    assert show(program, machine.begin()) == "read m"
    assert machine.scopes == ()
    assert show(program, machine.resume(2)) == "acquire lock"
    assert machine.scopes == ((1, 2, "workers.w.steps[0]"),)
    assert show(program, machine.resume(True)) == "sleep 9"
    other = machine.copy()
    assert show(program, machine.throw(ScopeExpired(1))) == "release lock 1"
    assert show(program, machine.resume(None)) == "write n False"
    assert machine.scopes == ()
    assert show(program, other.resume(None)) == "release lock 1"
    assert show(program, other.resume(None)) == "write n True"


def test_timeout_blocks_nest_and_are_new_each_time() -> None:
    inside = [{"timeout": 5, "into": "y", "do": ["checkpoint"]}]
    program = build([{"repeat": 2, "do": [{"timeout": 3, "into": "x", "do": inside}]}])
    machine = program.machine(0)
    machine.begin()
    at = "workers.w.steps[0].do[0]"
    assert machine.scopes == ((1, 3, at), (2, 5, f"{at}.do[0]"))
    machine.throw(ScopeExpired(1))
    assert [scope.uid for scope in machine.scopes] == [3, 4]
    assert machine.throw(ScopeExpired(4)) is None
    machine = program.machine(0)
    machine.begin()
    with pytest.raises(Cancelled):
        machine.throw(Cancelled())


# --- atomic ----------------------------------------------------------------------------------
def test_atomic_is_one_step() -> None:
    inside = [
        {"read": "n", "into": "x"},
        {"if": "x < m", "then": [{"write": "a[x]", "value": "a[1] + x"}], "else": []},
        {"let": {"y": "x + 1"}},
        {"write": "n", "value": "y"},
    ]
    asked, _ = drive([{"atomic": inside}, {"write": "m", "value": "y"}])
    assert asked == ["atomic", "write m 1", None, "[1, 1, 20, 20, 30]"]


def test_atomic_footprint_and_rehearsal() -> None:
    steps = [{"let": {"x": 1}}, {"atomic": [{"write": "a[x]", "value": "n"}, {"let": {"x": 9}}]}]
    program = build([*steps, {"write": "m", "value": "x"}])
    machine = program.machine(0)
    op = machine.begin()
    assert op is not None and op.kind == ops.ATOMIC and op.at == "workers.w.steps[1]"
    assert op.body.touches == {number(program, name) for name in ("n", "a[0]", "a[1]", "a[2]")}
    written: dict[int, Any] = {}
    op.body.rehearse(lambda target: 4, written.__setitem__)
    assert written == {number(program, "a[1]"): 4}
    other = machine.copy()
    theirs = other.rebind(op)
    op.body.run(lambda target: 4, written.__setitem__)
    assert show(program, machine.resume(None)) == "write m 9"
    assert show(program, other.resume(None)) == "write m 1"  # nothing ran for it
    assert theirs.body.touches == op.body.touches


def test_a_failure_inside_atomic_comes_when_the_machine_goes_on() -> None:
    inside = [{"write": "n", "value": 1}, {"assert": "n == m"}]
    program = build([{"with": "lock", "do": [{"atomic": inside}]}])
    machine = program.machine(0)
    machine.begin()
    op = machine.resume(True)
    assert op is not None
    values = [0, 5, 0, 0, 0]
    op.body.rehearse(values.__getitem__, lambda target, value: None)
    assert op.body.failure.message == "n == m is false: n is 0, m is 5"
    op.body.run(values.__getitem__, values.__setitem__)
    assert values[0] == 1
    assert show(program, machine.resume(None)) == "release lock 1"
    with pytest.raises(StepFailure) as caught:
        machine.resume(None)
    assert caught.value.message == "n == m is false: n is 1, m is 5"
    assert caught.value.at == "workers.w.steps[0].do[0].atomic[1]"


def test_an_error_of_the_backend_inside_atomic_is_not_the_workers() -> None:
    op = first([{"atomic": [{"read": "n"}]}])

    def broken(target: int) -> Any:
        raise KeyError("backend")

    with pytest.raises(KeyError):
        op.body.run(broken, lambda target, value: None)


# --- copies and keys -------------------------------------------------------------------------
def test_keys_tell_values_and_positions_apart() -> None:
    program = build([{"read": "n", "into": "x"}, {"write": "n", "value": "x + 1"}, "checkpoint"])

    def after(*results: Any) -> Any:
        machine = program.machine(0)
        machine.begin()
        for result in results:
            machine.resume(result)
        return machine.key()

    assert after(1) == after(1)
    distinct = [after(), after(1), after(1.0), after(True), after(0.0), after(-0.0), after(1, None)]
    assert len(set(distinct)) == len(distinct)
    program = build([{"write": "n", "value": "n + 1"}])
    one, two = program.machine(0), program.machine(0)
    one.begin(), two.begin()
    assert one.key() == two.key()
    one.resume(1), two.resume(2)  # the value only lives in the pending op
    assert one.key() != two.key()


def test_machines_of_two_workers_have_different_keys() -> None:
    program = build(["checkpoint"], count=2)
    keys = []
    for worker in (0, 1):
        machine = program.machine(worker)
        assert machine.worker == worker
        machine.begin()
        keys.append(machine.key())
    assert keys[0] != keys[1]


# --- bounds ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "steps",
    [
        [{"let": {"x": 3}}, {"repeat": 60, "do": [{"let": {"x": "x * x"}}]}],
        [{"let": {"x": "'a'"}}, {"repeat": 60, "do": [{"let": {"x": "x + x"}}]}],
        [{"let": {"x": "[1]"}}, {"repeat": 60, "do": [{"let": {"x": "[x, x]"}}]}],
        [{"let": {"x": "[1]"}}, {"repeat": 60, "do": [{"let": {"x": "[x]"}}]}],
        [{"let": {"x": "'a' * 1000000 * 1000000"}}],
        [{"let": {"x": "1000000 * [1] * m * 1000"}}],
        [{"let": {"x": "int('9' * 100000)"}}],
        [{"let": {"x": "round(5, -1000000000)"}}],
        [{"write": "n", "value": "0x" + "f" * 5000}],
        [{"put": "queue", "value": "[m] * 2000000"}],
    ],
)
def test_values_do_not_grow_without_bound(steps: list[Any]) -> None:
    error = failure(steps)
    assert error.failure == "error" and error.message.startswith("value too large")


@pytest.mark.parametrize("expr", ["'%1000000000d' % 5", "sum([[1]], [])", "m % 'a'"])
def test_what_would_take_for_ever_is_an_error(expr: str) -> None:
    assert failure([{"let": {"x": expr}}]).message.startswith("TypeError")


def test_deep_and_long_programs_compile() -> None:
    block: list[Any] = [{"let": {"x": 1}}]
    visible: list[Any] = ["checkpoint"]
    for _ in range(45):
        block = [{"repeat": 1, "do": [{"if": "index == 0", "then": block}]}]
        visible = [{"with": "lock", "do": [{"while": True, "do": [*visible, "break"]}]}]
    assert build(block).machine(0).begin() is None
    machine = build(visible).machine(0)
    op, steps = machine.begin(), 0
    while op is not None:
        steps += 1
        op = machine.resume(True)
    assert steps == 91
    branches = [{"if": "x", "then": ["checkpoint"], "else": ["stop"]}] * 2000
    machine = build([{"let": {"x": 1}}, *branches]).machine(0)
    assert machine.begin() is not None
    deep = ["-" * 98 + "n", "abs(" * 95 + "n" + ")" * 95, " + ".join(["n"] * 95)]
    for expr in deep:
        assert drive([{"write": "m", "value": expr}])[0][-2] == "write m 0"


# --- conditions on the whole state -----------------------------------------------------------
def test_checks() -> None:
    program = build([], always=["n + a[1] < m * 10", True], **{"finally": ["sum(a) == 60"]})
    one, two = program.always
    (last,) = program.finally_
    assert (one.at, two.at, last.at) == ("always[0]", "always[1]", "finally[0]")
    values = list(program.layout.initial)
    assert one.holds(values) and two.holds(values) and last.holds(values)
    values[0] = 30
    assert one.holds(values) is False
    assert one.explain(values) == "n + a[1] < m * 10 is false: n is 30, a[1] is 20, m is 5"
    values[2] = 0
    assert last.explain(values) == "sum(a) == 60 is false: a is [0, 20, 30]"


def test_a_check_that_cannot_be_evaluated() -> None:
    (check,) = build([], always=["a[n] / m > 0"]).always
    for values in ([0, 0, 1, 1, 1], [9, 1, 1, 1, 1]):
        with pytest.raises(StepFailure) as caught:
            check.holds(values)
        assert (caught.value.failure, caught.value.at) == ("error", "always[0]")
        assert check.explain(values).startswith("a[n] / m > 0 is false")


def test_rounds_of_several_searches_keep_their_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """However they come and go, and in threads that run machines of one of them."""
    thread = 1
    monkeypatch.setattr(rounds, "get_ident", lambda: thread)
    one, other = rounds.rounds_until(0.0, "of one"), rounds.rounds_until(1e9, "of the other")
    one.__enter__()
    bound = rounds.rounds_here()
    with pytest.raises(LimitReached, match="of one"):
        rounds.look()
    thread = 2
    rounds.look()
    other.__enter__()
    with rounds.SharedRounds(bound):  # it runs a machine of the first for once
        with pytest.raises(LimitReached, match="of one"):
            rounds.look()
        rounds.no_more_rounds("interrupted")
    rounds.look()
    thread = 1
    with pytest.raises(LimitReached, match="interrupted"):
        rounds.look()
    one.__exit__(None, None, None)
    rounds.look()
    assert rounds.seconds_left() == math.inf
    thread = 2
    assert rounds.seconds_left() < 1e10
    other.__exit__(None, None, None)
    assert not rounds._rounds
