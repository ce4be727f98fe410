"""SQLite under control: what is a step, who waits for whom, what is found, and what is told."""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import tracelock
from tests.helpers import databases as programs
from tests.helpers.databases import fresh, fresh_wal, is_two, somebody_is_on_call
from tracelock.errors import UsageError
from tracelock.explore.running import Guide
from tracelock.instrument.databases import copies
from tracelock.instrument.databases.sqlite_native import NATIVE
from tracelock.session import api
from tracelock.session.explored import Explored
from tracelock.trace.databases import step_of

pytestmark = pytest.mark.skipif(NATIVE is None, reason="SQLite does not tell what it holds here")


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    yield
    programs.tidy()


def explore(*workers: Any, **more: Any) -> Explored:
    more = {
        "setup": fresh, "check": is_two, "strategy": "dpor", "instrument": [], "seconds": None,
        "schedules": 2_000, "confirm": 0, **more,
    }  # fmt: skip
    return api.explore(workers=workers, **more)


def statements(found: Explored) -> list[str]:
    """What the failing schedule did to databases: the worker and the statement."""
    assert found.trace is not None
    told = []
    for event in found.trace.events:
        values = [event.value, event.result]
        values += [one for part in values if isinstance(part, dict) for one in part.values()]
        step = next((s for one in values if (s := step_of(one))), None)
        if step is not None:
            told.append(f"{found.trace.workers[event.worker]}: {step.text}")
    return told


def root(found: Explored) -> Any:
    assert found.trace is not None
    first = tracelock.analyze(found.trace)[0]
    assert first.root
    return first


# --- what is found -----------------------------------------------------------------------------
FOUND: dict[str, tuple[Any, Any, dict[str, Any], str, tuple[str, ...]]] = {
    "lost update": (
        programs.add_in_two, programs.add_in_two, {}, "database-lost-update",
        ("`SELECT n FROM account`", "`UPDATE account SET n = ? (1,)`"),
    ),
    "lost update, write-ahead log": (
        programs.add_in_two, programs.add_in_two, {"setup": fresh_wal}, "database-lost-update",
        ("`SELECT n FROM account`",),
    ),
    "lost update of statements alone": (
        programs.add_alone, programs.add_alone, {}, "database-lost-update",
        ("`SELECT n FROM account`", "`UPDATE account SET n = ? WHERE rowid = ? (1, 1)`"),
    ),
    "forgotten BEGIN IMMEDIATE": (
        programs.add_deferred, programs.add_deferred, {}, "database-locked",
        ("refused at once", "holds the write lock by `UPDATE", "It reads since `SELECT n FROM"),
    ),
    "write skew": (
        programs.ann_leaves, programs.bob_leaves, {"check": somebody_is_on_call}, "write-skew",
        ("'bob'", "'ann'"),
    ),
    "lost update of tasks": (
        programs.task_in_two, programs.task_in_two, {"backend": "asyncio"},
        "database-lost-update", (),
    ),
    "open across an await": (
        programs.task_left_open, programs.task_left_open, {"backend": "asyncio"},
        "open-transaction", ("awaits", "is refused with `UPDATE account SET n = n + 1`"),
    ),
    "lost update of tasks by threads": (
        programs.task_by_threads, programs.task_by_threads,
        {"backend": "asyncio", "strategy": "random", "shrink": False}, "database-lost-update",
        ("reads with `SELECT n FROM account`", "`UPDATE account SET n = ? (1,)`"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FOUND)
def test_it_is_found_and_named_with_its_statements(case: str, tmp_path: Path) -> None:
    one, other, options, kind, words = FOUND[case]
    found = explore(one, other, **options)
    assert found.failed and found.trace is not None
    first = root(found)
    assert first.kind == kind and first.severity == "error"
    assert [word for word in words if word not in first.explanation] == []
    # its trace leads there again, also from a file
    found.trace.save(str(tmp_path / "trace.json"))
    more = {"setup": fresh, "check": is_two, **options}
    for name in ("backend", "strategy", "shrink"):
        more.pop(name, None)
    trace = tracelock.load_trace(str(tmp_path / "trace.json"))
    again = api.replay(trace, workers=[one, other], **more)
    assert again.reproduced and again.diverged is None


def test_what_is_shared_only_in_the_schedule_that_fails_is_in_its_trace() -> None:
    """In the schedules before one worker alone has used the database, so that its statements are
    no steps yet."""
    in_between = Guide([0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1])
    found = explore(
        programs.CrowdedAccount.add, programs.CrowdedAccount.add, setup=programs.CrowdedAccount,
        check=programs.CrowdedAccount.check, strategy=in_between, shrink=False, confirm=1,
    )  # fmt: skip
    assert found.failed and found.confirmed == {"threading": "1/1"}
    for verb in ("SELECT", "UPDATE"):
        by = {told.split(":")[0] for told in statements(found) if f": {verb}" in told}
        assert len(by) == 2
    assert root(found).kind == "database-lost-update"


MENDED: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "the statement computes": (programs.add_at_once, programs.add_at_once, {}),
    "immediate": (programs.add_immediate, programs.add_immediate, {}),
    "immediate, write-ahead log":
        (programs.add_immediate, programs.add_immediate, {"setup": fresh_wal}),
    "on call":
        (programs.ann_leaves_well, programs.bob_leaves_well, {"check": somebody_is_on_call}),
    "tasks": (programs.task_at_once, programs.task_at_once, {"backend": "asyncio"}),
}  # fmt: skip


@pytest.mark.parametrize("case", MENDED)
def test_what_mends_it_is_verified(case: str) -> None:
    one, other, options = MENDED[case]
    found = explore(one, other, **options)
    assert found.verdict == "verified" and found.account.not_seen == []


# --- waiting -----------------------------------------------------------------------------------
def slow(path: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as base:
        base.execute("BEGIN IMMEDIATE")
        wait(10.0)
        base.execute("COMMIT")


def wait(seconds: float) -> None:
    threading.Event().wait(seconds)


def impatient(path: str) -> None:
    with closing(sqlite3.connect(path, timeout=9.0)) as base, base:
        base.execute("UPDATE account SET n = n + 1")


def patient(path: str) -> None:
    with closing(sqlite3.connect(path)) as base, base:
        base.execute("PRAGMA busy_timeout = 11000")
        assert base.execute("PRAGMA busy_timeout").fetchone() == (11_000,)
        base.execute("UPDATE account SET n = n + 1")


def test_a_statement_waits_as_long_as_its_connection_says_in_virtual_time() -> None:
    found = explore(slow, impatient, check=None)
    assert found.failed and root(found).kind == "database-locked"
    assert "waits in vain" in root(found).explanation and "by `BEGIN IMMEDIATE`" in (
        root(found).explanation
    )
    assert explore(slow, patient, check=None).verdict == "verified"


def crossed(state: Any) -> None:
    path, lock = state
    with closing(sqlite3.connect(path, isolation_level=None)) as base:
        base.execute("BEGIN IMMEDIATE")
        with lock:
            base.execute("UPDATE account SET n = n + 1")
        base.execute("COMMIT")


def crosses(state: Any) -> None:
    path, lock = state
    with lock, closing(sqlite3.connect(path)) as base, base:
        base.execute("UPDATE account SET n = n + 1")


def test_a_circle_through_a_lock_is_named() -> None:
    found = explore(
        crossed, crosses, setup=lambda: (fresh(), threading.Lock()), check=lambda s: is_two(s[0])
    )
    first = root(found)
    assert first.kind == "database-locked"
    assert "wait for each other at a database" in first.title
    assert "`BEGIN IMMEDIATE`" in first.explanation and "crosses holds" in first.explanation


def reads_slowly(path: str) -> None:
    with closing(sqlite3.connect(path)) as base:
        rows = base.execute("SELECT name FROM doctor")
        rows.fetchone()
        wait(20.0)
        rows.fetchall()


def test_a_cursor_that_is_not_at_its_end_keeps_others_from_committing() -> None:
    assert explore(reads_slowly, programs.add_at_once, check=None).failed
    more = {"setup": fresh_wal, "check": None}
    assert explore(reads_slowly, programs.add_at_once, **more).verdict == "verified"


def drops_cursor(path: str) -> None:
    with closing(sqlite3.connect(path)) as base:
        base.execute("SELECT name FROM doctor").fetchone()  # nobody has the cursor any more
        wait(20.0)


def test_a_cursor_that_dies_lets_them() -> None:
    found = explore(drops_cursor, programs.add_at_once, check=None)
    assert found.verdict == "verified" and found.schedules > 2


# --- what is a step ------------------------------------------------------------------------------
def many_calls(path: str) -> None:
    with closing(sqlite3.connect(path)) as base:
        base.executescript("BEGIN; UPDATE account SET n = 5; COMMIT; UPDATE account SET n = 6;")
        base.executemany("INSERT INTO account VALUES (?)", ((n,) for n in (7, 8)))
        base.rollback()
        base.isolation_level = None
        assert base.executemany("INSERT INTO account VALUES (?)", [(7,), (8,)]).rowcount == 2
        target = sqlite3.connect(":memory:")
        base.backup(target)
        assert target.execute("SELECT count(*) FROM account").fetchone() == (3,)
        target.close()


def changes(path: str) -> None:
    programs.add_at_once(path)
    raise RuntimeError("so that there is a trace")


def test_each_statement_of_a_script_and_each_transaction_of_many_rows_is_a_step() -> None:
    found = explore(many_calls, changes, check=None, shrink=False)
    assert found.failed
    mine = [one.partition(": ")[2] for one in statements(found) if one.startswith("many_calls")]
    every = [
        "UPDATE account SET n = 5;", "COMMIT;", "UPDATE account SET n = 6;",
        "INSERT INTO account VALUES (?) [2 rows]", "ROLLBACK",
        "INSERT INTO account VALUES (?) (7,)", "INSERT INTO account VALUES (?) (8,)", "backup",
    ]  # fmt: skip
    assert mine == every[: len(mine)]
    assert explore(many_calls, lambda path: None, check=None).verdict == "verified"


def turns_on_autocommit(path: str) -> None:
    with closing(sqlite3.connect(path, autocommit=False)) as base:  # type: ignore[call-arg]
        (n,) = base.execute("SELECT n FROM account").fetchone()
        base.rollback()
        base.execute("UPDATE account SET n = ?", (n + 1,))
        base.autocommit = True
        assert base.autocommit is True and not base.in_transaction


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there is none")
def test_to_turn_on_autocommit_is_a_commit() -> None:
    found = explore(turns_on_autocommit, turns_on_autocommit, shrink=False)
    assert found.failed and root(found).kind == "database-lost-update"
    assert len([one for one in statements(found) if one.endswith(": COMMIT")]) == 2


class Named(sqlite3.Connection):
    def execute(self, *args: Any) -> Any:
        self.calls = getattr(self, "calls", 0) + 1
        return super().execute(*args)


class NamedCursor(sqlite3.Cursor):
    pass


def with_classes(path: str) -> None:
    with closing(sqlite3.connect(path, factory=Named)) as base, base:
        assert isinstance(base, Named) and isinstance(base, sqlite3.Connection)
        base.row_factory = sqlite3.Row
        row = base.execute("SELECT n FROM account").fetchone()
        assert type(row) is sqlite3.Row and row.keys() == ["n"]
        cursor = base.cursor(NamedCursor)
        assert isinstance(cursor, NamedCursor)
        cursor.execute("UPDATE account SET n = ?", (row["n"] + 1,))
        assert base.calls == 1


def test_classes_of_the_program_are_under_control_too() -> None:
    found = explore(with_classes, with_classes)
    assert found.failed and found.account.not_seen == []
    assert root(found).kind == "database-lost-update"


def shared_connection(base: sqlite3.Connection) -> None:
    (n,) = base.execute("SELECT n FROM account").fetchone()
    base.execute("UPDATE account SET n = ?", (n + 1,))


def in_memory() -> sqlite3.Connection:
    base = sqlite3.connect(":memory:", check_same_thread=False)
    base.execute("CREATE TABLE account (n INTEGER)")
    base.execute("INSERT INTO account VALUES (0)")
    return base


def test_a_connection_that_threads_share_is_a_shared_object() -> None:
    def check(base: sqlite3.Connection) -> None:
        assert base.execute("SELECT n FROM account").fetchone() == (2,)

    assert explore(shared_connection, shared_connection, setup=in_memory, check=check).failed

    def of_another(base: sqlite3.Connection) -> None:
        with pytest.raises(sqlite3.ProgrammingError, match="same thread"):
            base.execute("SELECT 1")

    def bound() -> sqlite3.Connection:
        return sqlite3.connect(":memory:")

    assert explore(of_another, setup=bound, check=None).verdict == "verified"


MEMORY = "file:of-several?mode=memory&cache=shared"


def with_shared_cache(keep: sqlite3.Connection) -> None:
    with closing(sqlite3.connect(MEMORY, uri=True)) as base:
        (n,) = base.execute("SELECT n FROM account").fetchone()
        base.execute("UPDATE account SET n = ?", (n + 1,))
        base.commit()


def test_a_database_in_memory_that_connections_share() -> None:
    def setup() -> sqlite3.Connection:
        base = sqlite3.connect(MEMORY, uri=True, check_same_thread=False)
        base.execute("CREATE TABLE account (n INTEGER)")
        base.execute("INSERT INTO account VALUES (0)")
        base.commit()
        return base

    def check(base: sqlite3.Connection) -> None:
        assert base.execute("SELECT n FROM account").fetchone() == (2,)

    found = explore(with_shared_cache, with_shared_cache, setup=setup, check=check)
    assert found.failed


def creates(path: Path) -> None:
    if not path.exists():
        with closing(sqlite3.connect(path)) as base:
            base.execute("CREATE TABLE account (n INTEGER)")


def test_to_look_whether_the_file_is_there_depends_on_who_makes_it(tmp_path: Path) -> None:
    found = explore(creates, creates, setup=lambda: tmp_path / "data", check=None)
    assert found.failed and found.trace is not None
    assert "table account already exists" in found.trace.verdict.message


def stamps(path: str) -> None:
    with closing(sqlite3.connect(path)) as base, base:
        base.execute("CREATE TABLE log (at TEXT DEFAULT CURRENT_TIMESTAMP)")
        base.execute("INSERT INTO log DEFAULT VALUES")
        wait(5.0)
        base.execute("INSERT INTO log VALUES (datetime('now'))")
        rows = [at for (at,) in base.execute("SELECT at FROM log")]
        assert rows == ["2023-11-14 22:13:20", "2023-11-14 22:13:25"]
        base.execute(
            "SELECT date(), strftime('%Y'), julianday('now'), date('2020-01-31', '+1 day')"
        )


def draws(path: str) -> None:
    with closing(sqlite3.connect(path)) as base:
        base.execute("SELECT random()").fetchone()


def test_the_time_is_virtual_and_chance_is_told() -> None:
    assert explore(stamps, check=None).verdict == "verified"
    found = explore(draws, check=None)
    assert found.verdict == "passed" and found.account.not_seen == ["random() of SQLite"]


class Counted:
    def __init__(self) -> None:
        self.path, self.lock = fresh(), threading.Lock()


def calls_back(state: Counted) -> None:
    def one_more(n: int) -> int:
        with state.lock:
            return n + 1

    with closing(sqlite3.connect(state.path, isolation_level=None)) as base:
        base.create_function("one_more", 1, one_more)
        base.execute("UPDATE account SET n = one_more(n)")


def comes_between(state: Counted) -> None:
    with state.lock, closing(sqlite3.connect(state.path, isolation_level=None)) as base:
        base.execute("PRAGMA user_version")
    programs.add_at_once(state.path)


def test_who_is_refused_in_the_middle_of_a_statement_is_told_when_that_is_over() -> None:
    found = explore(
        calls_back, comes_between, setup=Counted, check=lambda state: is_two(state.path)
    )
    assert found.verdict == "passed", found.story()
    assert "functions of the program in a statement of SQL" in found.account.not_seen


# --- what is not seen ----------------------------------------------------------------------------
def past_us(path: str) -> None:
    with closing(sqlite3.Connection(path)) as base:
        base.execute("SELECT n FROM account").fetchone()


def by_blob(path: str) -> None:
    with closing(sqlite3.connect(path)) as base, pytest.raises(sqlite3.OperationalError):
        base.blobopen("account", "n", 1)


@pytest.mark.parametrize("worker", [past_us, by_blob])
def test_what_is_not_under_control_keeps_verified_away(worker: Any) -> None:
    found = explore(worker, worker, check=None)
    assert found.verdict == "passed" and "sqlite3" in found.account.not_seen[0]


# --- every schedule begins with the same ---------------------------------------------------------
def before(path: Path) -> None:
    with closing(sqlite3.connect(path)) as base:
        base.execute("CREATE TABLE account (n INTEGER)")
        base.execute("INSERT INTO account VALUES (0)")
        base.commit()


def test_a_database_that_was_there_before_is_put_back(tmp_path: Path) -> None:
    path = tmp_path / "data"
    before(path)
    content = path.read_bytes()
    found = explore(programs.add_at_once, programs.add_at_once, setup=lambda: str(path))
    assert found.verdict == "verified" and found.schedules > 2
    assert path.read_bytes() == content and [*tmp_path.iterdir()] == [path]


def leaves_open(state: Any) -> None:
    path, kept = state
    kept.append(sqlite3.connect(path))
    kept[0].execute("UPDATE account SET n = n + 1")


def test_what_a_schedule_leaves_open_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "data"
    before(path)
    found = explore(leaves_open, setup=lambda: (str(path), []), check=None)
    assert found.verdict == "verified"
    with closing(sqlite3.connect(path, timeout=0)) as base:
        assert base.execute("UPDATE account SET n = 9").rowcount == 1


def keeper(name: str) -> Iterator[sqlite3.Connection]:
    """Gives one connection again and again: no schedule puts back where a generator is."""
    base = sqlite3.connect(name, check_same_thread=False)
    while True:
        yield base


def test_a_connection_that_lives_on_sees_what_was_put_back(tmp_path: Path) -> None:
    path = tmp_path / "data"
    before(path)
    pool = keeper(str(path))

    def adds(path: str) -> None:
        with next(pool) as base:
            base.execute("UPDATE account SET n = n + 1")

    more: dict[str, Any] = {"setup": lambda: str(path), "strategy": "random", "schedules": 6}
    found = explore(adds, programs.add_at_once, **more)
    assert found.verdict == "passed" and found.schedules == 6
    assert "connections that live on" in found.account.not_seen
    # it goes on as one that was never under control
    base = next(pool)
    assert base.execute("SELECT n FROM account").fetchone() == (0,)
    assert base.execute("PRAGMA busy_timeout").fetchone() == (5_000,)
    base.close()
    # a database in memory cannot be put back
    memory = keeper(":memory:")
    with pytest.raises(UsageError, match="lives on from one schedule to the next"):
        explore(
            lambda path: next(memory).execute("SELECT 1"), programs.add_at_once,
            programs.add_at_once, **{**more, "check": None},
        )  # fmt: skip


def test_one_that_was_not_there_is_removed(tmp_path: Path) -> None:
    def makes(path: Path) -> None:
        with closing(sqlite3.connect(path)) as base:
            base.execute("CREATE TABLE account (n INTEGER)")

    def other(path: Path) -> None:
        path.exists()

    found = explore(makes, other, setup=lambda: tmp_path / "data", check=None)
    assert found.verdict == "verified" and [*tmp_path.iterdir()] == []


def test_one_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "MOST", 100)
    before(tmp_path / "data")
    with pytest.raises(UsageError, match=r"let `setup` make a smaller one at a temporary path"):
        explore(programs.add_at_once, setup=lambda: str(tmp_path / "data"), check=None)


def test_one_that_another_process_explores_with_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data"
    before(path)

    def taken(*_: Any) -> None:
        raise BlockingIOError

    with monkeypatch.context() as patched:
        patched.setattr(copies, "TRIES", 1)
        patched.setattr(copies.fcntl, "lockf", taken)
        with pytest.raises(UsageError, match=r"at a temporary path of its own"):
            explore(programs.add_at_once, setup=lambda: str(path), check=None)
    assert explore(programs.add_at_once, setup=lambda: str(path), check=None).verdict == "verified"


def test_nothing_is_left_of_control() -> None:
    connect = sqlite3.connect
    explore(programs.add_at_once)
    assert sqlite3.connect is connect
    with closing(sqlite3.connect(":memory:")) as base:
        assert type(base) is sqlite3.Connection
