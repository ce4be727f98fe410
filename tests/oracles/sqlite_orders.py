"""Every order of the statements of some connections to SQLite, done by hand with the real module.

Nothing of tracelock is used: SQLite's own busy handler, set by ctypes, says where it would wait. A
connection whose statement is refused in that case waits until another one holds less than before;
where nobody can go on, time passes until the first of those who wait gives up. A worker ends with
its connection closed, also after an error.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import os
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

_LIBRARY: Final[Any] = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
_HANDLER: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_LIBRARY.sqlite3_busy_handler.argtypes = [ctypes.c_void_p, _HANDLER, ctypes.c_void_p]
_LIBRARY.sqlite3_txn_state.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
#: How long a statement waits, in seconds.
LIMIT: Final = 5.0
#: The order of statements is the same without waiting for the disk.
NO_SYNC: Final = "PRAGMA synchronous = OFF"
Script = Sequence[str]
End = tuple[Any, ...]


def make(path: str, setup: Iterable[str]) -> None:
    """A database with this content, and nothing else of it."""
    for end in ("", "-journal", "-wal", "-shm"):
        if os.path.exists(path + end):
            os.unlink(path + end)
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in (NO_SYNC, *setup):
        connection.execute(statement)
    connection.close()


def content(path: str) -> Any:
    """All rows of all tables."""
    connection = sqlite3.connect(path)
    tables = "select name from sqlite_master where type = 'table' order by name"
    names = [row[0] for row in connection.execute(tables)]
    rows = {name: sorted(connection.execute(f"select * from {name}")) for name in names}
    connection.close()
    return tuple((name, tuple(found)) for name, found in rows.items())


@dataclass(eq=False)
class _Worker:
    connection: sqlite3.Connection
    script: Script
    place: int = 0
    cursor: Any = None
    seen: list[Any] = field(default_factory=list)
    waiting: bool = False
    until: float = -1.0
    over: bool = False
    asked: bool = False

    def __post_init__(self) -> None:
        self.handle = ctypes.c_void_p.from_address(id(self.connection) + object.__basicsize__).value
        self.connection.execute(NO_SYNC)
        self.handler = _HANDLER(self._busy)
        _LIBRARY.sqlite3_busy_handler(self.handle, self.handler, None)

    def _busy(self, *_: Any) -> int:
        self.asked = True
        return 0

    def holds(self) -> int:
        return 0 if self.over else int(_LIBRARY.sqlite3_txn_state(self.handle, None))

    def end(self) -> None:
        self.cursor = None
        self.connection.close()
        self.over = True


def _step(worker: _Worker, now: float) -> None:
    """The next statement, or the rows of the last one."""
    worker.waiting = False
    if worker.cursor is not None:
        worker.seen.append(tuple(worker.cursor.fetchall()))
        worker.cursor = None
    else:
        worker.asked = False
        statement = worker.script[worker.place]
        try:
            cursor = worker.connection.execute(statement)
        except sqlite3.Error as error:
            if worker.asked:
                if worker.until < 0:
                    worker.until = now + LIMIT
                if worker.until > now:
                    worker.waiting = True
                    return
            worker.seen.append(str(error))
            worker.end()
            return
        worker.place += 1
        worker.until = -1.0
        if cursor.description is not None:
            worker.cursor = cursor
            return
    if worker.place == len(worker.script):
        worker.end()


def _fire(worker: _Worker, now: float) -> None:
    worker.waiting = False
    worker.seen.append("database is locked")
    worker.end()


def _run(path: str, setup: Script, scripts: Sequence[Script], picks: list[int]) -> tuple[End, Any]:
    """One order: the first choices are ``picks``, then always the first. Its end, and how many
    there were to choose from each time."""
    make(path, setup)
    workers = [
        _Worker(sqlite3.connect(path, timeout=0, isolation_level=None), one) for one in scripts
    ]
    for worker in workers:
        worker.over = not worker.script
    now, options_of = 0.0, []
    while True:
        options: list[tuple[_Worker, bool]] = [
            (worker, False) for worker in workers if not worker.over and not worker.waiting
        ]
        waiting = [worker for worker in workers if worker.waiting]
        if not options and not waiting:
            break
        if not options:
            now = max(now, min(worker.until for worker in waiting))
        options += [(worker, True) for worker in waiting if worker.until <= now]
        pick = picks[len(options_of)] if len(options_of) < len(picks) else 0
        options_of.append(len(options))
        worker, fires = options[pick]
        before = worker.holds()
        (_fire if fires else _step)(worker, now)
        if worker.holds() < before:
            for other in workers:
                if other is not worker:
                    other.waiting = False
    for worker in workers:
        if not worker.over:
            worker.connection.close()
    return (content(path), *(tuple(worker.seen) for worker in workers)), options_of


def every_end(path: str, setup: Script, scripts: Sequence[Script]) -> set[End]:
    """How all orders of these scripts end: the rows, and what each worker has seen."""
    found: set[End] = set()
    picks: list[int] = []
    while True:
        end, options = _run(path, setup, scripts, picks)
        found.add(end)
        picks += [0] * (len(options) - len(picks))
        while picks and picks[-1] + 1 == options[len(picks) - 1]:
            picks.pop()
        if not picks:
            return found
        picks[-1] += 1
