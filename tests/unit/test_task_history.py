"""Happens-before over the steps of tasks: what is taken back leaves nothing behind."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tracelock.schedulers.dpor.task_steps import NOBODY, TaskHistory, TaskStep

KEYS = st.dictionaries(st.sampled_from("abc"), st.booleans(), max_size=3)
STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(NOBODY, 6), st.integers(NOBODY, 6), KEYS,
              st.booleans()),
    max_size=8,
)  # fmt: skip


def made(rows: list[tuple[int, int, int, dict[str, bool], bool]]) -> list[TaskStep]:
    return [
        TaskStep(
            worker, min(posted, number - 1), min(behind, number - 1), last, touched=dict(touched)
        )
        for number, (worker, posted, behind, touched, last) in enumerate(rows)
    ]


def all_of(history: TaskHistory) -> tuple[object, ...]:
    return (
        history.before, {worker: n for worker, n in history._line.items() if n != NOBODY},
        history._writes, {key: readers for key, readers in history._reads.items() if readers},
    )  # fmt: skip


@given(STEPS, STEPS, st.integers(0, 8))
def test_steps_are_taken_back(
    first: list[tuple[int, int, int, dict[str, bool], bool]],
    second: list[tuple[int, int, int, dict[str, bool], bool]],
    common: int,
) -> None:
    kept, fresh = TaskHistory(), TaskHistory()
    for step in made(first):
        kept.add(step)
    common = min(common, len(first), len(second))
    again = made(first[:common] + second[common:])
    kept.cut(common)
    for step in again[:common]:
        fresh.add(step)
    assert all_of(kept) == all_of(fresh)
    for number, step in enumerate(again[common:], common):
        assert kept.add(step) == fresh.add(step)
        for e in range(number):
            assert kept.initials(again, e, number) == fresh.initials(again, e, number)
    assert all_of(kept) == all_of(fresh)
