"""Two on call who each look whether the other one is, and leave: write skew in SQLite."""

import os
import sqlite3
import tempfile
from contextlib import closing

KINDS = {"write-skew"}


def setup():
    path = os.path.join(tempfile.mkdtemp(), "rota")
    with closing(sqlite3.connect(path)) as base, base:
        base.execute("CREATE TABLE doctor (name TEXT, on_call INTEGER)")
        base.executemany("INSERT INTO doctor VALUES (?, 1)", [("ann",), ("bob",)])
    return path


def leave(path, name):
    with closing(sqlite3.connect(path, isolation_level=None)) as base:
        base.execute("PRAGMA foreign_keys = ON")  # mend: base.execute("BEGIN IMMEDIATE")
        (count,) = base.execute("SELECT count(*) FROM doctor WHERE on_call").fetchone()
        if count > 1:
            base.execute("UPDATE doctor SET on_call = 0 WHERE name = ?", (name,))
        base.commit()


def ann(path):
    leave(path, "ann")


def bob(path):
    leave(path, "bob")


def check(path):
    with closing(sqlite3.connect(path)) as base:
        assert base.execute("SELECT count(*) FROM doctor WHERE on_call").fetchone() != (0,)


workers = [ann, bob]
