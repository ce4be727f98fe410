"""Steps of threads that are made in one function are those that the controller makes of all."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest

import tracelock
from tracelock.engine.open import OpenController
from tracelock.instrument.threads import backend
from tracelock.instrument.worker import Worker
from tracelock.schedulers.simple import RandomScheduler


class Things:
    def __init__(self) -> None:
        self.value = 0
        self.lock, self.again = threading.Lock(), threading.RLock()
        self.condition = threading.Condition()
        self.items: queue.Queue[int] = queue.Queue(1)
        self.some = threading.Semaphore(1)
        self.set = threading.Event()
        self.both = threading.Barrier(2)


def counts(things: Things) -> None:
    with things.lock:
        things.value += 1
    with things.again, things.again:
        things.value += 1
    with things.some:
        things.value += 1


def gives(things: Things) -> None:
    for number in range(2):
        things.items.put(number)
    things.set.set()
    with things.condition:
        things.value = -1
        things.condition.notify_all()


def takes(things: Things) -> None:
    for _ in range(2):
        things.items.get()
    things.set.wait()
    with things.condition:
        while things.value >= 0:
            things.condition.wait()


def waits_for_a_time(things: Things) -> None:
    things.lock.acquire(timeout=1)
    things.value += 1
    things.lock.release()
    things.set.wait(0.5)


def meets(things: Things) -> None:
    things.both.wait()
    thread = threading.Thread(target=counts, args=(things,))
    thread.start()
    thread.join()


class Child:
    def __init__(self) -> None:
        self.number, self.text = 1, "one"


def alters(things: Things) -> None:
    child = things.__dict__.setdefault("child", None) or Child()
    things.child = child  # type: ignore[attr-defined]
    child.number += 1
    child.text = "x" * (70 + 5 * child.number)
    with contextlib.suppress(AttributeError):
        things.missing += 1  # type: ignore[attr-defined]
    if child.number > 2:
        things.missing = 0.5  # type: ignore[attr-defined]
    things.child.names = [child.text]  # type: ignore[attr-defined]
    things.child.names.append("y")  # type: ignore[attr-defined]
    release = things.lock.release
    if things.lock.acquire(blocking=False):
        release()
    for _ in range(2):
        things.again.acquire()
    things.again.release(), things.again.release()
    try:
        with things.lock:
            raise KeyError
    except KeyError:
        del things.child  # type: ignore[attr-defined]


def holds_both(things: Things) -> None:
    with things.lock, things.again:
        things.value += 1


def holds_both_the_other_way(things: Things) -> None:
    with things.again, things.lock:
        things.value += 1


PROGRAMS: dict[str, list[Callable[[Things], None]]] = {
    "locks": [counts, counts], "queue": [gives, takes], "times": [waits_for_a_time, counts],
    "threads": [meets, meets], "attributes": [alters, alters],
    "deadlock": [holds_both, holds_both_the_other_way],
}  # fmt: skip


class Noted(RandomScheduler):
    """Keeps what the steps of each schedule were."""

    def __init__(self) -> None:
        super().__init__(3)
        self.steps: list[Any] = []

    def attach(self, run: Any) -> None:
        self.run = run
        super().attach(run)

    def end(self, steps: int) -> None:
        self.steps.append([
            (worker, kind, op.target, op.at, seen, tuple(options or ()), now)
            for worker, kind, op, seen, options, now in self.run.log
        ])  # fmt: skip
        super().end(steps)


@pytest.mark.parametrize("name", PROGRAMS)
def test_they_are_the_steps_of_the_controller(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def explored() -> tuple[Any, Any, bool]:
        scheduler = Noted()
        found = tracelock.explore(
            setup=Things, workers=PROGRAMS[name], strategy=scheduler, schedules=25, seconds=None,
            instrument=["only", __name__], every=True, shrink=False, confirm=0, isolation="never",
        )  # fmt: skip
        outcomes = found.verdict, [(one.kind, one.message, one.count) for one in found.ways]
        return scheduler.steps, outcomes, scheduler.run.plain

    steps, outcomes, plain = explored()
    assert plain
    with monkeypatch.context() as apart:
        apart.setattr(backend, "PlainThread", Worker)
        assert explored() == (steps, outcomes, True)
    monkeypatch.setattr(OpenController, "plain", property(_never, _ignore))
    assert explored() == (steps, outcomes, False)


def _never(controller: object) -> bool:
    return False


def _ignore(controller: object, value: object) -> None:
    pass
