"""``sqlite3.connect`` under control: what it gives is a session of a shared database."""

from __future__ import annotations

import os
import sqlite3
from typing import Any, Final

from tracelock.instrument.callers import caller
from tracelock.instrument.databases.registry import Databases, databases_of, session_worker
from tracelock.instrument.databases.resource import INHERITED
from tracelock.instrument.databases.sqlite_connections import ControlledConnection, connection_class
from tracelock.instrument.databases.sqlite_functions import define
from tracelock.instrument.databases.sqlite_native import NATIVE
from tracelock.instrument.databases.sqlite_session import SQLiteSession, database_path
from tracelock.instrument.files.access import PathNames, touch
from tracelock.instrument.patching import patch
from tracelock.instrument.worker import Uncontrolled, Worker

#: The parameters that may be given by their place.
LONGEST: Final = 1e9  # of the time that a statement waits, in seconds
_PLACES: Final = (
    "database", "timeout", "detect_types", "isolation_level", "check_same_thread", "factory",
    "cached_statements", "uri",
)  # fmt: skip


@patch("sqlite3.connect")
def connect(worker: Worker, real: Any, *args: Any, **kwargs: Any) -> Any:
    """A connection under control, where SQLite can be watched and the program asks for a class."""
    if NATIVE is None or session_worker() is None or len(args) > len(_PLACES):
        return real(*args, **kwargs)
    given = {**dict(zip(_PLACES, args, strict=False)), **kwargs}
    timeout = given.get("timeout", 5.0)
    made = connection_class(given.get("factory", sqlite3.Connection))
    try:
        name = os.fsdecode(given["database"])
        limit = float(timeout)
    except (KeyError, TypeError, ValueError, OverflowError):
        return real(*args, **kwargs)  # which raises what there is to raise
    if not isinstance(made, type) or not issubclass(made, ControlledConnection):
        return real(*args, **kwargs)
    registry, uri = databases_of(worker.hub), bool(given.get("uri", False))
    checks = bool(given.get("check_same_thread", True))
    session = SQLiteSession(registry, min(max(0.0, limit), LONGEST), checks)
    with Uncontrolled(worker):
        path = database_path(name, uri)
    if worker.elsewhere and registry.inherited():
        worker.doubt(*INHERITED)
    if path:
        worker.home(Databases).keep(worker, path)
        _open_file(worker, path)
    given.pop("database")
    given.update(timeout=0.0, check_same_thread=False, factory=made)
    connection = real(name, **given)
    session.opened(connection, worker, name, uri)
    connection._tracelock_session = session
    registry.sessions.add(session)
    define(connection, worker)
    return connection


def _open_file(worker: Worker, path: str) -> None:
    """SQLite opens the file at once, and makes an empty one where there is none: that changes the
    file and its directory; else it depends on who makes, moves or removes it."""
    names = PathNames(worker, path, None, True)
    with Uncontrolled(worker):
        there = os.path.exists(path)
    reads = [*names.above, names.listing]
    if there:
        touch(worker, caller(worker, 4), reads)
    else:
        text = f"connect of {worker.label}"
        touch(worker, caller(worker, 4), names.above, [names.all[-1], names.listing], text)
