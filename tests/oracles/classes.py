"""What a search reaches: ways to end, and classes of runs that differ only in commuting steps.

Written apart from the explorers, by what the events of a run say: to compare a search with every
sequence of choices (``Every``) on programs small enough for that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from tests.oracles.language import frozen
from tracelock.backends.base import Options
from tracelock.backends.simulated import SimulatedBackend
from tracelock.engine.controller import Controller
from tracelock.engine.verdicts import first_failure, verdict_of
from tracelock.errors import StepFailure
from tracelock.objects.base import Rules
from tracelock.ops import (
    ACQUIRE,
    ATOMIC,
    CALL,
    CANCEL,
    CANCELLED,
    COMPARE_EXCHANGE,
    JOIN,
    READ,
    SPAWN,
    WAKE,
    Layout,
    Op,
    Value,
)
from tracelock.scenario.program import Program
from tracelock.schedulers.base import Scheduler


class TooManyRuns(Exception):
    """More runs than the caller wants to wait for."""


class Watch(Controller):
    """A controller that remembers every failure, not the first alone, and which timers fired."""

    def begin(self) -> bool:
        self.failures: set[tuple[int, str | None, str]] = set()
        self.timed: list[bool] = []
        return super().begin()

    def next(self) -> int:
        worker = super().next()
        if worker >= 0:
            self.timed.append(self.fired)
        return worker

    def fail(self, worker: int, failure: StepFailure) -> None:
        self.failures.add((worker, failure.failure, failure.at))
        super().fail(worker, failure)


@dataclass
class Reached:
    """``classes``: how many runs of each were made. ``ends``: see ``end_of``."""

    classes: Counter[Hashable] = field(default_factory=Counter)
    ends: set[Hashable] = field(default_factory=set)
    runs: int = 0


def reach(
    program: Program,
    rules: Rules,
    clock: str,
    scheduler: Scheduler,
    limit: int = 20_000,
    skip: Callable[[], bool] = lambda: False,
    steps: int = 200,
) -> Reached:
    """Everything ``scheduler`` reaches. ``skip()`` says that the last run does not count."""
    always = program.always

    def check(values: Sequence[Value]) -> StepFailure | None:
        return first_failure(always, "always", values)

    reached = Reached()
    controller = Watch(
        program.layout, rules, scheduler, clock=clock, max_steps=steps,
        check=check if always else None,
    )  # fmt: skip

    def done(controller: Controller) -> bool:
        assert isinstance(controller, Watch)
        if not skip():
            reached.runs += 1
            reached.classes[class_of(controller)] += 1
            reached.ends.add(end_of(controller, program))
        if reached.runs > limit:
            raise TooManyRuns(f"more than {limit} runs")
        return False

    with SimulatedBackend(program, Options(), rules) as backend:
        backend.controlled(controller, done)
    return reached


def end_of(run: Watch, program: Program) -> Hashable:
    """How a run ended: verdict, all failures (which of two independent ones came first is not
    told apart), final values, who is blocked where, and who took each object in which order."""
    verdict = verdict_of(run, program.finally_)
    failure = verdict.failure if verdict.kind == "failed" and not run.failures else None
    orders: dict[int, list[int]] = {}
    for worker, kind, op, result, *_ in run.log:
        taken = kind == ACQUIRE and result is True
        if taken or (kind == WAKE and run.layout.spec(op.target).type == "condition"):
            orders.setdefault(op.target, []).append(worker)
    return (
        verdict.kind,
        failure,
        frozenset(run.failures),
        frozen(tuple(run.values)),
        frozenset((one.worker, one.op, one.target, one.at) for one in verdict.blocked),
        tuple(sorted((target, tuple(order)) for target, order in orders.items())),
    )


def class_of(run: Watch) -> Hashable:
    """The run up to the order of independent steps: its Foata normal form (Cartier and Foata
    1969). Each event's level is one more than the highest of those it depends on before it."""
    form: set[Hashable] = set()
    levels: list[tuple[int, int, Op, Value, bool, int]] = []
    for (worker, kind, op, result, *_), timed in zip(run.log, run.timed, strict=True):
        barrier = timed and not run.adversarial
        level = 0
        for other in levels:
            if other[-1] >= level and depend(
                run.layout, other[:5], (worker, kind, op, result, barrier)
            ):
                level = other[-1] + 1
        levels.append((worker, kind, op, result, barrier, level))
        form.add((level, worker, kind, op.target, timed, repr(result)))
    return frozenset(form)


def depend(
    layout: Layout,
    a: tuple[int, int, Op, Value, bool],
    b: tuple[int, int, Op, Value, bool],
) -> bool:
    """Whether two events cannot be swapped, by what they did."""
    if a[0] == b[0] or a[4] or b[4]:
        return True
    for one, other in ((a, b), (b, a)):
        if one[1] in (SPAWN, JOIN, CANCEL) and one[2].target == other[0]:
            return True
        started = one[1] == SPAWN and one[3] is None
        if started and other[1] in (SPAWN, JOIN) and one[2].target == other[2].target:
            return True
    if a[1] == b[1] == CALL:
        return True
    reads, writes = touches(layout, a)
    r, w = touches(layout, b)
    return not (writes.isdisjoint(r | w) and reads.isdisjoint(w))


def touches(layout: Layout, event: tuple[int, int, Op, Value, bool]) -> tuple[set[int], set[int]]:
    """The things that an event read, and those it changed; a condition stands for its lock."""
    _, kind, op, result, _ = event
    if kind == ATOMIC:
        return set(result["reads"]), set(result["writes"])
    if kind == CANCELLED and op.target < layout.variables:
        return set(), set()
    if kind == READ or (kind == COMPARE_EXCHANGE and result is False):
        return {op.target}, set()
    if op.kind in (SPAWN, JOIN, CANCEL) or op.target < 0:
        return set(), set()
    if op.target >= layout.variables:
        spec = layout.spec(op.target)
        return set(), {spec.lock if spec.type == "condition" else op.target}
    return set(), {op.target}
