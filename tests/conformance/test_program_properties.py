"""Compiled workers against a plain generator that means the same, on random programs."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.amount import amount
from tests.oracles.reference_worker import Reference
from tracelock import ops
from tracelock.errors import Cancelled, ScopeExpired, StepFailure
from tracelock.ops import EMPTY, NAMES, Op
from tracelock.scenario.language.models import Scenario
from tracelock.scenario.program import Machine, Program

LIMIT = 60  # ops of one worker
PROFILE = settings(derandomize=True, deadline=None, max_examples=amount(60, 200), database=None)

SHARED = {"n": 1, "text": "ab", "flag": True, "a": [1, 2, 3], "long": [5, 4, 3, 2, 1, 0]}
OBJECTS: dict[str, Any] = {"lock": "lock", "pair": {"type": "lock", "count": 2}, "q": "queue"}

# --- expressions -----------------------------------------------------------------------------
ATOMS = [
    "0", "1", "2", "-1", "2.5", "true", "null", "'ab'", "[1, 2]", "x", "x", "y", "s", "b", "l",
    "index", "count", "n", "n", "text", "flag", "a[0]", "a[1 - index]", "a[x]", "a[n]", "a",
    "long", "len(a)", "len(long)", "unknown",
]  # fmt: skip


def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def two(form: str) -> st.SearchStrategy[str]:
        return st.tuples(inner, inner).map(lambda pair: form.format(*pair))

    def three(form: str) -> st.SearchStrategy[str]:
        return st.tuples(inner, inner, inner).map(lambda parts: form.format(*parts))

    forms = [f"({{}} {op} {{}})" for op in ("+", "-", "*", "/", "//", "%")]
    compared = [f"({{}} {op} {{}})" for op in ("==", "!=", "<", "<=", ">", ">=", "in", "not in")]
    calls = ["min({}, {})", "max({}, {})", "[{}, {}]", "({} and {})", "({} or {})", "{}[{}]"]
    chains = ["({} < {} <= {})", "({} if {} else {})", "({} and {} or {})", "({} == {} != {})"]
    single = ["(not {})", "(-{})", "len({})", "abs({})", "int({})", "bool({})", "sum({})"]
    return st.one_of(
        st.sampled_from(forms).flatmap(two),
        st.sampled_from(compared).flatmap(two),
        st.sampled_from(calls).flatmap(two),
        st.sampled_from(chains).flatmap(three),
        st.tuples(st.sampled_from(single), inner).map(lambda pair: pair[0].format(pair[1])),
        inner.map(lambda text: f"(({text}) is null)"),
    )


expressions = st.recursive(st.sampled_from(ATOMS), grow, max_leaves=8)
READS = [0, 1, 2, -1, 1.5, True, False, None, "ab", ""]


def scenario(steps: list[Any], **more: Any) -> Scenario:
    return Scenario.model_validate(
        {
            "name": "random",
            "shared": SHARED,
            "objects": OBJECTS,
            "workers": {"w": {"count": 2, "steps": steps}},
            **more,
        }
    )


def asked(op: Op | None, machine: Machine) -> Any:
    if op is None:
        return None
    scopes = tuple((scope.uid, scope.seconds, scope.at) for scope in machine.scopes)
    return (
        op.kind, op.target, op.at, op.value, op.timeout, op.blocking, op.expect, op.soft, scopes,
    )  # fmt: skip


class Side:
    """What there is to compare of one way to execute a worker."""

    def __init__(self) -> None:
        self.log: list[Any] = []

    def note(self, what: Any) -> Any:
        """Record an op, or how the worker ended; types count (1 is not True)."""
        self.log.append(repr(what))
        return what


def play_reference(reference: Reference, actions: Any) -> tuple[Side, list[Any]]:
    """Run the generator with the results that ``actions`` gives; also returns those."""
    side, taken = Side(), []
    worker = reference.run()
    go: Any = lambda: next(worker)  # noqa: E731
    for _ in range(LIMIT):
        try:
            op = go()
        except StopIteration:
            side.note(None)
            break
        except (StepFailure, Cancelled, ScopeExpired) as error:
            side.note(ending(error))
            break
        side.note(op)
        action = actions(op)
        taken.append(action)
        if isinstance(action, BaseException):
            go = lambda error=action: worker.throw(error)  # noqa: E731
        else:
            go = lambda value=action: worker.send(value)  # noqa: E731
    reference.closed = True
    worker.close()
    return side, taken


def ending(error: BaseException) -> Any:
    if isinstance(error, StepFailure):
        message = error.message if error.failure == "error" else ""
        if "NameError" in message:
            message = "NameError"
        return ("failure", error.failure, error.at, message)
    return ("thrown", type(error).__name__, getattr(error, "uid", None))


def play_machine(
    machine: Machine, taken: list[Any], memory: Any = None, copy_at: int = -1
) -> tuple[Side, list[Any], Any]:
    """Run the machine with the same actions; also gives back its keys, and a copy made on the
    way with its pending op."""
    side = Side()
    keys: list[Any] = []
    other = None
    go: Any = machine.begin
    for place in range(len(taken) + 1):
        try:
            op = go()
        except (StepFailure, Cancelled, ScopeExpired) as error:
            side.note(ending(error))
            break
        side.note(asked(op, machine))
        keys.append(machine.key())
        if place == copy_at:
            other = machine.copy(), op
            assert other[0].key() == machine.key()
        if op is None or place == len(taken):
            break
        go = step_on(machine, op, taken[place], memory)
    return side, keys, other


def step_on(machine: Machine, op: Op, action: Any, memory: Any) -> Any:
    if isinstance(action, BaseException):
        return lambda: machine.throw(action)
    if op.kind == ops.ATOMIC:
        op.body.run(*memory)
    return lambda: machine.resume(action)


def compare(document: Scenario, actions: Any, copy_at: int, memory: Any = None) -> int:
    """Both ways agree on every op and on the end; so does a copy that goes on later."""
    program = Program(document)
    for worker in (0, 1):
        reference = Reference(program.layout, worker, document)
        reference.memory = memory() if memory else None
        expected, taken = play_reference(reference, actions)
        machine = program.machine(worker)
        where = min(copy_at, len(taken))
        got, keys, other = play_machine(machine, taken, memory() if memory else None, where)
        assert got.log[:LIMIT] == expected.log
        again, same, _ = play_machine(program.machine(worker), taken, memory() if memory else None)
        assert (again.log, same) == (got.log, keys)
        if other is not None:
            resumed = rest(other, taken[where:], memory() if memory else None)
            assert resumed == got.log[where + 1 :]
    return len(expected.log)


def rest(other: tuple[Machine, Op | None], taken: list[Any], memory: Any) -> list[Any]:
    """What a copy does from where it was made."""
    machine, op = other
    side = Side()
    for action in taken:
        if op is None:
            break
        go = step_on(machine, machine.rebind(op), action, memory)
        try:
            op = go()
        except (StepFailure, Cancelled, ScopeExpired) as error:
            side.note(ending(error))
            break
        side.note(asked(op, machine))
    return side.log


def answers(seed: int, throwing: float = 0.0) -> Any:
    """Results for ops, drawn as they come; now and then an error instead."""
    rng = random.Random(seed)

    def answer(op: Any) -> Any:
        kind, scopes = op[0], op[-1]
        if rng.random() < throwing:
            choices: list[BaseException] = [
                StepFailure("error", "RuntimeError: thrown", op[2]),
                Cancelled(),
            ]
            choices += [ScopeExpired(uid) for uid, _, _ in scopes] * 2
            return rng.choice(choices)
        if kind in (ops.READ, ops.FETCH_ADD):
            return rng.choice(READS)
        if kind == ops.ACQUIRE:
            return rng.random() < 0.7
        if kind == ops.GET:
            return rng.choice([EMPTY, 1, [2]])
        return None

    return answer


LOCALS = {"let": {"x": 1, "s": "'ab'", "b": "true", "l": "[1, 2]"}}


@PROFILE
@given(expressions, st.integers(0, 2**32), st.integers(0, 8))
def test_expression_reads_and_value(text: str, seed: int, copy_at: int) -> None:
    steps = [
        LOCALS,
        {"if": text, "then": [{"let": {"y": 2}}]},
        {"let": {"z": text}},
        {"release": "lock", "n": "1"},
        {"write": "n", "value": text},
    ]
    compare(scenario(steps), answers(seed), copy_at)


@PROFILE
@given(st.lists(expressions, min_size=3, max_size=3), st.integers(0, 2**32))
def test_expressions_of_one_step_in_order(texts: list[str], seed: int) -> None:
    one, two, three = texts
    steps = [
        LOCALS,
        {"fetch_add": f"a[{one}]", "by": two, "into": "x"},
        {"assert": three, "message": "no"},
        {"acquire": f"pair[{one}]", "into": "y"},
    ]
    compare(scenario(steps), answers(seed), seed % 5)


@PROFILE
@given(expressions, st.integers(0, 2**32))
def test_a_check_sees_what_a_worker_would_read(text: str, seed: int) -> None:
    rng = random.Random(seed)
    program = Program(scenario([], always=[text]))
    values = [rng.choice(READS) for _ in program.layout.initial]
    reference = Reference(program.layout, 0, scenario([]))
    reference.given = {}
    reference.reader = values.__getitem__
    (check,) = program.always
    try:
        worker = reference.expr(text)
        try:
            next(worker)
        except StopIteration as stop:
            expected: Any = bool(stop.value)
    except KeyError:  # a name that is no shared variable
        expected = StepFailure
    except Exception:
        expected = StepFailure
    try:
        got: Any = check.holds(values)
    except StepFailure as error:
        assert error.failure == "error"
        got = StepFailure
    assert got == expected
    if got is False:
        assert check.explain(values).startswith(f"{text} is false")


# --- steps -----------------------------------------------------------------------------------
SIMPLE = ["x", "x + 1", "n", "n + x", "a[x % 3]", "index", "not b", "x < 2", "flag and x", "true"]
tests = st.sampled_from(SIMPLE)


def leaves(looping: bool) -> st.SearchStrategy[Any]:
    basic = [
        tests.map(lambda e: {"let": {"x": f"int({e})"}}),
        tests.map(lambda e: {"let": {"b": e}}),
        tests.map(lambda e: {"write": "a[index]", "value": e}),
        st.just({"read": "n", "into": "x"}),
        st.just("checkpoint"),
        st.just({"acquire": "pair[index]", "blocking": False, "into": "b"}),
        st.just({"get": "q", "blocking": False, "into": "s", "got": "b"}),
        st.just({"get": "q", "blocking": False, "into": "x"}),
        tests.map(lambda e: {"assert": e}),
        st.just({"fail": "failed"}),
        st.just("stop"),
        st.just({"atomic": [{"read": "n", "into": "x"}, {"write": "n", "value": "x"}]}),
    ]
    if looping:
        basic += [st.just("break"), st.just("continue")] * 2
    return st.one_of(basic)


def blocks(depth: int, looping: bool, size: int = 4) -> st.SearchStrategy[list[Any]]:
    if depth == 0:
        return st.lists(leaves(looping), max_size=2)
    below = blocks(depth - 1, looping, 3)
    rounds = blocks(depth - 1, True, 3)
    step = st.one_of(
        leaves(looping),
        st.builds(lambda e, a, b: {"if": e, "then": a, "else": b}, tests, below, below),
        st.builds(lambda e, a: {"if": e, "then": a}, tests, below),
        st.builds(lambda e, a: {"while": e, "do": ["checkpoint", *a]}, tests, rounds),
        st.builds(lambda n, a: {"repeat": n, "do": a, "index": "i"}, st.integers(0, 3), rounds),
        st.builds(lambda a: {"repeat": "int(n == 1) + 1", "do": a}, rounds),
        st.builds(lambda a: {"with": "lock", "do": a}, below),
        st.builds(lambda a: {"with": "pair[1 - index]", "do": a}, below),
        st.builds(lambda a: {"with": "pair[n % 2]", "do": a}, below),
        st.builds(lambda a, b: {"try": a, "finally": b}, below, below),
        st.builds(lambda a: {"timeout": 2, "do": a, "into": "b"}, below),
    )
    return st.lists(step, max_size=size)


def memory() -> Any:
    return (lambda target: 1), (lambda target, value: None)


def bounded(actions: Any) -> Any:
    """Reads give whole numbers, so that most programs get far."""

    def answer(op: Any) -> Any:
        action = actions(op)
        return int(bool(action)) if op[0] == ops.READ and action in READS else action

    return answer


@PROFILE
@given(blocks(3, False), st.integers(0, 2**32), st.integers(0, 12))
def test_blocks(steps: list[Any], seed: int, copy_at: int) -> None:
    document = scenario([{"let": {"x": 1, "b": False, "s": 0}}, *steps])
    compare(document, bounded(answers(seed)), copy_at, memory)


@PROFILE
@given(blocks(3, False), st.integers(0, 2**32), st.integers(0, 12))
def test_blocks_unwound(steps: list[Any], seed: int, copy_at: int) -> None:
    document = scenario([{"let": {"x": 1, "b": False, "s": 0}}, *steps])
    compare(document, bounded(answers(seed, 0.15)), copy_at, memory)


def test_every_kind_of_op_has_a_name() -> None:
    assert len(NAMES) == ops.CHOOSE + 1
