"""Answers from outside as data: whatever comes back is what went in, through JSON."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracelock.errors import LimitReached, TraceError, UsageError
from tracelock.instrument.outside import answers
from tracelock.instrument.outside.kinds import mode_of

_atoms = st.none() | st.booleans() | st.integers() | st.text() | st.binary()
_atoms |= st.floats(allow_nan=False, allow_infinity=False)
_values = st.recursive(
    _atoms, lambda inner: st.lists(inner) | st.lists(inner).map(tuple), max_leaves=8
)


def through_json(data: Any) -> Any:
    return json.loads(json.dumps(data))


@settings(max_examples=50)
@given(_values)
def test_values_come_back(value: Any) -> None:
    found = answers.given_back(through_json(answers.answer_data(value)))
    assert found == value and repr(found) == repr(value)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "Connection refused"),
        FileNotFoundError(2, "No such file or directory", "/gone"),
        TimeoutError("timed out"),
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        KeyError("HOME"),
        OSError(),
    ],
)
def test_errors_come_back(error: Exception) -> None:
    data = through_json(answers.error_data(error))
    with pytest.raises(type(error)) as raised:
        answers.given_back(data)
    assert type(raised.value) is type(error) and str(raised.value) == str(error)
    assert getattr(raised.value, "errno", None) == getattr(error, "errno", None)


def test_what_is_no_answer_is_refused() -> None:
    class Own(Exception):
        pass

    with pytest.raises(TypeError, match="Own"):
        answers.error_data(Own())
    with pytest.raises(TypeError, match="object"):
        answers.to_data(object())
    for data in (
        None, 3, {}, {"answer": {"ascii": "ä"}}, {"answer": {"other": 1}}, {"error": "OSError"},
        {"error": ["BaseException", []]}, {"error": ["eval", ["1"]]}, {"error": ["KeyError", 1]},
        {"answer": {"base64": "?"}}, {"answer": {"ascii": 1}}, {"answer": 1, "error": 2},
    ):  # fmt: skip
        with pytest.raises(TraceError, match="answer from outside"):
            answers.given_back(data)


def test_sizes_are_bounded() -> None:
    answers.check_size("a call", answers.LARGEST, answers.ALL - answers.LARGEST)
    with pytest.raises(LimitReached, match=r"a call has answered 1,048,577 bytes"):
        answers.check_size("a call", answers.LARGEST + 1, 0)
    with pytest.raises(LimitReached, match="in one schedule is over"):
        answers.check_size("a call", 2, answers.ALL - 1)
    data = answers.answer_data((b"x" * 1_000, ["y" * 10]))
    assert 1_010 <= answers.size_of(data) < 1_100


def test_the_option() -> None:
    assert [mode_of(one) for one in (None, "", "refused", "real", "recorded")] == [
        "", "", "", "real", "recorded"
    ]  # fmt: skip
    with pytest.raises(UsageError, match="outside: 'yes' is none of"):
        mode_of("yes")
