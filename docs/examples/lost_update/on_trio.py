"""Two buyers take the last but one ticket: each writes what it has counted by itself.

SQLite runs each statement alone, but at the ``await`` after the SELECT another task comes in.
"""

import os
import sqlite3
import tempfile
from contextlib import closing

import trio


def setup():
    path = os.path.join(tempfile.mkdtemp(), "tickets.db")
    with closing(sqlite3.connect(path)) as base, base:
        base.execute("CREATE TABLE tickets (left_over INTEGER)")
        base.execute("INSERT INTO tickets VALUES (10)")
    return path


async def pay():
    await trio.sleep(0.1)  # asks the bank


async def buy(path):
    with closing(sqlite3.connect(path)) as base, base:
        (left_over,) = base.execute("SELECT left_over FROM tickets").fetchone()
        await pay()
        base.execute("UPDATE tickets SET left_over = ?", (left_over - 1,))


async def buy_in_one_statement(path):
    await pay()
    with closing(sqlite3.connect(path)) as base, base:
        base.execute("UPDATE tickets SET left_over = left_over - 1")  # no await in a transaction


def check(path):
    with closing(sqlite3.connect(path)) as base:
        (left_over,) = base.execute("SELECT left_over FROM tickets").fetchone()
    assert left_over == 8, f"two are sold, and {left_over} of 10 are left"


BUGGY = {"setup": setup, "workers": [buy] * 2, "check": check, "backend": "trio"}
FIXED = {"setup": setup, "workers": [buy_in_one_statement] * 2, "check": check, "backend": "trio"}
