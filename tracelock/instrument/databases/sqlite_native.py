"""What only SQLite itself knows of a connection: what it holds, and whether it would wait.

The ``sqlite3`` module does not tell. Its connections have their handle as their first member, and
the library that it is linked with is found by way of the module's own file. Where the one or the
other is not as it is known to be, ``NATIVE`` is None, and SQLite is not under control.
"""

from __future__ import annotations

import _sqlite3
import contextlib
import ctypes
import itertools
import sqlite3
import sys
from typing import Any, Final

#: A busy handler: what it was given, and how often it was called for this lock.
_HANDLER: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
#: The first version that tells the state of a transaction.
_FIRST: Final = (3, 34, 0)


class Native:
    """The functions of the library. Raises OSError or AttributeError where they are not found, and
    LookupError where connections are not as they are known to be."""

    def __init__(self) -> None:
        if sys.implementation.name != "cpython" or sqlite3.sqlite_version_info < _FIRST:
            raise LookupError("the state of transactions is not told")
        # the lock of the interpreter is kept: none of these takes long
        self._library: Any = ctypes.PyDLL(getattr(_sqlite3, "__file__", None))
        self._library.sqlite3_libversion.restype = ctypes.c_char_p
        if self._library.sqlite3_libversion().decode() != sqlite3.sqlite_version:
            raise LookupError("another library than that of the module")
        self._state = self._library.sqlite3_txn_state
        self._state.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        self._set_handler = self._library.sqlite3_busy_handler
        self._set_handler.argtypes = [ctypes.c_void_p, _HANDLER, ctypes.c_void_p]
        self._set_timeout = self._library.sqlite3_busy_timeout
        self._set_timeout.argtypes = [ctypes.c_void_p, ctypes.c_int]
        #: By the number of a connection: whether SQLite has asked whether to wait.
        self.asked: dict[int, bool] = {}
        self._numbers = itertools.count(1)
        self._handler = _HANDLER(self._busy)  # lives as long as any connection may
        self._is_first_member()

    def _is_first_member(self) -> None:
        """A connection that is closed has no handle any more: nothing is called on a guess."""
        connection = sqlite3.Connection(":memory:")
        open_one, other = self.handle(connection), sqlite3.Connection(":memory:")
        differs = self.handle(other) not in (0, open_one)
        connection.close()
        other.close()
        if not open_one or not differs or self.handle(connection) or self.handle(other):
            raise LookupError("the handle of a connection is somewhere else")

    def _busy(self, number: int | None, times: int) -> int:
        self.asked[number or 0] = True
        return 0

    def handle(self, connection: sqlite3.Connection) -> int:
        """The handle of a connection, 0 for one that is closed."""
        at = id(connection) + object.__basicsize__
        return ctypes.c_void_p.from_address(at).value or 0

    def state(self, handle: int, schema: bytes | None = None) -> int:
        """0: no transaction, 1: it reads, 2: it has the right to write. ``schema``: in which of its
        databases, None for the most in any."""
        return max(0, int(self._state(handle, schema)))

    def number(self) -> int:
        """A number for a new connection."""
        return next(self._numbers)

    def listen(self, handle: int, number: int) -> None:
        """From now on ``asked`` says of this connection whether SQLite would wait."""
        self._set_handler(handle, self._handler, number)

    def wait_itself(self, handle: int, seconds: float) -> None:
        """From now on SQLite waits so long, and nobody is asked."""
        self._set_timeout(handle, round(min(seconds * 1e3, 2**31 - 1)))


def _found() -> Native | None:
    with contextlib.suppress(OSError, AttributeError, LookupError, ValueError):
        return Native()
    return None


NATIVE: Final = _found()
