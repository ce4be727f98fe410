"""What an op does to shared variables, and what it raises: one definition for model and reality."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tracelock.errors import StepFailure
from tracelock.ops import (
    ATOMIC,
    COMPARE_EXCHANGE,
    EMPTY,
    EXCHANGE,
    READ,
    WRITE,
    Layout,
    Op,
    Raised,
    Value,
    added,
    same,
)

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


def perform(op: Op, values: list[Value]) -> Value:
    """Do any op on variables on ``values``; its result."""
    kind = op.kind
    if kind == READ:
        return values[op.target]
    if kind == WRITE:
        values[op.target] = op.value
        return None
    return run_atomic(op.body.run, values) if kind == ATOMIC else change(op, values)


# --- results between processes ---------------------------------------------------------------
#: How a result that is an exception, or "empty", is marked: no JSON value is a tuple.
_RAISED_MARK: Final = "raised"
_EMPTY_MARK: Final = ("empty",)


def wrap(result: Value) -> Value:
    """A result as marshal can carry it."""
    if result.__class__ is Raised:
        return (_RAISED_MARK, result.kind, result.message)
    return _EMPTY_MARK if result is EMPTY else result


def unwrap(result: Value) -> Value:
    """The inverse of ``wrap``."""
    if result.__class__ is tuple:
        return EMPTY if result == _EMPTY_MARK else Raised(result[1], result[2])
    return result


# --- exceptions ------------------------------------------------------------------------------
def raised(error: BaseException) -> Raised:
    """An exception of a real object, or of a called function, as the result of its op."""
    return Raised(type(error).__name__, str(error))


def op_failure(result: Raised, op: Op) -> StepFailure:
    """The failure with which ``op`` ends in its worker, whose result is ``result``."""
    return StepFailure("error", f"{result.kind}: {result.message}", op.at)


def started_before(layout: Layout, worker: int) -> Raised:
    """The result of a spawn of a worker that runs or has ended."""
    return Raised("RuntimeError", f"{layout.workers[worker].name} has been started before")
