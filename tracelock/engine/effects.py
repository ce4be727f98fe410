"""What an op does to the shared variables: one definition for the model and for real values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracelock.ops import COMPARE_EXCHANGE, EXCHANGE, Op, Raised, Value, added, same

Execute = Callable[[Callable[[int], Value], Callable[[int, Value], None]], Any]


def modified(op: Op, old: Value) -> tuple[Value, Value, bool]:
    """A compare_exchange, exchange or fetch_add of a variable that holds ``old``.

    Its result, what it leaves in the variable, and whether it wrote.
    """
    if op.kind == COMPARE_EXCHANGE:
        exchanged = same(old, op.expect)
        return exchanged, op.value if exchanged else old, exchanged
    if op.kind == EXCHANGE:
        return old, op.value, True
    new = added(old, op.value)
    return (new, old, False) if new.__class__ is Raised else (old, new, True)


def change(op: Op, values: list[Value]) -> Value:
    """Do such an op on ``values``; its result."""
    result, values[op.target], _ = modified(op, values[op.target])
    return result


def read_and_written(
    execute: Execute, first: Callable[[int], Value]
) -> tuple[dict[int, Value], dict[int, Value]]:
    """Execute an atomic step's body: what it read before it wrote it, and what it wrote.

    ``execute`` is the body's ``run``, or its ``rehearse`` for the model; ``first(number)`` gives
    the value that a variable has before the step.
    """
    reads: dict[int, Value] = {}
    writes: dict[int, Value] = {}

    def read(number: int) -> Value:
        if number in writes:
            return writes[number]
        if number not in reads:
            reads[number] = first(number)
        return reads[number]

    execute(read, writes.__setitem__)
    return reads, writes


def run_atomic(execute: Execute, values: list[Value]) -> dict[str, dict[int, Value]]:
    """The same on ``values``, which it changes: ``{"reads": {id: first value}, "writes": ...}``."""
    reads, writes = read_and_written(execute, values.__getitem__)
    for number, value in writes.items():
        values[number] = value
    return {"reads": reads, "writes": writes}
