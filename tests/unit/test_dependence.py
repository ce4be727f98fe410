"""One dependence relation: what reduction and the shrinker make of it is what it says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tracelock.backends.rules import THREADING_RULES
from tracelock.engine.effects import change
from tracelock.explore.shrink.commuting import accesses_of, causes, dependences
from tracelock.objects import make_models
from tracelock.ops import (
    ACQUIRE,
    ATOMIC,
    CALL,
    CANCEL,
    CHECKPOINT,
    CHOOSE,
    FETCH_ADD,
    GET,
    JOIN,
    NOTIFY,
    PUT,
    READ,
    RELEASE,
    SLEEP,
    SPAWN,
    WAIT,
    WRITE,
    Alternatives,
    AtomicBody,
    Layout,
    ObjectSpec,
    Op,
    WorkerSpec,
    conflicts,
)
from tracelock.schedulers.dpor.footprints import Footprints

LOCK, CONDITION, QUEUE, SEMAPHORE = 3, 4, 5, 6
LAYOUT = Layout(
    ("x", "y", "z", "lock", "seen", "queue", "semaphore"),
    (0, 0, 0),
    (
        ObjectSpec("lock", "lock"),
        ObjectSpec("seen", "condition", lock=LOCK),
        ObjectSpec("queue", "queue", maxsize=2),
        ObjectSpec("semaphore", "semaphore", value=2),
    ),
    tuple(WorkerSpec(f"w{n}", f"w{n}", 0, 1) for n in range(3)),
)
#: The kinds of op on each object.
USES = {
    LOCK: (ACQUIRE, RELEASE), CONDITION: (WAIT, NOTIFY), QUEUE: (PUT, GET),
    SEMAPHORE: (ACQUIRE, RELEASE),
}  # fmt: skip


class Body(AtomicBody):
    def __init__(self, touches: frozenset[int], looks: frozenset[int]) -> None:
        self.touches = touches | looks  # type: ignore[misc]
        self.looks = looks  # type: ignore[misc]


@st.composite
def ops(draw: Any) -> Op:
    kind = draw(
        st.sampled_from((*range(READ, ATOMIC + 1), ACQUIRE, SPAWN, JOIN, CANCEL, CALL, SLEEP,
                         CHECKPOINT, CHOOSE))
    )  # fmt: skip
    if kind <= FETCH_ADD:
        return Op(kind, draw(st.integers(0, 2)), "", 1, expect=draw(st.integers(0, 1)))
    if kind == ATOMIC:
        some = st.frozensets(st.integers(0, 2))
        return Op(kind, -1, "", body=Body(draw(some), draw(some)))
    if kind == ACQUIRE:
        target = draw(st.sampled_from(tuple(USES)))
        return Op(draw(st.sampled_from(USES[target])), target, "", 1)
    if kind in (SPAWN, JOIN, CANCEL):
        copied = draw(st.none() | st.frozensets(st.integers(LOCK, SEMAPHORE)))
        return Op(kind, draw(st.integers(0, 2)), "", body=copied if kind == SPAWN else None)
    if kind == CALL:
        return Op(CALL, -1, "", [], body="module:function")
    if kind == CHOOSE:
        return Op(CHOOSE, -1, "", body=Alternatives("choice", 2, [1, 2]))
    return Op(kind, -1, "", 1.0 if kind == SLEEP else None)


def in_words(op: Op, joined: bool) -> tuple[set[Any], set[Any]]:
    """What an op reads and writes, by hand. ``joined``: a condition is a part of its lock."""
    kind, target = op.kind, op.target

    def thing(number: int) -> str:
        return LAYOUT.names[LOCK if joined and number == CONDITION else number]

    if kind == READ:
        return {thing(target)}, set()
    if kind == ATOMIC:
        looks = {thing(number) for number in op.body.looks}
        return looks, {thing(number) for number in op.body.touches} - looks
    if kind == JOIN:
        return {("worker", target)}, set()
    if kind == SPAWN:
        return {thing(number) for number in op.body or ()}, {("worker", target)}
    if kind == CANCEL:
        return set(), {("worker", target)}
    if kind == CALL:
        return set(), {"calls"}
    if kind in (SLEEP, CHECKPOINT, CHOOSE):
        return set(), set()
    return set(), {thing(target)}


def depend(a: Op, b: Op, joined: bool) -> bool:
    (ra, wa), (rb, wb) = in_words(a, joined), in_words(b, joined)
    return bool(wa & (rb | wb) or ra & wb)


def masks_of() -> Footprints:
    run: Any = SimpleNamespace(layout=LAYOUT, loops={}, models=[])
    return Footprints(run)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(ops(), ops())
def test_the_relation_is_what_it_is_in_words(a: Op, b: Op) -> None:
    assert conflicts(a, b) == conflicts(b, a) == depend(a, b, joined=False)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(ops(), ops())
def test_masks_of_partial_order_reduction_are_the_relation(a: Op, b: Op) -> None:
    masks = masks_of()
    (ra, wa), (rb, wb) = masks.static(a), masks.static(b)
    found = bool(wa & (rb | wb) or ra & wb)
    assert found == depend(a, b, joined=True)
    assert found or not conflicts(a, b)


def test_writes_of_watched_variables_are_not_commuted() -> None:
    run: Any = SimpleNamespace(layout=LAYOUT, loops={}, models=[])
    masks = Footprints(run, [(0, 1)])
    _, x = masks.static(Op(WRITE, 0, "", 1))
    _, y = masks.static(Op(WRITE, 1, "", 1))
    _, z = masks.static(Op(WRITE, 2, "", 1))
    reads, _ = masks.static(Op(READ, 1, ""))
    assert x & y and not x & z and not reads & x


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 2), ops()), min_size=2, max_size=12))
def test_the_shrinker_keeps_the_order_of_what_depends(steps: list[tuple[int, Op]]) -> None:
    log: Any = [(worker, op.kind, op, None, None, 0.0) for worker, op in steps]
    before = dependences(LAYOUT, log)
    for second, (worker, op) in enumerate(steps):
        needed = set(causes(before, second))
        for first, (other, earlier) in enumerate(steps[:second]):
            if worker == other or depend(earlier, op, joined=True) or conflicts(earlier, op):
                assert first in needed
    mine, theirs = (dict(accesses_of(LAYOUT, *log[number][:3])) for number in (0, 1))
    together = any(mine[place] or theirs[place] for place in mine.keys() & theirs.keys())
    assert together or not conflicts(steps[0][1], steps[1][1])


class World:
    """The models of everything, to make ops happen in."""

    def __init__(self) -> None:
        self.values: list[Any] = list(LAYOUT.initial)
        self.models = make_models(LAYOUT, THREADING_RULES)

    def act(self, worker: int, op: Op) -> Any:
        """Its result, or "not enabled"."""
        if op.kind == READ:
            return self.values[op.target]
        if op.kind == WRITE:
            self.values[op.target] = op.value
            return None
        if op.kind <= FETCH_ADD:
            return change(op, self.values)
        model = self.models[op.target]
        assert model is not None
        return model.apply(op, worker) if model.enabled(op, worker) else "not enabled"

    def state(self) -> Any:
        return self.values, [model.snapshot() for model in self.models if model is not None]


plain = ops().filter(lambda op: op.kind <= GET and op.kind != ATOMIC)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 2), plain), max_size=8), plain, plain)
def test_what_does_not_depend_commutes_in_the_models(
    steps: list[tuple[int, Op]], a: Op, b: Op
) -> None:
    masks = masks_of()
    (ra, wa), (rb, wb) = masks.static(a), masks.static(b)
    if wa & (rb | wb) or ra & wb:
        return
    ends = []
    for order in ((0, 1), (1, 0)):
        world = World()
        for worker, op in steps:
            world.act(worker, op)
        results = {one: str(world.act(one, (a, b)[one])) for one in order}
        ends.append((results, world.state()))
    assert ends[0] == ends[1]
