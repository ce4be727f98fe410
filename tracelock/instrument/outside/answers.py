"""Answers as data: what came from outside, in JSON, and back.

Bytes are ``{"ascii": text}`` where they are that, else ``{"base64": text}``; a tuple is
``{"tuple": [...]}``. What came of a call is ``{"answer": data}``, or, where that was an exception,
``{"error": [name of its class, arguments]}``.
"""

from __future__ import annotations

import base64
import binascii
import builtins
import socket
import subprocess
from collections.abc import Callable, Mapping
from typing import Any, Final

from tracelock.errors import LimitReached, TraceError

#: Bytes of one answer, and of all answers of one schedule, that are kept at most.
LARGEST: Final = 1 << 20
ALL: Final = 8 << 20
_ATOMS: Final = (type(None), bool, int, float, str)
_TEXT: Final = frozenset(range(32, 127)) | {9, 10, 13}

#: Exceptions that are none of Python's own, by the names that traces have for them.
_ERRORS: Final[dict[str, type[BaseException]]] = {
    "socket.gaierror": socket.gaierror,
    "socket.herror": socket.herror,
    "subprocess.TimeoutExpired": subprocess.TimeoutExpired,
}
_NAMES: Final = {cls: name for name, cls in _ERRORS.items()}


def to_data(value: Any) -> Any:
    """``value`` as JSON. Raises TypeError for what is no answer."""
    if type(value) in _ATOMS:
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
        if _TEXT.issuperset(data):
            return {"ascii": data.decode("ascii")}
        return {"base64": base64.b64encode(data).decode("ascii")}
    if isinstance(value, tuple):
        return {"tuple": [to_data(one) for one in value]}
    if isinstance(value, list):
        return [to_data(one) for one in value]
    if isinstance(value, bool | int):  # an enumeration
        return int(value)
    if isinstance(value, str):
        return str(value)
    raise TypeError(f"a {type(value).__name__} is no answer that can be kept")


def of_data(data: Any) -> Any:
    """What ``to_data`` was given. Raises TraceError for anything else."""
    if isinstance(data, list):
        return [of_data(one) for one in data]
    if not isinstance(data, Mapping):
        return data
    try:
        ((how, held),) = data.items()
        return _BACK[how](held)
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        raise TraceError(f"an answer from outside is not one: {str(data)[:80]!r}") from None


_BACK: Final[dict[str, Callable[[Any], Any]]] = {
    "ascii": lambda text: text.encode("ascii"),
    "base64": lambda text: base64.b64decode(text, validate=True),
    "tuple": lambda items: tuple(of_data(one) for one in items),
}


def error_data(error: Exception) -> Any:
    """An exception that was the answer. Raises TypeError for one that cannot be made again."""
    cls = type(error)
    name = _NAMES.get(cls) or cls.__name__
    if cls not in _NAMES and getattr(builtins, name, None) is not cls:
        raise TypeError(f"a {name} is no answer that can be kept")
    if isinstance(error, subprocess.TimeoutExpired):
        arguments: tuple[Any, ...] = (str(error.cmd), error.timeout)
    elif isinstance(error, OSError) and error.filename is not None:
        arguments = (error.errno, error.strerror, str(error.filename))
    else:
        arguments = error.args
    return {"error": [name, [to_data(one) for one in arguments]]}


def answer_data(value: Any) -> Any:
    """What came of a call, as data. Raises TypeError for what is no answer."""
    return {"answer": to_data(value)}


def given_back(data: Any) -> Any:
    """What a call gives that came to this. Raises the exception that it ended by, and TraceError
    for what is no answer."""
    if isinstance(data, Mapping) and len(data) == 1:
        if "answer" in data:
            return of_data(data["answer"])
        error = _error_of(data.get("error"))
        if error is not None:
            raise error
    raise TraceError(f"this is no answer from outside: {str(data)[:80]!r}")


def _error_of(data: Any) -> Exception | None:
    if isinstance(data, list) and len(data) == 2 and isinstance(data[1], list):
        cls = _ERRORS.get(data[0]) or getattr(builtins, str(data[0]), None)
        if isinstance(cls, type) and issubclass(cls, Exception):
            try:
                return cls(*[of_data(one) for one in data[1]])
            except TypeError:
                return None
    return None


def size_of(data: Any) -> int:
    """About how many bytes of a trace an answer takes."""
    if isinstance(data, str):
        return len(data)
    if isinstance(data, Mapping):
        return sum(size_of(one) for one in data.values())
    if isinstance(data, list):
        return sum(size_of(one) for one in data)
    return 8


def check_size(what: str, size: int, before: int) -> None:
    """Raises LimitReached for an answer that is too large to be kept, after so many bytes."""
    if size > LARGEST:
        raise LimitReached(
            f"{what} has answered {size:,} bytes, and {LARGEST:,} of one answer are kept at most "
            "in a trace: ask for less, or put something of the program's own in its place"
        )
    if before + size > ALL:
        raise LimitReached(
            f"with {what} what came from outside in one schedule is over {ALL:,} bytes, which is "
            "what a trace keeps: ask for less"
        )
