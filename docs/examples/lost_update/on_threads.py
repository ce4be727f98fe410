"""Two buyers take the last but one ticket: each writes what it has counted by itself.

SQLite runs each statement alone, but between the SELECT and the UPDATE another one comes in.
"""

import os
import sqlite3
import tempfile
from contextlib import closing


def setup():
    path = os.path.join(tempfile.mkdtemp(), "tickets.db")
    with closing(sqlite3.connect(path)) as base, base:
        base.execute("CREATE TABLE tickets (left_over INTEGER)")
        base.execute("INSERT INTO tickets VALUES (10)")
    return path


def buy(path):
    with closing(sqlite3.connect(path)) as base, base:
        (left_over,) = base.execute("SELECT left_over FROM tickets").fetchone()
        base.execute("UPDATE tickets SET left_over = ?", (left_over - 1,))


def buy_in_one_transaction(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as base:
        base.execute("BEGIN IMMEDIATE")  # from here on nobody else may write
        (left_over,) = base.execute("SELECT left_over FROM tickets").fetchone()
        base.execute("UPDATE tickets SET left_over = ?", (left_over - 1,))
        base.execute("COMMIT")


def check(path):
    with closing(sqlite3.connect(path)) as base:
        (left_over,) = base.execute("SELECT left_over FROM tickets").fetchone()
    assert left_over == 8, f"two are sold, and {left_over} of 10 are left"


BUGGY = {"setup": setup, "workers": [buy] * 2, "check": check}
FIXED = {"setup": setup, "workers": [buy_in_one_transaction] * 2, "check": check}
