"""Optimal dynamic partial-order reduction: one execution of each kind that matters.

Two executions that differ only in the order of independent steps pass through the same results,
so one of them is enough. This is the algorithm *Optimal-DPOR* of Abdulla, Aronis, Jonsson and
Sagonas, "Source Sets: A Foundation for Optimal Dynamic Partial Order Reduction" (POPL 2014; JACM
64(4), 2017): after each execution every race in it is reversed, by putting the sequence of steps
that does so into the wakeup tree of the point where the race began, unless some step in the sleep
set there, or a sequence in the tree, covers it.

Departures from the paper. Executions are run again from the start, not resumed. Blocking needs
no rules of its own, see ``happens``. A data choice (which waiter wakes, whether a timer fires) is
part of its step, and each other option is a reversal of that step with itself. A timer of virtual
time fires only when nothing else can happen, so it is ordered after all that came before it and
before all that comes after; where several could be the next, each is explored. What an atomic step
or a task's transition would touch in another place is not known before it is there: races go by
what it did touch, sleep sets and wakeup trees by all that it could (both must mean the same by it,
or a step could be planned where it sleeps). So some of their classes are explored more than once;
with reads, writes, exchanges and blocking objects of threads and processes, none is.

Memory is that of one execution and of the sequences planned at its points; nothing is kept of what
has been explored. Planned sequences are few where accesses are under locks, but where one write
races with many reads there can be as many as executions still to come. ``parsimonious`` has none.

What is left to do can be taken out between executions and given to others: see ``subtree``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tracelock.ops import CHECKPOINT, JOIN, Op
from tracelock.schedulers.base import OPTION, WORKER, Choice, Entry, Run, Scheduler, busy
from tracelock.schedulers.dpor.happens import HappensBefore
from tracelock.schedulers.dpor.long_masks import LONG, not_after
from tracelock.schedulers.dpor.wakeup import Node, Step, agree, insert, leftmost, place, share_done
from tracelock.schedulers.thinking import PARTS, late

Sleep = Sequence[Step]


class DporScheduler(Scheduler):
    """Explores every inequivalent execution of the program it is attached to, each once.

    ``watched``: for each condition that is checked between steps, the numbers of its variables:
    writes of them are then not commuted.
    ``redundant``: executions that turned out to repeat others, as ``cut`` says of the last one.
    """

    name = "dpor"
    systematic = True
    #: Whether it stops thinking when the time is up. What is left is not known then.
    hurries = True
    given_up = False

    def __init__(self, watched: Iterable[Iterable[int]] = ()) -> None:
        self.watched = [tuple(variables) for variables in watched]
        self.missed = 0  # planned executions that turned out to be none
        self._begun = False
        self._planned = False  # the next execution is
        self._kept: list[Sleep] = []  # of a part: what sleeps at first, by depth
        self._history: HappensBefore
        self._steps: list[Step]
        self._cooperative = False
        self._blocks = False  # a transition may be of several events
        self._run: Run
        # by depth, which is the number of transitions before
        self._trees: list[list[Node]] = [[]]  # what is to be explored from there, besides this
        self._sleeps: list[Sleep] = [()]  # what need not be
        self._done: list[int] = [0]  # how many steps have been explored from there
        # of the execution that runs
        self._depth = 0
        self._fixed = 0  # so many transitions are as they were in the one before
        self._plan: list[tuple[int, tuple[int, ...]]] = []  # worker and data choices
        self._stuck = -1  # the depth from which this repeats another, -1: it does not
        self._starts: list[int] = []  # of the new transitions: number of the first event
        self._notes: list[Any] = []
        self._fired: dict[int, bool] = {}  # by its timer; whether because nothing else could be
        self._held: dict[int, Op] = {}  # what it would have gone on with, but had to wait for
        self._data: dict[int, tuple[list[int], list[Sequence[int]]]] = {}
        #: Of these depths each other value has been planned, once for all: a step that only chooses
        #: a value commutes with all others, so that nothing later makes a difference to that.
        self._planned_values: set[int] = set()
        self._values: set[int] = set()  # such depths
        self._at = (-1, 0)  # depth of the last data choice, and how many it had

    @property
    def history(self) -> HappensBefore | None:
        """None before it is attached."""
        return getattr(self, "_history", None)

    def attach(self, run: Run) -> None:
        self._run = run
        if hasattr(self, "_history"):
            self._history.run = self._history.prints.run = run
        else:
            self.take_over(HappensBefore(run, self.watched))

    def take_over(self, history: HappensBefore) -> None:
        """Use this history, from its start on."""
        history.cut(0)
        self._history = history
        self._steps = history.steps
        self._cooperative = history.cooperative
        self._blocks = self._cooperative or history.blocks

    # --- an execution ------------------------------------------------------------------------
    def begin(self) -> bool:
        self._plan_next()
        if self.finished:
            return False
        self._begun = True
        self._planned = self.cut = False
        self._depth, self._stuck = 0, -1
        self._starts.clear()
        self._notes.clear()
        self._fired.clear()
        self._held.clear()
        return True

    def pick(self, choice: Choice) -> int:
        if choice.kind is not WORKER:
            return self._option(choice)
        run, depth, fixed = self._run, self._depth, self._fixed
        if run.goes_on == choice.seq:
            if choice.current in choice.options:
                return choice.current  # of the same transition
            if depth > fixed:
                self._held[depth - 1] = choice.pending[choice.current]  # type: ignore[assignment]
        self._depth = depth + 1
        if depth < fixed:
            return self._steps[depth][0]
        if len(run.layout.names) != self._history.things:
            self._history.grow()
        if depth > fixed and run.fired:
            self._fired[depth - 1] = run.forced
        options = choice.options
        if depth - fixed < len(self._plan):
            worker = self._plan[depth - fixed][0]
            if worker not in options:  # a reversal that cannot be had after all
                worker = options[0]
                self._miss(depth)
        elif self._sleeps[-1]:
            worker = self._awake(choice, depth)
        else:
            worker = choice.current
            if worker not in options:
                worker = busy(choice)
            elif choice.pending[worker].kind == CHECKPOINT and len(options) > 1:  # type: ignore[union-attr]
                worker = options[options[0] == worker]  # who spins should let others on
        if self._blocks:
            self._starts.append(choice.seq)
        self._notes.append(self._history.note(choice.pending[worker], worker))  # type: ignore[arg-type]
        return worker

    @property
    def exhaustive(self) -> bool:
        return super().exhaustive and not self.missed and not self.given_up

    def _miss(self, depth: int) -> None:
        """What is planned at ``depth`` cannot be. Where threads go on beside the tasks of a loop
        that is not foreseen, and what should have come after it is lost."""
        loops = self._run.loops
        if loops and self._stuck < 0 and any(event[0] not in loops for event in self._run.log):
            self.missed += 1
        self._give_up(depth)

    def _give_up(self, depth: int) -> None:
        if self._stuck < 0 or depth < self._stuck:
            self._stuck = depth

    def _awake(self, choice: Choice, depth: int) -> int:
        """A worker that does not sleep, the one that ran last if it can be."""
        options = choice.options
        if self._stuck < 0:
            self._look_at(depth)
        if self._stuck < 0:
            asleep = {step[0]: step for step in self._sleeps[depth]}
            if choice.current in options and choice.current not in asleep:
                return choice.current
            for worker in options:
                if worker not in asleep:
                    return worker
            for worker in options:
                if asleep[worker][1]:
                    return worker  # other data choices of it may not sleep
        self._give_up(depth)
        return options[0]

    def _option(self, choice: Choice) -> int:
        depth = self._depth - 1
        count = self._at[1] if self._at[0] == depth else 0
        self._at = (depth, count + 1)
        options = choice.options
        new = depth - self._fixed
        planned: Sequence[int] = ()
        if new < 0:
            planned = self._steps[depth][1]
        elif new < len(self._plan):
            planned = self._plan[new][1]
        if count < len(planned):
            picked = planned[count]
            if picked not in options:
                picked = options[0]
                self._give_up(depth)
        else:
            picked = options[0]
            if depth < len(self._sleeps):
                before = tuple(self._data[depth][0]) if count else ()
                taken = {
                    step[1][count]
                    for step in self._sleeps[depth]
                    if step[0] == choice.worker and step[1][:count] == before
                    and len(step[1]) > count
                }  # fmt: skip
                picked = next((option for option in options if option not in taken), picked)
        if depth >= self._fixed:
            if not count:
                self._data[depth] = ([], [])
                self._values.discard(depth)
                self._planned_values.discard(depth)
                if choice.kind is OPTION:
                    self._values.add(depth)
            elif choice.kind is not OPTION:
                self._values.discard(depth)
            picks, offered = self._data[depth]
            picks.append(picked)
            offered.append(options if choice.kind is OPTION else tuple(options))
        return picked

    def _close(self) -> None:
        """Take in what is known of the last transition when the execution is over."""
        if self._depth > self._fixed and self._run.fired:
            self._fired[self._depth - 1] = self._run.forced
        self._at = (-1, 0)
        run = self._run
        if run.goes_on == len(run.log) and self._depth > self._fixed:
            waits = run.pending[run.log[-1][0]]
            if waits is not None:
                self._held[self._depth - 1] = waits

    def end(self, steps: int) -> None:
        """What this execution leaves to explore; ``given_up`` where that takes too long."""
        history = self._history
        self._close()
        self._look_at(self._depth if self._stuck < 0 else self._stuck, over=True)
        self._kept = []
        if self.given_up:
            return
        if self._stuck >= 0:
            self._repeated(self._stuck)
            return
        self.executions += 1
        if self._run.limit is not None:
            self.bounded += 1
        for depth, row in enumerate(history.rows):
            if self._late(depth):
                return
            if row[0]:
                for e in row[0]:
                    self._reverse(e, row[1] or history.reversed_step(e, depth))
        for depth in (*history.timers, *history.ties):
            for worker in history.due(depth):
                if worker != history.steps[depth][0]:
                    self._reverse(depth, (worker, (), -1, -1))
        for depth, worker in history.early():
            self._reverse(depth, (worker, (), -1, -1))
        for depth in self._data:
            if depth not in self._planned_values:
                self._other_options(depth, history.steps[depth])
        self._planned_values |= self._values
        self._left()

    def _repeated(self, depth: int) -> None:
        """From ``depth`` on this execution has repeated others: forget it."""
        self.cut = True
        self.redundant += 1
        self._shorten(depth)
        if depth in self._data and depth >= self._fixed:
            new = depth - self._fixed
            worker = self._run.log[self._starts[new] if self._blocks else depth][0]
            self._other_options(depth, (worker, (), -1, -1))
        for kept in sorted(self._values - self._planned_values):
            if kept < depth:  # with another value it need not repeat any
                self._other_options(kept, self._history.steps[kept])
                self._planned_values.add(kept)
        self._forget(depth)

    def _forget(self, depth: int) -> None:
        """What was chosen from ``depth`` on is not part of what is to come."""
        self._data = {kept: data for kept, data in self._data.items() if kept < depth}
        self._values.intersection_update(self._data)
        self._planned_values.intersection_update(self._data)

    def _left(self) -> None:
        """Who waits at the end, or was left there by a bound or by the end of its loop, may have
        gone on at some time."""
        run, history = self._run, self._history
        history.grow()  # what a task waits for may get its name at the end
        left = {**run.shut_out, **{worker: run.pending[worker] for worker in run.active}}
        for worker, op in left.items():
            if op is not None and op.kind != JOIN:
                for e in history.pending(worker, op, run.waiting[worker]):
                    self._reverse(e, history.unseen(e, worker, op))

    def _other_options(self, depth: int, step: Step) -> None:
        """Reverse ``step``, which is at ``depth``, with each other outcome of its data choices."""
        worker, _, reads, writes = step
        picks, offered = self._data[depth]
        for number, options in enumerate(offered):
            for option in options:
                if option != picks[number]:
                    other = (worker, (*picks[:number], option), reads, writes)
                    self._reverse(depth, other)

    # --- looking at it -----------------------------------------------------------------------
    def _look_at(self, upto: int, over: bool = False) -> None:
        """Take the log up to depth ``upto`` into the history. ``over``: the execution has ended."""
        history = self._history
        if upto > LONG:
            history.be_long()
        add = history.add
        log = self._run.log
        notes, sleeps = self._notes, self._sleeps
        fixed = self._fixed
        first = len(self._steps)
        fired = self._fired
        for depth in range(first, upto):
            if over and self._late(depth):
                break
            new = depth - fixed
            data = self._data.get(depth) if self._data else None
            picks = () if data is None else tuple(data[0])
            if not self._cooperative:
                events: Sequence[Entry] = (log[depth],) if not self._blocks else self._events(new)
                held = self._held.get(depth)
                step = add(events, notes[new], picks, depth in fired, (), fired.get(depth), held)
            elif new + 1 < len(notes):
                step = add(self._events(new), notes[new], picks, False, notes[new + 1][2])
            else:
                step = add(self._events(new), notes[new], picks, False, self._run.pending)
            asleep = sleeps[depth]
            if depth + 1 < len(self._kept):
                asleep = self._kept[depth + 1]
            elif asleep:
                asleep = self._still_asleep(depth, step)
                if 0 <= self._stuck <= depth:
                    break
            sleeps.append(asleep)
        for _ in range(len(sleeps) - len(self._trees)):
            self._trees.append([])
            self._done.append(0)

    def _events(self, new: int) -> Sequence[Entry]:
        """Those of a transition, by its number among the new ones."""
        starts = self._starts
        return self._run.log[starts[new] : starts[new + 1] if new + 1 < len(starts) else None]

    def _still_asleep(self, depth: int, step: Step) -> Sleep:
        """Those that sleep at ``depth`` and are not woken by ``step``, if that does not sleep."""
        worker, picks, reads, writes = step
        both = reads | writes
        left = []
        for other in self._sleeps[depth]:
            if other[0] == worker:
                if agree(other[1], picks):
                    self._give_up(depth)
            elif not (other[3] & both or other[2] & writes):
                left.append(other)
        return left

    def _reverse(self, e: int, last: Step) -> None:
        """Plan what does not happen after transition ``e``, then ``last``, instead of ``e``."""
        sequence = self._reversal(e, last)
        if sequence is not None:
            insert(self._trees[e], sequence)

    def _reversal(self, e: int, last: Step) -> list[Step] | None:
        """What ``_reverse`` plans; None where the sleep set covers it."""
        steps = self._history.steps
        sequence = [*[steps[k] for k in not_after(self._history.before, e)], last]
        covered = any(place(asleep, sequence) >= 0 for asleep in self._sleeps[e])
        return None if covered else sequence

    def _late(self, depth: int) -> bool:
        self.given_up = self.hurries and not depth % PARTS and late()
        return self.given_up

    # --- the next execution ------------------------------------------------------------------
    def _shorten(self, depth: int) -> None:
        self._history.cut(depth)
        del self._trees[depth + 1 :], self._sleeps[depth + 1 :], self._done[depth + 1 :]

    def _plan_next(self) -> None:
        if self._begun and not self._planned and not self.finished:
            self.finished = not self._next()
            self._planned = True

    def _deepest(self) -> int:
        """The depth of the last point where something is left to explore, -1 where nothing is."""
        depth = len(self._trees) - 1
        while depth >= 0 and not self._trees[depth]:
            depth -= 1
        return depth

    def _next(self) -> bool:
        """Go back to the last point where something is left to explore, and plan the next."""
        trees = self._trees
        depth = self._deepest()
        if depth < 0:
            return False
        history = self._history
        if depth < len(history.steps):
            self._sleeps[depth] = [*self._sleeps[depth], history.steps[depth]]
        self._shorten(depth)
        self._done[depth] += 1
        if self._data:
            self._forget(depth)
        self._plan = []
        self._plan_branch(trees[depth].pop(0))
        self._fixed = depth
        return True

    def _plan_branch(self, node: Node) -> None:
        """Plan the leftmost branch; what else there is on the way is to be explored later."""
        steps, beside = leftmost(node)
        self._trees += beside
        self._done += [0] * len(beside)
        self._plan += [(worker, picks) for worker, picks, _, _ in steps]

    def tried(self) -> tuple[Sequence[Step], Sequence[Sequence[Step]]]:
        """The steps of the last execution, and at each of its points, from the start, those after
        which all has been explored. Not while an execution runs."""
        return self._steps if self._begun else (), self._sleeps

    def estimate(self) -> float:
        """How much of the tree is done, from 0 to 1: see ``share_done``."""
        points = ((n, n + 1 + len(tree)) for n, tree in zip(self._done, self._trees, strict=True))
        return 1.0 if self.finished else share_done(points)
