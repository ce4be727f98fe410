"""SQLite under control from several real processes: what is a step, who waits, what is told."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import tracelock
from tests.conformance.test_databases_brute import KNOWN, OF_PARTS, ROWS, TABLES, WAL, Scripts
from tests.helpers import databases as programs
from tests.helpers.amount import FULL
from tests.helpers.databases import fresh, fresh_wal, is_two, somebody_is_on_call
from tests.oracles.python_ends import ends_of
from tests.oracles.sqlite_orders import LIMIT, content, every_end, make
from tracelock.instrument.databases.sqlite_native import NATIVE
from tracelock.session import api
from tracelock.session.explored import Explored

pytestmark = [
    pytest.mark.skipif(NATIVE is None, reason="SQLite does not tell what it holds here"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork"),
]
#: Bytes for what the worker of one process has seen.
ROOM = 4_000


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    yield
    programs.tidy()


def explore(*workers: Any, **more: Any) -> Explored:
    more = {
        "setup": fresh, "check": is_two, "strategy": "dpor", "instrument": [], "seconds": None,
        "schedules": 2_000, "confirm": 0, "backend": "multiprocessing", **more,
    }  # fmt: skip
    return api.explore(workers=workers, **more)


def root(found: Explored) -> Any:
    assert found.trace is not None
    return tracelock.analyze(found.trace)[0]


# --- what is found -----------------------------------------------------------------------------
FOUND: dict[str, tuple[Any, Any, dict[str, Any], str, tuple[str, ...]]] = {
    "lost update": (
        programs.add_in_two, programs.add_in_two, {"setup": fresh_wal}, "database-lost-update",
        ("`SELECT n FROM account`", "`UPDATE account SET n = ? (1,)`"),
    ),
    "forgotten BEGIN IMMEDIATE": (
        programs.add_deferred, programs.add_deferred, {}, "database-locked",
        ("refused at once", "holds the write lock by `UPDATE", "It reads since `SELECT n FROM"),
    ),
    "write skew": (
        programs.ann_leaves, programs.bob_leaves, {"check": somebody_is_on_call}, "write-skew",
        ("'bob'", "'ann'"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FOUND)
def test_it_is_found_and_named_with_its_statements(case: str, tmp_path: Path) -> None:
    one, other, options, kind, words = FOUND[case]
    found = explore(one, other, **options)
    assert found.failed and found.trace is not None
    first = root(found)
    assert first.kind == kind and [word for word in words if word not in first.explanation] == []
    found.trace.save(str(tmp_path / "trace.json"))
    more = {"setup": fresh, "check": is_two, **options}
    trace = tracelock.load_trace(str(tmp_path / "trace.json"))
    again = api.replay(trace, workers=[one, other], **more)
    assert again.reproduced and again.diverged is None


@pytest.mark.parametrize("setup", [fresh, fresh_wal])
def test_what_mends_it_is_verified(setup: Any) -> None:
    found = explore(programs.add_immediate, programs.add_at_once, setup=setup)
    assert found.verdict == "verified" and found.account.not_seen == []


# --- every order --------------------------------------------------------------------------------
def ours(path: str, setup: Sequence[str], scripts: Scripts) -> set[Any]:
    """How the schedules of a search end in which each script is that of a process."""

    def prepare() -> Any:
        make(path, setup)
        return [multiprocessing.RawArray("c", ROOM) for _ in scripts]

    def worker(number: int) -> Any:
        def run(seen: Any) -> None:
            mine: list[Any] = []
            with closing(sqlite3.connect(path, timeout=LIMIT, isolation_level=None)) as base:
                try:
                    for statement in scripts[number]:
                        cursor = base.execute(statement)
                        if cursor.description is not None:
                            mine.append(tuple(cursor.fetchall()))
                        del cursor
                except sqlite3.Error as error:
                    mine.append(str(error))
            seen[number].value = repr(tuple(mine)).encode()

        run.__name__ = f"w{number}"
        return run

    def final(seen: Any) -> Any:
        return (content(path), *(eval(one.value) for one in seen))

    workers = [worker(number) for number in range(len(scripts))]
    return ends_of(prepare, workers, final, "multiprocessing")[0]


ORDERS: dict[str, tuple[Scripts, Sequence[str], bool]] = {
    **{name: (scripts, TABLES, wal) for name, (scripts, wal) in KNOWN.items()},
    **{f"{name} (parts, log)": (scripts, ROWS, True) for name, scripts in OF_PARTS.items()},
}
#: Those that take few schedules: the others are tried at length.
SHORT = ("left open", "old snapshot", "immediate and exclusive", "the right to write (parts, log)")


@pytest.mark.parametrize("case", ORDERS if FULL else SHORT)
def test_it_ends_as_every_order(case: str, tmp_path: Path) -> None:
    scripts, tables, wal = ORDERS[case]
    setup = [WAL, *tables] if wal else tables
    want = every_end(str(tmp_path / "brute"), setup, scripts)
    assert ours(str(tmp_path / "ours"), setup, scripts) == want


# --- waiting ------------------------------------------------------------------------------------
def slow(path: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as base:
        base.execute("BEGIN IMMEDIATE")
        multiprocessing.Event().wait(10.0)
        base.execute("COMMIT")


def impatient(path: str) -> None:
    with closing(sqlite3.connect(path, timeout=9.0)) as base, base:
        base.execute("UPDATE account SET n = n + 1")


def patient(path: str) -> None:
    with closing(sqlite3.connect(path)) as base, base:
        base.execute("PRAGMA busy_timeout = 11000")
        base.execute("UPDATE account SET n = n + 1")


def test_a_process_waits_in_virtual_time() -> None:
    found = explore(slow, impatient, check=None)
    assert found.failed and root(found).kind == "database-locked"
    assert "waits in vain" in root(found).explanation
    assert explore(slow, patient, check=None).verdict == "verified"


class CrossedLocks:
    def __init__(self) -> None:
        self.path, self.lock = fresh(), multiprocessing.Lock()

    def one(self) -> None:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as base:
            base.execute("BEGIN IMMEDIATE")
            with self.lock:
                base.execute("UPDATE account SET n = n + 1")
            base.execute("COMMIT")

    def other(self) -> None:
        with self.lock, closing(sqlite3.connect(self.path)) as base, base:
            base.execute("UPDATE account SET n = n + 1")

    def check(self) -> None:
        is_two(self.path)


def test_a_circle_through_a_lock_of_processes_is_named() -> None:
    found = explore(
        CrossedLocks.one, CrossedLocks.other, setup=CrossedLocks, check=CrossedLocks.check
    )
    first = root(found)
    assert first.kind == "database-locked"
    assert "wait for each other at a database" in first.title
    assert "`BEGIN IMMEDIATE`" in first.explanation


# --- the ends of processes ----------------------------------------------------------------------
kept: list[sqlite3.Connection] = []


def leaves_open(path: str) -> None:
    kept.append(sqlite3.connect(path, isolation_level=None))
    kept[0].execute("BEGIN IMMEDIATE")
    kept[0].execute("UPDATE account SET n = 7")


def waits_long(path: str) -> None:
    with closing(sqlite3.connect(path, timeout=60.0)) as base, base:
        base.execute("UPDATE account SET n = n + 2")


def test_what_a_process_holds_is_given_up_at_its_end() -> None:
    found = explore(leaves_open, waits_long)
    assert found.verdict == "verified" and found.schedules > 2


def is_killed(path: str) -> None:
    leaves_open(path)
    os.kill(os.getpid(), signal.SIGKILL)


def starts_one_and_ends_it(path: str) -> None:
    one = multiprocessing.get_context("fork").Process(target=holds_for_long, args=(path,))
    one.start()
    one.terminate()
    one.join()


def holds_for_long(path: str) -> None:
    leaves_open(path)
    multiprocessing.Event().wait(1_000.0)


def test_what_a_killed_process_holds_is_given_up_and_nothing_is_verified() -> None:
    assert explore(is_killed, waits_long).failed  # the death of a worker is one
    found = explore(starts_one_and_ends_it, waits_long)
    assert found.verdict == "passed", found.story()
    assert "databases of a process that was killed" in found.account.not_seen


# --- what is not under control --------------------------------------------------------------------
def before_fork() -> sqlite3.Connection:
    return sqlite3.connect(fresh())


def uses(base: sqlite3.Connection) -> None:
    base.execute("SELECT n FROM account").fetchone()


def test_a_connection_from_before_the_fork_keeps_verified_away() -> None:
    found = explore(uses, uses, setup=before_fork, check=None)
    assert found.verdict == "passed"
    assert "connections to databases that were opened before a fork" in found.account.not_seen


def test_a_database_that_was_there_before_is_put_back(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with contextlib.closing(sqlite3.connect(path)) as base:
        base.execute("CREATE TABLE account (n INTEGER)")
        base.execute("INSERT INTO account VALUES (0)")
        base.commit()
    before = path.read_bytes()
    found = explore(programs.add_at_once, programs.add_at_once, setup=lambda: str(path))
    assert found.verdict == "verified" and found.schedules > 2
    assert path.read_bytes() == before and [*tmp_path.iterdir()] == [path]


def adds_in_a_process(path: str) -> None:
    one = multiprocessing.get_context("fork").Process(target=programs.add_at_once, args=(path,))
    one.start()
    one.join()


def test_a_process_that_a_thread_starts_shares_the_database_with_threads() -> None:
    found = explore(adds_in_a_process, programs.add_at_once, backend="threading")
    assert found.verdict == "verified" and found.account.not_seen == []
    assert explore(adds_in_a_process, programs.add_in_two, backend="threading").failed
