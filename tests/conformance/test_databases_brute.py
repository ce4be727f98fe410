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
                except sqlite3.OperationalError as error:
                    mine.append(str(error))
            seen[number] = tuple(mine)

        run.__name__ = f"w{number}"
        return run

    found, _ = ends_of(
        prepare, [worker(number) for number in range(len(scripts))],
        lambda seen: (content(path), *seen), "threading",
    )  # fmt: skip
    return found


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
def scripts(draw: st.DrawFn) -> list[list[str]]:
    """What two or three connections do: not more than seven statements in all."""
    found = []
    left = 7
    for _ in range(draw(st.integers(2, 3))):
        begin = draw(st.sampled_from([None, "BEGIN", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"]))
        room = max(1, min(2, left - 2))
        body = draw(st.lists(st.sampled_from(_STATEMENTS), min_size=1, max_size=room))
        end = draw(st.sampled_from(["COMMIT", "COMMIT", "ROLLBACK"])) if begin else None
        script = [one for one in (begin, *body, end) if one is not None]
        if len(script) > left:
            break
        left -= len(script)
        found.append(script)
    return found


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
