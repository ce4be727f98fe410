"""Single instructions: where they stand, what they access, who handles what they raise."""

from __future__ import annotations

import dis
import sys
import types
from dataclasses import dataclass

from tracelock.interpreter.expressions import Span
from tracelock.interpreter.tables import ACCESSES, TRUTH_JUMPS


@dataclass(frozen=True)
class Access:
    """One access: ``how`` is read, write or call; ``what`` it is of (attribute, item, ...)."""

    offset: int
    how: str
    what: str
    name: str
    span: Span | None


#: What an operation is called in a sentence.
WORDS = {
    "attribute": "reading or writing the attribute", "item": "the subscript",
    "operator": "the operator", "compare": "the comparison", "contains": "the search by 'in'",
    "truth": "the truth test", "iterate": "beginning an iteration", "next": "the iterator",
    "unpack": "the unpacking", "spread": "the unpacking", "format": "the formatting",
    "build": "hashing a key", "enter": "entering 'with'", "unary": "the operator",
    "await": "what is awaited", "match": "the match", "super": "super()",
}  # fmt: skip


def what_of(one: dis.Instruction) -> str:
    if one.opname == "BINARY_OP" and one.argrepr == "[]":  # 3.14 has no BINARY_SUBSCR
        return "item"
    return ACCESSES[one.opname][1]


def span_at(one: dis.Instruction) -> Span | None:
    at = one.positions
    if at is None or at.lineno is None or at.end_lineno is None:
        return None
    if at.col_offset is None or at.end_col_offset is None:
        return None
    return at.lineno, at.end_lineno, at.col_offset, at.end_col_offset


def access_of(one: dis.Instruction) -> Access | None:
    # before 3.13 the jump itself asks a value whether it is true; since then it gets a bool
    if one.opname in TRUTH_JUMPS and sys.version_info < (3, 13):
        return Access(one.offset, "read", "truth", "", span_at(one))
    if one.opname not in ACCESSES:
        return None
    how = ACCESSES[one.opname][0]
    return Access(one.offset, how, what_of(one), one.argrepr, span_at(one))


def handlers_of(code: types.CodeType) -> list[tuple[int, int, int]]:
    """(first, end, handler) of the exception table: ``Objects/exception_handling_notes.txt``."""
    numbers = iter(code.co_exceptiontable)

    def varint(first: int) -> int:
        value = first & 63
        while first & 64:
            first = next(numbers)
            value = value << 6 | first & 63
        return value

    found = []
    for byte in numbers:
        start = varint(byte) * 2
        length = varint(next(numbers)) * 2
        target = varint(next(numbers)) * 2
        varint(next(numbers))  # the depth of the stack
        found.append((start, start + length, target))
    return found


def innermost(handlers: list[tuple[int, int, int]], offset: int) -> int | None:
    inside = [entry for entry in handlers if entry[0] <= offset < entry[1]]
    return min(inside, key=lambda entry: entry[1] - entry[0])[2] if inside else None
