"""The fewest preemptive switches that a failure needs, by going through the states in that order.

Preemptions are few in most failing schedules (Musuvathi and Qadeer, *Iterative context bounding
for systematic testing of multithreaded programs*, PLDI 2007), so all schedules with none come
first, then all with one, and so on. Each state is looked at once, by its cheapest way (Dijkstra on
the pair of switches and events), which is what makes it affordable: schedules are many, the
states they lead through few. The models and machines are put back in time, nothing is run again.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from heapq import heappop, heappush
from time import monotonic
from typing import TYPE_CHECKING, Any

from tracelock.engine.controller import Controller, Entry
from tracelock.explore.running import Runner, Script, go_on, preemptions
from tracelock.ops import CALL, Raised
from tracelock.trace import Verdict

if TYPE_CHECKING:
    from tracelock.scenario.program import Machine

#: What a way to a state costs: preemptive switches, events.
Cost = tuple[int, int]


@dataclass(slots=True)
class Fewest:
    """``picks``: of the cheapest schedule that ends as wanted, None where none was found.

    ``switches``: every schedule with fewer preemptive switches than this was tried. ``complete``:
    so was every one that costs less than ``picks``, or than the bound that was given.
    """

    picks: list[int] | None
    switches: int
    complete: bool
    states: int


@dataclass(slots=True)
class _Node:
    """A state, and how it was reached: ``entry`` is the last event, ``picks`` those of its step."""

    cost: Cost
    state: tuple[Any, ...]
    machines: tuple[Machine, ...]
    key: Hashable
    goal: bool
    parent: _Node | None = None
    entry: Entry | None = None
    picks: tuple[int, ...] = ()


class _TooFar(Exception):
    """There is no knowing what a step does: it runs the user's own code."""


def fewest(
    runner: Runner,
    wanted: Callable[[Verdict], bool],
    *,
    below: Cost | None = None,
    states: int = 50_000,
    seconds: float | None = None,
) -> Fewest:
    """The schedule with the fewest (preemptive switches, events) whose verdict is ``wanted``.

    ``below``: only schedules that cost less are of interest. A failure ends a schedule: what comes
    after it is not counted. After ``states`` states or ``seconds`` the search gives up.
    """
    if runner.program.machine is None:  # machines can be copied, real code cannot
        return Fewest(None, 0, False, 0)
    return _Search(runner, wanted, below).run(states, seconds)


class _Search:
    def __init__(
        self, runner: Runner, wanted: Callable[[Verdict], bool], below: Cost | None
    ) -> None:
        self.runner = runner
        self.wanted = wanted
        self.below = below
        self.script = Script()
        self.controller: Controller = runner.controller(self.script)
        self.heap: list[tuple[Cost, int, _Node]] = []
        self.costs: dict[Hashable, Cost] = {}
        self.pushed = 0
        # what a task's cancellation does depends on the log, all else on its length alone
        self.whole_log = runner.rules.cooperative

    def run(self, states: int, seconds: float | None) -> Fewest:
        end = None if seconds is None else monotonic() + seconds
        seen = 0
        reached = 0
        try:
            self._begin()
            while self.heap:
                cost, _, node = heappop(self.heap)
                if cost > self.costs[node.key]:
                    continue
                reached = cost[0]
                if node.goal:
                    return Fewest(_picks(node), reached, True, seen)
                if seen >= states or (end is not None and seen % 64 == 0 and monotonic() > end):
                    return Fewest(None, reached, False, seen)
                seen += 1
                if not self._expand(node) and self.wanted(self._verdict(node)):
                    return Fewest(_picks(node), reached, True, seen)
        except _TooFar:
            return Fewest(None, reached, False, seen)
        # nothing is left: below the bound there is none, and without a bound there is none at all
        return Fewest(None, self.below[0] if self.below is not None else reached + 1, True, seen)

    def _begin(self) -> None:
        controller = self.controller
        program = self.runner.program
        assert program.machine is not None
        controller.begin()
        machines = [program.machine(number) for number in range(len(program.layout.workers))]
        controller.start_automatic(machines)
        self._push((0, 0), machines, None, None, ())

    def _push(
        self,
        cost: Cost,
        machines: list[Machine],
        parent: _Node | None,
        entry: Entry | None,
        picks: tuple[int, ...],
    ) -> None:
        """Put the state in which the controller is into the line, if it is new or cheaper now."""
        controller = self.controller
        if self.below is not None and cost >= self.below:
            return
        goal = controller.failure is not None
        if controller.limit is not None or (
            goal and not self.wanted(self.runner.verdict(controller))
        ):
            return
        last = controller.current
        if last >= 0 and controller.ended[last]:
            last = -1  # nothing can be taken from it any more
        key = (controller.key(), tuple([machine.key() for machine in machines]), last)
        known = self.costs.get(key)
        if known is not None and known <= cost:
            return
        self.costs[key] = cost
        self.pushed += 1
        state = controller.snapshot()
        node = _Node(cost, state, tuple(machines), key, goal, parent, entry, picks)
        heappush(self.heap, (cost, self.pushed, node))

    def _verdict(self, node: _Node) -> Verdict:
        self.controller.restore(node.state)
        return self.runner.verdict(self.controller)

    def _restore(self, node: _Node, log: list[Entry]) -> None:
        controller = self.controller
        controller.restore(node.state)
        if self.whole_log:
            controller.log[:] = log
        elif len(controller.log) < node.cost[1]:
            assert node.entry is not None
            controller.log += [node.entry] * (node.cost[1] - len(controller.log))

    def _expand(self, node: _Node) -> bool:
        """Push every state that is one event away; False where there is none."""
        controller, script = self.controller, self.script
        last = node.entry
        log = _log(node) if self.whole_log else []
        todo: list[tuple[int, ...]] = [()]
        while todo:
            self._restore(node, log)
            script.reset(todo.pop())
            worker = controller.next()
            if worker < 0:
                return False
            todo += script.others
            entry = controller.log[-1]
            switches = node.cost[0]
            if last is not None:
                switches += preemptions((last, entry))
            machines = self._go_on(list(node.machines), worker)
            cost = (switches, node.cost[1] + 1)
            self._push(cost, machines, node, entry, tuple(script.taken))
        return True

    def _go_on(self, machines: list[Machine], worker: int) -> list[Machine]:
        """What the backend does after a grant, on copies of the machines that it changes."""
        controller = self.controller
        if controller.parked:
            return machines
        whole = controller.thrown is None and controller.result.__class__ is not Raised
        if whole and controller.kind == CALL:
            raise _TooFar
        machines[worker] = machines[worker].copy()

        def spawn(target: int) -> None:
            machines[target] = machines[target].copy()
            controller.start(machines[target], target)

        go_on(controller, machines[worker], worker, spawn)
        return machines


def _log(node: _Node) -> list[Entry]:
    log: list[Entry] = []
    here: _Node | None = node
    while here is not None and here.entry is not None:
        log.append(here.entry)
        here = here.parent
    log.reverse()
    return log


def _picks(node: _Node) -> list[int]:
    parts: list[tuple[int, ...]] = []
    here: _Node | None = node
    while here is not None:
        parts.append(here.picks)
        here = here.parent
    return [pick for part in reversed(parts) for pick in part]
