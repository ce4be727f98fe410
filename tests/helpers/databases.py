"""Small programs on a database in SQLite, for threads and tasks."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

#: The directories of the databases that were made, until the next one is.
made: list[str] = []
PATIENT = 5.0


def tidy() -> None:
    while made:
        shutil.rmtree(made.pop(), ignore_errors=True)


def fresh(mode: str = "delete") -> str:
    """A new database with one account of 0 and two doctors on call; where it is."""
    tidy()
    made.append(tempfile.mkdtemp())
    path = str(Path(made[0]) / "data")
    with closing(sqlite3.connect(path)) as base:
        base.execute(f"PRAGMA journal_mode={mode}")
        base.execute("CREATE TABLE account (n INTEGER)")
        base.execute("INSERT INTO account VALUES (0)")
        base.execute("CREATE TABLE doctor (name TEXT, on_call INTEGER)")
        base.executemany("INSERT INTO doctor VALUES (?, 1)", [("ann",), ("bob",)])
        base.commit()
    return path


def fresh_wal() -> str:
    return fresh("wal")


def value(path: str) -> Any:
    with closing(sqlite3.connect(path)) as base:
        return base.execute("SELECT n FROM account").fetchone()[0]


def is_two(path: str) -> None:
    assert value(path) == 2


# --- lost update -------------------------------------------------------------------------------
def add_in_two(path: str) -> None:
    """Reads in one transaction and writes in the next."""
    with closing(sqlite3.connect(path)) as base:
        n = base.execute("SELECT n FROM account").fetchone()[0]
        with base:
            base.execute("UPDATE account SET n = ?", (n + 1,))


def add_alone(path: str) -> None:
    """Each statement is a transaction of its own."""
    with closing(sqlite3.connect(path, isolation_level=None)) as base:
        n = base.execute("SELECT n FROM account").fetchone()[0]
        base.execute("UPDATE account SET n = ? WHERE rowid = ?", (n + 1, 1))
        base.execute("UPDATE doctor SET on_call = 0 WHERE rowid = 1")


def add_at_once(path: str) -> None:
    """The statement computes."""
    with closing(sqlite3.connect(path)) as base, base:
        base.execute("UPDATE account SET n = n + 1")


def add_immediate(path: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as base:
        base.execute("BEGIN IMMEDIATE")
        n = base.execute("SELECT n FROM account").fetchone()[0]
        base.execute("UPDATE account SET n = ?", (n + 1,))
        base.execute("COMMIT")


def add_deferred(path: str) -> None:
    """Reads first, and asks for the right to write only then."""
    with closing(sqlite3.connect(path, isolation_level=None)) as base:
        base.execute("BEGIN")
        n = base.execute("SELECT n FROM account").fetchone()[0]
        base.execute("UPDATE account SET n = ?", (n + 1,))
        base.execute("COMMIT")


class CrowdedAccount:
    """The account is used by whoever comes second, or finds the other one there: so by both of two
    workers only where these come in between each other."""

    def __init__(self) -> None:
        self.path = fresh()
        self.lock = threading.Lock()
        self.came = self.added = 0

    def add(self) -> None:
        with self.lock:
            self.came += 1
        with self.lock:
            crowded = self.came == 2
        if crowded:
            n = value(self.path)
            with self.lock:
                self.added += 1
            with closing(sqlite3.connect(self.path)) as base, base:
                base.execute("UPDATE account SET n = ?", (n + 1,))

    def check(self) -> None:
        assert value(self.path) == self.added


# --- write skew --------------------------------------------------------------------------------
def _leave(path: str, name: str, begin: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as base:
        if begin:
            base.execute(begin)
        (on_call,) = base.execute("SELECT count(*) FROM doctor WHERE on_call").fetchone()
        if on_call > 1:
            base.execute("UPDATE doctor SET on_call = 0 WHERE name = ?", (name,))
        if begin:
            base.execute("COMMIT")


def ann_leaves(path: str) -> None:
    _leave(path, "ann", "")


def bob_leaves(path: str) -> None:
    _leave(path, "bob", "")


def ann_leaves_well(path: str) -> None:
    _leave(path, "ann", "BEGIN IMMEDIATE")


def bob_leaves_well(path: str) -> None:
    _leave(path, "bob", "BEGIN IMMEDIATE")


def somebody_is_on_call(path: str) -> None:
    with closing(sqlite3.connect(path)) as base:
        assert base.execute("SELECT count(*) FROM doctor WHERE on_call").fetchone()[0] >= 1


# --- tasks -------------------------------------------------------------------------------------
async def task_in_two(path: str) -> None:
    with closing(sqlite3.connect(path)) as base:
        n = base.execute("SELECT n FROM account").fetchone()[0]
        await asyncio.sleep(0)
        with base:
            base.execute("UPDATE account SET n = ?", (n + 1,))


async def task_at_once(path: str) -> None:
    with closing(sqlite3.connect(path)) as base:
        await asyncio.sleep(0)
        with base:
            base.execute("UPDATE account SET n = n + 1")


async def task_left_open(path: str) -> None:
    """The transaction is open while the task awaits."""
    with closing(sqlite3.connect(path, timeout=PATIENT)) as base:
        base.execute("UPDATE account SET n = n + 1")
        await asyncio.sleep(0.1)
        base.commit()


async def in_a_thread(function: Callable[[], Any]) -> Any:
    """What a function gives in a new thread, for a task that awaits it."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    def run() -> None:
        result = function()
        loop.call_soon_threadsafe(future.set_result, result)

    threading.Thread(target=run).start()
    return await future


async def task_by_threads(path: str) -> None:
    """Each statement is made by another thread, on another connection."""

    def write() -> None:
        with closing(sqlite3.connect(path)) as base, base:
            base.execute("UPDATE account SET n = ?", (n + 1,))

    n = await in_a_thread(lambda: value(path))
    await in_a_thread(write)


Worker = Callable[[str], Any]
