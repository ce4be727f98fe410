"""Systematic search with few deviations: all schedules of cost 0, then all of cost 1, and so on."""

from __future__ import annotations

from array import array
from typing import Any, Final

from tracelock.errors import UsageError
from tracelock.schedulers.base import OPTION, WORKER, Choice, Run, Scheduler

#: Steps without a switch after which a worker is taken to spin.
PATIENCE: Final = 1000
#: More than there are options.
NO_END: Final = 1 << 16


class BoundedScheduler(Scheduler):
    """Every schedule once, those of the least cost first.

    At each choice the options stand in a fixed order, of which the first costs nothing; what the
    others cost is up to the subclass. A schedule is the list of the places taken in these
    orders. Each but the very first has one parent, the schedule that differs from it by taking
    the first option instead at its last other place, and taking it from there on, so that a walk
    over this tree gives every schedule once. Children of the same cost are run at once,
    depth first; dearer ones when all of the present cost are done.

    ``bound``: the cost of the schedules that are now run. ``completed``: the bound up to which
    all were run, -1 at first. ``limit``: the highest bound to run, None for no end.

    Memory: while a bound is run, one record of a few bytes a step for each of its schedules that
    has dearer children. Nothing is random: the same program gives the same schedules.
    """

    name = ""
    systematic = True

    def __init__(self, limit: int | None = None) -> None:
        """Raises UsageError for a negative ``limit``."""
        if limit is not None and limit < 0:
            raise UsageError(f"a bound is 0 or more, not {limit}")
        self.limit = limit
        self.bound = 0
        self.completed = -1
        self.schedules = 0
        self._run: Run | None = None
        self._present: list[Children] = []  # of this bound, to be walked depth first
        self._later: dict[int, list[Children]] = {}  # cost -> of dearer children
        # of this schedule
        self._given = array("H")  # places to take
        self._places = array("H")  # taken
        self._sizes = array("H")  # how many options there were
        self._costs = array("H")  # what the second option costs: 0 or 1
        self._same = 0  # steps since the last switch

    # --- what a subclass says ----------------------------------------------------------------
    def _order(self, choice: Choice) -> tuple[list[int], bool]:
        """The options, the one that costs nothing first; whether the others cost something.

        Called at a choice between workers that has several options.
        """
        raise NotImplementedError

    #: Whether the n-th option costs n (else each costs 1), and choices of waiters and timers cost,
    #: those of values never do.
    graded = False

    # --- the walk ----------------------------------------------------------------------------
    def attach(self, run: Run) -> None:
        self._run = run

    def begin(self) -> bool:
        if self.schedules:
            found = self._following()
            if found is None:
                return False
            self._given = found
        self.schedules += 1
        self._places = array("H", self._given)
        self._sizes = array("H")
        self._costs = array("H")
        self._same = 0
        return True

    def pick(self, choice: Choice) -> int:
        options: Any = choice.options
        at = len(self._sizes)
        cost = False
        if len(options) > 1:
            if choice.kind is WORKER:
                options, cost = self._order(choice)
            else:
                cost = self.graded and choice.kind is not OPTION
        self._sizes.append(len(options))
        self._costs.append(cost)
        if at < len(self._given):
            picked: int = options[self._given[at]]
        else:
            self._places.append(0)
            picked = options[0]
        if choice.kind is WORKER:
            self._same = self._same + 1 if picked == choice.current else 1
        return picked

    def end(self, steps: int) -> None:
        self.executions += 1
        if self._run is not None and self._run.limit is not None:
            self.bounded += 1
        run = (self._places, self._sizes, self._costs)
        start = len(self._given)
        highest = 1 if self.graded else NO_END
        self._keep(self._present, Children(run, start, 0, 1, NO_END))
        dearer = Children(run, start, 1, 1, highest)
        self._keep(self._later.setdefault(self.bound + 1, []), dearer)

    @staticmethod
    def _keep(where: list[Children], children: Children) -> None:
        if children.step():
            where.append(children)

    def _following(self) -> array[int] | None:
        """The places that the next schedule begins with, None where there is none."""
        while True:
            present = self._present
            if present:
                children = present[-1]
                places = children.prefix()
                if not children.step():
                    present.pop()
                    if self.graded and children.cost:
                        dearer = children.dearer()
                        self._keep(self._later.setdefault(self.bound + 1, []), dearer)
                return places
            self.completed = self.bound
            later = self._later
            while later and not later[min(later)]:
                del later[min(later)]
            if not later:
                self.finished = True
                return None
            if self.limit is not None and min(later) > self.limit:
                self.completed = self.limit
                return None
            self.bound = min(later)
            self._present = later.pop(self.bound)

    # --- in parts ----------------------------------------------------------------------------
    def present(self) -> list[Children]:
        """What is left of the present bound. Each of them can be walked by itself."""
        return self._present

    def later(self) -> dict[int, list[Children]]:
        """By cost, what comes after it."""
        return {cost: children for cost, children in self._later.items() if children}

    def go_on(self, bound: int, children: list[Children]) -> None:
        """Walk these children, of cost ``bound``, and no other. Before the first schedule."""
        self.bound = self.limit = bound
        self.schedules = 1
        self._present = children

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "bound": self.bound, "schedule": self.schedules - 1}


class Children:
    """Those children of one schedule that differ from it at a choice of one kind of cost.

    ``run``: the places taken, how many there were, and what the others cost. ``start``: the
    first choice at which they may differ; ``lowest`` and ``highest``: the places that they take
    there. A cursor: ``step`` goes on to the next one, ``prefix`` gives it.
    """

    __slots__ = ("at", "cost", "highest", "lowest", "place", "run", "start")

    def __init__(
        self,
        run: tuple[array[int], array[int], array[int]],
        start: int,
        cost: int,
        lowest: int,
        highest: int,
    ) -> None:
        self.run = run
        self.start = start
        self.cost = cost
        self.lowest = lowest
        self.highest = highest
        self.at = start - 1
        self.place = NO_END

    def step(self) -> bool:
        """Go on to the next child; False where there is none."""
        _, sizes, costs = self.run
        if self.place < self.highest and self.at >= self.start and self.place + 1 < sizes[self.at]:
            self.place += 1
            return True
        for at in range(self.at + 1, len(sizes)):
            if sizes[at] > self.lowest and costs[at] == self.cost:
                self.at = at
                self.place = self.lowest
                return True
        return False

    def prefix(self) -> array[int]:
        """What the child takes up to where it differs, and there."""
        places = self.run[0][: self.at]
        places.append(self.place)
        return places

    def dearer(self) -> Children:
        """The children that take the next place, and cost one more."""
        return Children(self.run, self.start, self.cost, self.lowest + 1, self.highest + 1)


def in_turn(choice: Choice) -> list[int]:
    """The options from the current worker on, round and round."""
    options = choice.options
    current = choice.current
    return [w for w in options if w >= current] + [w for w in options if w < current]


class PreemptionBoundedScheduler(BoundedScheduler):
    """Iterative preemption bounding (Musuvathi, Qadeer, PLDI 2007).

    The bound is the number of preemptive switches: those away from a worker that could have gone
    on. Where the worker that ran cannot, any other may go for nothing, as may any waiter wake
    and any timer fire. A worker that has run for 1,000 steps is taken to spin until another has
    done something, and a switch away from it is free too, and comes first.
    """

    name = "preemption"

    def _order(self, choice: Choice) -> tuple[list[int], bool]:
        options = in_turn(choice)
        if options[0] != choice.current:
            return options, False
        if self._same >= PATIENCE:
            return options[1:] + options[:1], False
        return options, True


class DelayBoundedScheduler(BoundedScheduler):
    """Delay bounding (Emmi, Qadeer, Rakamaric, POPL 2011).

    The bound is the number of delays of a scheduler that is otherwise deterministic: the worker
    that runs goes on until it cannot, and then it is the next one's turn, by number, round and
    round. Each delay passes over the worker whose turn it is. A waiter that is not the first in
    line, and a timer that fires where it need not, cost delays as well, so that a bound holds
    fewer schedules than the same number of preemptions. A worker that has run for 1,000
    steps is taken to spin, and loses its turn for nothing.
    """

    name = "delay"
    graded = True

    def _order(self, choice: Choice) -> tuple[list[int], bool]:
        options = in_turn(choice)
        if options[0] == choice.current and self._same >= PATIENCE:
            options = options[1:] + options[:1]
        return options, True
