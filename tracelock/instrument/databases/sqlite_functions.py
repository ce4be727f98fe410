"""Functions of SQL whose answer no schedule decides: the time, which is virtual, and chance."""

from __future__ import annotations

import random
import sqlite3
from typing import Any, Final

from tracelock.instrument.clock import now
from tracelock.instrument.databases.registry import session_worker
from tracelock.instrument.worker import Worker

#: Functions of the time: where the moment stands among their arguments.
_OF_TIME: Final = {
    "date": 0, "time": 0, "datetime": 0, "julianday": 0, "unixepoch": 0, "strftime": 1,
}  # fmt: skip
#: Without arguments, and not called by parentheses.
_CURRENT: Final = {"current_timestamp": "datetime", "current_date": "date", "current_time": "time"}
_NANOSECONDS: Final = 1_000_000_000


#: Where the real functions are asked, of a moment that is given.
_CLOCK: Final = sqlite3.Connection(":memory:", check_same_thread=False)


def _ask(function: str, arguments: list[Any]) -> Any:
    places = ", ".join("?" * len(arguments))
    return sqlite3.Cursor(_CLOCK).execute(f"SELECT {function}({places})", arguments).fetchone()[0]


def _moment() -> str | None:
    """The virtual time as SQLite reads one; None where the real one is meant."""
    worker = session_worker()
    if worker is None:
        return None
    seconds, rest = divmod(now(worker, "time"), _NANOSECONDS)
    text = str(_ask("datetime", [seconds, "unixepoch"]))
    return f"{text}.{rest // 1_000_000:03d}"


def _of_time(function: str, place: int) -> Any:
    def call(*arguments: Any) -> Any:
        given = list(arguments)
        if len(given) == place:
            given.append("now")
        if len(given) > place and isinstance(given[place], str) and given[place].lower() == "now":
            given[place] = _moment() or "now"
        return _ask(function, given)

    return call


def _current(function: str) -> Any:
    def call() -> Any:
        return _ask(function, [_moment() or "now"])

    return call


def define(connection: sqlite3.Connection, worker: Worker) -> None:
    """Put these functions into a connection. What is drawn by chance is the same in every
    schedule, and the account says that others could have been drawn."""
    real = sqlite3.Connection.create_function
    for name, place in _OF_TIME.items():
        real(connection, name, -1, _of_time(name, place), deterministic=True)
    for name, function in _CURRENT.items():
        real(connection, name, 0, _current(function))
    drawn = random.Random(worker.label)
    hub = worker.hub

    def number() -> int:
        hub.by_chance("random() of SQLite")
        return drawn.getrandbits(64) - (1 << 63)

    def blob(size: Any) -> bytes:
        hub.by_chance("randomblob() of SQLite")
        return drawn.randbytes(max(1, int(size or 0)))

    real(connection, "random", 0, number)
    real(connection, "randomblob", 1, blob)


def undefine(connection: sqlite3.Connection) -> None:
    """Have the connection's functions be SQLite's own again."""
    names = {**dict.fromkeys(_OF_TIME, -1), **dict.fromkeys(_CURRENT, 0)}
    for name, count in {**names, "random": 0, "randomblob": 1}.items():
        sqlite3.Connection.create_function(connection, name, count, None)
