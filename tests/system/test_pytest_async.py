"""Marked async tests, beside the plugins that run async tests: whoever else would run them."""

from __future__ import annotations

import json
from importlib.util import find_spec

import pytest

from tests.system.plugin_tools import run
from tracelock.trace import load_trace

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.skipif(
    find_spec("tracelock.instrument.loops.asyncio_backend") is None, reason="there are no tasks yet"
)

RACE = """\
import asyncio

import pytest


class Account:
    def __init__(self):
        self.balance = 0

    async def add(self, amount):
        balance = self.balance
        await asyncio.sleep(0)
        self.balance = balance + amount

    async def add_first(self, amount):
        self.balance += amount
        await asyncio.sleep(0)


async def both(method):
    tasks = [asyncio.create_task(method(1)) for _ in range(2)]
    for task in tasks:
        await task


{more}@pytest.mark.tracelock(schedules=100)
async def test_add({fixtures}):
    account = Account()
    await both(account.{method})
    assert account.balance == {expected}
"""


def source(more: str = "", fixtures: str = "", method: str = "add", expected: str = "2") -> str:
    return RACE.format(more=more, fixtures=fixtures, method=method, expected=expected)


ASYNCIO = "@pytest.mark.asyncio\n"
ANYIO = "@pytest.mark.anyio\n"
FIXTURE = '@pytest.fixture\ndef anyio_backend():\n    return "asyncio"\n\n\n'


@pytest.mark.parametrize(
    ("more", "fixtures", "options"),
    [
        ("", "", ("-pno:asyncio", "-pno:anyio")),
        ("", "", ("-oasyncio_mode=strict",)),
        (ASYNCIO, "", ("-oasyncio_mode=strict",)),
        ("", "", ("-oasyncio_mode=auto",)),
        (ASYNCIO, "", ("-oasyncio_mode=auto",)),
        (FIXTURE + ANYIO, "", ("-pno:asyncio",)),
        (FIXTURE, "anyio_backend", ("-pno:asyncio",)),
        (FIXTURE + ANYIO, "", ("-oasyncio_mode=strict",)),
    ],
    ids=[
        "alone", "strict", "strict-marked", "auto", "auto-marked", "anyio-marked",
        "anyio-fixture", "anyio-marked-strict",
    ],
)  # fmt: skip
def test_an_async_test_is_explored_whoever_else_runs_such_tests(
    pytester: pytest.Pytester, more: str, fixtures: str, options: tuple[str, ...]
) -> None:
    pytester.makepyfile(test_tasks=source(more, fixtures))
    result = run(pytester, *options, others=True)
    result.assert_outcomes(failed=1)
    text = result.stdout.str()
    assert "AssertionError: assert 1 == 2" in text and "awaits" in text
    assert "pytest_plugin" not in text
    (path,) = pytester.path.glob(".tracelock/*.json")
    trace = load_trace(path)
    assert trace.backend == "asyncio"
    assert trace.scenario["python"]["pytest"].startswith("test_tasks.py::test_add")

    pytester.makepyfile(test_tasks=source(more, fixtures, "add_first"))
    run(pytester, *options, others=True).assert_outcomes(passed=1)
    assert not path.exists()


def test_anyio_runs_the_others(pytester: pytest.Pytester) -> None:
    """What is not marked is left to the plugin whose test it is."""
    plain = source(FIXTURE + ANYIO).replace("@pytest.mark.tracelock(schedules=100)\n", "")
    pytester.makepyfile(test_tasks=plain)
    result = run(pytester, "-pno:asyncio", others=True)
    assert result.parseoutcomes()["failed"] == 1 and "preempted" not in result.stdout.str()


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_async_fixtures_come_from_their_plugin(pytester: pytest.Pytester, mode: str) -> None:
    fixture = (
        "import pytest_asyncio\n\n\n@pytest_asyncio.fixture\nasync def start():\n"
        "    await asyncio.sleep(0)\n    yield 0\n    await asyncio.sleep(0)\n\n\n"
    )
    more = fixture + (ASYNCIO if mode == "strict" else "")
    text = source(more, "start", "add_first", "start + 2")
    pytester.makepyfile(test_tasks=text)
    run(pytester, f"-oasyncio_mode={mode}", others=True).assert_outcomes(passed=1)


def test_a_kept_trace_of_tasks_is_replayed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_tasks=source(ASYNCIO))
    run(pytester, others=True).assert_outcomes(failed=1)
    (path,) = pytester.path.glob(".tracelock/*.json")
    result = run(
        pytester, "--tracelock-replay", str(path), "--tracelock-replay-status",
        "test_tasks.py::test_add", others=True,
    )  # fmt: skip
    assert result.ret == 100
    assert "still fails: reproduced, it ended as recorded" in result.stdout.lines


TRIO = """\
import anyio
import pytest


class Account:
    def __init__(self):
        self.balance = 0

    async def add(self, amount):
        balance = self.balance
        await anyio.lowlevel.checkpoint()
        self.balance = balance + amount


@pytest.mark.anyio
@pytest.mark.tracelock(schedules=100)
async def test_add(anyio_backend_name):
    account = Account()
    async with anyio.create_task_group() as group:
        group.start_soon(account.add, 1)
        group.start_soon(account.add, 1)
    assert account.balance == 2, anyio_backend_name
"""


def test_anyio_says_on_which_backend(pytester: pytest.Pytester) -> None:
    """Its own fixture runs a test on each backend that it knows."""
    pytester.makepyfile(test_both=TRIO)
    result = run(pytester, "-pno:asyncio", others=True)
    result.assert_outcomes(failed=2)
    traces = [load_trace(path) for path in sorted(pytester.path.glob(".tracelock/*.json"))]
    found = {trace.scenario["python"]["pytest"]: trace.backend for trace in traces}
    assert found == {
        "test_both.py::test_add[asyncio]": "asyncio", "test_both.py::test_add[trio]": "trio",
    }  # fmt: skip


PLAIN = """\
import threading

import anyio
import pytest
import trio


@pytest.fixture
def balance():
    return [0]


async def add(balance):
    before = balance[0]
    await anyio.sleep(0)
    balance[0] = before + 1


async def main(balance):
    async with anyio.create_task_group() as group:
        group.start_soon(add, balance)
        group.start_soon(add, balance)


@pytest.mark.tracelock(schedules=20)
def test_trio(balance):
    trio.run(main, balance)
    assert balance == [2]


@pytest.mark.tracelock(schedules=20)
def test_in_a_thread(balance):
    arguments = {"backend": "trio"}
    thread = threading.Thread(target=anyio.run, args=(main, balance), kwargs=arguments)
    thread.start()
    thread.join()
    assert balance == [2]
"""


def test_a_plain_test_that_starts_a_loop_is_explored(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_plain=PLAIN)
    result = run(pytester)
    result.assert_outcomes(failed=2)
    assert len(list(pytester.path.glob(".tracelock/*.json"))) == 2


def test_what_a_plugin_keeps_of_a_test_is_no_state_of_it(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_mode = auto\n")
    pytester.makepyfile(
        test_it="""
        import asyncio


        class TestTasks:
            async def test_them(self):
                await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))
        """
    )
    result = run(pytester, "--tracelock", "--tracelock-json=out.json", others=True)
    result.assert_outcomes(passed=1)
    (told,) = json.loads((pytester.path / "out.json").read_text())["tests"].values()
    assert (told["verdict"], told["notes"]) == ("verified", [])


def test_who_reads_the_log_of_a_loop_has_received_what_is_in_it(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeini("[pytest]\nasyncio_mode = auto\n")
    pytester.makepyfile(
        test_it="""
        import asyncio
        import gc


        async def _lost():
            async def fails():
                await asyncio.sleep(0)
                raise RuntimeError("nobody asks")

            task = asyncio.create_task(fails())
            while not task.done():
                await asyncio.sleep(0)
            del task
            gc.collect()


        async def test_read(caplog):
            await _lost()
            assert "Task exception was never retrieved" in caplog.text


        async def test_not_read():
            await _lost()
        """
    )
    result = run(pytester, "--tracelock", "--tracelock-schedules=20", others=True)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines([
        "*::test_not_read  not explored: it passes by itself, and fails in every schedule under "
        "control: *never retrieved*",
        "1 test explored: 1 passed; 1 not explored",
    ])  # fmt: skip
