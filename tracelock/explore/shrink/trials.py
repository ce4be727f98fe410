"""Trying out edited schedules: what the shrinker, the twin and the search for the fewest run.

A list of picks says what was chosen at each choice; change one, and all that follow mean something
else. So edits are made to a :class:`Plan` instead: blocks ``(worker, upto)``, each of which lets
its worker go on until it has made ``upto`` events in all. A plan can always be followed: what
cannot be had is passed over, and what it leaves out comes at the end. Since a block counts from the
worker's start, leaving one out puts its events into the next block of the same worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from tracelock.backends.rules import rules_name
from tracelock.engine.controller import Controller, Entry
from tracelock.engine.limits import INTERRUPTED, TIME_UP, Interrupted, TimeUp
from tracelock.engine.replaying import EndOfTrace, Replay
from tracelock.errors import Divergence, TraceError, UsageError
from tracelock.explore.running import Executed, Runner, Tape
from tracelock.explore.shrink.known import KnownSchedules, Point
from tracelock.schedulers.base import WORKER, Choice, Scheduler
from tracelock.trace import Trace, Verdict

#: Why a run ends right after its failure. Never seen outside: a failure is the verdict before it.
CUT: Final = "cut after the failure"

Block = tuple[int, int]
#: As the end of a block: more events than any worker makes, so that it goes on until it cannot.
FAR: Final = 2**62
#: For the event number k of a worker (from 0): what was picked of its waiters and timers.
Extra = tuple[tuple[Block, tuple[int, ...]], ...]


class BlockPlan(NamedTuple):
    """``extra`` holds only what differs from the usual (first waiter, timer does not fire)."""

    blocks: tuple[Block, ...]
    extra: Extra = ()


@dataclass(slots=True)
class Tried:
    """One run: what came of it, and the plan that it itself followed."""

    executed: Executed
    plan: BlockPlan


def blocks_of(log: Iterable[Entry]) -> tuple[Block, ...]:
    """The blocks of a log: one for each stretch of events of one worker."""
    blocks: list[Block] = []
    counts: dict[int, int] = {}
    last = -1
    for entry in log:
        worker = entry[0]
        counts[worker] = counts.get(worker, 0) + 1
        if worker == last:
            blocks[-1] = (worker, counts[worker])
        else:
            blocks.append((worker, counts[worker]))
            last = worker
    return tuple(blocks)


class Follower(Scheduler):
    """Follows a plan as far as it can be had, or a tape of picks to the letter.

    Beyond either the worker that runs goes on, else the first that can.
    """

    name = "guided"

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.plan = BlockPlan(())
        self.tape: Sequence[int] | None = None

    def begin(self) -> bool:
        self.picks: list[int] = []
        self.points: list[Point] = []
        self.lost = -1  # the number of the pick of the tape that could not be had
        self.extra: dict[Block, list[int]] = {}
        self.odd: set[Block] = set()
        self._wanted = dict(self.plan.extra)
        self._counts = [0] * self.workers
        self._block = 0
        self._last = -1
        self._seq = 0
        return True

    def pick(self, choice: Choice) -> int:
        options = choice.options
        # as it is where it is a range of numbers, which may be very many
        kept = options if type(options) is range else tuple(options)
        self.points.append((choice.kind, kept, choice.current, choice.seq))
        if choice.kind == WORKER:
            # a task that does not suspend makes several events between two choices
            if self._last >= 0:
                self._counts[self._last] += choice.seq - self._seq
            self._seq = choice.seq
            picked = self._worker(options, choice.current)
            self._last = picked
        else:
            event = (self._last, self._counts[self._last])
            before = self.extra.setdefault(event, [])
            wanted = self._wanted.get(event, ())
            picked = wanted[len(before)] if len(before) < len(wanted) else options[0]
            if self.tape is not None:
                picked = self._taped(options, options[0])
            elif picked not in options:
                picked = options[0]
            before.append(picked)
            if picked != options[0]:
                self.odd.add(event)
        self.picks.append(picked)
        return picked

    def _worker(self, options: Sequence[int], current: int) -> int:
        default = current if current in options else options[0]
        if self.tape is not None:
            return self._taped(options, default)
        blocks = self.plan.blocks
        while self._block < len(blocks):
            worker, upto = blocks[self._block]
            if self._counts[worker] < upto and worker in options:
                return worker
            self._block += 1
        return default

    def _taped(self, options: Sequence[int], default: int) -> int:
        assert self.tape is not None
        place = len(self.picks)
        if place < len(self.tape) and self.lost < 0:
            if self.tape[place] in options:
                return self.tape[place]
            self.lost = place
        return default


class Trials:
    """Tries plans and tapes of one runner, ``runs`` so far; one controller serves them all. What
    leads to a schedule that was run before counts as any other, and is not run again: it is taken
    from ``known``, schedules of this runner that were cut, to which those with ``cut`` are added.

    ``cut``: a run is ended at the first choice after its failure (an assertion, an error or an
    invariant; the other verdicts are about the end of a run). ``steps``: a bound on the events
    of each run, beside the runner's own.
    """

    def __init__(
        self,
        runner: Runner,
        *,
        cut: bool = True,
        steps: int | None = None,
        known: KnownSchedules[Tried] | None = None,
    ) -> None:
        self.runner = runner
        self.runs = 0
        cuts: KnownSchedules[Tried] = known or KnownSchedules()
        self._known = [cuts] if cut else [KnownSchedules(), cuts]
        self._follower = Follower(len(runner.program.layout.workers))
        self._controller = runner.controller(self._follower)
        if cut:
            self._controller.before = self._end_at_failure
        self.bound(steps)

    def bound(self, steps: int | None) -> None:
        """Let no run go on for more than ``steps`` events (None: the runner's own bound)."""
        most = self.runner.limits.steps
        self._controller.max_steps = most if steps is None else min(steps, most)

    @staticmethod
    def _end_at_failure(controller: Controller) -> None:
        # a task that has not suspended goes on without a choice, in a replay as well: a trace
        # that ended there could not be followed to its end
        if controller.failure is not None and (
            controller.suspended or not controller.rules.cooperative
        ):
            controller.limit = CUT

    def follow(self, plan: BlockPlan) -> Tried:
        """Run a plan. Raises Interrupted and TimeUp where these ended it."""
        self._follower.plan, self._follower.tape = plan, None
        return self._run()

    def play(self, picks: Sequence[int]) -> Tried | None:
        """Run a list of picks; None where one of them cannot be had."""
        self._follower.plan, self._follower.tape = BlockPlan(()), picks
        tried = self._run()
        return None if self._follower.lost >= 0 else tried

    def _run(self) -> Tried:
        self.runs += 1
        controller, follower = self._controller, self._follower
        for each in self._known:
            known = each.find(follower)
            if known is not None and len(known.executed.log) < controller.max_steps:
                return known
        self.runner.backend.controlled(controller, lambda _: True)
        if controller.limit is INTERRUPTED:
            raise Interrupted
        if controller.limit is TIME_UP:
            raise TimeUp
        executed = self.runner.executed(controller, follower.picks)
        extra = tuple(sorted((event, tuple(follower.extra[event])) for event in follower.odd))
        tried = Tried(executed, BlockPlan(blocks_of(controller.log), extra))
        if controller.limit in (None, CUT) and not controller.killed:  # else it was no schedule
            self._known[0].add(follower.points, follower.picks, len(executed.log), tried)
        return tried


def follow_trace(runner: Runner, trace: Trace) -> tuple[Runner, list[int], Verdict]:
    """The picks with which the simulated engine does what a trace says, under ``runner``'s rules.

    Also the verdict that they end with, and the runner they are for: where a timer of the trace
    fired earlier than the runner's clock allows, as it may in a free run, that runner's clock is
    ``adversarial``. Raises Divergence where the trace cannot be followed (ImpossibleHere: not
    under these rules), UsageError for one that a schedule alone cannot repeat, TraceError for one
    with more workers than there are.
    """
    if any(event.op == "crash" and isinstance(event.value, str) for event in trace.events):
        raise UsageError(
            "a worker of this trace was killed from outside: no schedule does that, "
            "so there is nothing to search"
        )
    # a scenario that was changed since may have others, but not fewer
    places = len(runner.program.layout.workers)
    if any(event.worker >= places for event in trace.events):
        raise TraceError(
            f"the trace has steps of {len(trace.workers)} workers, the scenario has {places}"
        )
    clocks = [runner.clock]
    if runner.clock != "adversarial":
        clocks.append("adversarial")
    first: Divergence | None = None
    for clock in clocks:
        try:
            return _followed(runner.with_clock(clock), trace)
        except Divergence as error:
            first = first or error
    assert first is not None
    raise first


def _followed(runner: Runner, trace: Trace) -> tuple[Runner, list[int], Verdict]:
    recorded_on = rules_name(trace.backend)
    foreign = recorded_on != runner.rules.backend
    layout = runner.program.layout
    replay = Replay(trace.events, trace.verdict, layout, runner.rules, foreign=foreign)
    tape = Tape(replay)
    controller = runner.controller(tape)
    replay.follow(controller)
    try:
        runner.backend.controlled(controller, lambda _: True)
        replay.check_end()
    except EndOfTrace:
        pass
    return runner, tape.picks, runner.verdict(controller)
