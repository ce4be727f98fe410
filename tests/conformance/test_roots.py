"""The root of real code that fails names its cause; what is mended raises no error.

Over ``tests/programs_roots``: the core of bugs that libraries have had, on threads and tasks.
"""

from __future__ import annotations

import asyncio

import pytest

import tracelock
from tests.programs_roots.program import NAMES, causes, explore, judge, kinds, passing
from tracelock.analysis.findings import ERROR


class Connections:
    """Counts one as opened after it has let go of the lock, beside a list that all change."""

    def __init__(self) -> None:
        self.changed = asyncio.Condition()
        self.idle: list[object] = []
        self.size, self.opened = 1, 0

    async def get(self) -> object:
        async with self.changed:
            while not self.idle and self.opened >= self.size:
                await self.changed.wait()
            if self.idle:
                return self.idle.pop()
        await asyncio.sleep(0)
        self.opened += 1
        return object()

    async def put(self, connection: object) -> None:
        async with self.changed:
            self.idle.append(connection)
            self.changed.notify()


async def all_use(pool: Connections) -> None:
    async def user() -> None:
        await pool.put(await pool.get())

    await asyncio.gather(*(user() for _ in range(3)))
    assert pool.opened <= pool.size


#: Each is a finder of its own: these run by default.
QUICK = (
    "blocking", "cleared", "halfway", "outside", "pool", "stranded", "swallowed", "unawaited",
)  # fmt: skip
PROGRAMS = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.extended) for name in NAMES
]


def test_there_are_programs_and_each_says_what_its_fix_changes() -> None:
    assert set(QUICK) <= set(NAMES)
    assert all(causes(name) and kinds(name) for name in NAMES)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_root_names_what_the_fix_changes(name: str) -> None:
    trace = explore(name)
    judged = judge(name, trace)
    assert judged.kind, judged.root
    assert judged.function or judged.line, judged.root.places
    errors = [one.kind for one in tracelock.analyze(trace) if one.severity == ERROR]
    assert judged.root.kind in errors


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_passing_run_of_the_mended_twin_has_no_error_nor_that_finding(name: str) -> None:
    for trace in passing(name, schedules=10, seeds=1):
        found = tracelock.analyze(trace)
        assert not any(one.root or one.severity == ERROR for one in found)
        loud = {one.kind for one in found if one.severity != "note"}
        assert not loud & kinds(name), [one.title for one in found]


def test_what_the_failing_step_looks_at_comes_before_what_else_was_changed() -> None:
    explored = tracelock.explore(
        setup=Connections, workers=[all_use], backend="asyncio", instrument=[__name__]
    )
    assert explored.trace is not None
    roots = [one for one in tracelock.analyze(explored.trace) if one.root]
    assert [(one.kind, one.targets) for one in roots] == [
        ("check-then-act", ("Connections#1.opened",))
    ]
