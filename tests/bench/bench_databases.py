"""Schedules a CPU second of programs on SQLite: by ``sqlite3``, and by libraries where installed.

    python tests/bench/bench_databases.py [NAME ...]

Each adds to a number in two transactions, by two workers, so that an update is lost; the search
goes on after that (``every``), up to 200 schedules. Prints how many it took to the failure,
the kind of its root finding, and schedules a CPU second, of this process and its children; then
what it takes by default, with the failing schedule made small and confirmed: in CPU seconds, and
for each of the schedules that this takes. ``parts`` prints how many executions ``dpor`` takes where
statements count by table and row, and how many where they count by database.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import resource
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import tracelock  # noqa: E402
from tests.helpers import databases  # noqa: E402
from tests.helpers.databases import fresh, value  # noqa: E402

#: What is explored: ``setup``, the worker, and the path of the database in what ``setup`` gives.
Program = tuple[Callable[[], Any], Callable[..., Any], Callable[[Any], str]]


def whole(state: Any) -> str:
    return str(state)


def first(state: Any) -> str:
    return str(state[0])


def plain() -> Program:
    return fresh, databases.add_in_two, whole


def of_tasks() -> Program:
    return fresh, databases.task_in_two, whole


def sqlalchemy_with(pool: str) -> Callable[[], Program]:
    def make() -> Program:
        import sqlalchemy
        from sqlalchemy import pool as pools

        def setup() -> Any:
            path = fresh()
            options: dict[str, Any] = {"poolclass": getattr(pools, pool)}
            if pool == "StaticPool":
                options["connect_args"] = {"check_same_thread": False}
            return path, sqlalchemy.create_engine(f"sqlite:///{path}", **options)

        def add(state: Any) -> None:
            with state[1].begin() as base:
                n = base.execute(sqlalchemy.text("SELECT n FROM account")).scalar_one()
            with state[1].begin() as base:
                base.execute(sqlalchemy.text("UPDATE account SET n = :n"), {"n": n + 1})

        return setup, add, first

    return make


def sqlalchemy_of_tasks() -> Program:
    import aiosqlite  # noqa: F401  # else it is imported while its queue has a stand-in
    import sqlalchemy
    from sqlalchemy.ext.asyncio import create_async_engine

    def setup() -> Any:
        path = fresh()
        return path, create_async_engine(f"sqlite+aiosqlite:///{path}")

    async def add(state: Any) -> None:
        async with state[1].begin() as base:
            n = (await base.execute(sqlalchemy.text("SELECT n FROM account"))).scalar_one()
        async with state[1].begin() as base:
            await base.execute(sqlalchemy.text("UPDATE account SET n = :n"), {"n": n + 1})

    return setup, add, first


def by_session() -> Program:
    """Mapped classes, whose schedules run in forked processes."""
    import sqlalchemy
    from sqlalchemy import orm

    base = orm.declarative_base()
    Account = type(
        "Account", (base,),
        {
            "__tablename__": "account", "id": sqlalchemy.Column(sqlalchemy.Integer,
            primary_key=True), "n": sqlalchemy.Column(sqlalchemy.Integer),
        },
    )  # fmt: skip
    return _mapped(Account, base.metadata, orm.Session)


def by_sqlmodel() -> Program:
    import sqlmodel

    class Account(sqlmodel.SQLModel, table=True):  # type: ignore
        id: int | None = sqlmodel.Field(default=None, primary_key=True)
        n: int

    return _mapped(Account, sqlmodel.SQLModel.metadata, sqlmodel.Session)


def _mapped(account: Any, metadata: Any, session: Any) -> Program:
    import sqlalchemy

    def setup() -> Any:
        path = f"{fresh()}-mapped"
        engine = sqlalchemy.create_engine(f"sqlite:///{path}")
        metadata.create_all(engine)
        with session(engine) as base:
            base.add(account(id=1, n=0))
            base.commit()
        return path, engine

    def add(state: Any) -> None:
        with session(state[1]) as base:
            n = base.get(account, 1).n
        with session(state[1]) as base:
            base.execute(sqlalchemy.update(account).values(n=n + 1))
            base.commit()

    return setup, add, first


def by_peewee() -> Program:
    import peewee

    def setup() -> Any:
        path = fresh()
        base = peewee.SqliteDatabase(path)

        class Account(peewee.Model):  # type: ignore[misc]
            n = peewee.IntegerField()

            class Meta:
                database = base
                primary_key = False

        return path, base, Account

    def add(state: Any) -> None:
        _, base, account = state
        with base.connection_context():
            n = account.get().n
            account.update(n=n + 1).execute()

    return setup, add, first


def by_aiosqlite() -> Program:
    import aiosqlite

    async def add(path: str) -> None:
        async with aiosqlite.connect(path) as base:
            async with base.execute("SELECT n FROM account") as cursor:
                row: Any = await cursor.fetchone()
            await base.execute("UPDATE account SET n = ?", (row[0] + 1,))
            await base.commit()

    return fresh, add, whole


#: By name: what is needed beside Python, the backend, and the program.
PROGRAMS: dict[str, tuple[tuple[str, ...], str, Callable[[], Program]]] = {
    "sqlite3, threads": ((), "threading", plain),
    "sqlite3, tasks": ((), "asyncio", of_tasks),
    "sqlite3, processes": ((), "multiprocessing", plain),
    "aiosqlite": (("aiosqlite",), "asyncio", by_aiosqlite),
    "peewee": (("peewee",), "threading", by_peewee),
    "SQLAlchemy, QueuePool": (("sqlalchemy",), "threading", sqlalchemy_with("QueuePool")),
    "SQLAlchemy, NullPool": (("sqlalchemy",), "threading", sqlalchemy_with("NullPool")),
    "SQLAlchemy, StaticPool": (("sqlalchemy",), "threading", sqlalchemy_with("StaticPool")),
    "SQLAlchemy, Session": (("sqlalchemy",), "threading", by_session),
    "SQLModel": (("sqlmodel",), "threading", by_sqlmodel),
    "SQLAlchemy, aiosqlite":
        (("sqlalchemy", "aiosqlite", "greenlet"), "asyncio", sqlalchemy_of_tasks),
}  # fmt: skip


def cpu() -> float:
    spent = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        spent += usage.ru_utime + usage.ru_stime
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="*", metavar="NAME")
    asked = parser.parse_args().name
    trials = counted()
    print(f"load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")
    for name, (needs, backend, make) in PROGRAMS.items():
        if asked and not any(one in name for one in asked):
            continue
        missing = [one for one in needs if importlib.util.find_spec(one) is None]
        if missing:
            print(f"{name:<24} not installed: {', '.join(missing)}")
            continue
        setup, add, path_of = make()

        def check(state: Any, path_of: Callable[[Any], str] = path_of) -> None:
            assert value(path_of(state)) == 2

        options: dict[str, Any] = {
            "workers": [add, add], "setup": setup, "check": check, "backend": backend,
            "instrument": [], "seconds": None, "confirm": 0, "shrink": False,
        }  # fmt: skip
        found = tracelock.explore(**options, schedules=500)
        root = "none" if found.trace is None else tracelock.analyze(found.trace)[0].kind
        before = cpu()
        many = tracelock.explore(**options, schedules=200, every=True, strategy="random")
        rate = many.schedules / (cpu() - before)
        print(
            f"{name:<24} {found.verdict} after {found.schedules:>3}, root {root:<21} "
            f"{rate:7.0f} schedules a CPU second"
        )
        del options["confirm"], options["shrink"]
        trials.counted, before = 0, cpu()
        found = tracelock.explore(**options, schedules=500)
        took = cpu() - before
        runs = trials.counted
        each = f", {1000 * took / runs:.0f} ms for each of {runs} runs" if runs else ""
        times = found.confirmed.get(backend)
        print(f"{'':<24} small and confirmed ({times}): {took:.1f} CPU seconds{each}")
        databases.tidy()
    if not asked or "parts" in asked:
        parts()


def counted() -> Any:
    """What counts from now on how often a schedule is run to make a failing one small."""
    from tracelock.explore.shrink.trials import Trials

    plain = Trials._run
    kind: Any = Trials

    def run(self: Trials) -> Any:
        kind.counted += 1  # what this module has is put back after each schedule
        return plain(self)

    kind._run = run
    return kind


#: What two connections do at a time, to tables with numbered rows.
SCRIPTS: dict[str, tuple[list[str], list[str]]] = {
    "two tables": (
        ["UPDATE a SET n = n + 1", "UPDATE a SET n = n * 2"],
        ["UPDATE log SET n = n + 1", "UPDATE log SET n = n * 3"],
    ),
    "two rows": (
        ["UPDATE a SET n = n + 1 WHERE id = 1", "UPDATE a SET n = n * 2 WHERE id = 1"],
        ["UPDATE a SET n = n + 1 WHERE id = 2", "UPDATE a SET n = n * 3 WHERE id = 2"],
    ),
    "five rows each": (
        [f"UPDATE a SET n = {n} WHERE id = 1" for n in range(5)],
        [f"UPDATE a SET n = {n} WHERE id = 2" for n in range(5)],
    ),
    "one transaction each": (
        ["BEGIN IMMEDIATE", "SELECT n FROM a", *["UPDATE a SET n = n + 1"] * 3, "COMMIT"],
        ["BEGIN IMMEDIATE", "SELECT n FROM a", *["UPDATE a SET n = n + 1"] * 3, "COMMIT"],
    ),
    "the same row": (
        ["UPDATE a SET n = n + 1 WHERE id = 1"] * 2, ["UPDATE a SET n = n * 2 WHERE id = 1"] * 2,
    ),
}  # fmt: skip


def executions(scripts: tuple[list[str], list[str]]) -> int:
    """How many ``dpor`` takes, with those that had yet to learn what is shared."""

    def setup() -> str:
        path = fresh()
        with closing(sqlite3.connect(path)) as base:
            base.executescript(
                "CREATE TABLE a (id INTEGER PRIMARY KEY, n); CREATE TABLE log (n);"
                "INSERT INTO a VALUES (1, 0), (2, 5); INSERT INTO log VALUES (1);"
            )
        return path

    def worker(script: list[str]) -> Callable[[str], None]:
        def run(path: str) -> None:
            with closing(sqlite3.connect(path, isolation_level=None)) as base:
                for statement in script:
                    base.execute(statement).fetchall()

        return run

    found = tracelock.explore(
        workers=[worker(one) for one in scripts], setup=setup, strategy="dpor", every=True,
        schedules=20_000, seconds=None, instrument=[], confirm=0, shrink=False,
    )  # fmt: skip
    assert found.verdict == "verified", found.verdict
    return found.schedules


def parts() -> None:
    from tracelock.instrument.databases import sqlite_cursors, sqlite_dependence

    plain = sqlite_dependence.touching

    def by_database(session: Any, *about: Any) -> Any:
        session.plain = False
        return plain(session, *about)

    for name, scripts in SCRIPTS.items():
        by_row = executions(scripts)
        sqlite_cursors.touching = by_database
        try:
            whole = executions(scripts)
        finally:
            sqlite_cursors.touching = plain
        print(f"{name:<24} {by_row:>5} executions by table and row, {whole:>5} by database")
    databases.tidy()


if __name__ == "__main__":
    main()
