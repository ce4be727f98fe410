"""Running schedules for a search: one program, one backend's rules, many schedules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tracelock.backends.base import Options
from tracelock.engine.controller import Caller, Controller, Entry
from tracelock.engine.limits import RunLimits
from tracelock.engine.verdicts import StateCheck, first_failure, verdict_of
from tracelock.objects import Rules
from tracelock.ops import ATOMIC, CRASH, SPAWN, Layout, Raised
from tracelock.schedulers.base import WORKER, Choice, OneSchedule, Scheduler, Wrapper
from tracelock.trace import Verdict

if TYPE_CHECKING:
    from tracelock.scenario.program import Machine


@dataclass(slots=True)
class Executed:
    """One schedule that was run to its end.

    ``picks``: what was chosen at every choice, in order: running them again gives this schedule.
    ``log``: its events. ``switches``: how many of them were preemptive, see ``preemptions``.
    """

    picks: list[int]
    log: list[Entry]
    verdict: Verdict
    switches: int


#: What one kind of failure is known by.
Identity = tuple[str, str | None, str | None, tuple[str, ...]]


def failure_identity(verdict: Verdict) -> Identity:
    """What makes two failures one kind of failure: how it ended, and where.

    For an assertion, an invariant or an error that is the step or expression that failed; for a
    deadlock the set of steps at which workers wait.
    """
    waits = {one.at for one in verdict.blocked} if verdict.kind == "deadlock" else ()
    return (verdict.kind, verdict.failure, verdict.at, tuple(sorted(waits)))


def same_failure(a: Verdict, b: Verdict) -> bool:
    """Whether two verdicts tell of one kind of failure."""
    return failure_identity(a) == failure_identity(b)


def preemptions(log: Sequence[Entry]) -> int:
    """Preemptive switches: those away from a worker that could have gone on."""
    count = 0
    last = -1
    for worker, _, _, _, options, _ in log:
        if last >= 0 and worker != last and options is not None and last in options:
            count += 1
        last = worker
    return count


class Guide(OneSchedule):
    """Follows a list of picks; beyond it goes on with the same worker, or the first that can.

    Where a pick cannot be had the schedule is ``lost`` there: what is left is as beyond the list.
    """

    name = "guided"

    def __init__(self, picks: Sequence[int] = ()) -> None:
        self.wanted = picks
        self.picks: list[int] = []
        self.lost = -1

    def pick(self, choice: Choice) -> int:
        at, options = len(self.picks), choice.options
        picked = options[0]
        if choice.kind == WORKER and choice.current in options:
            picked = choice.current
        if at < len(self.wanted) and self.lost < 0:
            if self.wanted[at] in options:
                picked = self.wanted[at]
            else:
                self.lost = at
        self.picks.append(picked)
        return picked


class Script(Scheduler):
    """Follows ``prefix``, then takes first options, and notes what else could be had."""

    def __init__(self) -> None:
        self.reset(())

    def reset(self, prefix: tuple[int, ...]) -> None:
        self.prefix = prefix
        self.taken: list[int] = []
        self.others: list[tuple[int, ...]] = []

    def pick(self, choice: Choice) -> int:
        place = len(self.taken)
        if place < len(self.prefix):
            picked = self.prefix[place]
        else:
            picked = choice.options[0]
            self.others += [(*self.taken, option) for option in choice.options[1:]]
        self.taken.append(picked)
        return picked


def go_on(
    controller: Controller, machine: Machine, worker: int, spawn: Callable[[int], None]
) -> None:
    """What a backend does after a grant that ended an op, with ``machine``, which is a copy:
    ``spawn(target)`` starts the worker of a spawn."""
    op, kind, result = controller.op, controller.kind, controller.result
    if controller.thrown is None and result.__class__ is not Raised:
        if kind == CRASH:
            controller.crash(worker, "crash")
            return
        if kind == SPAWN:
            spawn(op.target)
        elif kind == ATOMIC:
            # the model has rehearsed it: now on the locals of the copy, with what it read then
            seen = dict(result["reads"])
            machine.rebind(op).body.run(seen.__getitem__, seen.__setitem__)
    controller.advance(machine, worker)


class Tape(Wrapper):
    """Any scheduler, with what it picked kept in ``picks``."""

    def __init__(self, inner: Scheduler) -> None:
        super().__init__(inner)
        self.picks: list[int] = []

    def begin(self) -> bool:
        self.picks = []
        return self.inner.begin()

    def pick(self, choice: Choice) -> int:
        picked = self.inner.pick(choice)
        self.picks.append(picked)
        return picked

    def taking(self) -> tuple[Callable[[Choice], int], list[int]]:
        return self.inner.pick, self.picks


class Runnable(Protocol):
    """What a search has to know of a program."""

    @property
    def layout(self) -> Layout: ...
    @property
    def always(self) -> Sequence[StateCheck]: ...
    @property
    def finally_(self) -> Sequence[StateCheck]: ...
    @property
    def machine(self) -> Callable[[int], Machine] | None:
        """What makes the machine of a worker, which can be copied; None for real code."""


class ScheduleDriver(Protocol):
    """What runs the schedules of a search: every backend, and what runs real code."""

    def controlled(self, controller: Controller, done: Callable[[Any], bool]) -> None:
        """See ``Backend.controlled``."""
        ...


class Runner:
    """Runs schedules of one program under one backend's rules: on ``backend``, or on the models
    where it is None, which a Program of machines alone can be. ``kind``: of controllers."""

    def __init__(
        self,
        program: Runnable,
        rules: Rules,
        *,
        clock: str = "virtual",
        limits: RunLimits | None = None,
        backend: ScheduleDriver | None = None,
        call: Caller | None = None,
        kind: type[Controller] = Controller,
    ) -> None:
        self.program = program
        self.rules = rules
        self.clock = clock
        self.call = call
        self.kind = kind
        self.limits = limits or RunLimits()
        if backend is None:
            from tracelock.backends.simulated import SimulatedBackend
            from tracelock.scenario.program import Program

            assert isinstance(program, Program)
            backend = SimulatedBackend(program, Options(self.limits), rules)
        self.backend = backend

    def controller(self, scheduler: Scheduler) -> Controller:
        """A controller for this program, rules and clock."""
        always = self.program.always
        check = (lambda values: first_failure(always, "always", values)) if always else None
        return self.kind(
            self.program.layout,
            self.rules,
            scheduler,
            clock=self.clock,
            max_steps=self.limits.steps,
            max_seconds=self.limits.seconds,
            check=check,
            call=self.call,
        )

    def with_clock(self, clock: str) -> Runner:
        """The same runner with another clock."""
        return self if clock == self.clock else self._changed(clock=clock)

    def with_rules(self, rules: Rules) -> Runner:
        """The same runner with other rules."""
        return self._changed(rules=rules)

    def with_limits(self, limits: RunLimits) -> Runner:
        """The same runner with other bounds of a run."""
        return self._changed(limits=limits)

    def _changed(self, **changes: Any) -> Runner:
        other = copy(self)
        vars(other).update(changes)
        return other

    def verdict(self, controller: Controller) -> Verdict:
        """The verdict of the schedule that ``controller`` has just ended."""
        return verdict_of(controller, self.program.finally_)

    def run(self, scheduler: Scheduler, done: Callable[[Controller], bool]) -> Controller:
        """Run schedules until the scheduler has no more or ``done`` says so."""
        controller = self.controller(scheduler)
        self.backend.controlled(controller, done)
        return controller

    def execute(self, picks: Sequence[int] = ()) -> Executed | None:
        """Run the schedule that ``picks`` describe; None where one of them could not be had.

        Beyond the picks the worker that is running goes on.
        """
        guide = Guide(picks)
        controller = self.run(guide, lambda _: True)
        if guide.lost >= 0 or not hasattr(controller, "log"):  # none began: a worker is stuck
            return None
        return self.executed(controller, guide.picks)

    def executed(self, controller: Controller, picks: list[int]) -> Executed:
        """The schedule that ``controller`` has just ended."""
        log = controller.log
        return Executed(picks, log, self.verdict(controller), preemptions(log))
