"""What statements of SQLite touch, as its own compiler says."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from tracelock.instrument.databases.sqlite_effects import SqlEffect, effect_of, tables_of
from tracelock.ops import READ, WRITE

TABLES = """
CREATE TABLE a (id INTEGER PRIMARY KEY, n);
CREATE TABLE kept (n); CREATE INDEX i ON kept (n);
CREATE TABLE parent (id INTEGER PRIMARY KEY);
CREATE TABLE child (id INTEGER PRIMARY KEY, p REFERENCES parent ON DELETE CASCADE);
CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, n);
CREATE TABLE strict_one (n UNIQUE ON CONFLICT ROLLBACK);
CREATE TABLE log (n);
CREATE TRIGGER t AFTER DELETE ON kept BEGIN INSERT INTO log VALUES (old.n); END;
CREATE VIEW seen AS SELECT n FROM kept;
CREATE TRIGGER r AFTER INSERT ON log BEGIN SELECT raise(ROLLBACK, 'no') WHERE new.n = 9; END;
PRAGMA foreign_keys = ON;
"""


@pytest.fixture
def base() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(TABLES)
        yield connection


def effect(base: sqlite3.Connection, sql: str, values: object = ()) -> SqlEffect:
    tables = tables_of(base)
    assert tables is not None
    found = effect_of(base, tables, sql, values)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("UPDATE a SET n = n + 1", {"a": WRITE}),
        ("DELETE FROM a", {"a": WRITE}),
        ("INSERT INTO a SELECT NULL, n FROM seen", {"a": WRITE, "kept": READ}),
        ("WITH x AS (SELECT n FROM a) DELETE FROM log WHERE n IN x", {"log": WRITE, "a": READ}),
        ("DELETE FROM kept", {"kept": WRITE, "log": WRITE}),
        ("INSERT INTO child VALUES (1, 1)", {"child": WRITE, "parent": READ}),
        ("DELETE FROM parent WHERE id = 1", {"parent": WRITE, "child": WRITE}),
        ("INSERT INTO counted (n) VALUES (1)", {"counted": WRITE, "sqlite_sequence": WRITE}),
    ],
)
def test_tables_are_those_of_triggers_views_and_keys_too(
    base: sqlite3.Connection, sql: str, tables: dict[str, int]
) -> None:
    assert effect(base, sql).tables == tables


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE a SET n = n + 1 WHERE id = ?", "UPDATE a SET n = n * 2 WHERE id = ? AND n > 5",
        "DELETE FROM a WHERE id = ?", "UPDATE a SET n = upper(n) WHERE ? = id",
    ],
)  # fmt: skip
def test_rows_are_told_apart_by_their_numbers(base: sqlite3.Connection, sql: str) -> None:
    found = effect(base, sql, (1,))
    parts = [found.parts((number,)) for number in range(1, 5)]
    assert [len(one) for one in parts] == [1] * 4 and len({*parts}) == 4
    whole = effect(base, "DELETE FROM a").parts(())
    assert {one for part in parts for one in part} == {*whole}
    # what is compared with a number may be one as well
    assert found.parts(("1",)) == found.parts((1.0,)) == found.parts((None,)) == whole


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        ("UPDATE a SET n = n + 1 WHERE id > ?", (1,)),
        ("UPDATE a SET n = n + 1 WHERE id IN (?, ?)", (1, 2)),
        ("UPDATE a SET n = (SELECT max(n) FROM a) WHERE id = ?", (1,)),
        ("INSERT INTO a VALUES (?, 1)", (1,)),
        ("UPDATE a SET n = 1 WHERE id = ? + 1", (1,)),
        ("UPDATE a SET n = 1 WHERE id = :id", {"id": 1}),
        ("UPDATE kept SET n = 1 WHERE rowid = ?", (1,)),
    ],
)
def test_other_rows_are_not(base: sqlite3.Connection, sql: str, values: object) -> None:
    assert len(effect(base, sql, values).parts(values)) == 4


def test_a_row_that_is_moved_is_two(base: sqlite3.Connection) -> None:
    found = effect(base, "UPDATE a SET id = ? WHERE id = ?", (1, 2))
    assert len(found.parts((1, 2))) == 2


@pytest.mark.parametrize(
    ("sql", "ends"),
    [
        ("INSERT INTO strict_one VALUES (1)", True),
        ("INSERT OR ROLLBACK INTO a VALUES (1, 1)", True),
        ("INSERT INTO log VALUES (1)", True), ("DELETE FROM kept", True),
        ("INSERT INTO a VALUES (1, 1)", False), ("UPDATE log SET n = 1", False),
    ],
)  # fmt: skip
def test_an_error_may_end_the_transaction(base: sqlite3.Connection, sql: str, ends: bool) -> None:
    assert effect(base, sql).rolls_back is ends


@pytest.mark.parametrize("sql", ["CREATE TABLE c (n)", "VACUUM", "no such thing", "ANALYZE"])
def test_what_does_more_than_change_rows_is_not_known(base: sqlite3.Connection, sql: str) -> None:
    assert effect_of(base, tables_of(base) or {}, sql, ()) is None


def test_it_is_asked_anew_after_a_change_of_another_connection(tmp_path: object) -> None:
    path = f"{tmp_path}/data"
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as one,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        one.executescript("CREATE TABLE a (n); CREATE TABLE log (n)")
        assert effect(other, "UPDATE a SET n = 1").tables == {"a": WRITE}
        one.execute("CREATE TRIGGER t AFTER UPDATE ON a BEGIN DELETE FROM log; END")
        assert effect(other, "UPDATE a SET n = 1").tables == {"a": WRITE, "log": WRITE}
