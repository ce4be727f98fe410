"""When calls may begin and end in equivalent executions, against every order of their steps."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations, permutations

import pytest

from tests.helpers.amount import amount
from tracelock.audit.overlaps import Pair, overlaps_of

#: A step: worker, variable, whether it writes; of "timer" that time has passed for it.
Step = tuple[int, str, bool]


@dataclass
class Made:
    """An execution: its steps, and of each call its worker, and the steps before it begins and
    ends."""

    steps: list[Step]
    spans: list[tuple[int, int, int]]
    lines: list[list[int]] = field(default_factory=list)
    before: list[int] = field(default_factory=list)
    timers: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.timers = [n for n, step in enumerate(self.steps) if step[1] == "timer"]
        self.lines = [
            [n for n, step in enumerate(self.steps) if step[0] == worker] for worker in range(4)
        ]
        for n in range(len(self.steps)):
            mask = 0
            for e in range(n):
                if depends(self.steps[e], self.steps[n]):
                    mask |= self.before[e] | 1 << e
            self.before.append(mask)


def depends(one: Step, other: Step) -> bool:
    if "timer" in (one[1], other[1]):
        return True
    return one[0] == other[0] or (one[1] == other[1] and (one[2] or other[2]))


def random_execution(chance: random.Random) -> Made:
    """Calls of up to two steps, two or three workers, their steps in a random order."""
    shape = chance.choice([(2, 1), (2, 2), (1, 1, 1)])
    calls: list[tuple[int, list[Step]]] = []
    for worker, count in enumerate(shape):
        for _ in range(count):
            steps = [
                (worker, chance.choice(["x", "y"] * 5 + ["timer"]), chance.random() < 0.6)
                for _ in range(chance.randint(0, 2))
            ]
            calls.append((worker, steps))
    left = [worker for worker, steps in calls for _ in steps]
    chance.shuffle(left)
    own = {w: iter([s for v, steps in calls if v == w for s in steps]) for w in range(3)}
    made = [next(own[worker]) for worker in left]
    spans, used = [], dict.fromkeys(range(3), 0)
    for worker, steps in calls:
        line = [n for n, step in enumerate(made) if step[0] == worker]
        ends = [0, *(n + 1 for n in line)]  # begun and ended at once after a step of its worker
        begun = ends[used[worker]]
        used[worker] += len(steps)
        spans.append((worker, begun, ends[used[worker]]))
    return Made(made, spans)


def all_orders(made: Made) -> Iterator[frozenset[Pair]]:
    """Which calls end before which others begin, in each equivalent execution."""
    lines: dict[int, list[tuple[str, int]]] = {}
    for number, (worker, begun, ended) in enumerate(made.spans):
        mine = [("step", n) for n in made.lines[worker] if begun <= n < ended]
        lines.setdefault(worker, []).extend([("begin", number), *mine, ("end", number)])

    seen: set[object] = set()

    def go(
        places: dict[int, int], done: frozenset[int], over: frozenset[int], pairs: frozenset[Pair]
    ) -> Iterator[frozenset[Pair]]:
        key = (tuple(places.values()), pairs)
        if key in seen:
            return
        seen.add(key)
        if all(places[worker] == len(line) for worker, line in lines.items()):
            yield pairs
        for worker, line in lines.items():
            if places[worker] == len(line):
                continue
            kind, n = line[places[worker]]
            further = {**places, worker: places[worker] + 1}
            if kind == "begin":
                yield from go(further, done, over, pairs | {(one, n) for one in over})
            elif kind == "end":
                yield from go(further, done, over | {n}, pairs)
            elif n in made.timers and any(
                line[places[one]][0] != "step"
                for one, line in lines.items() if places[one] < len(line)
            ):  # fmt: skip
                continue  # somebody can go on
            elif all(e in done for e in range(n) if depends(made.steps[e], made.steps[n])):
                yield from go(further, done | {n}, over, pairs)

    yield from go(dict.fromkeys(lines, 0), frozenset(), frozenset(), frozenset())


def same(made: Made, one: int, other: int) -> bool:
    """Whether two calls are of one worker."""
    return made.spans[one][0] == made.spans[other][0]


def pairs_of(order: tuple[int, ...]) -> set[Pair]:
    return {(a, b) for place, a in enumerate(order) for b in order[place + 1 :]}


def serial_orders(made: Made) -> Iterator[set[Pair]]:
    """The orders of whole calls that leave all steps on the same as they were."""
    count = len(made.spans)
    call = {
        n: number for number, (worker, begun, ended) in enumerate(made.spans)
        for n in made.lines[worker] if begun <= n < ended
    }  # fmt: skip
    for order in permutations(range(count)):
        by_worker = all(
            order.index(a) < order.index(b) for a in range(count) for b in range(a + 1, count)
            if made.spans[a][0] == made.spans[b][0]
        )  # fmt: skip
        kept = all(
            call[e] == call[n] or order.index(call[e]) < order.index(call[n])
            for n in call for e in call
            if e < n and depends(made.steps[e], made.steps[n])
        )  # fmt: skip
        if by_worker and kept:
            yield pairs_of(order)


@pytest.mark.parametrize("block", range(amount(1, 10)))
def test_what_may_be_in_equivalent_executions_is_what_is_in_one_of_them(block: int) -> None:
    serial = 0
    for seed in range(block * 30, block * 30 + 30):
        chance = random.Random(f"overlaps {seed}")
        made = random_execution(chance)
        found = overlaps_of(made, made.spans, ())
        real = list(all_orders(made))
        count = len(made.spans)
        for j in range(count):
            for i in range(count):
                assert (i in found.first[j]) == all((i, j) not in one for one in real), made
        pairs = sorted({pair for one in real for pair in one})
        for _ in range(20):
            some = chance.sample(pairs, min(len(pairs), chance.randint(1, 3))) if pairs else []
            possible = any(one.issuperset(some) for one in real)
            assert found.possible(some) == possible, (made, some)
            assert bool(found.sequence(some)) == possible or not made.spans
        orders = [
            order for order in map(pairs_of, permutations(range(count)))
            if all(pair in order for pair in combinations(range(count), 2) if same(made, *pair))
        ]  # fmt: skip
        for _ in range(5):
            chosen = chance.sample(orders, chance.randint(1, 2))
            wrong = found.against(chosen)
            unexplained = [one for one in real if not any(one <= order for order in chosen)]
            assert (wrong is not None) == bool(unexplained), (made, chosen)
            if wrong is not None:
                assert any(one.issuperset(wrong) for one in unexplained)
        legal = list(serial_orders(made))
        explained = all(any(one <= order for order in legal) for one in real)
        assert found.serial == (explained and not made.timers), made
        serial += found.serial
    assert 3 < serial < 27


def test_steps_of_others_may_be_a_part_of_calls() -> None:
    made = Made([(0, "x", True), (2, "x", True), (1, "x", True)], [(0, 0, 1), (1, 0, 3)])
    assert not overlaps_of(made, made.spans, ()).serial
    assert overlaps_of(made, made.spans, [2]).serial
