"""What is foretold of a schedule, compared with values that are written and read."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tracelock.ops import ACQUIRE, READ, RELEASE, WRITE, Op
from tracelock.schedulers import foresight
from tracelock.schedulers.foresight import Foresight, Foretold, Intended

A, B, GATE = 10, 11, 12

Steps = list[Op]


def named(worker: int, *steps: tuple[int, int]) -> Steps:
    """The steps of a worker: kind and target."""
    return [Op(kind, target, f"{worker}.{number}") for number, (kind, target) in enumerate(steps)]


def kinds(workers: list[Steps]) -> dict[int, str]:
    return {worker: steps[0].at for worker, steps in enumerate(workers)}


def one_by_one(workers: list[Steps]) -> list[tuple[int, Op]]:
    return [(worker, op) for worker, steps in enumerate(workers) for op in steps]


# --- an oracle: values that say all that they were made from -------------------------------------
def went(workers: list[Steps], plan: Intended) -> tuple[list[tuple[int, Op]], bool]:
    """The steps of a schedule that goes by the plan, and whether some could not be made."""
    at = [0] * len(workers)
    priority, stops, behind = plan.priority.copy(), plan.stops.copy(), plan.behind
    owner: dict[int, int] = {}
    trail: list[tuple[int, Op]] = []
    while True:
        able = [
            worker
            for worker, steps in enumerate(workers)
            if at[worker] < len(steps)
            and not (
                steps[at[worker]].kind == ACQUIRE
                and owner.get(steps[at[worker]].target, worker) != worker
            )
        ]
        if not able:
            return trail, any(at[w] < len(steps) for w, steps in enumerate(workers))
        worker = max(able, key=priority.__getitem__)
        op = workers[worker][at[worker]]
        if worker in stops and stops[worker][0] == (op.at, op.kind, op.target):
            del stops[worker]
            priority[worker] = behind
            behind -= 1
            continue
        at[worker] += 1
        trail.append((worker, op))
        if op.kind == ACQUIRE:
            owner[op.target] = worker
        elif op.kind == RELEASE:
            owner.pop(op.target, None)


def read_in(workers: list[Steps], trail: list[tuple[int, Op]]) -> tuple[list[Any], Any]:
    """Of each worker all that it has read, and what is left at the end."""
    store: dict[int, Any] = {}
    reads: list[Any] = [(steps[0].at,) for steps in workers]
    for worker, op in trail:
        if op.kind == READ:
            reads[worker] = (*reads[worker], (op.at, store.get(op.target)))
        elif op.kind == WRITE:
            store[op.target] = (op.at, reads[worker])
    return reads, sorted(store.items())


def is_mixed(worker: int, trail: list[tuple[int, Op]], count: int) -> bool:
    """Whether, by the steps that depend on one another, it comes before and after another one."""
    after: dict[int, set[int]] = {n: set() for n in range(len(trail))}
    for later, (w, op) in enumerate(trail):
        for sooner, (v, other) in enumerate(trail[:later]):
            depends = op.target == other.target and WRITE in (op.kind, other.kind)
            if v == w or (depends and {op.kind, other.kind} <= {READ, WRITE}):
                after[later] |= {sooner} | after[sooner]
    before = [
        {trail[s][0] for n, (w, _) in enumerate(trail) if w == one for s in after[n]}
        for one in range(count)
    ]
    return any(
        other != worker and other in before[worker] and worker in before[other]
        for other in range(count)
    )


@st.composite
def programs(draw: st.DrawFn) -> tuple[list[Steps], list[Intended]]:
    """Two or three workers that read and write two variables, in part under locks, and plans."""
    count = draw(st.integers(2, 3))
    workers = []
    for worker in range(count):
        steps: list[tuple[int, int]] = []
        for _ in range(draw(st.integers(1, 3))):
            step = (draw(st.sampled_from([READ, WRITE])), draw(st.integers(0, 1)))
            if draw(st.booleans()):
                lock = draw(st.sampled_from([A, B]))
                steps += [(ACQUIRE, lock), step, (RELEASE, lock)]
            else:
                steps.append(step)
        workers.append(named(worker, *steps))
    plans = []
    for _ in range(2):
        priority = draw(st.permutations(range(count)))
        stops = {}
        for worker in draw(st.sets(st.integers(0, count - 1))):
            op = draw(st.sampled_from(workers[worker]))
            stops[worker] = ((op.at, op.kind, op.target), 1)
        plans.append(Intended(list(priority), stops, draw(st.sampled_from([-1, count]))))
    return workers, plans


@given(programs())
@settings(max_examples=80, deadline=None)
def test_of_programs_without_branches_it_is_true(
    given: tuple[list[Steps], list[Intended]],
) -> None:
    workers, plans = given
    known = Foresight()
    trail = one_by_one(workers)
    reads, end = read_in(workers, trail)
    seen, ends = set(reads), [end]
    known.take(trail, kinds(workers), set())
    for plan in plans:
        foretold, waits = known.foretell(plan)
        trail, stuck = went(workers, plan)
        reads, end = read_in(workers, trail)
        new = [worker for worker, one in enumerate(reads) if one not in seen]
        mixed = [worker for worker in range(len(workers)) if is_mixed(worker, trail, len(workers))]
        assert foretold.views == len(new) + (end not in ends)
        assert foretold.mixed == len({*new} & {*mixed}) + (end not in ends and bool(mixed))
        assert bool(waits) == bool(foretold.stuck) == stuck
        if not stuck:
            seen.update(reads)
            ends.append(end)
            known.take(trail, kinds(workers), set())


def test_where_workers_wait_for_ever_is_new_once() -> None:
    crossed = [
        named(0, (ACQUIRE, A), (ACQUIRE, B), (RELEASE, B), (RELEASE, A)),
        named(1, (ACQUIRE, B), (ACQUIRE, A), (RELEASE, A), (RELEASE, B)),
    ]
    known = Foresight()
    known.take(one_by_one(crossed), kinds(crossed), set())
    stops = known.circle()
    assert stops == {0: (("0.1", ACQUIRE, B), 1), 1: (("1.1", ACQUIRE, A), 1)}
    plan = Intended([1, 0], stops, -1)
    foretold, waits = known.foretell(plan)
    assert foretold.stuck and waits == {("0.0", "0.1"), ("1.0", "1.1")}
    assert known.circle() is None  # each is given once
    known.chosen(waits)
    assert not known.foretell(plan)[0].stuck


def test_a_lock_around_a_circle_keeps_it_from_closing() -> None:
    guarded = [
        named(worker, (ACQUIRE, GATE), (ACQUIRE, one), (ACQUIRE, other), (RELEASE, other),
              (RELEASE, one), (RELEASE, GATE))
        for worker, one, other in ((0, A, B), (1, B, A))
    ]  # fmt: skip
    known = Foresight()
    known.take(one_by_one(guarded), kinds(guarded), set())
    stops = known.circle()
    assert stops is not None
    assert not known.foretell(Intended([1, 0], stops, -1))[0].stuck


def test_what_is_no_lock_has_no_order() -> None:
    crossed = [named(0, (ACQUIRE, A), (ACQUIRE, B)), named(1, (ACQUIRE, B), (ACQUIRE, A))]
    known = Foresight()
    known.take(one_by_one(crossed), kinds(crossed), {A})
    assert known.circle() is None


def test_it_ends_with_its_effort_and_with_long_schedules() -> None:
    workers = [named(0, (WRITE, 0)), named(1, *[(READ, 0)] * 3)]
    plan = Intended([0, 1], {}, -1)
    known = Foresight()
    known.take(one_by_one(workers), kinds(workers), set())
    assert known.foretell(plan)[0].views
    for _ in range(foresight.EFFORT):
        known.foretell(plan)
    assert known.left <= 0
    assert known.foretell(plan) == (Foretold(0, 0, 0, 0), frozenset())
    known = Foresight()
    known.take(one_by_one(workers) * foresight.LONGEST, kinds(workers), set())
    assert known.left == foresight.EFFORT and not known.foretell(plan)[0].views
