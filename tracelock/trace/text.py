"""JSON as a trace has it: values on one line each, and the head of the document."""

from __future__ import annotations

from json import JSONEncoder
from typing import Any

from tracelock.errors import TraceError

__all__ = ["dumps", "encode", "header_text", "visible"]

_plain = JSONEncoder(ensure_ascii=False, allow_nan=False)
_sorted = JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True)


def dumps(value: Any, what: str, *, canonical: bool = False) -> str:
    """``value`` as JSON on one line; a TraceError that names ``what`` where JSON cannot."""
    try:
        return (_sorted if canonical else _plain).encode(value)
    except (TypeError, ValueError, RecursionError) as problem:
        raise TraceError(f"{what} cannot be written as JSON: {problem}") from None


def encode(text: str) -> bytes:
    """UTF-8. A lone surrogate, which UTF-8 has no place for, becomes JSON's own escape."""
    return text.encode("utf-8", "backslashreplace")


def visible(text: str) -> str:
    """A document as people may be shown it: what a terminal would obey, or nobody would see, is
    written as JSON and most other languages do (``\\u009b``); it stands within texts only."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in "\n\t" else _plain_ascii(char) for char in text
    )


def _plain_ascii(char: str) -> str:
    return JSONEncoder().encode(char)[1:-1]


def header_text(header: dict[str, Any]) -> str:
    """The head of the document up to and with the opening of ``events``, one key a line."""
    lines = [f"{dumps(key, 'a key')}: {dumps(value, key)}" for key, value in header.items()]
    return "{" + ",\n ".join(lines) + ',\n "events": ['
