"""dpor of asyncio tasks by what their steps touch: as many executions as there are classes, and all
ends that trying every order finds."""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

import tracelock
from tests.helpers import step_programs
from tests.oracles.every import Every
from tests.oracles.task_ends import ends_of
from tracelock.schedulers.base import Choice

HERE = "tests.conformance.test_task_steps"
DATA = Path(__file__).resolve().parents[1] / "data" / "oracles"
TRACES = {
    one["scenario"].removesuffix(".json"): one["executions"]
    for one in json.loads((DATA / "traces.json").read_text(encoding="utf-8"))
}
GLOBAL = asyncio.Lock()
KEPT: list[Any] = []


class EveryStep(Every):
    """Every order of the steps of tasks, run as samplers are: without records."""

    systematic = False

    def pick(self, choice: Choice) -> int:
        return choice.options[0] if len(choice.options) == 1 else super().pick(choice)


class State:
    def __init__(self) -> None:
        self.x = 0
        self.y = 0
        self.z = 0
        self.a = [0] * 9
        self.b = Cells()
        self.log: list[str] = []
        self.lock = asyncio.Lock()
        self.forks = [asyncio.Lock() for _ in range(5)]
        self.future: Any = None


class Cells:
    """Variables of their own: a list is one."""

    def __init__(self) -> None:
        self.c0 = self.c1 = self.c2 = self.c3 = self.c4 = self.c5 = self.c6 = 0


async def pause() -> None:
    await asyncio.sleep(0)


async def increment(s: State) -> None:
    x = s.x
    await pause()
    s.x = x + 1


async def under_lock(s: State) -> None:
    async with s.lock:
        x = s.x
        await pause()
        s.x = x + 1


async def at_once(s: State) -> None:
    async with s.lock:
        s.x += 1


async def read(s: State) -> None:
    _ = s.x


async def write(s: State) -> None:
    s.x = 42


def look_back(n: int) -> Any:
    async def work(s: State) -> None:
        i = n
        while getattr_(s.b, i):
            i -= 1
            await pause()

    return work


def add_one(i: int) -> Any:
    async def work(s: State) -> None:
        r = getattr_(s.b, i)
        await pause()
        setattr(s.b, f"c{i + 1}", r + 1)

    return work


def getattr_(cells: Cells, i: int) -> int:
    return getattr(cells, f"c{i}")  # type: ignore[no-any-return]


def write_read(one: str, other: str) -> Any:
    async def work(s: State) -> None:
        setattr(s, one, 1)
        await pause()
        getattr(s, other)

    return work


def read_write(one: str, other: str) -> Any:
    async def work(s: State) -> None:
        getattr(s, one)
        await pause()
        setattr(s, other, 1)

    return work


def read_read(one: str, other: str) -> Any:
    async def work(s: State) -> None:
        getattr(s, one)
        await pause()
        getattr(s, other)

    return work


def write_write(one: str, other: str) -> Any:
    async def work(s: State) -> None:
        setattr(s, one, 1)
        await pause()
        setattr(s, other, 1)

    return work


def only(name: str) -> Any:
    async def work(s: State) -> None:
        for _ in range(3):
            setattr(s, name, getattr(s, name) + 1)
            await pause()

    return work


async def write_y(s: State) -> None:
    s.y = 1


EXACT: dict[str, tuple[list[Any], int]] = {
    "inc-2": ([increment] * 2, TRACES["inc-2"]),
    "inc-3": ([increment] * 3, TRACES["inc-3"]),
    "lockinc-2": ([at_once] * 2, TRACES["lockinc-2"]),
    "lockinc-5": ([at_once] * 5, TRACES["lockinc-5"]),
    "readers-2": ([write, *[read] * 2], TRACES["readers-2"]),
    "readers-4": ([write, *[read] * 4], TRACES["readers-4"]),
    "readers-8": ([write, *[read] * 8], TRACES["readers-8"]),
    "lastzero-2": ([look_back(2), *map(add_one, range(2))], TRACES["lastzero-2"]),
    "lastzero-3": ([look_back(3), *map(add_one, range(3))], TRACES["lastzero-3"]),
    "lastzero-5": ([look_back(5), *map(add_one, range(5))], TRACES["lastzero-5"]),
    "store-buffering": ([write_read("x", "y"), write_read("y", "x")], TRACES["store-buffering"]),
    "load-buffering": ([read_write("x", "y"), read_write("y", "x")], TRACES["load-buffering"]),
    "message-passing": ([write_write("x", "y"), read_read("y", "x")], TRACES["message-passing"]),
    "iriw": ([write, write_y, read_read("x", "y"), read_read("y", "x")], TRACES["iriw"]),
    "three that share nothing": ([only("x"), only("y"), only("z")], 1),
}


def found(workers: Sequence[Any], *, every: bool = False, **more: Any) -> Any:
    """The ends of a program of this module; see ``ends_of``."""
    more.setdefault("instrument", (HERE,))
    return ends_of(workers, State, shown, EveryStep() if every else None, **more)


def shown(s: State) -> Any:
    return s.x, s.y, s.z, tuple(vars(s.b).values()), tuple(s.log)


@pytest.mark.parametrize("name", EXACT)
def test_there_are_as_many_executions_as_classes(name: str) -> None:
    workers, count = EXACT[name]
    ends = found(workers)
    assert ends.by_steps
    assert (ends.executions, ends.complete) == (count, True)


@pytest.mark.parametrize("name", ["inc-3", "lockinc-2", "lastzero-2", "iriw"])
def test_their_ends_are_those_of_every_order(name: str) -> None:
    workers, _ = EXACT[name]
    assert found(workers).ends == found(workers, every=True).ends


def test_those_who_wait_for_a_lock_are_told_from_those_who_need_not() -> None:
    """Who comes while the lock is held makes one step more: these are classes of their own."""
    ends, every = found([under_lock] * 2), found([under_lock] * 2, every=True)
    assert ends.by_steps
    assert (ends.ends, ends.executions) == (every.ends, 2 * TRACES["lockinc-2"])


# --- random programs -------------------------------------------------------------------------
BY_STEPS = (1, 2, 3)  # in others a task fails, say


def agree(seed: int) -> int:
    """The ends of a random program are those of every order. How many schedules these are."""
    workers, state, seen = step_programs.program(seed), step_programs.State, step_programs.seen
    where = ("tests.helpers.step_programs",)
    every = ends_of(workers, state, seen, EveryStep(), instrument=where, most=3_000)
    if not every.complete:
        return 0
    ends = ends_of(workers, state, seen, instrument=where, most=10_000)
    assert ends.complete, step_programs.shown(seed)
    assert ends.ends == every.ends, step_programs.shown(seed)
    assert ends.by_steps or seed not in BY_STEPS, step_programs.shown(seed)
    return every.schedules


@pytest.mark.parametrize("seed", range(4))
def test_random_programs_have_the_ends_of_every_order(seed: int) -> None:
    agree(seed)


@pytest.mark.parametrize("seed", range(100, 160))
def test_more_random_programs(seed: int) -> None:
    agree(seed)


async def spins(s: State) -> None:
    while not s.x:
        await pause()


def test_tasks_that_spin_let_all_others_on() -> None:
    ends = found([spins, spins, write], most=40)
    assert {x for x, *_ in ends.ends} == {42}


async def looks(s: State) -> None:
    """A check that takes steps of its own."""
    await pause()
    assert s.x in (1, 2)
    await pause()


def test_steps_of_a_check_are_none_of_the_schedule() -> None:
    workers = [increment] * 2
    found = tracelock.explore(
        workers=workers, setup=State, check=looks, backend="asyncio", strategy="dpor",
        instrument=[HERE],
    )  # fmt: skip
    assert (found.verdict, found.executions) == ("verified", TRACES["inc-2"])


class Closed(State):
    """It has a list that no attribute leads to, so that whoever meets it first gives it a name."""

    def __init__(self) -> None:
        super().__init__()
        box: list[str] = []
        self.box = lambda: box


async def takes(s: Closed) -> None:
    s.log.extend(s.box())


async def adds(s: Closed) -> None:
    s.box().append("x")


@pytest.mark.parametrize("workers", [[takes, adds], [adds, takes]])
def test_a_name_by_who_comes_first_hides_no_conflict(workers: list[Any]) -> None:
    every = ends_of(workers, Closed, shown, EveryStep(), instrument=(HERE,))
    ends = ends_of(workers, Closed, shown, instrument=(HERE,))
    assert ends.by_steps
    assert ends.ends == every.ends


# --- what is beyond it -----------------------------------------------------------------------
async def old_lock(s: State) -> None:
    async with GLOBAL:
        s.x += 1


async def bare_future(s: State) -> None:
    if s.future is None:
        s.future = asyncio.Future()
        await s.future
    elif not s.future.done():
        s.future.set_result(1)


async def all_of_them(s: State) -> None:
    s.log.append(str(len(asyncio.all_tasks())))


async def thread(s: State) -> None:
    if not s.log:
        s.log.append(str(await asyncio.to_thread(abs, -1)))


async def by_chance(s: State) -> None:
    s.log.append(str(random.randrange(10)))
    await pause()


async def with_anyio(s: State) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(increment, s)


async def barrier(s: State) -> None:
    if s.future is None:
        s.future = asyncio.Barrier(2)
    await s.future.wait()
    s.log.append("on")


async def own_factory(s: State) -> None:
    asyncio.get_running_loop().set_task_factory(None)
    s.x += 1


async def set_of_futures(s: State) -> None:
    s.future = s.future or set()
    s.future.add(asyncio.get_running_loop().create_future())
    await pause()
    s.log.append(str(len(s.future)))


@pytest.mark.parametrize("work", [
    set_of_futures, old_lock, bare_future, all_of_them, thread, by_chance, with_anyio, barrier,
    own_factory,
])  # fmt: skip
def test_what_is_not_known_is_tried_in_every_order(work: Callable[..., Any]) -> None:
    assert not found([work, work], most=200).by_steps


async def acquires(s: State) -> None:
    await KEPT[0].acquire()
    x = s.x
    await pause()
    s.x = x + 1
    KEPT[0].release()


def test_a_condition_that_outlives_schedules() -> None:
    """It has kept methods of its lock that nobody is told of."""
    KEPT.append(asyncio.Condition())
    try:
        ends = found([acquires] * 2)
    finally:
        KEPT.clear()
    assert not ends.by_steps
    assert {x for x, *_ in ends.ends} == {2}


HIDDEN: dict[str, Any] = {}
exec("def hide(s, n):\n    s.y, s.z = n, s.y\n", HIDDEN)


def hides(n: int) -> Any:
    async def work(s: State) -> None:
        await pause()
        if s.x == 42:
            HIDDEN["hide"](s, n)

    return work


async def late(s: State) -> None:
    for _ in range(2):
        await pause()
    s.x = 42


def test_code_that_is_not_looked_into_comes_later() -> None:
    """The schedules that an exploration begins with do not come to it."""
    workers = [hides(1), hides(2), late]
    every, ends = found(workers, every=True), found(workers)
    assert not ends.by_steps
    assert ends.ends == every.ends and ends.complete


def test_code_that_is_not_looked_into_is_tried_in_every_order() -> None:
    space: dict[str, Any] = {"asyncio": asyncio}
    exec(
        "async def hidden(s):\n    x = s.x\n    await asyncio.sleep(0)\n    s.x = x + 1\n",
        space,
    )
    ends = found([space["hidden"]] * 2)
    assert not ends.by_steps
    assert {x for x, *_ in ends.ends} == {1, 2}
    assert ends.schedules >= math.comb(4, 2)
