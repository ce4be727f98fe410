"""Random correct executions, recorded as a free run records them; and what accepts an order.

A history is made by driving the models in a random order under a virtual clock, and stamping the
events as a recorder on real threads would: late, early, or with an interval around them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from tracelock.objects import PARKED, Rules, make_models
from tracelock.ops import (
    ACQUIRE,
    ATOMIC,
    CHECKPOINT,
    CLEAR,
    COMPARE_EXCHANGE,
    EMPTY,
    EXCHANGE,
    FETCH_ADD,
    GET,
    JOIN,
    NOTIFY,
    PUT,
    READ,
    RELEASE,
    SET,
    SPAWN,
    TIMEOUT,
    WAIT,
    WAKE,
    WRITE,
    Layout,
    ObjectSpec,
    Op,
    Raised,
    WorkerSpec,
)

TYPES = (
    "lock", "rlock", "semaphore", "bounded_semaphore", "condition", "event", "barrier", "queue",
)  # fmt: skip


def layout_of(
    objects: list[ObjectSpec], workers: int, variables: int = 3, manual: int = 0
) -> Layout:
    names = tuple(f"v{i}" for i in range(variables)) + tuple(spec.name for spec in objects)
    specs = tuple(WorkerSpec(f"w{i}", f"w{i}", 0, 1, i >= workers - manual) for i in range(workers))
    return Layout(names, (0,) * variables, tuple(objects), specs)


def random_layout(rng: random.Random) -> Layout:
    variables = rng.choice((0, 1, 3))
    objects: list[ObjectSpec] = []
    for _ in range(rng.randint(1, 3)):
        kind = rng.choice(TYPES)
        name = f"{kind}{len(objects)}"
        if kind == "condition":
            kind_of_lock = rng.choice(("lock", "rlock", "condition_lock"))
            lock = variables + len(objects)
            objects.append(ObjectSpec(f"{name}.lock", kind_of_lock))
            objects += [
                ObjectSpec(f"{name}.{i}", "condition", lock=lock) for i in range(rng.randint(1, 2))
            ]
        elif kind == "barrier":
            objects.append(ObjectSpec(name, kind, parties=rng.randint(2, 3)))
        elif kind == "queue":
            order = rng.choice(("fifo", "fifo", "lifo", "priority"))
            objects.append(ObjectSpec(name, kind, maxsize=rng.choice((0, 1, 3)), order=order))
        else:
            objects.append(ObjectSpec(name, kind, value=rng.randint(1, 2)))
    workers = rng.randint(2, 5)
    return layout_of(objects, workers, variables, rng.choice((0, 0, 1)))


@dataclass
class Worker:
    number: int
    left: int
    log: list[Any] = field(default_factory=list)
    last: int = 1000  # its last stamp
    free: int = 1000  # when it may act again
    op: Op | None = None  # asked for and not done
    asked: int = 0
    parked: bool = False
    expired: int = 0
    held: list[int] = field(default_factory=list)
    started: bool = True
    ended: bool = False


class Run:
    """One random execution: ``logs`` and ``cells``, as the recorder leaves them."""

    def __init__(self, seed: int, layout: Layout, rules: Rules, steps: int, jitter: int) -> None:
        self.rng = random.Random(seed)
        self.layout = layout
        self.rules = rules
        self.jitter = jitter
        self.models = make_models(layout, rules)
        self.cells: list[list[Any]] = [[(value, -1, -1)] for value in layout.initial]
        self.now = 1000
        self.fresh = 0
        self.workers = [
            Worker(i, self.rng.randint(1, 2 * steps), started=not spec.manual)
            for i, spec in enumerate(layout.workers)
        ]
        idle = 0
        while idle < 200:
            self.now += self.rng.choice((1, 1, 2, 5, 20))
            able = [w for w in self.workers if w.started and not w.ended and w.free <= self.now]
            if not able:
                idle += 1
                continue
            idle = 0 if self.act(self.rng.choice(able)) else idle + 1
        for worker in self.workers:
            self.cut(worker)
        self.logs = [worker.log for worker in self.workers]

    def cut(self, worker: Worker) -> None:
        """The run is over: what a worker that still waits has recorded."""
        if not worker.parked or worker.op is None:
            return
        if self.layout.spec(worker.op.target).type == "condition":
            if worker.expired:
                worker.log.append((TIMEOUT, worker.op, None, self.now, worker.expired))
        else:
            worker.log.append((WAIT, worker.op, None, self.now, worker.asked))

    # --- stamps ------------------------------------------------------------------------------
    def late(self) -> int:
        return self.rng.randint(0, self.jitter) if self.rng.random() < 0.7 else 0

    def after(self, worker: Worker, kind: int, op: Op, result: Any, t0: int = 0) -> None:
        worker.last = worker.free = max(worker.last, self.now + self.late())
        worker.log.append((kind, op, result, worker.last, t0))

    def before(self, worker: Worker, kind: int, op: Op, result: Any) -> None:
        worker.last = max(worker.free, self.now - self.late())
        worker.free = self.now
        worker.log.append((kind, op, result, worker.last, 0))

    # --- one step ----------------------------------------------------------------------------
    def act(self, worker: Worker) -> bool:
        if worker.op is None:
            if worker.left <= 0 and not worker.held:
                worker.ended = True
                return True
            worker.left -= 1
            worker.op = self.choose(worker)
            worker.asked = max(worker.free, self.now - self.late())
        op = worker.op
        if op.kind <= ATOMIC:
            self.variable(worker, op)
        elif op.kind == SPAWN:
            child = self.workers[op.target]
            started = child.started
            child.started = True
            result = Raised("RuntimeError", "") if started else None
            self.after(worker, SPAWN, op, result, worker.asked)
            if not started:
                child.free = child.last = self.now
        elif op.kind == JOIN:
            target = self.workers[op.target]
            if target.ended:
                self.after(worker, JOIN, op, True)
            elif op.timeout is not None and self.rng.random() < 0.3:
                self.after(worker, JOIN, op, False, worker.asked)
            else:
                return False
        elif op.kind == CHECKPOINT:
            self.after(worker, CHECKPOINT, op, None)
        elif worker.parked:
            return self.parked(worker, op)
        elif not self.object(worker, op):
            return False
        if not worker.parked:
            worker.op = None
        return True

    def variable(self, worker: Worker, op: Op) -> None:
        me, place = worker.number, len(worker.log)
        if op.kind == ATOMIC:
            reads, writes = {}, {}
            for v in range(len(self.cells)):
                if self.rng.random() < 0.6:
                    reads[v] = self.cells[v][-1]
                if self.rng.random() < 0.6:
                    writes[v] = (self.value(), me, place)
                    self.cells[v].append(writes[v])
            self.after(worker, ATOMIC, op, (reads, writes))
            return
        cell = self.cells[op.target]
        seen = cell[-1]
        if op.kind == READ or (op.kind == COMPARE_EXCHANGE and seen[0] != op.expect):
            self.after(worker, op.kind, op, seen)
            return
        value = seen[0] + op.value if op.kind == FETCH_ADD else op.value
        cell.append((value, me, place))
        self.after(worker, op.kind, op, cell[-1])

    def object(self, worker: Worker, op: Op) -> bool:
        model = self.models[op.target]
        assert model is not None
        me = worker.number
        if model.enabled(op, me):
            if op.kind == NOTIFY and self.rules.notify_any:
                many = list(model.candidates(op, me))
                if many:
                    self.rng.shuffle(many)
                    model.choose(many[: op.value])
            result = model.apply(op, me)
        elif op.timeout is not None and model.may_expire(op, me, False) and self.rng.random() < 0.3:
            result = model.expire(op, me, False)
        else:
            return False
        of = self.layout.spec(op.target).type
        if result is PARKED:
            worker.parked = True
            worker.expired = 0
            if of == "condition":
                self.before(worker, WAIT, op, None)
            return True
        if op.kind == ACQUIRE and result is True:
            worker.held.append(op.target)
            self.after(worker, ACQUIRE, op, True)
        elif op.kind == RELEASE and result is None:
            if op.target in worker.held:
                worker.held.remove(op.target)
            self.before(worker, RELEASE, op, None)
        else:
            if op.kind == NOTIFY and result.__class__ is list:
                result = None
            if op.kind == RELEASE and op.target in worker.held:
                worker.held.remove(op.target)
            self.after(worker, op.kind, op, result, worker.asked)
        return True

    def parked(self, worker: Worker, op: Op) -> bool:
        model = self.models[op.target]
        assert model is not None
        me = worker.number
        condition = self.layout.spec(op.target).type == "condition"
        if model.ready(op, me):
            result = model.finish(op, me)
        elif op.timeout is not None and model.may_expire(op, me, True) and self.rng.random() < 0.3:
            result = model.expire(op, me, True)
            if result is PARKED:
                worker.expired = max(worker.free, self.now - self.late())
                return True
        else:
            return False
        worker.parked = False
        worker.op = None
        if condition:
            if worker.expired:
                self.after(worker, TIMEOUT, op, None, worker.expired)
                worker.log.append((WAKE, op, result, worker.last, 0))
            else:
                self.after(worker, WAKE, op, result)
        else:
            self.after(worker, WAIT, op, None, worker.asked)
            worker.log.append((WAKE, op, result, worker.last, worker.asked))
        return True

    # --- what to do next ---------------------------------------------------------------------
    def value(self) -> int:
        self.fresh += 1
        return self.fresh if self.rng.random() < 0.7 else self.rng.randint(0, 3)

    def choose(self, worker: Worker) -> Op:
        rng = self.rng
        spawns = [w.number for w in self.workers if not w.started]
        if spawns and rng.random() < 0.2:
            return Op(SPAWN, spawns[0], "spawn")
        if rng.random() < 0.02:
            other = rng.randrange(len(self.workers))
            if other != worker.number:
                return Op(JOIN, other, "join", timeout=1.0)
        if worker.held and (worker.left <= 0 or rng.random() < 0.35):
            target = worker.held[-1]
            return Op(RELEASE, target, "release", 1)
        if self.cells and rng.random() < 0.4:
            return self.access(rng.randrange(len(self.cells)))
        target = self.layout.variables + rng.randrange(len(self.layout.objects))
        return self.use(worker, target)

    def access(self, v: int) -> Op:
        kind = self.rng.choice(
            (READ, READ, READ, WRITE, WRITE, EXCHANGE, FETCH_ADD, COMPARE_EXCHANGE, ATOMIC)
        )
        return Op(
            kind,
            -1 if kind == ATOMIC else v,
            "access",
            self.value(),
            expect=self.cells[v][-1][0] if self.rng.random() < 0.5 else self.rng.randint(0, 3),
        )

    def use(self, worker: Worker, target: int) -> Op:
        rng = self.rng
        spec = self.layout.spec(target)
        timeout, blocking = rng.choice(((None, True), (None, False), (1.0, True)))
        soft = rng.random() < 0.5
        if spec.type == "condition":
            if spec.lock not in worker.held:
                if rng.random() < 0.05 and self.layout.spec(spec.lock).type != "lock":
                    return Op(NOTIFY, target, "notify", 1)
                return Op(ACQUIRE, spec.lock, "acquire")
            if rng.random() < 0.5:
                return Op(NOTIFY, target, "notify", rng.choice((1, 1, 2, -1)))
            return Op(WAIT, target, "wait", timeout=timeout, soft=True)
        if spec.type == "event":
            kind = rng.choice((SET, CLEAR, WAIT, WAIT))
            return Op(kind, target, "event", timeout=timeout if kind == WAIT else None, soft=True)
        if spec.type == "barrier":
            return Op(WAIT, target, "barrier", timeout=timeout, soft=soft)
        if spec.type == "queue":
            kind = rng.choice((PUT, GET))
            value = self.value() if kind == PUT else None
            return Op(kind, target, "queue", value, timeout, blocking, soft=True)
        if spec.type in ("semaphore", "bounded_semaphore") and rng.random() < 0.3:
            return Op(RELEASE, target, "release", rng.choice((1, 1, 2)))
        if target in worker.held and spec.type == "lock" and blocking and timeout is None:
            return Op(RELEASE, target, "release", 1)
        return Op(ACQUIRE, target, "acquire", None, timeout, blocking, soft=True)


def accept(linear: Any, logs: Any, layout: Layout, rules: Rules) -> None:
    """Assert that the order is each worker's own and that models and variables agree with it."""
    places = [0] * len(logs)
    values = list(layout.initial)
    versions = [(-1, -1)] * layout.variables
    models = make_models(layout, rules)
    spawns = {r[1].target for log in logs for r in log if r[0] == SPAWN and r[2] is None}
    started = [w not in spawns for w in range(len(logs))]
    parked: set[int] = set()
    assert len(linear) == sum(map(len, logs))
    assert all(a <= b for a, b in zip(linear.t, list(linear.t)[1:], strict=False))
    rows = zip(linear.worker, linear.kind, linear.op, linear.result, strict=True)
    for w, kind, op, result in rows:
        place = places[w]
        record = logs[w][place]
        assert (record[0], record[1]) == (kind, op)
        places[w] += 1
        assert started[w]
        raw = record[2]
        if kind == ATOMIC:
            reads, writes = raw
            for v, entry in reads.items():
                assert versions[v] == entry[1:]
            assert result == {
                "reads": {v: values[v] for v in reads},
                "writes": {v: entry[0] for v, entry in writes.items()},
            }
            for v, entry in writes.items():
                values[v], versions[v] = entry[0], entry[1:]
        elif kind < ATOMIC:
            v = op.target
            old = values[v]
            if raw[1:] == (w, place) and kind != READ:
                values[v], versions[v] = raw[0], raw[1:]
                new = old + op.value if kind == FETCH_ADD else op.value
                assert raw[0] == new
                expected = {WRITE: None, COMPARE_EXCHANGE: True}.get(kind, old)
                if kind == COMPARE_EXCHANGE:
                    assert old == op.expect
            else:
                assert versions[v] == raw[1:]
                expected = False if kind == COMPARE_EXCHANGE else old
            assert result == expected and type(result) is type(expected)
        elif kind == SPAWN:
            if result is None:
                started[op.target] = True
        elif kind == JOIN:
            if result is True:
                assert places[op.target] == len(logs[op.target])
        elif kind == CHECKPOINT:
            pass
        else:
            if kind != NOTIFY:
                assert result is raw
            happen(models[op.target], w, kind, op, result, parked, rules)


def happen(
    model: Any, w: int, kind: int, op: Op, result: Any, parked: set[int], rules: Any
) -> None:
    if kind == TIMEOUT:
        assert w in parked and model.may_expire(op, w, True)
        assert model.expire(op, w, True) is PARKED
        return
    if kind == WAKE:
        assert w in parked
        parked.remove(w)
        if model.ready(op, w):
            got = model.finish(op, w)
        else:
            assert op.timeout is not None and model.may_expire(op, w, True)
            got = model.expire(op, w, True)
    else:
        assert w not in parked
        if kind == NOTIFY and rules.notify_any and result.__class__ is list:
            model.choose(result)
        if model.enabled(op, w):
            got = model.apply(op, w)
        else:
            assert op.timeout is not None and model.may_expire(op, w, False)
            got = model.expire(op, w, False)
        if got is PARKED:
            parked.add(w)
            got = None
    assert got is result or (got == result and type(got) is type(result)) or result is EMPTY is got
