"""One step of a program from any given state, done by the controller itself.

A state is taken apart into *parts*: the value of each variable, the state of each object, each
worker with its machine, the failure, whose turn it is, and what time has to do with. The search
numbers them (see ``states_space``); here they are put into a controller, one worker makes its
step, and the parts are read again. So the search has no semantics of its own.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Final, NamedTuple

from tracelock.engine.controller import Controller
from tracelock.engine.interrupts import Task, TimeoutBlock
from tracelock.errors import ScopeExpired, StepFailure, UsageError
from tracelock.explore.running import Script, go_on
from tracelock.objects import Rules, frozen
from tracelock.ops import CALL, Op
from tracelock.scenario.compile.values import freeze
from tracelock.scenario.program import Machine, Program

UNSTARTED: Final = 0
ACTIVE: Final = 1
ENDED: Final = 2
CRASHED: Final = 3

#: Time in a state is counted from now and to the nanosecond, so that sums of binary fractions
#: that mean the same are the same.
_DIGITS: Final = 9


class WorkerPart(NamedTuple):
    """What there is to know of a worker. ``fresh``: it has not made a step yet, which decides
    whether a cancelled task runs at all (kept for asyncio only)."""

    status: int
    waiting: bool = False
    fresh: bool = False
    machine: Machine | None = None
    op: Op | None = None

    def key(self) -> Hashable:
        """Equal for workers that will behave the same."""
        if self.status == ACTIVE:
            assert self.machine is not None
            return (ACTIVE, self.waiting, self.fresh, self.machine.key())
        return self.status


class Time(NamedTuple):
    """Pending timers, cancellations and ``timeout`` blocks. ``now`` is 0 unless time is exact."""

    now: float
    timers: dict[int, float]
    interrupts: tuple[dict[int, Task], set[int]] | None

    def key(self) -> Hashable:
        """Equal where the same is due in the same times."""
        tasks: Hashable = None
        if self.interrupts is not None:
            known, cut = self.interrupts
            tasks = (
                tuple((w, known[w].key(0.0), tuple(known[w].blocks)) for w in sorted(known)),
                frozenset(cut),
            )
        return (self.now, tuple(sorted(self.timers.items())), tasks)

    def pending(self) -> bool:
        """Whether a timer may still fire."""
        return bool(self.timers) or (
            self.interrupts is not None
            and any(
                not block.fired
                for task in self.interrupts[0].values()
                for block in task.blocks.values()
            )
        )


Failure = tuple[int, StepFailure] | str | None  # a text: the bound that was hit
Parts = list[Any]  # variables, objects, workers, then failure, turn, time


class _Stepped(Controller):
    """A controller that also says who could go on."""

    def possible(self) -> Sequence[int]:
        """The workers that the scheduler could be offered, without those due to time alone."""
        if self.limit is not None:
            return ()
        if self._cooperative and not self.suspended:
            return (self.current,)
        return self._options()

    def due(self) -> Sequence[int]:
        """When nobody else can go on: the workers whose timer is the next."""
        return self._due() if self.limit is None else ()

    def clocks(self) -> tuple[dict[int, float], Any]:
        """The deadlines of the workers, and who is cancelled or in ``timeout`` blocks: copies."""
        interrupts = self._interrupts
        return self.timers.copy(), None if interrupts is None else interrupts.snapshot()

    def rename(self, worker: int, machine: Machine) -> None:
        """Number the ``timeout`` blocks of a worker from one."""
        task = None if self._interrupts is None else self._interrupts.tasks.get(worker)
        blocks = _renumber(machine, {} if task is None else task.blocks)
        if task is not None:
            task.blocks = blocks


class StepWay(NamedTuple):
    """One way on: what the scheduler picks there, and the parts of the state it leads to."""

    picks: tuple[int, ...]
    parts: Parts


class Stepper:
    """Takes states of one program apart and makes steps from them.

    ``exact``: keep the absolute time in the state, as the floating-point sum it is. Then loops
    that take time never come back to the same state, but no two deadlines are taken for equal
    that the controller tells apart.
    """

    def __init__(self, program: Program, rules: Rules, clock: str, exact: bool) -> None:
        self.program = program
        self.layout = program.layout
        self.rules = rules
        self.exact = exact
        self.script = Script()
        # always is not checked here: a step is made once for many states that differ elsewhere
        self.controller = _Stepped(program.layout, rules, self.script, clock=clock)
        self.variables = program.layout.variables
        self.shared = len(program.layout.names)
        self.workers = len(program.layout.workers)
        self.failure = self.shared + self.workers
        self.turn = self.failure + 1
        self.time = self.failure + 2
        self._marks_fresh = rules.cooperative and not rules.level_triggered

    # --- taking apart ------------------------------------------------------------------------
    def first(self) -> Parts:
        """The initial state: every worker that starts by itself is at its first visible step."""
        controller = self.controller
        controller.begin()
        count = self.workers
        machines = [self.program.machine(number) for number in range(count)]
        controller.start_automatic(machines)
        parts: Parts = [None] * self.shared
        parts += [
            self._worker(number, machines[number], fresh=self._marks_fresh)
            for number in range(count)
        ]
        parts += [None, 0, None]
        self._common(parts)
        return parts

    def key(self, place: int, part: Any) -> Hashable:
        """Equal for equal parts in this place."""
        if place < self.variables:
            return freeze(part)
        if place < self.shared:
            return frozen(part)
        if place == self.failure:
            if part is None or isinstance(part, str):
                return part
            worker, failure = part
            return (worker, failure.failure, failure.message, failure.at)
        if place == self.turn:
            return part  # type: ignore[no-any-return]
        return part.key()  # type: ignore[no-any-return]

    def _worker(self, number: int, machine: Machine, fresh: bool) -> WorkerPart:
        controller = self.controller
        if controller.ended[number]:
            crashed = any(worker == number for worker, _ in controller.crashed)
            return WorkerPart(CRASHED if crashed else ENDED)
        op = controller.pending[number]
        if op is None:
            return WorkerPart(UNSTARTED, machine=machine)
        if op.kind == CALL:
            raise UsageError(
                "the states strategy goes back in time, which a call step cannot: "
                "use another strategy"
            )
        controller.rename(number, machine)
        return WorkerPart(ACTIVE, controller.waiting[number], fresh, machine, op)

    def _common(self, parts: Parts) -> None:
        """Everything but the workers, from the controller."""
        controller = self.controller
        parts[: self.variables] = controller.values
        for number in range(self.variables, self.shared):
            model = controller.models[number]
            assert model is not None
            parts[number] = model.snapshot()
        parts[self.failure] = controller.limit or controller.failure
        free = not self.rules.cooperative or controller.suspended
        parts[self.turn] = 0 if free else controller.current + 1
        parts[self.time] = self._time()

    def _time(self) -> Time:
        timers, interrupts = self.controller.clocks()
        now = self.controller.now
        if self.exact:
            return Time(now, timers, interrupts)

        def left(deadline: float) -> float:
            # under the adversarial clock a timer may fire at any point, whatever its deadline
            return 0.0 if self.controller.adversarial else round(deadline - now, _DIGITS)

        if interrupts is not None:
            for task in interrupts[0].values():
                for block in task.blocks.values():
                    block.deadline = left(block.deadline)
        return Time(0.0, {worker: left(at) for worker, at in timers.items()}, interrupts)

    # --- putting together --------------------------------------------------------------------
    def load(self, parts: Parts) -> None:
        """Put the controller into the state that ``parts`` describe."""
        controller = self.controller
        workers: list[WorkerPart] = parts[self.shared : self.failure]
        failure: Failure = parts[self.failure]
        turn: int = parts[self.turn]
        time: Time = parts[self.time]
        bound = isinstance(failure, str)
        controller.restore(
            (
                parts[: self.variables],
                parts[self.variables : self.shared],
                [worker.op for worker in workers],
                [worker.waiting for worker in workers],
                [n for n, worker in enumerate(workers) if worker.status == ACTIVE],
                [worker.status > ACTIVE for worker in workers],
                time.timers,
                time.interrupts,
                [(n, "crash") for n, worker in enumerate(workers) if worker.status == CRASHED],
                None if bound else failure,
                failure if bound else None,
                time.now,
                turn - 1,
                turn == 0,
                0,
            )
        )
        if self._marks_fresh:
            for number, worker in enumerate(workers):
                if worker.op is not None and not worker.fresh:
                    controller.log.append((number, worker.op.kind, worker.op, None, None, 0.0))

    # --- steps -------------------------------------------------------------------------------
    def ways(self, parts: Parts, worker: int) -> list[StepWay]:
        """Every way in which ``worker`` could go on without waiting for time to pass."""
        self.load(parts)
        return self._all(parts, worker) if worker in self.controller.possible() else []

    def idle(self, parts: Parts) -> list[tuple[int, StepWay]]:
        """Where nobody can go on: every way to let time pass, with the worker whose timer it is."""
        self.load(parts)
        if self.controller.possible():
            return []
        return [(w, way) for w in self.controller.due() for way in self._all(parts, w)]

    def _all(self, parts: Parts, worker: int) -> list[StepWay]:
        found = []
        # where it is one task's turn nothing is picked before its step
        todo: list[tuple[int, ...]] = [() if parts[self.turn] else (worker,)]
        while todo:
            self.load(parts)
            self.script.reset(todo.pop())
            after = self._step(parts, worker)
            found.append(StepWay(tuple(self.script.taken), after))
            todo += reversed(self.script.others)
        return found

    def _step(self, parts: Parts, worker: int) -> Parts:
        controller = self.controller
        controller.next()
        before: WorkerPart = parts[self.shared + worker]
        machine = before.machine
        assert machine is not None
        after = parts[:]
        if not controller.parked:
            machine = machine.copy()
            go_on(controller, machine, worker, lambda target: self._spawn(after, target))
        after[self.shared + worker] = self._worker(worker, machine, fresh=False)
        self._common(after)
        return after

    def _spawn(self, parts: Parts, target: int) -> None:
        unstarted: WorkerPart = parts[self.shared + target]
        assert unstarted.machine is not None
        machine = unstarted.machine.copy()
        self.controller.start(machine, target)
        parts[self.shared + target] = self._worker(target, machine, fresh=self._marks_fresh)


def _renumber(machine: Machine, blocks: dict[int, TimeoutBlock]) -> dict[int, TimeoutBlock]:
    """Number the ``timeout`` blocks that ``machine`` is in from one, and ``blocks`` like it.

    Only that these numbers differ has a meaning. As they come, they grow with every entry of a
    block, and no loop with one in it would ever come back to the same state.
    """
    slots = machine.L
    if not slots[0]:
        return blocks  # it has never been in one
    place = machine.code.places[machine.at]
    scopes = [uid for uid, _, _ in place.scopes]
    errors = [n for n in range(place.live) if type(slots[n]) is ScopeExpired]
    used = {*blocks, *(slots[n] for n in scopes), *(slots[n].uid for n in errors)}
    new = {uid: number for number, uid in enumerate(sorted(used), 1)}
    slots[0] = len(new)
    for n in scopes:
        slots[n] = new[slots[n]]
    for n in errors:
        slots[n] = ScopeExpired(new[slots[n].uid])
    return {new[uid]: block for uid, block in blocks.items()}
