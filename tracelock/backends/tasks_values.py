"""Real values of tasks: shared variables, and whether a result is the one that was foretold."""

from __future__ import annotations

import contextlib
from collections.abc import Coroutine
from typing import Any

from tracelock.engine.controller import same
from tracelock.ops import COMPARE_EXCHANGE, EMPTY, EXCHANGE, Op, Raised, Value


def agree(real: Value, model: Value) -> bool:
    """Whether a real result is the one that the model gave."""
    if real.__class__ is Raised or model.__class__ is Raised:
        return bool(real == model)
    if real is EMPTY or model is EMPTY:
        return real is model
    return same(real, model)


def exchange(op: Op, kind: int, values: list[Value]) -> Value:
    """A read-modify-write of a shared variable."""
    old = values[op.target]
    if kind == EXCHANGE:
        values[op.target] = op.value
        return old
    if kind == COMPARE_EXCHANGE:
        if not same(old, op.expect):
            return False
        values[op.target] = op.value
        return True
    try:
        values[op.target] = old + op.value
    except TypeError as error:
        return Raised("TypeError", str(error))
    return old


def run_atomic(op: Op, values: list[Value]) -> dict[str, dict[int, Value]]:
    """Run an ``atomic`` step on ``values``; the same form as the controller's rehearsal."""
    reads: dict[int, Value] = {}
    writes: dict[int, Value] = {}

    def read(number: int) -> Value:
        value = values[number]
        if number not in writes:
            reads.setdefault(number, value)
        return value

    def write(number: int, value: Value) -> None:
        writes[number] = values[number] = value

    op.body.run(read, write)
    return {"reads": reads, "writes": writes}


def abandon(work: Coroutine[Any, Any, Any]) -> None:
    """Close a coroutine that is in the middle of something.

    A condition's wait takes its lock back on the way out, which may suspend it again, or fail.
    """
    for _ in range(3):
        with contextlib.suppress(Exception):
            work.close()
            return
