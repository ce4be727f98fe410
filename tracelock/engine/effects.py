"""What an op does to the shared variables: one definition for the model and for real values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracelock.ops import COMPARE_EXCHANGE, EXCHANGE, Op, Raised, Value, added


def same(a: Value, b: Value) -> bool:
    """Equality of JSON values: like Python's, but 1 and True are not the same."""
    return bool(a == b) and (a is b or (a.__class__ is bool) == (b.__class__ is bool))


def change(op: Op, values: list[Value]) -> Value:
    """Do a compare_exchange, exchange or fetch_add on ``values``; its result."""
    target = op.target
    old = values[target]
    if op.kind == COMPARE_EXCHANGE:
        if not same(old, op.expect):
            return False
        values[target] = op.value
        return True
    new = op.value if op.kind == EXCHANGE else added(old, op.value)
    if new.__class__ is Raised:
        return new
    values[target] = new
    return old


def run_atomic(
    execute: Callable[[Callable[[int], Value], Callable[[int, Value], None]], Any],
    values: list[Value],
) -> dict[str, dict[int, Value]]:
    """Execute an atomic step's body on ``values``: ``{"reads": {id: first value}, "writes": ...}``.

    ``execute`` is the body's ``run``, or its ``rehearse`` for the model.
    """
    reads: dict[int, Value] = {}
    writes: dict[int, Value] = {}

    def read(number: int) -> Value:
        value = values[number]
        if number not in writes:
            reads.setdefault(number, value)
        return value

    def write(number: int, value: Value) -> None:
        writes[number] = values[number] = value

    execute(read, write)
    return {"reads": reads, "writes": writes}
