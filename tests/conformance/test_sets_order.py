"""The order of a set is decided by hashes and by no schedule: who depends on it is not verified."""

from __future__ import annotations

import asyncio
import enum
import importlib.util
import inspect
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

import tracelock


class Job:
    def __init__(self, name: str) -> None:
        self.name = name


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Odd(enum.Enum):
    ONE = 1
    TWO = 2

    def __hash__(self) -> int:
        raise AssertionError("it is not asked while a set is gone through")


class State:
    made: ClassVar[Any] = ("alpha", "beta", "gamma", "delta")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.items: Any = set(self.made)
        self.seen: list[Any] = []
        self.done = 0


class Jobs(State):
    def __init__(self) -> None:
        super().__init__()
        self.items = {Job("a"), Job("b")}


class Numbers(State):
    made = (3, 1, (2, 5), 2.5)


class Levels(State):
    made = (Level.HIGH, Level.LOW)


class Odds(State):
    def __init__(self) -> None:
        super().__init__()
        hashes = Odd.__hash__
        Odd.__hash__ = object.__hash__  # type: ignore[method-assign]
        self.items = {Odd.ONE, Odd.TWO}
        Odd.__hash__ = hashes  # type: ignore[method-assign]


class Colours(State):
    def __init__(self) -> None:
        super().__init__()
        self.items = frozenset(Colour)


def delegates(s: State) -> Iterator[Any]:
    yield from s.items


def given(*items: Any) -> list[Any]:
    return [*items]


def loop(s: State) -> None:
    for item in s.items:
        s.seen.append(item)


def comprehension(s: State) -> None:
    s.seen = [item for item in s.items]  # noqa: C416


def nested(s: State) -> None:
    s.seen = [item for part in (s.items,) for item in part]


def as_list(s: State) -> None:
    s.seen = list(s.items)


def as_tuple(s: State) -> None:
    s.seen.append(tuple(s.items))


def display(s: State) -> None:
    s.seen = [*s.items]


def arguments(s: State) -> None:
    s.seen = given(*s.items)


def unpacked(s: State) -> None:
    one, *others = s.items
    s.seen = [one, *others]


def joined(s: State) -> None:
    s.seen.append("".join([str(item) for item in s.items]))


def generated(s: State) -> None:
    for item in delegates(s):
        s.seen.append(item)


def counted(s: State) -> None:
    for number, item in enumerate(s.items):
        s.seen.append((number, item))


def zipped(s: State) -> None:
    s.seen = list(zip(s.items, range(9), strict=False))


def first(s: State) -> None:
    s.seen.append(next(iter(s.items)))


def extended(s: State) -> None:
    s.seen.extend(s.items)


def added(s: State) -> None:
    s.seen += s.items


def queued(s: State) -> None:
    s.seen.append(deque(s.items)[0])


def keyed(s: State) -> None:
    s.seen = [*dict.fromkeys(s.items)]


def by_a_key(s: State) -> None:
    s.seen = sorted(s.items, key=lambda item: 0)


def popped(s: State) -> None:
    s.seen.append(set(s.items).pop())


def mapped(s: State) -> None:
    s.seen = list(map(str, s.items))


def filtered(s: State) -> None:
    s.seen = list(filter(None, s.items))


def shown(s: State) -> None:
    s.seen.append(str(s.items))


def in_text(s: State) -> None:
    s.seen.append(f"{s.items}, {s.items!r}")


def formatted(s: State) -> None:
    s.seen.append("%s" % s.items)  # noqa: UP031


def least_by_a_key(s: State) -> None:
    s.seen.append(min(s.items, key=lambda item: 0))


TELLING: list[Callable[[State], None]] = [
    loop, comprehension, nested, as_list, as_tuple, display, arguments, unpacked, joined, generated,
    counted, zipped, first, extended, added, queued, keyed, by_a_key, popped,
    mapped, filtered, shown, in_text, formatted, least_by_a_key,
]  # fmt: skip


def number(s: State) -> None:
    s.seen.append(len(s.items))


def member(s: State) -> None:
    s.seen.append("alpha" in s.items)


def in_order(s: State) -> None:
    s.seen = sorted(set(s.items))


def united(s: State) -> None:
    s.seen.append(s.items | {"omega"} == s.items)


def least(s: State) -> None:
    s.seen.append(min(s.items, default=None))


SILENT: list[Callable[[State], None]] = [number, member, in_order, united, least]


def locked(work: Callable[[State], None]) -> Callable[[State], None]:
    def worker(s: State) -> None:
        with s.lock:
            work(s)
            s.done += 1

    return worker


def explored(
    work: Callable[[State], None], setup: type[State], **more: Any
) -> tuple[str, list[str]]:
    found = tracelock.explore(
        workers=[locked(work), locked(number)], setup=setup, strategy="dpor",
        instrument=[__name__], **more,
    )  # fmt: skip
    return found.verdict, sorted(found.account.chance)


@pytest.mark.parametrize("work", TELLING, ids=lambda work: work.__name__)
def test_what_depends_on_the_order_is_told(work: Callable[[State], None]) -> None:
    found = tracelock.explore(
        workers=[locked(work), locked(number)], setup=State, strategy="random", schedules=1,
        instrument=[__name__],
    )  # fmt: skip
    assert found.account.chance == {"the order of a set of str"}


@pytest.fixture
def module(tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    """What makes a module of a source, which is gone after the test."""
    made: list[str] = []

    def make(source: str) -> Any:
        path = tmp_path / f"orders{len(made)}.py"
        path.write_text(source)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None
        found = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
        made.append(path.stem)
        spec.loader.exec_module(found)
        return found

    yield make
    for name in made:
        del sys.modules[name]


@pytest.mark.parametrize(
    "form", ["({'alpha', 'beta', 'gamma'})", "({str(number) for number in range(4)})",
             "({'alpha', 'beta'} | {'gamma'})", "set(('alpha', 'beta'))",
             "frozenset({'alpha', 'beta'})"],
)  # fmt: skip
@pytest.mark.parametrize("work", [*TELLING, given], ids=lambda work: work.__name__)
def test_sets_that_the_expression_makes_have_one_too(
    work: Callable[[Any], Any], form: str, module: Callable[[str], Any]
) -> None:
    source = inspect.getsource(work).replace("s.items", form)
    if work is given:  # each worker has its own items here, and the lock is not needed
        source = f"def given(s):\n    s.seen = [*{form}]\n"
    made = module(
        "from __future__ import annotations\nfrom collections import deque\n"
        "from collections.abc import Iterator\nfrom typing import Any\n"
        f"class State: pass\n{inspect.getsource(given)}{inspect.getsource(delegates)}\n{source}"
        f"def works(s):\n    with s.lock:\n        {work.__name__}(s)\n"
    )
    if work is generated:
        made.delegates = module(f"def delegates(s):\n    yield from {form}\n").delegates
    found = tracelock.explore(
        workers=[made.works, locked(number)], setup=State, strategy="random", schedules=1,
        instrument=[made.__name__, *(["orders1"] if work is generated else [])],
    )  # fmt: skip
    assert found.account.chance == {"the order of a set of str"}


@pytest.mark.parametrize("work", SILENT, ids=lambda work: work.__name__)
def test_what_does_not_is(work: Callable[[State], None]) -> None:
    assert explored(work, State) == ("verified", [])


@pytest.mark.parametrize("work", [loop, as_list, display, popped], ids=lambda work: work.__name__)
def test_of_numbers_the_order_is_always_the_same(work: Callable[[State], None]) -> None:
    assert explored(work, Numbers) == ("verified", [])


def test_such_a_program_is_not_verified() -> None:
    assert explored(loop, State) == ("passed", ["the order of a set of str"])


def test_objects_and_members_of_an_enumeration_are_told_by_their_class() -> None:
    assert explored(loop, Jobs) == ("passed", ["the order of a set of Job"])
    assert explored(loop, Odds) == ("passed", ["the order of a set of Odd"])
    assert explored(loop, Levels) == ("verified", [])
    assert explored(loop, Colours) == ("passed", ["the order of a set of Colour"])


def test_tasks() -> None:
    async def closes(s: Jobs) -> None:
        for job in list(s.items):
            s.seen.append(job.name)
            await asyncio.sleep(0)

    async def looks(s: Jobs) -> None:
        s.done = len(s.seen)

    found = tracelock.explore(
        workers=[closes, looks], setup=Jobs, backend="asyncio", strategy="dpor"
    )
    assert found.verdict == "passed"
    assert "the order of a set of Job" in found.account.chance


def test_a_set_of_tasks_has_the_order_of_their_making() -> None:
    async def waits(s: State) -> None:
        tasks = {asyncio.create_task(asyncio.sleep(0)) for _ in range(3)}
        for task in tasks:
            await task

    async def other(s: State) -> None:
        s.done += 1

    found = tracelock.explore(
        workers=[waits, other], setup=State, backend="asyncio", strategy="dpor"
    )
    assert (found.verdict, found.account.chance) == ("verified", set())
