"""An exploration of threads dies with the last reference to it: the next one finds no waste, and is
as quick as the first."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import tracelock
from tracelock.instrument.scanning.marks import BY_AGE
from tracelock.instrument.scanning.process import looking


class Shared:
    def __init__(self) -> None:
        self.value = 0
        self.lock = threading.Lock()


def locked(shared: Shared) -> None:
    with shared.lock:
        shared.value += 1


def starts_another(shared: Shared) -> None:
    thread = threading.Thread(target=locked, args=(shared,))
    thread.start()
    thread.join()


WORKERS: dict[str, list[Callable[[Shared], None]]] = {
    "one": [locked], "two": [locked, locked], "threads": [starts_another, locked],
}  # fmt: skip


@pytest.fixture
def no_collections() -> Iterator[None]:
    was = gc.isenabled()
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    if was:
        gc.enable()


def _explore(workers: list[Callable[[Shared], None]]) -> None:
    found = tracelock.explore(
        setup=Shared, workers=workers, instrument=["only", __name__], schedules=5
    )
    assert found.verdict in ("verified", "passed", "unfinished"), found.summary


def _left() -> list[str]:
    """The classes of ours of which there are objects that only a collection would free."""
    gc.unfreeze()
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    kinds = {type(one) for one in gc.garbage}
    gc.garbage.clear()
    gc.collect()
    return sorted(one.__name__ for one in kinds if one.__module__.partition(".")[0] == "tracelock")


@pytest.mark.parametrize("name", WORKERS)
@pytest.mark.usefixtures(no_collections.__name__)
def test_nothing_is_left_for_a_collection(name: str) -> None:
    _explore(WORKERS[name])  # what is made at first use
    gc.unfreeze()
    gc.collect()  # what other tests have left
    _explore(WORKERS[name])
    assert _left() == []


async def counted(shared: Shared) -> None:
    shared.value += 1


@pytest.mark.skipif(not BY_AGE, reason="what is old is not told apart")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_no_waste_of_tasks_grows_old(backend: str) -> None:
    """The next exploration would take no notice of it, and ask who refers to the locks in it."""
    if backend == "trio":
        pytest.importorskip("trio")
    gc.collect()
    others = _of_loops()  # which other tests have left
    for _ in range(3):
        found = tracelock.explore(
            setup=Shared, workers=[counted], instrument=["only", __name__], backend=backend
        )
        assert found.verdict == "verified", found.summary
    gc.collect(0)  # what led to the last of them
    known = {*map(id, others)}
    assert [type(one).__name__ for one in _of_loops() if id(one) not in known] == []


def _of_loops() -> list[Any]:
    names = ("TrioTasks", "AsyncioTasks", "LoopWorker", "TaskWorker")
    return [one for one in gc.get_objects() if type(one).__name__ in names]


@pytest.mark.skipif(not BY_AGE, reason="nothing is kept in mind between explorations")
@pytest.mark.usefixtures(no_collections.__name__)
def test_what_died_with_an_exploration_is_not_kept_in_mind() -> None:
    def kept() -> int:
        lasting: Any = looking._lasting
        return len(lasting._instances) + len(lasting._classes)

    for _ in range(2):
        _explore(WORKERS["one"])
    before = kept()
    for _ in range(3):
        _explore(WORKERS["one"])
    assert kept() < before + 20  # of one exploration alone there were 29
