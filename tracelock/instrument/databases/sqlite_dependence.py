"""On what of its database the next statement of a connection depends, as things are now.

`touches_of` says so by the database as a whole. Less is said of two kinds of statements: of one in
a transaction that already holds all that it needs, and of one that is a transaction of its own and
whose effect is known (`sqlite_effects`). Neither is tried where a connection has several databases,
shares its cache, or was given functions or settings of which it is not known what they do.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from tracelock.instrument.databases.resource import (
    CHANGES,
    COMMITS,
    HELD,
    NOTHING,
    READING,
    WRITING,
    Touches,
)
from tracelock.instrument.databases.sqlite_effects import SqlEffect, effect_of, tables_of
from tracelock.instrument.databases.sqlite_session import SQLiteSession
from tracelock.instrument.databases.sqlite_text import (
    alters,
    changes_rows,
    sets_more,
    touches_of,
    verb,
)

#: Attributes of the module's own classes, as they are there.
_IN_TRANSACTION: Final[Any] = vars(sqlite3.Connection)["in_transaction"]
LEVEL: Final[Any] = vars(sqlite3.Connection)["isolation_level"]
#: What only reads rows.
_QUERIES: Final = frozenset({"select", "values", "with"})


def in_transaction(connection: Any) -> bool:
    """Whether a real connection is in a transaction."""
    return bool(_IN_TRANSACTION.__get__(connection))


def prepare(session: SQLiteSession, sql: str) -> None:
    """A statement comes next: does it change what others have as their effects?"""
    if alters(sql):
        session.altering = True
    if sets_more(sql):
        session.plain = False


def touching(
    session: SQLiteSession, connection: Any, sql: str, values: Any, begins: bool
) -> Touches:
    """How a statement touches the database. ``values``: its parameters; ``begins``: the module
    begins a transaction before one that changes rows."""
    inside, state = in_transaction(connection), session.state()
    if begins and not inside and changes_rows(sql):
        level = LEVEL.__get__(connection) or ""
        return COMMITS if level.upper() == "EXCLUSIVE" else CHANGES
    found = touches_of(sql, inside, begins, state)
    if not session.plain or not session.main or len(session.databases) != 1 or session.whole:
        return found
    if inside:
        held = session.state_of_main()
        if held >= READING and verb(sql) in _QUERIES and not changes_rows(sql):
            return HELD
        if held == WRITING and found is CHANGES:
            effect = _effect(session, connection, sql, values)
            return found if effect is None or effect.rolls_back else HELD
    elif found is COMMITS and state == NOTHING and changes_rows(sql):
        effect = _effect(session, connection, sql, values)
        if effect is not None and effect.tables and not effect.yields:
            return Touches(parts=effect.parts(values))
    return found


def _effect(
    session: SQLiteSession, connection: sqlite3.Connection, sql: str, values: Any
) -> SqlEffect | None:
    """What a statement does, as it is known of this connection since the last change of more than
    rows."""
    now = session.alterations()
    if session.planned != now or session.tables is None:
        session.planned, session.plans = now, {}
        session.tables = tables_of(connection)
    if session.tables is None:
        return None
    key = sql, None if type(values) is not dict else tuple(values)
    if key not in session.plans:
        session.plans[key] = effect_of(connection, session.tables, sql, values)
    return session.plans[key]
