"""A balance in SQLite that is read in one transaction and written in the next."""

import os
import sqlite3
import tempfile
from contextlib import closing

KINDS = {"database-lost-update"}


def setup():
    path = os.path.join(tempfile.mkdtemp(), "ledger")
    with closing(sqlite3.connect(path)) as base, base:
        base.execute("CREATE TABLE account (balance INTEGER)")
        base.execute("INSERT INTO account VALUES (100)")
    return path


def deposit(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as base:
        base.execute("PRAGMA foreign_keys = ON")  # mend: base.execute("BEGIN IMMEDIATE")
        (balance,) = base.execute("SELECT balance FROM account").fetchone()
        base.execute("UPDATE account SET balance = ?", (balance + 10,))
        base.commit()


def check(path):
    with closing(sqlite3.connect(path)) as base:
        assert base.execute("SELECT balance FROM account").fetchone() == (120,)


workers = [deposit] * 2
