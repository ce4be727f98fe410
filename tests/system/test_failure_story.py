"""How a failure of real code is shown: in the source lines that matter, on a terminal of 80 and of
60 columns, by pytest and by ``replay``; an ordinary failure as pytest shows it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.helpers import pool_asyncio, pool_threads
from tests.helpers.commands import shell_of
from tests.system.plugin_tools import ROOT, run
from tracelock.report.terminal import Style
from tracelock.session.story import told
from tracelock.trace import load_trace

pytest_plugins = ["pytester"]

THREADS = """
import threading
import pytest
from pool import Pool

@pytest.mark.tracelock
def test_pool_one_connection_three_users():
    pool = Pool(1)
    errors = []

    def user():
        try:
            with pool.connection() as connection:
                connection.execute("select 1")
        except IndexError as error:
            errors.append(error)

    threads = [threading.Thread(target=user) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
"""
TASKS = """
import asyncio
import pytest
from pool import Pool

@pytest.mark.tracelock
async def test_pool_one_connection_three_users():
    pool = Pool(1)
    errors = []

    async def user(delay):
        await asyncio.sleep(delay)
        try:
            async with pool.connection() as connection:
                await connection.execute("select 1")
        except IndexError as error:
            errors.append(error)

    await asyncio.gather(user(0), user(0), user(0.01))
    assert errors == []
"""
#: What each worker of the pool's failure does, in this order; a number stands for any user.
STORY = [
    ("if not self._idle:", "Pool._idle: empty"),
    ("self._cond.wait()", "waits on Pool._cond"),
    ("self._idle.append(connection)", "Pool._idle: 0 → 1 item"),
    ("self._cond.notify()", ""),
    ("return self._idle.popleft()", "Pool._idle: 1 → empty"),
    ("self._cond.wait()", "wakes up"),
    ("return self._idle.popleft()", "Pool._idle: empty"),
    ("assert errors == []", "AssertionError"),
]
FAST = ("-p", "no:cacheprovider", "-q")


def rows(lines: list[str], width: int) -> int:
    """How many rows of a terminal the lines take, without colours."""
    return sum(max(1, -(-cell_len(line) // width)) for line in lines)


def project(pytester: pytest.Pytester, module: object, text: str) -> None:
    pytester.makepyprojecttoml("")
    source = Path(str(module.__file__)).read_text(encoding="utf-8")  # type: ignore[attr-defined]
    pytester.makepyfile(pool=source)
    (pytester.path / "tests").mkdir()
    (pytester.path / "tests" / "test_pool.py").write_text(text)
    pytester.syspathinsert()


def in_order(lines: list[str], wanted: list[tuple[str, str]]) -> None:
    """Each of these stands in a line of its own or the one below it, in this order."""
    place = 0
    for source, said in wanted:
        while place < len(lines) and source not in lines[place]:
            place += 1
        assert place < len(lines), f"{source} is missing in\n" + "\n".join(lines)
        assert said in lines[place] + "".join(lines[place + 1 : place + 2])
        place += 1


@pytest.mark.parametrize("module, text", [(pool_threads, THREADS), (pool_asyncio, TASKS)])
def test_a_pool_that_checks_once_is_told_in_forty_rows(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, module: object, text: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    project(pytester, module, text)
    result = run(pytester, *FAST, "tests")
    lines = result.stdout.lines
    start = next(n for n, line in enumerate(lines) if "│ user" in line)
    end = next(n for n, line in enumerate(lines) if line.startswith("why: "))
    in_order(lines[start:end], STORY)
    assert lines[end] == "why: `Pool._idle` was checked before `wait` and not again after it"
    assert lines[end + 1] == "fix: use `while` instead of `if` around the `wait`, or `wait_for`"
    assert all(cell_len(line) <= 80 for line in lines[start:end])
    told_text = "\n".join(lines[start:])
    assert "@" not in told_text and "loop:" not in told_text and "checkpoint" not in told_text
    assert "test_pool_one_connection_three_users/" not in told_text
    everything = lines[lines.index(next(one for one in lines if "FAILURES" in one)) :]
    stop = next(n for n, line in enumerate(everything) if "failing schedules" in line)
    assert rows(everything[:stop], 80) + 2 <= 40, "\n".join(everything)
    assert any("replay it: tracelock replay" in line for line in everything)
    trace = load_trace(next((pytester.path / ".tracelock").glob("*.json")))
    monkeypatch.chdir(pytester.path)
    narrow = [one.plain for one in told(trace, Style(60))]
    in_order(narrow, STORY)
    assert all(cell_len(line) <= 60 for line in narrow)
    every = "\n".join(one.plain for one in told(trace, Style(120), every=True))
    assert "spawn user-1" in every and "read attribute" in every


@pytest.mark.extended
def test_a_replay_tells_the_same_story(
    pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    project(pytester, pool_threads, THREADS)
    run(pytester, *FAST, "tests")
    capsys.readouterr()
    trace = next((pytester.path / ".tracelock").glob("*.json"))
    environment = {
        **os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{pytester.path}", "COLUMNS": "80",
        "PYTHONIOENCODING": "ascii:backslashreplace",
        "PYTEST_ADDOPTS": "-p no:asyncio -p no:anyio -p no:hypothesispytest",
    }  # fmt: skip
    command = [sys.executable, "-m", "tracelock", "replay", "--allow-call", str(trace)]
    done = subprocess.run(
        command, env=environment, cwd=pytester.path, capture_output=True, text=True, timeout=60
    )
    lines = done.stdout.splitlines()
    ascii_story = [(source, said.replace("→", "->")) for source, said in STORY]
    in_order(lines, ascii_story)
    assert any(line.startswith(" * | ") for line in lines), "no line art without UTF-8"
    shell = shell_of(capsys)
    status, table, _ = shell("show", str(trace))
    assert status == 0
    assert "spawn" not in table and "(its source is not at hand)" not in table
    _, table, _ = shell("show", "--all-events", str(trace))
    assert "spawn user-1" in table and "join user-3" in table


ORDINARY = """
import threading
import pytest

@pytest.fixture
def box():
    return [1]

@pytest.mark.tracelock
def test_with_a_thread_and_a_fixture(box):
    thread = threading.Thread(target=print)
    thread.start()
    thread.join()
    assert sum(box) == 2

@pytest.mark.tracelock
def test_alone():
    left = 1
    assert left == 2
"""
ORDERED = """
import threading
import time
import pytest

class Box:
    n = 0

def started(*functions):
    threads = [threading.Thread(target=one) for one in functions]
    for thread in threads:
        thread.start()
    return threads

@pytest.mark.tracelock
def test_not_joined():
    box = Box()
    started(lambda: setattr(box, "n", 1))
    assert box.n == 1

@pytest.mark.tracelock
def test_the_last_one_wins():
    box = Box()
    def one(): box.n = 1
    def two(): box.n = 2
    for thread in started(one, two):
        thread.join()
    assert box.n == 1

@pytest.mark.tracelock
def test_joined_for_a_time():
    box = Box()
    def slow():
        time.sleep(1)
        box.n = 1
    (thread,) = started(slow)
    thread.join(0.5)
    assert box.n == 1

@pytest.mark.tracelock
def test_joined_where_a_thread_says_so():
    box, other = Box(), Box()
    def one(): box.n = 1
    def two(): other.n = box.n
    threads = started(one, two)
    threads[0].join()
    if box.n and not other.n:
        pass
    else:
        threads[1].join()
    assert other.n == 0
"""
LINE = "the order of steps has nothing to do with this"


def test_an_ordinary_failure_is_shown_as_pytest_shows_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(ORDINARY)
    result = run(pytester, *FAST)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [">       assert sum(box) == 2", "E       assert 1 == 2", f"E *{LINE}*",
         ">       assert left == 2", "E       assert 1 == 2", f"E *{LINE}*"]
    )  # fmt: skip
    assert "│" not in result.stdout.str() and "replay it" not in result.stdout.str()


def test_it_is_never_said_where_order_matters(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(ORDERED)
    result = run(pytester, *FAST)
    assert result.parseoutcomes()["failed"] == 4
    assert LINE not in result.stdout.str()
