"""SQLite under control against every order of its statements, done by hand with the real module."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.amount import amount
from tests.oracles.python_ends import ends_of
from tests.oracles.sqlite_orders import LIMIT, content, every_end, make
from tracelock.instrument.databases.sqlite_native import NATIVE

pytestmark = pytest.mark.skipif(NATIVE is None, reason="SQLite does not tell what it holds here")

TABLES = (
    "CREATE TABLE a (n)", "INSERT INTO a VALUES (0)", "CREATE TABLE b (n)",
    "INSERT INTO b VALUES (1)",
)  # fmt: skip
WAL = "PRAGMA journal_mode = wal"
Scripts = Sequence[Sequence[str]]


def ours(path: str, setup: Sequence[str], scripts: Scripts) -> set[Any]:
    """How the schedules of a search end."""
    return searched(path, setup, scripts)[0]


def searched(path: str, setup: Sequence[str], scripts: Scripts) -> tuple[set[Any], int]:
    """The same, and how many there were."""

    def prepare() -> list[Any]:
        make(path, setup)
        return [None] * len(scripts)

    def worker(number: int) -> Any:
        def run(seen: list[Any]) -> None:
            mine: list[Any] = []
            with contextlib.closing(
                sqlite3.connect(path, timeout=LIMIT, isolation_level=None)
            ) as base:
                try:
                    for statement in scripts[number]:
                        cursor = base.execute(statement)
                        if cursor.description is not None:
                            mine.append(tuple(cursor.fetchall()))
                        del cursor
                except sqlite3.Error as error:
                    mine.append(str(error))
            seen[number] = tuple(mine)

        run.__name__ = f"w{number}"
        return run

    return ends_of(
        prepare, [worker(number) for number in range(len(scripts))],
        lambda seen: (content(path), *seen), "threading",
    )  # fmt: skip


#: What is known to matter: who waits, who is refused, what readers keep from being committed.
KNOWN: dict[str, tuple[Scripts, bool]] = {
    "left open": (
        [["BEGIN", "UPDATE a SET n = 3"], ["SELECT n FROM a", "UPDATE a SET n = n + 1"]], False,
    ),
    "upgrade": ([["BEGIN", "SELECT n FROM a", "UPDATE a SET n = n + 1", "COMMIT"]] * 2, False),
    "old snapshot": (
        [
            ["BEGIN", "SELECT n FROM a", "UPDATE b SET n = 5", "COMMIT"],
            ["UPDATE a SET n = n + 1", "UPDATE a SET n = n * 3"],
        ],
        True,
    ),
    "reader in the way": (
        [["BEGIN", "SELECT n FROM a", "SELECT n FROM b", "COMMIT"], ["UPDATE b SET n = 7"]], False,
    ),
    "immediate and exclusive": (
        [
            ["BEGIN IMMEDIATE", "UPDATE a SET n = n + 1", "COMMIT"],
            ["BEGIN EXCLUSIVE", "UPDATE a SET n = n * 2 + 5", "COMMIT"],
        ],
        False,
    ),
    "three": ([["UPDATE a SET n = n + 1"], ["SELECT n FROM a"], ["UPDATE a SET n = 8"]], True),
}  # fmt: skip


@pytest.mark.parametrize("case", KNOWN)
def test_what_is_known_to_matter_ends_as_every_order(case: str, tmp_path: Path) -> None:
    scripts, wal = KNOWN[case]
    setup = [WAL, *TABLES] if wal else TABLES
    want = every_end(str(tmp_path / "brute"), setup, scripts)
    assert ours(str(tmp_path / "ours"), setup, scripts) == want


_STATEMENTS = (
    "SELECT n FROM a", "SELECT n FROM b", "UPDATE a SET n = n + 1", "UPDATE a SET n = n * 2 + 1",
    "UPDATE b SET n = (SELECT max(n) FROM a) + 1", "INSERT INTO b SELECT n FROM a",
    "DELETE FROM b WHERE n = 1", "SAVEPOINT s", "PRAGMA user_version", "SELECT 1",
    "CREATE TABLE IF NOT EXISTS c (n)",
)  # fmt: skip


@st.composite
def scripts(draw: st.DrawFn, among: tuple[str, ...] = _STATEMENTS) -> list[list[str]]:
    """What two or three connections do: not more than seven statements in all."""
    found = []
    left = 7
    for _ in range(draw(st.integers(2, 3))):
        begin = draw(st.sampled_from([None, "BEGIN", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"]))
        room = max(1, min(2, left - 2))
        body = draw(st.lists(st.sampled_from(among), min_size=1, max_size=room))
        end = draw(st.sampled_from(["COMMIT", "COMMIT", "ROLLBACK"])) if begin else None
        script = [one for one in (begin, *body, end) if one is not None]
        if len(script) > left:
            break
        left -= len(script)
        found.append(script)
    return found


#: Two tables with numbered rows, of which others are kept by an index, a trigger and a foreign key.
ROWS = (
    "CREATE TABLE a (id INTEGER PRIMARY KEY, n)", "INSERT INTO a VALUES (1, 0), (2, 5)",
    "CREATE TABLE b (id INTEGER PRIMARY KEY AUTOINCREMENT, n REFERENCES a)",
    "INSERT INTO b VALUES (1, 1)", "CREATE TABLE log (n)",
    "CREATE TRIGGER t AFTER DELETE ON b BEGIN INSERT INTO log VALUES (old.n); END",
)  # fmt: skip
_OF_ROWS = (
    "UPDATE a SET n = n + 1 WHERE id = 1", "UPDATE a SET n = n * 2 + 1 WHERE id = 1",
    "UPDATE a SET n = n + 1 WHERE id = 2", "UPDATE a SET id = 3 WHERE id = 2",
    "UPDATE a SET n = n * 3", "DELETE FROM a WHERE id = 1", "DELETE FROM a",
    "INSERT INTO a (n) VALUES (7)", "INSERT INTO b (n) VALUES (1)",
    "INSERT INTO b (n) SELECT max(n) FROM a", "DELETE FROM b WHERE id = 1",
    "INSERT INTO log SELECT count(*) FROM b", "UPDATE log SET n = n + 1", "SELECT n FROM a",
    "SELECT n FROM log",
    "CREATE TRIGGER IF NOT EXISTS u AFTER UPDATE ON a BEGIN INSERT INTO log VALUES (9); END",
)  # fmt: skip


#: What the parts of a database, and statements that are their connection's own, must not hide.
OF_PARTS: dict[str, Scripts] = {
    "a reader and rows": [
        ["UPDATE a SET n = n + 1 WHERE id = 1", "SELECT n FROM a"],
        ["UPDATE a SET n = n * 3 WHERE id = 1"], ["UPDATE a SET n = n + 5 WHERE id = 2"],
    ],
    "a transaction that reads": [
        ["BEGIN", "SELECT n FROM a", "SELECT n FROM log", "COMMIT"],
        ["UPDATE a SET n = 7", "INSERT INTO log VALUES (1)"],
    ],
    "the right to write": [
        ["BEGIN", "SELECT n FROM a", "UPDATE log SET n = 1", "COMMIT"],
        ["BEGIN IMMEDIATE", "UPDATE a SET n = 3", "COMMIT"],
    ],
    "a trigger that is new": [
        ["CREATE TRIGGER u AFTER UPDATE ON a BEGIN UPDATE log SET n = n * 2 + 1; END"],
        ["INSERT INTO log VALUES (1)", "UPDATE a SET n = 1"], ["UPDATE log SET n = n + 1"],
    ],
}  # fmt: skip


@pytest.mark.parametrize("wal", [False, True])
@pytest.mark.parametrize("case", OF_PARTS)
def test_parts_of_a_database_end_as_every_order(case: str, wal: bool, tmp_path: Path) -> None:
    scripts = OF_PARTS[case]
    setup = [WAL, *ROWS] if wal else ROWS
    want = every_end(str(tmp_path / "brute"), setup, scripts)
    assert len(want) > 2
    assert ours(str(tmp_path / "ours"), setup, scripts) == want


#: What commutes, and how many schedules it took at most, with those that had yet to learn that.
COMMUTES: dict[str, tuple[Scripts, int]] = {
    "tables": (
        [
            ["UPDATE a SET n = n + 1", "UPDATE a SET n = n * 2"],
            ["UPDATE log SET n = n + 1", "UPDATE log SET n = n * 3"],
        ],
        4,
    ),
    "rows": (
        [
            ["UPDATE a SET n = n + 1 WHERE id = 1", "UPDATE a SET n = n * 2 WHERE id = 1"],
            ["UPDATE a SET n = n + 1 WHERE id = 2", "UPDATE a SET n = n * 3 WHERE id = 2"],
        ],
        4,
    ),
    "in a transaction": (
        [["BEGIN IMMEDIATE", "SELECT n FROM a", *["UPDATE a SET n = n + 1"] * 3, "COMMIT"]] * 2, 12,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", COMMUTES)
def test_what_commutes_takes_few_schedules(case: str, tmp_path: Path) -> None:
    scripts, most = COMMUTES[case]
    found, schedules = searched(str(tmp_path / "ours"), ROWS, scripts)
    assert schedules <= most
    assert found == every_end(str(tmp_path / "brute"), ROWS, scripts)


@given(scripts(_OF_ROWS), st.booleans())
@settings(
    max_examples=amount(12, 60), deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
def test_random_statements_on_rows_end_as_every_order(
    tmp_path: Path, scripts: list[list[str]], wal: bool
) -> None:
    setup = [WAL, *ROWS] if wal else ROWS
    want = every_end(str(tmp_path / "brute"), setup, scripts)
    assert ours(str(tmp_path / "ours"), setup, scripts) == want


@given(scripts(), st.booleans())
@settings(
    max_examples=amount(12, 30), deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
def test_random_statements_end_as_every_order(
    tmp_path: Path, scripts: list[list[str]], wal: bool
) -> None:
    setup = [WAL, *TABLES] if wal else TABLES
    want = every_end(str(tmp_path / "brute"), setup, scripts)
    assert ours(str(tmp_path / "ours"), setup, scripts) == want
