"""Methods of ``unittest.TestCase`` under control: all that ``unittest`` does around them."""

from __future__ import annotations

import json

import pytest

from tests.system.plugin_tools import COUNTER, run

pytest_plugins = ["pytester"]

_SOURCE = (
    """\
import asyncio
import threading
import unittest

import pytest

"""
    + COUNTER
    + """\
class TestCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shared = Counter()

    def setUp(self):
        self.counter = Counter()

    def check(self):
        self.assertEqual(self.counter.n, 2)

    def test_in_a_cleanup(self):
        self.addCleanup(self.check)
        both(self.counter.race)

    def test_in_a_sub_test(self):
        for name in ("add", "race"):
            with self.subTest(name=name):
                counter = Counter()
                both(getattr(counter, name))
                self.assertEqual(counter.n, 2)

    def test_of_the_class(self):
        both(self.shared.add)
        self.assertEqual(self.shared.n % 2, 0)

    def test_skips_later(self):
        both(self.counter.race)
        if self.counter.n == 1:
            self.skipTest("one was lost")

    @unittest.expectedFailure
    def test_expected_to_fail(self):
        both(self.counter.add)
        self.assertEqual(self.counter.n, 3)


class TestLoop(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.n = 0
        self.done = []
        self.addAsyncCleanup(self.clean)

    async def asyncTearDown(self):
        self.done.append("down")

    async def clean(self):
        assert self.done == ["down"]
        assert self.n == 2

    async def work(self):
        n = self.n
        await asyncio.sleep(0)
        self.n = n + 1

    async def test_right(self):
        lock = asyncio.Lock()

        async def work():
            async with lock:
                await self.work()

        with self.subTest("with a lock"):
            await asyncio.gather(work(), work())

    async def test_wrong(self):
        event = asyncio.Event()

        async def second():
            await event.wait()
            await self.work()

        async def first():
            event.set()
            await self.work()
            await asyncio.sleep(0)

        await asyncio.gather(second(), first())

    async def test_alone(self):
        self.n = 2
        self.skipTest("for itself")
"""
)
_RESULTS = {
    "TestCase::test_in_a_cleanup": "failed",
    "TestCase::test_in_a_sub_test": "failed",
    "TestCase::test_of_the_class": "verified",
    "TestCase::test_skips_later": "verified",
    "TestLoop::test_right": "verified",
    "TestLoop::test_wrong": "failed",
}


def test_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=_SOURCE)
    result = run(pytester, "--tracelock", "--tracelock-json=all.json")
    found = json.loads((pytester.path / "all.json").read_text())["tests"]
    verdicts = {node.partition("::")[2]: one["verdict"] for node, one in found.items()}
    explored = {node: verdict for node, verdict in verdicts.items() if verdict != "alone"}
    assert explored.pop("TestCase::test_expected_to_fail", "not explored") == "not explored"
    assert explored == _RESULTS
    result.assert_outcomes(passed=3, failed=3, skipped=1, xfailed=1)


def test_marked(pytester: pytest.Pytester) -> None:
    source = _SOURCE.replace("class Test", "@pytest.mark.tracelock(schedules=12)\nclass Test")
    pytester.makepyfile(test_it=source)
    result = run(pytester, "-k", "not expected and not alone and not later")
    result.assert_outcomes(passed=2, failed=3)
