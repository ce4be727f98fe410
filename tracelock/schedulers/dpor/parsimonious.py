"""Optimal partial-order reduction whose memory does not grow with the number of executions.

``DporScheduler`` keeps, for each point of the execution, the sequences that are still to be made
from there. Where one write races with many reads these are as many as executions. Here a race is
reversed as soon as it is met, and nothing is kept but what is left to do along the way to the
execution that runs: the idea of *Parsimonious-Optimal DPOR* (Abdulla, Atig, Das, Jonsson and
Sagonas, CAV 2024) and of *TruSt* (Kokologiannakis, Marmanis, Gladstein and Vafeiadis, POPL 2022).
The rules by which each class of executions is made once are our own, and are these.

**The tree.** A *point* is what has been done so far, and has one step ``e`` that is made there
unless told otherwise: a fixed rule gives it. All executions that go on from the point either have
``e`` as a first step (in some order of their class), or have steps that conflict with ``e`` before
the worker of ``e`` goes on. Let ``a`` be the one of these that has none of them before it and, if
there are several, is of the first worker. The execution then belongs to the point that comes of
making all that happens before ``a``, then ``a``: a *jump*. After a jump the worker of ``e`` is the
next to go on, if it can. So each class belongs to one leaf of one tree, whatever the search does.

**Its walk.** Of the executions that show a jump to be possible, one has to be the one that makes
it, and which it is must be seen by looking at that execution alone. It is the one that goes on from
``e`` with no jumps but to steps that happen before ``a`` (and ``a`` itself, where it happens after
``e``): there is exactly one such, since two would have to part at a point at which both go on by a
step that happens before ``a``, where the rules above leave one.

**Which are possible.** Steps on variables can always be made: the jumps are the races in which
nothing is between ``e`` and ``a``. A step on an object may have to wait: there the state of the
object before ``e`` says whether ``a`` can be made instead, and the last ``e`` of which that is so
counts, also for steps that were never made or that time has ended. What happens before such an
``a`` is then what happens before the last step of its worker. (All that changes an object depends
on all else there, so that the state is the same whatever else is left out.) Each other value of a
data choice, and each other timer of virtual time that could have fired, is a jump of its own.

**What has to be known.** What a step touches must not depend on where it is made, but for whether
it changes its variable, and no step may wait for one thing and race at another. Atomic steps, tasks
of loops, workers that are asked whether they live or that more than one can start are not like
that; nor is real code, whose steps on a connection look at other things besides. ``unfit`` says
that such a thing was met: then this is a ``DporScheduler``, which has no such limits, from the
first execution on if that has shown it, else from a new start.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from tracelock.ops import (
    ACQUIRE,
    ATOMIC,
    CALL,
    CHECKPOINT,
    CHOOSE,
    GET,
    JOIN,
    NAMES,
    SLEEP,
    SPAWN,
    TIMEOUT,
    WAKE,
    Op,
)
from tracelock.schedulers.base import Run
from tracelock.schedulers.dpor.possible import EVENTS, EXACT
from tracelock.schedulers.dpor.scheduler import DporScheduler
from tracelock.schedulers.dpor.wakeup import Step, share_done

#: A step as it is planned: whose it is and what it chooses.
Move = tuple[int, tuple[int, ...]]
#: Steps that touch nothing.
_ALONE: Final = (SLEEP, CHECKPOINT, CHOOSE)
#: Of a step: none of its choices is to be made in another way.
_ALL: Final = -1


@dataclass(slots=True, eq=False)
class _Jump:
    """One that is still to be made. ``at``: the number of the step ``e`` that it is made instead
    of. ``events``: mask of what is made first, of the steps after ``e`` (bit 0: the next one).
    ``chosen``: of a jump that is another choice of ``e`` itself, how many of its choices are given;
    else ``_ALL``."""

    at: int
    events: int
    move: Move
    chosen: int = _ALL


_place: Final = attrgetter("at")


@dataclass(slots=True, eq=False)
class _Way:
    """How an execution went. ``jumps``: mask of the steps that jumps led to; ``moved``: of all that
    jumps have put there. ``chains``: for each step that was the next after jumps, where these led
    to. ``chosen``: of steps with data choices, how many of these are not to be changed. ``todo``:
    the jumps that it is to make, of ``count``."""

    jumps: int
    moved: int
    chains: dict[int, tuple[int, ...]]
    chosen: dict[int, int]
    steps: list[Step]
    todo: list[_Jump]
    count: int = 0


def _backwards(some: Sequence[int], others: Sequence[int], end: int) -> Iterator[int]:
    """The numbers below ``end`` in both lists, which are in order: the last ones first."""
    a, b = bisect_left(some, end) - 1, bisect_left(others, end) - 1
    while a >= 0 or b >= 0:
        if b < 0 or (a >= 0 and some[a] > others[b]):
            yield some[a]
            a -= 1
        else:
            yield others[b]
            b -= 1


class ParsimoniousScheduler(DporScheduler):
    """Explores every inequivalent execution of the program it is attached to, each once.

    ``unfit``: why it does so as a ``DporScheduler``, "" where it does not.
    """

    def __init__(self, watched: Iterable[Iterable[int]] = ()) -> None:
        super().__init__(watched)
        self.unfit = ""
        self._ways: list[_Way] = []
        self._way = _Way(0, 0, {}, {}, [], [])  # of the execution that runs
        self._first = 0  # the step that is the last to have been given
        self._next_if_able = -1  # the number of the step after a jump
        self._strange = ""  # what this execution has met that no rule here foresees

    def attach(self, run: Run) -> None:
        super().attach(run)
        if self._history.unforeseen:
            self.unfit = "what a step touches is not known before it is made"
        elif run.layout.grows:
            self.unfit = "steps of real code look at more than what they are about"
        self._history.asks = bool(self.unfit)

    def tried(self) -> tuple[Sequence[Step], Sequence[Sequence[Step]]]:
        """As ``DporScheduler.tried``; nothing where no step can be told after which all is done."""
        return super().tried() if self.unfit else ((), ())

    # --- what is next --------------------------------------------------------------------------
    def _next(self) -> bool:
        if self.unfit:
            return super()._next()
        ways = self._ways
        while ways and not ways[-1].todo:
            ways.pop()
        if not ways:
            return False
        self._go(ways[-1], ways[-1].todo.pop())
        return True

    def _go(self, way: _Way, jump: _Jump) -> None:
        """Plan the execution of a jump."""
        at = jump.at
        below = (1 << at) - 1
        moves: list[Move] = [step[:2] for step in way.steps[:at]]
        chains = {here: chain for here, chain in way.chains.items() if here <= at}
        chosen = {here: count for here, count in way.chosen.items() if here < at}
        chain: tuple[int, ...] | None
        if jump.chosen == _ALL:
            left, number = jump.events, at + 1
            while left:
                if left & 1:
                    chosen[len(moves)] = _ALL
                    moves.append(way.steps[number][:2])
                left >>= 1
                number += 1
            here = len(moves)
            chain = (*chains.pop(at, ()), here)
            after = way.steps[at][0]
        else:
            here = at
            chosen[here] = jump.chosen
            # where a jump led to this step, what it was made instead of is still the next
            chain = way.chains.get(here + 1) if way.jumps >> here & 1 else None
            after = way.steps[here + 1][0] if chain else -1
        moves.append(jump.move)
        self._first, self._next_if_able = here, -1
        if chain:
            chains[here + 1] = chain
            self._next_if_able = here + 1
            moves.append((after, ()))
        moved = way.moved & below | (2 << here) - (1 << at)
        self._way = _Way(way.jumps & below | 1 << here, moved, chains, chosen, [], [])
        fixed = 0
        last = min(here, len(self._steps))
        while fixed < last and self._steps[fixed][:2] == moves[fixed]:
            fixed += 1
        self._shorten(fixed)
        self._forget(fixed)
        self._fixed = fixed
        self._plan = moves[fixed:]

    def _miss(self, depth: int) -> None:
        if self.unfit:
            super()._miss(depth)
        elif depth == self._next_if_able:
            del self._way.chains[depth]
        else:
            self._give_up(depth)

    def _give_up(self, depth: int) -> None:
        if self.unfit:
            super()._give_up(depth)
        else:
            self._strange = "a step that could not be made where it had to be possible"

    # --- after an execution ----------------------------------------------------------------------
    def end(self, steps: int) -> None:
        if not self.unfit:
            self._close()
            self._look_at(self._depth, over=True)
            if self.given_up:
                return
            way = self._way
            if self._next_if_able == self._depth:
                del way.chains[self._depth]  # nothing could go on
            self.unfit = self._other_orders()
            if self.given_up:
                return
            if self.unfit:
                self._begin_again(steps)
                return
            self._other_choices()
            self.executions += 1
            if self._run.limit is not None:
                self.bounded += 1
            if way.todo:
                way.count = len(way.todo)
                way.steps = self._steps.copy()
                self._ways.append(way)
            return
        super().end(steps)

    def _begin_again(self, steps: int) -> None:
        """Be a ``DporScheduler`` from now on: with this execution if it was the first, which goes
        the same way there, else from a new start."""
        first = not self.executions
        self.executions = self.bounded = self.missed = 0
        self._ways.clear()
        self._shorten(0)
        self._history.asks = True
        if first:
            super().end(steps)
            return
        self._forget(0)
        self._fixed, self._plan = 0, []
        self._planned = True

    def _other_choices(self) -> None:
        """Of steps after the last jump, and of that itself: each other choice, and timer."""
        history, way = self._history, self._way
        found: list[_Jump] = []
        for here, (picks, offered) in self._data.items():
            known = way.chosen.get(here, 0)
            if here < self._first or known == _ALL:
                continue
            for number in range(known, len(picks)):
                for option in offered[number]:
                    if option != picks[number]:
                        move = (self._steps[here][0], (*picks[:number], option))
                        found.append(_Jump(here, 0, move, number + 1))
        for here in history.timers:
            if here >= self._first and not way.moved >> here & 1:
                for worker in history.due(here):
                    if worker != self._steps[here][0]:
                        found.append(_Jump(here, 0, (worker, ())))
        found.reverse()
        found.sort(key=_place)  # those of the last step are the next, in the order of its options
        way.todo += found

    def _other_orders(self) -> str:
        """The jumps to steps on things: those after the last jump, and that itself. Returns what
        has shown that this search is not fit for the program, "" if nothing has."""
        history, run = self._history, self._run
        if self._strange:
            return self._strange
        if run.loops:
            return "tasks of loops"
        if self._held:
            return "steps of several events"
        if history.virtual and self._fired and not all(self._fired.values()):
            return "a timer that fired though others could go on"
        rows = history.rows
        for here in range(self._first, len(rows)):
            if self._late(here):
                return ""
            row = rows[here]
            worker, kind, op, result, _, _ = row[EVENTS][0]
            if kind < ATOMIC or kind == CALL:
                for e in row[0]:
                    self._before(e, here, worker)
            elif kind in _ALONE:
                continue
            elif (ACQUIRE <= kind <= GET or kind == TIMEOUT) and not history._hosts(op, kind):
                self._object(here, worker, op, kind)
            elif not (
                (kind == SPAWN and result is None and not op.body)
                or (kind == JOIN and op.blocking and (op.timeout is None or history.virtual))
            ):
                return f"a step that is {NAMES[kind]}"
        for worker in run.active:
            waits = run.pending[worker]
            if waits is not None and ACQUIRE <= waits.kind <= GET:
                kind = WAKE if run.waiting[worker] else waits.kind
                if history._hosts(waits, kind):
                    return "the end of a loop"
                self._object(len(rows), worker, waits, kind)
        return self._strange

    def _before(self, e: int, here: int, worker: int) -> None:
        """The jump to step ``here`` instead of ``e``, which it races with, if it is ours to make.
        The step is not one that waits."""
        way, before = self._way, self._history.before
        target = before[here] | 1 << here
        if way.moved >> e & 1 or way.jumps >> e + 1 & ~(target >> e + 1):
            return
        self._look_whether_able(e, here, worker)
        events = before[here] >> e + 1
        if e not in way.chains or self._is_first(e, here, worker, events):
            way.todo.append(_Jump(e, events, (worker, ())))

    def _look_whether_able(self, e: int, here: int, worker: int) -> None:
        """Step ``here`` can be made instead of ``e``, if its worker has not come to it later; but
        that may not go on yet, as a thread that is being started. What it waits for is not known.
        """
        history = self._history
        options = history.rows[e][EVENTS][0][4]
        if options is None or worker in options:
            return
        line = history.lines[worker]
        own = bisect_left(line, here) - 1
        began = line[own] if own >= 0 else max(history.spawns[worker], default=-1)
        if began < e:
            self._strange = "a worker that could not go on yet"

    def _is_first(self, e: int, here: int, worker: int, events: int) -> bool:
        """Whether no jump that ``e`` is the next after led to a step of a later worker, that would
        not happen before ``here`` if this came before ``e``."""
        history = self._history
        later = [a for a in self._way.chains[e] if self._steps[a][0] > worker]
        if not later:
            return True
        _, _, reads, writes = history.reversed_step(e, here)
        both = reads | writes
        past = self._past(worker, here)
        for k in range(here):
            if k < e or (k > e and events >> k - e - 1 & 1):
                _, _, r, w = history.rows[k][EXACT]
                if w & both or r & writes:
                    past |= history.before[k] | 1 << k
        return all(past >> a & 1 for a in later)

    def _object(self, here: int, worker: int, op: Op, kind: int) -> None:
        """The jumps to a step on an object, which is step ``here`` or was waited for then."""
        history, way = self._history, self._way
        thing = history.group[op.target]
        past = self._past(worker, here)
        looks = history.readers[thing]
        if looks:
            for e in history.rows[here][0] if here < len(history.rows) else ():
                if e in looks:
                    self._before(e, here, worker)
        parked = kind in (WAKE, TIMEOUT)
        sure = not parked and (
            not history._blocking(op, kind) or (op.timeout is not None and not history.virtual)
        )
        for e in _backwards(history.writers[thing], looks, here):
            if past >> e & 1:
                return
            if sure or (history._could(e, worker) if parked else history._let_in(e, worker, op)):
                break
        else:
            return
        if way.moved >> e & 1 or e in looks:
            return
        events = allowed = past >> e + 1
        if here not in way.chosen and here not in history.timers:
            allowed |= 1 << here - e - 1
        if not way.jumps >> e + 1 & ~allowed:
            self._look_whether_able(e, here, worker)
            way.todo.append(_Jump(e, events, (worker, ())))

    def _past(self, worker: int, here: int) -> int:
        """Mask of what comes before step ``here``, if that is the next of ``worker``, in any
        order."""
        history = self._history
        line = history.lines[worker]
        own = bisect_left(line, here) - 1
        if own >= 0:
            past = history.before[line[own]] | 1 << line[own]
        else:
            past = 0
            for spawn in history.spawns[worker]:
                past |= history.before[spawn] | 1 << spawn
        return past | (1 << min(self._run.prelude, here)) - 1

    def estimate(self) -> float:
        """As ``DporScheduler.estimate`` has it, of the tree of executions that lead to others."""
        if self.finished or self.unfit:
            return super().estimate()
        return share_done((one.count - len(one.todo), one.count + 1) for one in self._ways)
