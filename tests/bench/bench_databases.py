"""Schedules a CPU second of programs on SQLite: by ``sqlite3``, and by libraries where installed.

    python tests/bench/bench_databases.py [NAME ...]

Each adds to a number in two transactions, by two workers, so that an update is lost; the search
goes on after that (``every``), up to 200 schedules. Prints how many it took to the failure,
the kind of its root finding, and schedules a CPU second, of this process and its children.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import resource
import sys
from collections.abc import Callable
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
    "aiosqlite": (("aiosqlite",), "asyncio", by_aiosqlite),
    "peewee": (("peewee",), "threading", by_peewee),
    "SQLAlchemy, QueuePool": (("sqlalchemy",), "threading", sqlalchemy_with("QueuePool")),
    "SQLAlchemy, NullPool": (("sqlalchemy",), "threading", sqlalchemy_with("NullPool")),
    "SQLAlchemy, StaticPool": (("sqlalchemy",), "threading", sqlalchemy_with("StaticPool")),
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
        databases.tidy()


if __name__ == "__main__":
    main()
