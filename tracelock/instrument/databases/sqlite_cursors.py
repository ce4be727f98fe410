"""Connections and cursors of the ``sqlite3`` module whose statements are steps.

They are subclasses of the module's own, and so of whatever class the program asked for: that comes
before them, so that its methods call ours by ``super()``. A call past that
(``sqlite3.Connection.execute(connection, ...)``) is not under control, and the account says so.

Departures from the truth: a ``INSERT ... RETURNING`` outside of a transaction does not wait for
readers when its last row is fetched, and a transaction that does not fit into the cache of its
connection takes the whole database for itself earlier than it is seen here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, TypeVar

from tracelock.instrument.databases.registry import session_worker
from tracelock.instrument.databases.resource import COMMITS, NOTHING, OWN, READS, Touches
from tracelock.instrument.databases.sqlite_dependence import (
    LEVEL,
    in_transaction,
    prepare,
    touching,
)
from tracelock.instrument.databases.sqlite_session import SQLiteSession, acting
from tracelock.instrument.databases.sqlite_text import (
    busy_timeout,
    changes_rows,
    statements,
    verb,
)
from tracelock.instrument.worker import Worker

_Result = TypeVar("_Result")
_RealCursor: Final = sqlite3.Cursor
#: An attribute of the module's own class, as it is there.
_ROWCOUNT: Final[Any] = vars(sqlite3.Cursor)["rowcount"]
#: Parameters that are told with a statement.
_PLAIN: Final = frozenset({int, float, str, bool, type(None)})
_LONGEST: Final = 60


class ControlledCursor(sqlite3.Cursor):
    """``_tracelock_open``: how the statement touches the database when its last row is fetched, if
    it may have more rows."""

    _tracelock_session: SQLiteSession | None = None
    _tracelock_open: Touches | None = None
    _tracelock_text = ""
    _tracelock_count: int | None = None

    def __init__(self, connection: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(connection, *args, **kwargs)
        self._tracelock_session = getattr(connection, "_tracelock_session", None)
        if self._tracelock_session is not None:
            self._tracelock_session.cursors.add(self)

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        found = acting(self._tracelock_session)
        self._tracelock_count = None
        if found is None or not isinstance(sql, str):
            return super().execute(sql, parameters)
        worker, session = found
        connection: Any = self.connection
        about, limit = busy_timeout(sql)
        if about:
            return self._tracelock_limit(session, sql, limit)
        self._tracelock_end_rows(worker, session)
        begins = connection._tracelock_begins
        prepare(session, sql)
        again = partial(touching, session, connection, sql, parameters, begins)
        self._tracelock_text = text = _with_parameters(sql, parameters)
        run = super().execute
        try:
            session.run(worker, text, again(), lambda: run(sql, parameters), again=again)
        finally:
            if verb(sql) in ("attach", "detach"):
                session.look(worker)
        if self.description is not None:
            self._tracelock_open = COMMITS if changes_rows(sql) else READS
        return self

    def _tracelock_limit(self, session: SQLiteSession, sql: str, limit: int | None) -> Any:
        """``PRAGMA busy_timeout``: SQLite's own would take the place of ours."""
        if limit is None:
            return super().execute(f"SELECT {round(session.limit * 1e3)} AS timeout")
        session.limit = limit / 1e3
        super().execute(sql)
        session.listen()
        return self

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Any:
        found = acting(self._tracelock_session)
        self._tracelock_count = None
        if found is None or not isinstance(sql, str):
            return super().executemany(sql, parameters)
        worker, session = found
        connection: Any = self.connection
        self._tracelock_end_rows(worker, session)
        rows = list(parameters)  # an iterator is at its end when it is tried once more
        run = super().executemany
        inside = connection._tracelock_begins or in_transaction(connection)
        begins = connection._tracelock_begins
        text = f"{sql} [{len(rows)} rows]"
        if inside or not rows:
            first = rows[0] if rows else ()
            again = partial(touching, session, connection, sql, first, begins)
            session.run(worker, text, again(), lambda: run(sql, rows), again=again)
            return self
        count = 0
        for row in rows:  # each is a transaction of its own
            one = _with_parameters(sql, row)
            again = partial(touching, session, connection, sql, row, begins)
            session.run(worker, one, again(), partial(run, sql, [row]), again=again)
            count += max(0, _ROWCOUNT.__get__(self))
        self._tracelock_count = count
        return self

    @property
    def rowcount(self) -> int:
        """As ever; of rows that were a transaction each, their sum."""
        real: int = _ROWCOUNT.__get__(self)
        return real if self._tracelock_count is None else self._tracelock_count

    def executescript(self, sql_script: str, /) -> Any:
        found = acting(self._tracelock_session)
        if found is None or not isinstance(sql_script, str):
            return super().executescript(sql_script)
        worker, session = found
        connection: Any = self.connection
        self._tracelock_end_rows(worker, session)
        legacy = getattr(connection, "autocommit", -1) not in (True, False)
        level = connection.isolation_level
        if legacy:
            connection.commit()
            if level is not None:  # no statement of a script begins a transaction by itself
                LEVEL.__set__(connection, None)
        try:
            for statement in statements(sql_script):
                self._tracelock_one(worker, session, statement)
        finally:
            if legacy and level is not None:
                LEVEL.__set__(connection, level)
        return self

    def _tracelock_one(self, worker: Worker, session: SQLiteSession, statement: str) -> None:
        about, limit = busy_timeout(statement)
        if about and limit is not None:
            self._tracelock_limit(session, statement, limit)
            return
        cursor = _RealCursor(self.connection)
        cursor.row_factory = None
        prepare(session, statement)
        again = partial(touching, session, self.connection, statement, (), False)
        session.run(
            worker, statement, again(), lambda: cursor.execute(statement).fetchall(), again=again
        )
        if verb(statement) in ("attach", "detach"):
            session.look(worker)

    # --- rows ----------------------------------------------------------------------------------
    def _tracelock_fetch(self, real: Callable[[], _Result]) -> _Result:
        """Rows of the statement: to come to the last one may end a read, or a transaction."""
        found = acting(self._tracelock_session)
        if found is None or self._tracelock_open is None:
            return real()
        worker, session = found
        touches, connection = self._tracelock_open, self.connection
        if session.state() == NOTHING or in_transaction(connection):
            touches = OWN
        rows = session.run(worker, f"rows of {self._tracelock_text}", touches, real)
        if not in_transaction(connection) and session.state() == NOTHING:
            self._tracelock_open = None
        return rows

    def fetchone(self) -> Any:
        return self._tracelock_fetch(super().fetchone)

    def fetchmany(self, size: int | None = None) -> Any:
        real = super().fetchmany
        return self._tracelock_fetch(lambda: real(self.arraysize if size is None else size))

    def fetchall(self) -> Any:
        rows = self._tracelock_fetch(super().fetchall)
        self._tracelock_open = None
        return rows

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        return self._tracelock_fetch(super().__next__)

    def close(self) -> None:
        found = acting(self._tracelock_session)
        if found is not None:
            self._tracelock_end_rows(*found)
        super().close()

    def _tracelock_end_rows(self, worker: Worker, session: SQLiteSession) -> None:
        """A statement that has more rows is given up."""
        touches, self._tracelock_open = self._tracelock_open, None
        if touches is None or session.state() == NOTHING:
            return
        if in_transaction(self.connection):
            return
        session.run(worker, f"end of {self._tracelock_text}", touches, self._tracelock_reset)

    def _tracelock_reset(self) -> None:
        """End the statement, and leave the cursor as it is."""
        _RealCursor.execute(self, "SELECT 1 WHERE 0")

    def __del__(self) -> None:
        session = self._tracelock_session
        if session is None or self._tracelock_open is None or session.state() == NOTHING:
            return
        worker = session_worker()
        if worker is not None and not in_transaction(self.connection):
            text, touches, self._tracelock_open = self._tracelock_text, self._tracelock_open, None
            session.run(worker, f"end of {text}", touches, lambda: _RealCursor.close(self))


def _with_parameters(sql: str, parameters: Any) -> str:
    """A statement as it is told, with its parameters where these are short."""
    if type(parameters) not in (tuple, list, dict) or not parameters:
        return sql
    values = parameters.values() if type(parameters) is dict else parameters
    if any(type(value) not in _PLAIN for value in values):
        return sql
    text = repr(parameters)
    return f"{sql} {text}" if len(text) <= _LONGEST else sql


# in a program, and in the names of objects in a trace, it is called as the module's own
ControlledCursor.__name__ = ControlledCursor.__qualname__ = _RealCursor.__name__

# --- classes that the program asks for ---------------------------------------------------------
_classes: dict[int, tuple[Any, Any]] = {}


def class_below(asked: Any, real: type, ours: type) -> Any:
    """``asked``, a class below ``real``, with ours below it; itself where that cannot be."""
    if asked is real:
        return ours
    if not isinstance(asked, type) or not issubclass(asked, real) or issubclass(asked, ours):
        return asked
    known = _classes.get(id(asked))
    if known is None:
        kind: Any = type(asked)
        names = {"__module__": __name__, "__qualname__": asked.__qualname__}
        try:
            made = kind(asked.__name__, (asked, ours), names)
        except TypeError:
            made = asked
        known = _classes[id(asked)] = (asked, made)
    return known[1]
