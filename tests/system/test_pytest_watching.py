"""What ``pytest --tracelock`` takes for concurrent: tasks of any loop, also of libraries that the
test is the first to import."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec

import pytest

from tests.system.plugin_tools import PLUGIN, run

pytest_plugins = ["pytester"]

#: A loop like uvloop's, which has nothing of asyncio's own.
_LOOP = """\
import asyncio
from collections import deque


class Loop(asyncio.AbstractEventLoop):
    def __init__(self):
        self.ready = deque()

    def get_debug(self):
        return False

    def call_soon(self, callback, *args, context=None):
        handle = asyncio.Handle(callback, args, self, context)
        self.ready.append(handle)
        return handle

    def create_future(self):
        return asyncio.Future(loop=self)

    def create_task(self, coro, **named):
        return asyncio.Task(coro, loop=self)

    def run_until_complete(self, coro):
        task = self.create_task(coro)
        asyncio._set_running_loop(self)
        try:
            while not task.done():
                self.ready.popleft()._run()
        finally:
            asyncio._set_running_loop(None)
        return task.result()
"""
_TESTS = """\
import asyncio


async def several():
    await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))


def test_several():
    import other_loop

    other_loop.Loop().run_until_complete(several())


def test_of_a_loop_that_is_known_by_now():
    import other_loop

    class Own(other_loop.Loop):
        pass

    Own().run_until_complete(several())


def test_one():
    import other_loop

    other_loop.Loop().run_until_complete(asyncio.sleep(0))
"""


def test_tasks_of_other_loops_are_not_controlled(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(other_loop=_LOOP, test_it=_TESTS)
    result = run(pytester, "--tracelock", "--tracelock-json", "all.json")
    result.assert_outcomes(passed=3)
    found = json.loads((pytester.path / "all.json").read_text())["tests"]
    why = (
        "its tasks are of a loop that is not asyncio's own (other_loop.Loop), which is not "
        "controlled"
    )
    assert {node.partition("::")[2]: one.get("why", "") for node, one in found.items()} == {
        "test_several": why, "test_of_a_loop_that_is_known_by_now": why, "test_one": "",
    }  # fmt: skip
    result.stdout.fnmatch_lines(["0 tests explored; 1 had nothing concurrent; 2 not explored"])


def test_everything_is_as_it_was_afterwards(pytester: pytest.Pytester) -> None:
    import asyncio

    before = dict(vars(asyncio.AbstractEventLoop)), asyncio.BaseEventLoop.create_task
    pytester.makepyfile(test_it="def test_it(): pass")
    run(pytester, "--tracelock")
    assert (dict(vars(asyncio.AbstractEventLoop)), asyncio.BaseEventLoop.create_task) == before


def test_to_import_what_could_start_processes_is_not_to_start_any(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "multiprocessing.process")
    pytester.makepyfile(test_it="def test_it(): import multiprocessing.process")
    result = run(pytester, "--tracelock")
    result.stdout.fnmatch_lines(["0 tests explored; 1 had nothing concurrent; 0 not explored"])


@pytest.mark.skipif(find_spec("trio") is None, reason="trio is not installed")
def test_trio_may_come_with_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""\
def test_it():
    import trio

    n = 0

    async def add():
        nonlocal n
        seen = n
        await trio.sleep(0)
        n = seen + 1

    async def both():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(add)
            nursery.start_soon(add)

    trio.run(both)
    assert n == 1
"""
    )
    others = [f"-pno:{name}" for name in ("xdist", "asyncio", "anyio", "hypothesispytest")]
    result = pytester.runpytest_subprocess(*PLUGIN, *others, "--tracelock")
    result.stdout.fnmatch_lines(["1 test explored: 1 *; 0 not explored"])


def test_a_test_may_put_other_modules_in_the_place_of_all(pytester: pytest.Pytester) -> None:
    """As one does to see what happens where a module is not there."""
    pytester.makepyfile("""
        import sys, threading

        def test_nothing_is_there(monkeypatch):
            monkeypatch.setattr(sys, "modules", {})
            assert "threading" not in sys.modules

        def test_with_a_thread(monkeypatch):
            monkeypatch.setattr(sys, "modules", dict(sys.modules))
            thread = threading.Thread(target=print)
            thread.start()
            thread.join()

        def test_the_next_one():
            pass
    """)
    result = run(pytester, "--tracelock", "-v")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        ["*test_with_a_thread*not explored: it puts something else in the place of sys.modules"]
    )
