"""One connection of the ``sqlite3`` module as a session of its databases."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import weakref
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl, unquote

from tracelock.instrument.databases.registry import LIVES_ON, Databases, session_worker
from tracelock.instrument.databases.resource import NOTHING, DatabaseSession
from tracelock.instrument.databases.sqlite_effects import SqlEffect
from tracelock.instrument.databases.sqlite_functions import undefine
from tracelock.instrument.databases.sqlite_native import NATIVE
from tracelock.instrument.files.access import paths_of
from tracelock.instrument.hub import get_ident
from tracelock.instrument.worker import Uncontrolled, Worker
from tracelock.trace.databases import DATABASE

#: Primary result codes of SQLite: another connection is in the way; in a shared cache, a table.
BUSY: Final = 5
LOCKED: Final = 6
_URI: Final = re.compile(r"file:(?://[^/?#]*)?(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#.*)?")
_NO_SYNC: Final = "PRAGMA synchronous = OFF"
_SYNC: Final = "PRAGMA synchronous = FULL"  # as it is by default
_DATABASES: Final = "PRAGMA database_list"


class SQLiteSession(DatabaseSession):
    """``thread``: the only one that may use the connection, None for any. ``cursors``: those that
    there are, which may have a statement that is not at its end.

    ``main``: its own database, and not one that was attached, is what others may have too.
    ``plain``: it was given no functions, and no settings of which it is not known what they do.
    ``plans``: the effects of statements, of the database whose ``tables`` are these after
    ``planned`` alterations."""

    errors: ClassVar[tuple[type[Exception], ...]] = (sqlite3.OperationalError,)

    def __init__(self, registry: Databases, limit: float, checks: bool) -> None:
        super().__init__(registry, limit)
        self.files: set[str] = set()
        self.thread = get_ident() if checks else None
        self.cursors: weakref.WeakSet[Any] = weakref.WeakSet()
        self.main, self.plain = False, True
        self.tables: dict[int, str] | None = None
        self.plans: dict[Any, SqlEffect | None] = {}
        self.planned = -1
        self._connection: Callable[[], Any] = lambda: None
        self._handle = 0
        self._number = 0

    def opened(self, connection: sqlite3.Connection, worker: Worker, name: str, uri: bool) -> None:
        """The real connection is there. ``name``: what it was opened by."""
        assert NATIVE is not None
        self._connection = weakref.ref(connection)
        self._handle = NATIVE.handle(connection)
        self._number = NATIVE.number()
        self.listen()
        if path := database_path(name, uri):
            self.files.add(path)
        with Uncontrolled(worker):
            found = database_name(worker, name, uri)
        self.databases = (found,) if found else ()
        self.whole = _shares_cache(name, uri)
        self.main, self.plain = bool(found), not (uri and "?" in name)
        if found:
            # nothing of a schedule has to outlive a loss of power, and to wait for the disk is most
            # of what a commit takes; whoever is shut out now goes without
            with contextlib.suppress(sqlite3.Error):
                sqlite3.Cursor(connection).execute(_NO_SYNC)

    def listen(self) -> None:
        """SQLite asks us whether to wait, and never waits itself."""
        if NATIVE is not None and self._handle:
            NATIVE.listen(self._handle, self._number)

    def state(self) -> int:
        if NATIVE is None or not self._handle:
            return NOTHING
        return NATIVE.state(self._handle)

    def state_of_main(self) -> int:
        """The same of its own database alone, without those that were attached and temporary
        tables."""
        if NATIVE is None or not self._handle:
            return NOTHING
        return NATIVE.state(self._handle, b"main")

    def attempt(self) -> None:
        if NATIVE is not None:
            NATIVE.asked[self._number] = False

    def in_the_way(self, error: Exception) -> bool:
        if NATIVE is not None and getattr(error, "waits", False):  # a backup, which always does
            NATIVE.asked[self._number] = True
        code = getattr(error, "sqlite_errorcode", None)
        return isinstance(code, int) and code & 0xFF in (BUSY, LOCKED)

    def would_wait(self) -> bool:
        return NATIVE is not None and NATIVE.asked.get(self._number, False)

    @property
    def is_closed(self) -> bool:
        """Whether the real connection has been closed."""
        return not self._handle

    def close(self, real: Callable[[], None]) -> None:
        """Close the real connection, and what it has: by itself it would hold what it holds until
        the last cursor dies, and nobody would hear of that."""
        for cursor in list(self.cursors):
            with contextlib.suppress(sqlite3.Error):
                sqlite3.Cursor.close(cursor)
        real()
        self.closed()

    def closed(self) -> None:
        """The real connection has been closed."""
        self._handle = 0
        if NATIVE is not None:
            NATIVE.asked.pop(self._number, None)

    def resume(self, worker: Worker) -> None:
        self._keep(worker, self.files)
        self.listen()

    def _keep(self, worker: Worker, paths: Iterable[str]) -> None:
        for path in paths:
            worker.home(Databases).keep(worker, path)

    def abandon(self) -> None:
        connection = self._connection()
        if connection is not None and self._handle:
            self.close(partial(sqlite3.Connection.close, connection))

    def end(self) -> set[str]:
        connection = self._connection()
        if connection is None or not self._handle:
            return set()
        try:
            for cursor in list(self.cursors):
                sqlite3.Cursor.close(cursor)
            sqlite3.Connection.rollback(connection)
        except sqlite3.Error:
            self.close(partial(sqlite3.Connection.close, connection))
            return set()
        if not self.files:  # what is in memory goes with its last connection
            self.stale = LIVES_ON.format("in memory")
            self.close(partial(sqlite3.Connection.close, connection))
        return set(self.files)

    def let_go(self) -> None:
        connection = self._connection()
        if NATIVE is None or connection is None or not self._handle:
            return
        NATIVE.wait_itself(self._handle, self.limit)
        with contextlib.suppress(sqlite3.Error):
            undefine(connection)
            if self.files:
                sqlite3.Cursor(connection).execute(_SYNC)

    def check_thread(self) -> None:
        """Raise what the module raises where another thread made the connection."""
        me = get_ident()
        if self.thread is not None and self.thread != me:
            raise sqlite3.ProgrammingError(
                "SQLite objects created in a thread can only be used in that same thread. The "
                f"object was created in thread id {self.thread} and this is thread id {me}."
            )

    def look(self, worker: Worker) -> None:
        """Which databases there are may have changed: another one was attached."""
        connection = self._connection()
        if connection is None or not self._handle:
            return
        cursor = sqlite3.Cursor(connection)
        cursor.row_factory = None
        rows = cursor.execute(_DATABASES).fetchall()
        with Uncontrolled(worker):
            names = [_file_name(worker, path) for _, _, path in rows if path]
            attached = [os.path.realpath(path) for _, _, path in rows if path]
        self.files.update(attached)
        self._keep(worker, attached)
        own = self.databases[:1]
        self.databases = tuple(dict.fromkeys((*own, *names)))


def database_name(worker: Worker, name: str, uri: bool) -> str:
    """The name of the database that is opened by this, which is that of its variable; "" for one
    that is of its connection alone."""
    if uri and name.startswith("file:"):
        found = _URI.fullmatch(name)
        path = unquote(found["path"]) if found is not None else name
        options = dict(parse_qsl(found["query"] or "") if found is not None else ())
        if path in ("", ":memory:") or options.get("mode") == "memory":
            shared = options.get("cache") == "shared"
            return f"{DATABASE}{path.lstrip('/') or ':memory:'}" if shared else ""
        return _file_name(worker, path)
    if name in ("", ":memory:"):
        return ""
    return _file_name(worker, name)


def database_path(name: str, uri: bool) -> str:
    """The file of a database, "" where it has none."""
    if uri and name.startswith("file:"):
        found = _URI.fullmatch(name)
        path = unquote(found["path"]) if found is not None else ""
        options = dict(parse_qsl(found["query"] or "") if found is not None else ())
        if path in ("", ":memory:") or options.get("mode") == "memory":
            return ""
        return os.path.realpath(path)
    return "" if name in ("", ":memory:") else os.path.realpath(name)


def _file_name(worker: Worker, path: str) -> str:
    return paths_of(worker.hub).label(os.path.realpath(path))


def _shares_cache(name: str, uri: bool) -> bool:
    found = _URI.fullmatch(name) if uri else None
    return found is not None and "cache=shared" in (found["query"] or "")


def acting(session: SQLiteSession | None) -> tuple[Worker, SQLiteSession] | None:
    """Who uses a connection under control, and what is known of that; None elsewhere. Raises what
    the module raises where another thread made it."""
    if session is None:
        return None
    session.check_thread()
    worker = session_worker()
    return None if worker is None else (worker, session)
