"""The growing layout, its controller, and choices of where something is injected."""

from __future__ import annotations

from collections import Counter

import pytest

from tracelock.backends.rules import THREADING_RULES
from tracelock.engine.open import OpenController
from tracelock.engine.open_layout import OpenLayout
from tracelock.errors import LimitReached
from tracelock.explore.running import Tape
from tracelock.objects import VARIABLE
from tracelock.ops import ACQUIRE, READ, RELEASE, WAIT, WRITE, ObjectSpec, Op
from tracelock.schedulers.base import INJECT, Choice, Scheduler
from tracelock.schedulers.dpor.scheduler import DporScheduler
from tracelock.schedulers.injecting import InjectingScheduler
from tracelock.schedulers.simple import RandomScheduler


def test_a_name_keeps_its_number() -> None:
    layout = OpenLayout(["a", "b"], 4)
    first = layout.add(ObjectSpec("x", VARIABLE))
    second = layout.add(ObjectSpec("lock", "lock"))
    assert (first, second) == (0, 1)
    assert layout.number_of("lock") == 1 and layout.number_of("y") is None
    assert layout.worker("b") == 1
    assert layout.worker("child") == 2 and layout.worker("child") == 2
    assert layout.known() == ["a", "b", "child"]
    layout.worker("another")
    with pytest.raises(LimitReached, match="more than 4"):
        layout.worker("one too many")


class First(Scheduler):
    """The first that can, whoever comes."""

    sized = False

    def pick(self, choice: Choice) -> int:
        return choice.options[0]


def test_places_are_made_in_the_middle_of_a_schedule_where_it_allows_for_that() -> None:
    layout = OpenLayout(["a", "b"], 2)
    made = OpenController(layout, THREADING_RULES, Tape(First()))
    assert made.begin()
    variable = layout.add(ObjectSpec("x", VARIABLE))
    made.sync()
    child = layout.worker("child")
    made.essential = {child}
    made.ask(child, Op(READ, variable, "c:1"))
    assert made.next() == child == 2
    assert not layout.short
    assert len(made.pending) == len(made.waiting) == len(made.ended) == len(layout.workers)


def test_else_the_next_controller_has_them() -> None:
    layout = OpenLayout(["a", "b"], 2)
    made = controller(layout)
    with pytest.raises(LimitReached, match="more than 2"):
        layout.worker("child")
    assert layout.short
    made = controller(layout)
    assert not layout.short
    assert layout.worker("child") == 2
    assert len(made.pending) == len(layout.workers) > 2


def controller(layout: OpenLayout, seed: int = 0) -> OpenController:
    made = OpenController(layout, THREADING_RULES, RandomScheduler(seed))
    assert made.begin()
    return made


def test_things_may_come_in_the_middle_of_a_schedule() -> None:
    layout = OpenLayout(["a", "b"], 2)
    made = controller(layout)
    made.essential = {0, 1}
    variable = layout.add(ObjectSpec("x", VARIABLE))
    lock = layout.add(ObjectSpec("lock", "lock"))
    made.sync()
    made.ask(0, Op(ACQUIRE, lock, "a:1"))
    made.ask(1, Op(WRITE, variable, "b:1", 3))
    assert {made.next(), made.next()} == {0, 1}
    assert made.models[variable] is None
    assert made.models[lock].holders() == (0,)  # type: ignore[union-attr]


def test_a_schedule_ends_with_the_workers_it_waits_for() -> None:
    """A daemon that could go on for ever is cut off, which is said."""
    layout = OpenLayout(["a", "daemon"], 2)
    variable = layout.add(ObjectSpec("x", VARIABLE))
    made = controller(layout)
    made.essential = {0}
    made.ask(1, Op(READ, variable, "d:1"))
    made.ask(0, None)
    assert made.next() == -1
    assert made.cut_daemons and not made.active


def test_a_wait_that_only_its_timeout_ends_is_noted() -> None:
    layout = OpenLayout(["a"], 1)
    lock = layout.add(ObjectSpec("lock", "rlock"))
    condition = layout.add(ObjectSpec("condition", "condition", lock=lock))
    made = controller(layout)
    made.essential = {0}
    wait = Op(WAIT, condition, "a:2", None, 1.0)
    made.ask(0, Op(ACQUIRE, lock, "a:1"))
    assert made.next() == 0
    made.ask(0, wait)
    while made.next() == 0 and made.parked:
        pass
    assert made.result is False
    assert made.rescues == [(0, wait)]


def test_dpor_grows_with_the_layout() -> None:
    """Two workers that each make the lock they share when they come to it: two executions."""
    layout = OpenLayout(["a", "b"], 2)
    scheduler = DporScheduler()
    made = OpenController(layout, THREADING_RULES, scheduler)
    orders = []
    while made.begin():
        made.essential = {0, 1}
        lock = layout.number_of("lock")
        if lock is None:
            lock = layout.add(ObjectSpec("lock", "lock"))
            made.sync()
        steps = {
            w: [Op(ACQUIRE, lock, f"{w}:1"), Op(RELEASE, lock, f"{w}:2"), None] for w in (0, 1)
        }
        for worker in (0, 1):
            made.ask(worker, steps[worker].pop(0))
        while (worker := made.next()) >= 0:
            made.ask(worker, steps[worker].pop(0))
        scheduler.end(len(made.log))
        orders.append(tuple(entry[0] for entry in made.log))
    assert sorted(orders) == [(0, 0, 1, 1), (1, 1, 0, 0)]
    assert scheduler.exhaustive


def test_an_injection_may_come_anywhere_about_equally_often() -> None:
    """With 12 places in each schedule every one of them is drawn, none much more than others."""
    scheduler = InjectingScheduler(RandomScheduler(1), 1)
    choice = Choice()
    choice.kind, choice.options, choice.worker = INJECT, (0, 1), 0
    seen: Counter[int] = Counter()
    none = 0
    for _ in range(2_000):
        scheduler.begin()
        picks = [scheduler.pick(choice) for _ in range(12)]
        scheduler.end(12)
        seen.update(place for place, picked in enumerate(picks) if picked)
        none += not any(picks)
    assert set(seen) == set(range(12))
    assert max(seen.values()) < 2 * min(seen.values())
    assert 350 < none < 700
