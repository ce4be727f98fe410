"""Connections of the ``sqlite3`` module whose statements are steps; see ``sqlite_cursors``."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from tracelock.instrument.databases.registry import session_worker
from tracelock.instrument.databases.resource import ENDS, NOTHING, READS
from tracelock.instrument.databases.sqlite_cursors import ControlledCursor, class_below
from tracelock.instrument.databases.sqlite_dependence import LEVEL, in_transaction
from tracelock.instrument.databases.sqlite_session import BUSY, LOCKED, SQLiteSession, acting

_TOTAL: Final[Any] = vars(sqlite3.Connection)["total_changes"]


class RefusedBackup(sqlite3.OperationalError):
    """A step of a backup was refused because another connection is in the way."""

    sqlite_errorcode = BUSY
    waits = True


class ControlledConnection(sqlite3.Connection):
    """A connection whose statements are steps. Made by ``connect`` alone, which sets
    ``_tracelock_session``."""

    _tracelock_session: SQLiteSession | None = None

    @property
    def _tracelock_begins(self) -> bool:
        """Whether a transaction is begun before a statement that changes rows."""
        mode = getattr(self, "autocommit", -1)
        return mode is False or (mode is not True and self.isolation_level is not None)

    def cursor(self, factory: Any = None) -> Any:
        session = self._tracelock_session
        if session is not None:
            session.check_thread()
            worker = session_worker()
            if worker is not None:
                session.meet(worker)
        asked = sqlite3.Cursor if factory is None else factory
        made = class_below(asked, sqlite3.Cursor, ControlledCursor)
        return super().cursor(made)

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Any:
        return self.cursor().executemany(sql, parameters)

    def executescript(self, sql_script: str, /) -> Any:
        return self.cursor().executescript(sql_script)

    # --- transactions --------------------------------------------------------------------------
    def _tracelock_ends(self, text: str, real: Callable[[], None]) -> None:
        found = acting(self._tracelock_session)
        if found is None or not in_transaction(self):
            real()
            return
        worker, session = found
        session.run(worker, text, ENDS[session.state()], real)

    def commit(self) -> None:
        self._tracelock_ends("COMMIT", super().commit)

    def rollback(self) -> None:
        self._tracelock_ends("ROLLBACK", super().rollback)

    def __exit__(self, kind: Any, value: Any, trace: Any) -> Any:
        if acting(self._tracelock_session) is None:
            return super().__exit__(kind, value, trace)
        if getattr(self, "autocommit", -1) is True:
            return False
        if kind is not None:
            self.rollback()
            return False
        try:
            self.commit()
        except BaseException:
            self.rollback()
            raise
        return False

    def close(self) -> None:
        found = acting(self._tracelock_session)
        session = self._tracelock_session
        if session is None or session.is_closed:
            super().close()
            return
        close = partial(session.close, super().close)
        state = session.state()
        if found is None:
            close()
        elif state == NOTHING:
            session.own(found[0], "close")
            close()
        else:
            session.run(found[0], "close", ENDS[state], close)

    def __del__(self) -> None:
        session = self._tracelock_session
        if session is None or session.state() == NOTHING:
            return
        worker = session_worker()
        if worker is not None:
            close = partial(session.close, super().close)
            session.run(worker, "close", ENDS[session.state()], close)

    # --- what is asked of the connection itself ------------------------------------------------
    def _tracelock_asked(self, text: str) -> None:
        session, worker = self._tracelock_session, session_worker()
        if session is not None and worker is not None:
            session.own(worker, text)

    @property
    def in_transaction(self) -> bool:
        """As ever."""
        self._tracelock_asked("in_transaction")
        real: bool = in_transaction(self)
        return real

    @property
    def total_changes(self) -> int:
        """As ever."""
        self._tracelock_asked("total_changes")
        real: int = _TOTAL.__get__(self)
        return real

    @property
    def isolation_level(self) -> Any:
        """As ever: to set it to None commits."""
        return LEVEL.__get__(self)

    @isolation_level.setter
    def isolation_level(self, level: Any) -> None:
        if level is None:
            self._tracelock_ends("COMMIT", lambda: LEVEL.__set__(self, None))
        else:
            LEVEL.__set__(self, level)

    # --- what is seldom used -------------------------------------------------------------------
    def backup(self, target: sqlite3.Connection, **options: Any) -> None:
        """As ever, but it is done in one step where nobody is in the way."""
        found = acting(self._tracelock_session)
        if found is None:
            super().backup(target, **options)
            return
        worker, session = found
        progress, real = options.pop("progress", None), super().backup
        options.pop("sleep", None)
        options["pages"] = -1

        def watch(status: int, remaining: int, total: int) -> None:
            if status & 0xFF in (BUSY, LOCKED):
                raise RefusedBackup("database is locked")
            if progress is not None:
                progress(status, remaining, total)

        other = getattr(target, "_tracelock_session", None)
        others = () if other is None or other is session else (other,)
        session.run(
            worker, "backup", READS, lambda: real(target, progress=watch, **options), others
        )

    def blobopen(self, *args: Any, **kwargs: Any) -> Any:
        self._tracelock_beyond("blobopen")
        return super().blobopen(*args, **kwargs)

    def load_extension(self, *args: Any, **kwargs: Any) -> None:
        self._tracelock_beyond("load_extension")
        super().load_extension(*args, **kwargs)

    def interrupt(self) -> None:
        self._tracelock_beyond("interrupt")
        super().interrupt()

    def serialize(self, **options: Any) -> bytes:
        found = acting(self._tracelock_session)
        if found is None:
            return super().serialize(**options)
        real = super().serialize
        return found[1].run(found[0], "serialize", READS, lambda: real(**options))

    def deserialize(self, data: Any, /, **options: Any) -> None:
        self._tracelock_beyond("deserialize")
        super().deserialize(data, **options)

    def _tracelock_beyond(self, name: str) -> None:
        worker = session_worker()
        if worker is not None:
            worker.doubt(f"sqlite3.Connection.{name}", "what it does is not under control")


def _with_functions(name: str) -> Any:
    """A method by which the program has its own functions called in the middle of statements: of
    their effects nothing is known any more."""
    real = vars(sqlite3.Connection)[name]

    @functools.wraps(real)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self._tracelock_session is not None:
            self._tracelock_session.plain = False
        return real(self, *args, **kwargs)

    return method


for _name in (
    "create_function", "create_aggregate", "create_window_function", "create_collation",
    "set_authorizer", "set_progress_handler", "set_trace_callback", "enable_load_extension",
    "setconfig",
):  # fmt: skip
    if _name in vars(sqlite3.Connection):
        setattr(ControlledConnection, _name, _with_functions(_name))


def _autocommit(real: Any) -> property:
    """``Connection.autocommit``, from Python 3.12 on: to set it may commit."""

    def fset(self: Any, value: Any) -> None:
        self._tracelock_ends("COMMIT", lambda: real.__set__(self, value))

    return property(real.__get__, fset)


if "autocommit" in vars(sqlite3.Connection):
    setattr(  # noqa: B010
        ControlledConnection, "autocommit", _autocommit(vars(sqlite3.Connection)["autocommit"])
    )
ControlledConnection.__name__ = ControlledConnection.__qualname__ = sqlite3.Connection.__name__


def connection_class(asked: Any) -> Any:
    """The class of controlled connections for the one that a program asks for."""
    return class_below(asked, sqlite3.Connection, ControlledConnection)
