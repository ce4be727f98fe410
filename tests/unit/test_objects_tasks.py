"""The models of tasks' objects, against the real objects of asyncio and against themselves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.amount import amount
from tests.helpers.task_fuzz import random_scenario
from tracelock.backends.base import Options
from tracelock.backends.rules import ASYNCIO_RULES, TRIO_RULES
from tracelock.backends.simulated import SimulatedBackend
from tracelock.engine.controller import Controller
from tracelock.objects import PARKED, Model, Rules
from tracelock.objects.anyio_locks import AnyioLockModel
from tracelock.objects.anyio_streams import AnyioStreamModel
from tracelock.objects.asyncio_locks import AsyncioLockModel
from tracelock.objects.base import frozen
from tracelock.objects.kinds import make_model
from tracelock.ops import (
    ACQUIRE,
    CLEAR,
    EMPTY,
    GET,
    NOTIFY,
    PUT,
    RELEASE,
    SET,
    WAIT,
    ObjectSpec,
    Op,
    Raised,
)  # fmt: skip
from tracelock.scenario.loading import scenario_from_data
from tracelock.scenario.program import Program
from tracelock.schedulers.simple import RandomScheduler

WORKERS = 4

#: What can be asked of each type of object: kind, its value, whether it is a try.
ASKS: dict[str, list[tuple[int, Any, bool]]] = {
    "lock": [(ACQUIRE, None, False), (RELEASE, None, False), (ACQUIRE, None, True)],
    "semaphore": [(ACQUIRE, None, False), (RELEASE, 1, False), (ACQUIRE, None, True),
                  (RELEASE, 2, False)],
    "bounded_semaphore": [(ACQUIRE, None, False), (RELEASE, 1, False)],
    "event": [(WAIT, None, False), (SET, None, False), (CLEAR, None, False)],
    "barrier": [(WAIT, None, False)],
    "queue": [(PUT, 1, False), (GET, None, False), (PUT, 2, True), (GET, None, True)],
    "condition": [(WAIT, None, False), (NOTIFY, 1, False), (NOTIFY, -1, False),
                  (ACQUIRE, None, False), (RELEASE, None, False)],
}  # fmt: skip


def real_object(spec: ObjectSpec) -> Any:
    return {
        "lock": asyncio.Lock,
        "condition": asyncio.Condition,
        "event": asyncio.Event,
        "semaphore": lambda: asyncio.Semaphore(spec.value),
        "bounded_semaphore": lambda: asyncio.BoundedSemaphore(spec.value),
        "barrier": lambda: asyncio.Barrier(spec.parties),
        "queue": lambda: asyncio.Queue(spec.maxsize),
    }[spec.type]()


class Pair:
    """A real object and its model, driven side by side; the coroutines are stepped by hand."""

    def __init__(self, spec: ObjectSpec) -> None:
        self.spec = spec
        self.real = real_object(spec)
        self.models = self.fresh()
        self.work: dict[int, tuple[Any, Any, Op]] = {}  # coroutine, its future, the op
        self.struck: set[int] = set()
        self.unwinding: set[int] = set()  # cancelled, and taking a lock back first

    def fresh(self) -> list[Model]:
        """The model of the object, after that of its lock."""
        lock = make_model(ASYNCIO_RULES, ObjectSpec("m", "lock"), [])
        spec = ObjectSpec(
            self.spec.name, self.spec.type, self.spec.value, 0, self.spec.parties,
            self.spec.maxsize,
        )  # fmt: skip
        return [lock, make_model(ASYNCIO_RULES, spec, [lock])]

    def model(self, op: Op) -> Model:
        of_lock = self.spec.type == "condition" and op.kind in (ACQUIRE, RELEASE)
        return self.models[0 if of_lock else 1]

    def renew(self) -> None:
        """Go on with other models that are in the same state."""
        kept = [model.snapshot() for model in self.models]
        self.models = self.fresh()
        for model, state in zip(self.models, kept, strict=True):
            model.restore(state)
            assert model.snapshot() == state
            hash(frozen(state))

    def ask(self, worker: int, kind: int, value: Any, trying: bool) -> None:
        op = Op(kind, 0, "here", value, blocking=not trying)
        expected = self.model(op).apply(op, worker)
        got = self.attempt(op) if trying or kind in (RELEASE, SET, CLEAR, NOTIFY) else None
        if got is not None:
            self.compare(op, expected, got[0])
            return
        coroutine = {
            ACQUIRE: lambda: self.real.acquire(),
            WAIT: lambda: self.real.wait(),
            PUT: lambda: self.real.put(value),
            GET: lambda: self.real.get(),
        }[kind]()
        self.step(worker, coroutine, op, expected, coroutine.send, None)

    def attempt(self, op: Op) -> tuple[Any]:
        real, kind = self.real, op.kind
        try:
            if kind == RELEASE:
                for _ in range(op.value or 1):
                    real.release()
            elif kind == SET:
                real.set()
            elif kind == CLEAR:
                real.clear()
            elif kind == NOTIFY:
                if op.value == -1:
                    real.notify_all()
                else:
                    real.notify(op.value)
            elif kind == PUT:
                real.put_nowait(op.value)
                return (True,)
            elif kind == GET:
                return (real.get_nowait(),)
            else:
                from tracelock.backends.tasks.asyncio_backend import try_acquire

                return (try_acquire(real),)
        except asyncio.QueueFull:
            return (False,)
        except asyncio.QueueEmpty:
            return (EMPTY,)
        except (RuntimeError, ValueError) as error:
            return (Raised(type(error).__name__, ""),)
        return (None,)

    def compare(self, op: Op, expected: Any, got: Any) -> None:
        if op.kind == NOTIFY and got is None:
            assert isinstance(expected, list)
        elif (op.kind == WAIT and not isinstance(got, Raised)) or (op.kind == PUT and got is None):
            assert expected is True
        else:
            assert expected == got

    def step(self, worker: int, work: Any, op: Op, expected: Any, go: Any, arg: Any) -> None:
        self.work.pop(worker, None)
        try:
            future = go(arg)
        except StopIteration as stop:
            self.compare(op, expected, stop.value)
        except asyncio.CancelledError:
            assert expected is None
            self.unwinding.discard(worker)
        except (RuntimeError, ValueError) as error:
            self.compare(op, expected, Raised(type(error).__name__, ""))
        else:
            assert expected is PARKED
            self.work[worker] = (work, future, op)

    def go_on(self, worker: int) -> None:
        """The task of a woken or cancelled worker runs."""
        work, future, op = self.work[worker]
        model = self.model(op)
        if worker in self.struck:
            self.struck.discard(worker)
            expected = model.interrupt(op, worker, True)
            if expected is PARKED:
                self.unwinding.add(worker)
            self.step(worker, work, op, expected, work.throw, asyncio.CancelledError())
        elif future.done():
            assert model.ready(op, worker)
            expected = model.finish(op, worker)
            if expected is not PARKED and worker in self.unwinding:
                self.unwinding.discard(worker)
                expected = None
            self.step(worker, work, op, expected, work.send, None)

    def strike(self, worker: int) -> None:
        """Somebody cancels the task of a waiting worker."""
        _, future, op = self.work[worker]
        if worker not in self.struck:
            self.struck.add(worker)
            future.cancel()
            assert self.model(op).strike(op, worker)

    def check(self) -> None:
        for worker, (_, future, op) in self.work.items():
            if worker not in self.struck:
                assert self.model(op).ready(op, worker) == future.done()

    def close(self) -> None:
        for work, _, _ in self.work.values():
            for _ in range(3):
                try:
                    work.close()
                    break
                except RuntimeError:
                    continue


SPECS = [
    ObjectSpec("o", "lock"),
    ObjectSpec("o", "condition"),
    ObjectSpec("o", "event"),
    ObjectSpec("o", "semaphore", 0),
    ObjectSpec("o", "semaphore", 2),
    ObjectSpec("o", "bounded_semaphore", 1),
    ObjectSpec("o", "barrier", parties=2),
    ObjectSpec("o", "barrier", parties=3),
    ObjectSpec("o", "queue", maxsize=1),
    ObjectSpec("o", "queue"),
]


#: Who does something, and what: see the test.
MOVES = st.lists(
    st.tuples(st.integers(0, WORKERS - 1), st.integers(0, 7)), min_size=30, max_size=60
)  # fmt: skip


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.type}-{s.value}-{s.parties}-{s.maxsize}")
@settings(derandomize=True, deadline=None, max_examples=amount(20, 50))
@given(moves=MOVES)
def test_asyncio_models_are_the_objects(spec: ObjectSpec, moves: list[tuple[int, int]]) -> None:
    async def main() -> None:
        pair = Pair(spec)
        asks = ASKS[spec.type]
        try:
            for worker, move in moves:
                if worker not in pair.work:
                    pair.ask(worker, *asks[move % len(asks)])
                elif move < 2:
                    pair.strike(worker)
                else:
                    pair.go_on(worker)
                pair.check()
                pair.renew()
        finally:
            pair.close()

    asyncio.run(main())


@pytest.mark.parametrize("rules", [ASYNCIO_RULES, TRIO_RULES], ids=lambda rules: rules.backend)
def test_going_back_in_time(rules: Rules) -> None:
    """A state that was kept and restored before every step makes no difference."""
    for number in range(amount(15, 40)):
        program = Program(scenario_from_data(random_scenario(number, rules.backend)))
        logs = []
        for again in (False, True):
            controller = Controller(
                program.layout, rules, RandomScheduler(number), clock="adversarial", max_steps=500
            )
            if again:
                controller.before = lambda one: one.restore(one.snapshot())
            found: list[Any] = []

            def done(one: Controller, found: list[Any] = found) -> bool:
                found.append([(w, k, op.at, repr(result)) for w, k, op, result, *_ in one.log])
                return len(found) >= 5

            SimulatedBackend(program, Options(), rules).controlled(controller, done)
            logs.append(found)
        assert logs[0] == logs[1]


def test_a_promised_lock_is_not_free() -> None:
    lock = AsyncioLockModel()
    take = Op(ACQUIRE, 0, "")
    trial = Op(ACQUIRE, 0, "", blocking=False)
    assert lock.apply(take, 0) is True
    assert lock.apply(take, 1) is PARKED
    assert lock.apply(Op(RELEASE, 0, ""), 0) is None
    assert lock.holders() == ()
    assert lock.apply(trial, 2) is False
    assert lock.apply(take, 2) is PARKED
    assert lock.ready(take, 1)
    assert not lock.ready(take, 2)
    assert lock.finish(take, 1) is True
    assert lock.holders() == (1,)
    assert lock.waiters() == (2,)


def test_a_lock_of_trio_breaks_with_its_owner() -> None:
    lock = AnyioLockModel()
    take = Op(ACQUIRE, 0, "")
    assert lock.apply(take, 0) is True
    assert lock.paused
    assert lock.apply(take, 1) is PARKED
    assert lock.apply(Op(RELEASE, 0, ""), 1) == Raised("RuntimeError", "")
    assert lock.apply(take, 0) == Raised("RuntimeError", "")
    lock.leave(0)
    assert lock.ready(take, 1)
    assert lock.finish(take, 1) == Raised("BrokenResourceError", "")
    assert lock.apply(take, 2) == Raised("BrokenResourceError", "")
    assert lock.apply(Op(ACQUIRE, 0, "", timeout=0.0), 2) is False


def test_a_cancelled_sender_has_delivered() -> None:
    stream = AnyioStreamModel(1)
    put, get = Op(PUT, 0, "", 1), Op(GET, 0, "")
    assert stream.apply(put, 0) is True
    assert stream.apply(Op(PUT, 0, "", 2), 1) is PARKED
    assert stream.strike(put, 1)
    assert stream.apply(get, 2) == 1
    assert not stream.ready(put, 1)
    assert stream.interrupt(put, 1, True) is None
    assert stream.apply(get, 2) == 2
    assert stream.apply(get, 2) is PARKED
