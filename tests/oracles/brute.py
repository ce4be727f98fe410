"""Brute force over all choices of a program: slow, simple, and independent of the explorers.

``all_runs`` runs a program again and again, once for every sequence of choices. ``all_states``
walks over the states instead, each once, going back in time with ``Controller.snapshot`` and
``Machine.copy``. ``all_traces`` counts runs that differ in more than the order of independent
steps (Mazurkiewicz traces). None of them leaves anything out; all raise :class:`TooMany` where
there is more than the caller is ready to wait for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tracelock.backends.base import Options
from tracelock.backends.simulated import SimulatedBackend, start
from tracelock.engine.controller import Controller
from tracelock.engine.verdicts import first_failure, verdict_of
from tracelock.errors import StepFailure
from tracelock.objects import Rules, frozen
from tracelock.ops import (
    ATOMIC,
    CANCEL,
    COMPARE_EXCHANGE,
    CRASH,
    JOIN,
    READ,
    SPAWN,
    Layout,
    Op,
    Raised,
    Value,
    conflicts,
)
from tracelock.scenario.program import Machine, Program
from tracelock.schedulers.base import WORKER, Choice, Scheduler

MAX_STEPS = 300  # events of one run; more than that is a loop that need not end


class TooMany(Exception):
    """The program has more runs or states than the caller allowed."""


class Outcome(NamedTuple):
    """How a run can end. ``verdict``: ``passed``, ``deadlock``, ``crashed``, or ``failed:`` and
    the kind of failure; ``values``: of all shared variables, by number, made hashable."""

    verdict: str
    values: Hashable


@dataclass
class Found:
    """All outcomes of a program, and the fewest preemptive switches to each verdict.

    A switch is preemptive where the worker that is left could have gone on without its timer.
    ``count``: runs, states or traces, whatever was enumerated.
    """

    outcomes: set[Outcome] = field(default_factory=set)
    fewest: dict[str, int] = field(default_factory=dict)
    count: int = 0

    @property
    def verdicts(self) -> set[str]:
        """The kinds of verdict alone: ``failed`` without what failed."""
        return {outcome.verdict.partition(":")[0] for outcome in self.outcomes}

    def switches(self, *kinds: str) -> int:
        """The fewest preemptive switches to any verdict of these kinds."""
        return min(n for verdict, n in self.fewest.items() if verdict.partition(":")[0] in kinds)

    def add(self, outcome: Outcome, switches: int) -> None:
        self.outcomes.add(outcome)
        known = self.fewest.get(outcome.verdict)
        if known is None or switches < known:
            self.fewest[outcome.verdict] = switches


def outcome_of(controller: Controller, program: Program) -> Outcome:
    """The outcome of the run that ``controller`` has just ended."""
    verdict = verdict_of(controller, program.finally_)
    if verdict.kind == "unfinished":
        raise TooMany(f"a run did not end: {verdict.message}")
    kind = f"failed:{verdict.failure}" if verdict.kind == "failed" else verdict.kind
    return Outcome(kind, frozen(tuple(controller.values)))


class _Watch(Controller):
    """Notices steps before which nobody could go on, so that only a timer was left to fire."""

    idle = False

    def next(self) -> int:
        self.idle = not self.adversarial and not self._options()
        return super().next()


def make_controller(program: Program, rules: Rules, scheduler: Scheduler, clock: str) -> _Watch:
    """A controller that checks what must hold always, and gives up on endless runs."""
    always = program.always

    def check(values: Sequence[Value]) -> StepFailure | None:
        return first_failure(always, "always", values)

    return _Watch(
        program.layout,
        rules,
        scheduler,
        clock=clock,
        max_steps=MAX_STEPS,
        check=check if always else None,
    )


def preempts(choice: Choice, picked: int, idle: bool) -> bool:
    """Whether the choice takes the turn from a worker that could have gone on."""
    mine = choice.kind is WORKER and picked != choice.current and choice.current in choice.options
    return mine and not idle


# --- by running again ------------------------------------------------------------------------
class _Enumerate(Scheduler):
    """Every sequence of choices, depth first: the last choice that has an option left changes."""

    def __init__(self) -> None:
        self.taken: list[tuple[Sequence[int], int]] = []  # options, place of the one taken
        self.depth = 0
        self.switches = 0
        self.first = True
        self.controller: _Watch

    def begin(self) -> bool:
        if not self.first:
            while self.taken and self.taken[-1][1] + 1 == len(self.taken[-1][0]):
                self.taken.pop()
            if not self.taken:
                return False
            options, place = self.taken[-1]
            self.taken[-1] = (options, place + 1)
        self.first = False
        self.depth = 0
        self.switches = 0
        return True

    def pick(self, choice: Choice) -> int:
        if self.depth == len(self.taken):
            self.taken.append((tuple(choice.options), 0))
        options, place = self.taken[self.depth]
        assert options == tuple(choice.options), "a run repeated did not repeat itself"
        self.depth += 1
        picked: int = options[place]
        self.switches += preempts(choice, picked, self.controller.idle)
        return picked


def all_runs(
    program: Program, rules: Rules, clock: str = "virtual", limit: int = 20_000
) -> tuple[Found, set[Hashable]]:
    """Every run of ``program``, each from the start. Also the set of their trace keys.

    ``count`` is the number of runs. Raises TooMany after ``limit`` of them, and for a program
    that has endless ones.
    """
    found = Found()
    traces: set[Hashable] = set()
    scheduler = _Enumerate()
    controller = scheduler.controller = make_controller(program, rules, scheduler, clock)

    def done(controller: Controller) -> bool:
        if found.count == limit:
            raise TooMany(f"more than {limit} runs")
        found.count += 1
        found.add(outcome_of(controller, program), scheduler.switches)
        prefix = Prefix(program.layout)
        for worker, kind, op, result, *_ in controller.log:
            prefix = prefix.plus(worker, kind, op, result)
        traces.add(prefix.key)
        return False

    with SimulatedBackend(program, Options(), rules) as backend:
        backend.controlled(controller, done)
    return found, traces


# --- state by state --------------------------------------------------------------------------
class _Script(Scheduler):
    """Follows ``prefix``, then takes the first option, and notes where it had others."""

    def __init__(self) -> None:
        self.prefix: tuple[int, ...] = ()
        self.taken: list[int] = []
        self.others: list[tuple[int, ...]] = []
        self.preemptive = False
        self.chance = 1.0
        self.controller: _Watch

    def reset(self, prefix: tuple[int, ...]) -> None:
        self.prefix = prefix
        self.taken = []
        self.others = []
        self.preemptive = False
        self.chance = 1.0

    def pick(self, choice: Choice) -> int:
        place = len(self.taken)
        options = choice.options
        if place < len(self.prefix):
            picked = self.prefix[place]
        else:
            picked = options[0]
            self.others += [(*self.taken, option) for option in options[1:]]
        self.taken.append(picked)
        self.chance /= len(options)
        self.preemptive |= preempts(choice, picked, self.controller.idle)
        return picked


class State(NamedTuple):
    """One moment of a run: enough to go on from there."""

    controller: tuple[Any, ...]
    log: tuple[Any, ...]  # not in the snapshot, which is for searches that stay on one path
    machines: tuple[Machine, ...]


class Step(NamedTuple):
    """One way on from a state."""

    state: State
    worker: int
    kind: int
    op: Op
    result: Value
    preemptive: bool
    chance: float  # that a uniform choice at each point takes it


class Walker:
    """A program as a graph of states."""

    def __init__(self, program: Program, rules: Rules, clock: str = "virtual") -> None:
        self.program = program
        self.scheduler = _Script()
        self.controller = make_controller(program, rules, self.scheduler, clock)
        self.scheduler.controller = self.controller

    def first(self) -> State:
        """The initial state: every worker that starts by itself is at its first visible step."""
        controller = self.controller
        controller.begin()
        workers = self.program.layout.workers
        machines = [self.program.machine(number) for number in range(len(workers))]
        for number, spec in enumerate(workers):
            if not spec.manual:
                start(controller, machines[number], number)
        return State(controller.snapshot(), (), tuple(machines))

    def back(self, state: State) -> None:
        """Put the controller into ``state``, on whatever path of the search it was met."""
        self.controller.restore(state.controller)
        self.controller.log[:] = state.log

    def key(self, state: State) -> Hashable:
        """Equal for states with the same future and the same past failure."""
        self.back(state)
        failure = self.controller.failure
        return (
            self.controller.key(),
            tuple([machine.key() for machine in state.machines]),
            # the switches still to come depend on who went last
            self.controller.current,
            None if failure is None else (failure[0], failure[1].failure, failure[1].message),
        )

    def steps(self, state: State) -> list[Step]:
        """Every way on; none where the run is over."""
        found = []
        todo: list[tuple[int, ...]] = [()]
        while todo:
            step = self._step(state, todo.pop())
            if step is not None:
                found.append(step)
                todo += self.scheduler.others
        return found

    def _step(self, state: State, prefix: tuple[int, ...]) -> Step | None:
        controller, scheduler = self.controller, self.scheduler
        self.back(state)
        scheduler.reset(prefix)
        worker = controller.next()
        if worker < 0:
            scheduler.others = []
            return None
        op, kind, result = controller.op, controller.kind, controller.result
        machines = list(state.machines)
        if not controller.parked:
            machine = machines[worker] = machines[worker].copy()
            whole = controller.thrown is None and result.__class__ is not Raised
            if whole and kind == CRASH:
                controller.crash(worker, "crash")
                return self._made(machines, worker, kind, op, result)
            if whole and kind == SPAWN:
                machines[op.target] = machines[op.target].copy()
                start(controller, machines[op.target], op.target)
            if whole and kind == ATOMIC:
                seen = dict(result["reads"])
                machine.rebind(op).body.run(seen.__getitem__, seen.__setitem__)
            controller.advance(machine, worker)
        return self._made(machines, worker, kind, op, result)

    def _made(
        self, machines: Iterable[Machine], worker: int, kind: int, op: Op, result: Value
    ) -> Step:
        log = tuple(self.controller.log)
        state = State(self.controller.snapshot(), log, tuple(machines))
        return Step(
            state, worker, kind, op, result, self.scheduler.preemptive, self.scheduler.chance
        )

    def outcome(self, state: State) -> Outcome:
        """How the run ended, in a state without steps."""
        self.back(state)
        return outcome_of(self.controller, self.program)


def all_states(
    program: Program, rules: Rules, clock: str = "virtual", limit: int = 50_000
) -> Found:
    """Every state of ``program``, in the order of the preemptive switches that lead there.

    A 0-1 breadth-first search: a step that costs no switch goes to the front of the line. So
    the first visit to a state has the fewest switches. ``count`` is the number of states. Raises
    TooMany after ``limit`` of them.
    """
    found = Found()
    walker = Walker(program, rules, clock)
    first = walker.first()
    line: deque[tuple[int, State]] = deque([(0, first)])
    done: set[Hashable] = set()
    while line:
        switches, state = line.popleft()
        key = walker.key(state)
        if key in done:
            continue
        if len(done) == limit:
            raise TooMany(f"more than {limit} states")
        done.add(key)
        steps = walker.steps(state)
        if not steps:
            found.add(walker.outcome(state), switches)
        for step in steps:
            if step.preemptive:
                line.append((switches + 1, step.state))
            else:
                line.appendleft((switches, step.state))
    found.count = len(done)
    return found


def random_walk(
    program: Program, rules: Rules, clock: str = "virtual", limit: int = 50_000
) -> dict[str, float]:
    """The exact probability of each verdict in one uniform random walk.

    For programs without cycles (RecursionError otherwise). Raises TooMany after ``limit``
    states.
    """
    walker = Walker(program, rules, clock)
    known: dict[Hashable, dict[str, float]] = {}

    def chances(state: State) -> dict[str, float]:
        key = walker.key(state)
        if key in known:
            return known[key]
        if len(known) == limit:
            raise TooMany(f"more than {limit} states")
        steps = walker.steps(state)
        total: dict[str, float] = {}
        for step in steps:
            for verdict, chance in chances(step.state).items():
                total[verdict] = total.get(verdict, 0.0) + chance * step.chance
        known[key] = total if steps else {walker.outcome(state).verdict: 1.0}
        return known[key]

    return chances(walker.first())


# --- runs that differ in more than the order of independent steps ------------------------------
class Prefix:
    """A run so far, as a trace: its Foata normal form (Cartier and Foata 1969).

    An event's level is one more than the highest of the earlier events it depends on; two runs
    are equivalent if and only if they have the same events on the same levels.
    """

    __slots__ = ("events", "layout")

    def __init__(self, layout: Layout, events: tuple[tuple[int, Op, int], ...] = ()) -> None:
        self.layout = layout
        self.events = events  # worker, op as it took effect, level

    @property
    def key(self) -> Hashable:
        """Equal for equivalent runs of one program."""
        return frozenset((worker, level, op.kind, op.target) for worker, op, level in self.events)

    def plus(self, worker: int, kind: int, op: Op, result: Value) -> Prefix:
        """This run and one event more."""
        # a failed exchange has only read
        if kind == COMPARE_EXCHANGE and result is False:
            kind = READ
        op = Op(kind, op.target, op.at, body=op.body)
        level = 0
        for other, earlier, height in self.events:
            if height >= level and self._depend(other, earlier, worker, op):
                level = height + 1
        return Prefix(self.layout, (*self.events, (worker, op, level)))

    def _depend(self, a: int, op_a: Op, b: int, op_b: Op) -> bool:
        if a == b or conflicts(op_a, op_b):
            return True
        return self._reaches(op_a, b) or self._reaches(op_b, a) or self._by_lock(op_a, op_b)

    def _reaches(self, op: Op, worker: int) -> bool:
        """Whether ``op`` starts, awaits or cancels ``worker``: it depends on all it does."""
        return op.kind in (SPAWN, JOIN, CANCEL) and op.target == worker

    def _by_lock(self, a: Op, b: Op) -> bool:
        """A wait gives up the condition's lock, and its end takes it back."""
        return not self._locks(a).isdisjoint(self._locks(b))

    def _locks(self, op: Op) -> frozenset[int]:
        if op.kind in (SPAWN, JOIN, CANCEL) or op.target < self.layout.variables:
            return frozenset()
        spec = self.layout.spec(op.target)
        return frozenset((op.target, spec.lock) if spec.type == "condition" else (op.target,))


def all_traces(program: Program, rules: Rules, limit: int = 20_000) -> Found:
    """The inequivalent runs of ``program``: ``count`` is the number of Mazurkiewicz traces.

    Walks over the traces' prefixes, each once: equivalent prefixes lead to the same state. For
    programs without sleeps and timeouts, whose steps depend on each other by time as well.
    Raises TooMany after ``limit`` prefixes.
    """
    found = Found()
    walker = Walker(program, rules)
    start_ = Prefix(program.layout)
    line: list[tuple[State, Prefix]] = [(walker.first(), start_)]
    done: set[Hashable] = {start_.key}
    while line:
        state, prefix = line.pop()
        steps = walker.steps(state)
        if not steps:
            found.add(walker.outcome(state), 0)
            found.count += 1
        for step in steps:
            longer = prefix.plus(step.worker, step.kind, step.op, step.result)
            if longer.key not in done:
                if len(done) == limit:
                    raise TooMany(f"more than {limit} prefixes")
                done.add(longer.key)
                line.append((step.state, longer))
    return found


__all__ = [
    "Found",
    "Outcome",
    "Prefix",
    "TooMany",
    "Walker",
    "all_runs",
    "all_states",
    "all_traces",
    "random_walk",
]
