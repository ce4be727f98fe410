"""Schedules that are known by their choices, against programs that are trees of choices."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracelock.explore.shrink import known
from tracelock.explore.shrink.known import KnownSchedules, Point
from tracelock.explore.shrink.trials import BlockPlan, Follower
from tracelock.schedulers.base import WAITER, WORKER, Choice

WORKERS = 3


def program(seed: int) -> Callable[[Follower], int]:
    """A program whose choices follow from those before: what runs it to its end, which is a
    number made of all that was picked."""

    def run(follower: Follower) -> int:
        follower.begin()
        at, current, seq = random.Random(seed), -1, 0
        while at.random() < 0.85 and len(follower.picks) < 12:
            kind = WAITER if current >= 0 and at.random() < 0.2 else WORKER
            options = sorted(at.sample(range(WORKERS), at.randint(1, WORKERS)))
            picked = follower.pick(Choice(kind, options, current, seq=seq))
            assert picked in options
            current = picked if kind == WORKER else current
            seq += at.randint(1, 2)
            at = random.Random(hash((seed, *follower.picks)))
        return hash((seed, *follower.picks))

    return run


plans = st.builds(
    lambda blocks, extra: BlockPlan(tuple(blocks), tuple(sorted(extra.items()))),
    st.lists(st.tuples(st.integers(0, WORKERS - 1), st.integers(1, 9)), max_size=6),
    st.dictionaries(
        st.tuples(st.integers(0, WORKERS - 1), st.integers(0, 5)),
        st.tuples(st.integers(0, WORKERS - 1)), max_size=3,
    ),
)  # fmt: skip


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(0, 50), st.lists(plans, min_size=1, max_size=30))
def test_what_is_known_is_what_a_run_comes_to(seed: int, tried: list[BlockPlan]) -> None:
    run, schedules = program(seed), KnownSchedules[int]()
    ends: set[int] = set()
    for plan in tried:
        follower = Follower(WORKERS)
        follower.plan = plan
        found = schedules.find(follower)
        picks = list(follower.picks) if found is not None else []
        end = run(follower)
        assert (found is not None) == (end in ends), "those that were run"
        if found is None:
            schedules.add(follower.points, follower.picks, 1, end)
            ends.add(end)
        else:
            assert (found, picks) == (end, follower.picks)


def added(*schedules: tuple[list[Point], list[int]]) -> KnownSchedules[int]:
    found = KnownSchedules[int]()
    for number, (points, picks) in enumerate(schedules, 1):
        found.add(points, picks, 1, number)
    return found


ONE: tuple[list[Point], list[int]] = ([(WORKER, (0, 1), -1, 0)], [0])


@pytest.mark.parametrize(
    "other",
    [
        ([(WORKER, (0, 1, 2), -1, 0)], [0]),
        ([(WORKER, (0, 1), -1, 0), (WORKER, (0, 1), 0, 1)], [0, 1]),
        ([], []),
    ],
    ids=["other options", "it goes on", "no choice"],
)
def test_of_a_program_that_does_not_depend_on_its_choices_alone_nothing_is_known(
    other: tuple[list[Point], list[int]],
) -> None:
    assert added(ONE).find(Follower(2)) == 1
    found = added(ONE, other)
    assert found.find(Follower(2)) is None
    found.add(*ONE, 1, 3)
    assert found.find(Follower(2)) is None, "nor later"


def test_a_schedule_without_a_choice_is_known() -> None:
    assert added(([], [])).find(Follower(1)) == 1
    assert added(([], []), ONE).find(Follower(2)) is None


def test_there_is_a_bound_on_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "MOST", 10)
    schedules = KnownSchedules[int]()
    schedules.add(*ONE, 11, 1)
    assert schedules.find(Follower(2)) is None
    schedules = added(ONE)
    schedules.add([(WORKER, (0, 1), -1, 0)], [1], 11, 2)
    assert schedules.find(Follower(2)) == 1, "what was kept before is"
