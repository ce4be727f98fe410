"""What an op does to the variables."""

from __future__ import annotations

from tracelock.ops import (
    Op,
    Value,
)


def same(a: Value, b: Value) -> bool:
    """Equality of JSON values: like Python's, but 1 and True are not the same."""
    return bool(a == b) and (a is b or (a.__class__ is bool) == (b.__class__ is bool))


def rehearse(op: Op, values: list[Value]) -> dict[str, dict[int, Value]]:
    """Run an atomic step on the model's values: ``{"reads": {id: first value}, "writes": ...}``."""
    reads: dict[int, Value] = {}
    writes: dict[int, Value] = {}

    def read(number: int) -> Value:
        value = values[number]
        if number not in writes:
            reads.setdefault(number, value)
        return value

    def write(number: int, value: Value) -> None:
        writes[number] = values[number] = value

    op.body.rehearse(read, write)
    return {"reads": reads, "writes": writes}
