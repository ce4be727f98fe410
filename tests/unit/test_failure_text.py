"""What pytest is given to show of a failing test."""

from __future__ import annotations

import traceback

import pytest

from tracelock.pytest_plugin.failure_text import drop_what_has_no_line


def lineless() -> None:
    """A function none of whose instructions has a line."""
    raise ValueError("inside")


#: No location, for up to eight instructions each (CPython's InternalDocs/code_objects.md).
_NOWHERE = bytes([0x80 | 15 << 3 | 7])
_UNITS = len(lineless.__code__.co_code) // 2
lineless.__code__ = lineless.__code__.replace(co_linetable=_NOWHERE * (_UNITS // 8 + 1))


def outer() -> None:
    try:
        lineless()
    except ValueError as error:
        raise KeyError("outside") from error


def test_entries_without_a_line_are_left_out() -> None:
    with pytest.raises(KeyError) as caught:
        outer()
    cause = caught.value.__cause__
    assert cause is not None
    assert None in [line for _, line in traceback.walk_tb(cause.__traceback__)]
    drop_what_has_no_line(caught.value)
    for error in (caught.value, cause):
        lines = [line for _, line in traceback.walk_tb(error.__traceback__)]
        assert lines and None not in lines
    caught.getrepr()


def test_causes_may_go_round() -> None:
    first, second = ValueError(), KeyError()
    first.__context__, second.__context__ = second, first
    drop_what_has_no_line(first)
