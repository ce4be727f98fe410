"""Cycles of states: schedules that need never end, and those that cannot.

Strongly connected components (Tarjan 1972, without recursion) of the graph of all reachable
states. A component from which no end can be reached, and that no step leaves, is a *trap*:
whatever the scheduler does from there, nobody who is in it gets on. A component that can be left
is no failure: it takes a scheduler that never does so. It is worth a remark where such a scheduler
may be fair. Fairness is weak fairness, as in SPIN and TLC: a component is fair if every worker
either makes a step in it or has to wait in one of its states. So a worker that spins until another
has set a flag is nothing to remark on: the schedule that never lets the other go is not fair.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from tracelock.explore.states.space import StateSpace
from tracelock.explore.states.stepping import ACTIVE, Time

_END: Final = 1 << 60  # what is kept of a state whose component is done: an end can be reached
_TRAPPED: Final = _END + 1  # or not

#: (worker, next state) for each way on from a state; see ``Space.successors``.
Successors = Callable[[int], list[tuple[int, int]]]


@dataclass(slots=True)
class Component:
    """A cycle of states, or several that share states.

    ``state``: one of them. ``workers``: those who make steps in it. ``working``: a shared
    variable changes in it, or what is in a queue, an event or a barrier; locks that are taken and
    given back are not work. ``frozen``: some worker's timer is pending, and would fire if time
    could pass.
    """

    state: int
    size: int
    workers: frozenset[int]
    working: bool
    frozen: bool


@dataclass(slots=True)
class Cycles:
    """``traps``: no way out. ``fair``: can be left, but a fair schedule need not do so.
    ``trapped``: no end can be reached from the first state. ``complete``: all was looked at."""

    traps: list[Component] = field(default_factory=list)
    fair: list[Component] = field(default_factory=list)
    trapped: bool = False
    complete: bool = False


def find_cycles(
    space: StateSpace, first: int, successors: Successors, stop: Callable[[int], bool]
) -> Cycles:
    """All components of the states that can be reached from ``first``.

    ``stop(n)`` is asked now and then, with how many states have been seen, whether to give up.
    """
    found = Cycles()
    number: dict[int, int] = {first: 0}  # by order of discovery; then _END or _TRAPPED
    line = [first]  # of states whose component is not known yet
    states = [first]  # the path of the search, with for each state on it:
    ways = [successors(first)]
    lows = [0]
    ends = [not ways[0]]
    while states:
        if ways[-1]:
            to = ways[-1].pop()[1]
            seen = number.get(to)
            if seen is None:
                count = len(number)
                if not count & 4095 and stop(count):
                    return found
                number[to] = count
                line.append(to)
                states.append(to)
                following = successors(to)
                ways.append(following)
                lows.append(count)
                ends.append(not following)
            elif seen >= _END:
                if seen == _END:
                    ends[-1] = True
            elif seen < lows[-1]:
                lows[-1] = seen
            continue
        state = states.pop()
        ways.pop()
        low, end = lows.pop(), ends.pop()
        if states:
            lows[-1] = min(lows[-1], low)
            ends[-1] = ends[-1] or end
        if low == number[state]:
            members = [line.pop()]
            while members[-1] != state:
                members.append(line.pop())
            mark = _END if end else _TRAPPED
            for member in members:
                number[member] = mark
            _look(space, found, members, end, successors)
    found.trapped = number[first] == _TRAPPED
    found.complete = True
    return found


def _look(
    space: StateSpace, found: Cycles, members: list[int], end: bool, successors: Successors
) -> None:
    """Add the component that consists of ``members`` to what was found, if it is a cycle."""
    if len(members) == 1 and all(to != members[0] for _, to in successors(members[0])):
        return
    if space.failure.of(members[0]):
        return  # something has failed already: what comes after does not matter
    inside = set(members)
    took: set[int] = set()
    never_waits = set(range(len(space.workers)))
    changed = 0
    left = passes = False
    for state in members:
        able = set()
        for worker, to in successors(state):
            able.add(worker)
            if to in inside:
                took.add(_who(worker))
                changed |= state ^ to
                passes |= worker < 0
            else:
                left = True
        if not space.turn.of(state):  # else it is one task's turn, though others need not wait
            never_waits &= able
    if end and never_waits - took:
        return  # only an unfair scheduler stays in here
    if not end and left:
        return  # what it leads to is the trap
    turns = {space.turn.of(state) for state in members}
    component = Component(
        members[0],
        len(members),
        frozenset(took),
        bool(changed & _worked(space)),
        # where a task never suspends it is no clock that holds the timers up
        not passes and (0 in turns or len(turns) > 1) and _timers(space, members),
    )
    (found.fair if end else found.traps).append(component)


def _who(worker: int) -> int:
    """Whose step it is, waited for or not."""
    return worker if worker >= 0 else ~worker


def _worked(space: StateSpace) -> int:
    """The bits of what counts as work when it changes."""
    layout = space.layout
    mask = 0
    for place in range(len(layout.names)):
        if place < layout.variables or layout.spec(place).type in ("queue", "event", "barrier"):
            mask |= space.fields[place].mask
    return mask


def _timers(space: StateSpace, members: Iterable[int]) -> bool:
    for state in members:
        time: Time = space.time.values[space.time.of(state)]
        if time.pending():
            return True
    return False


def members_of(state: int, successors: Successors) -> set[int]:
    """The states of the trap that ``state`` is in: all that can be reached from it."""
    found = {state}
    line = [state]
    while line:
        for _, to in successors(line.pop()):
            if to not in found:
                found.add(to)
                line.append(to)
    return found


def tour(start: int, workers: frozenset[int], successors: Successors) -> list[int]:
    """A cycle from ``start`` back to it, in which each of ``workers`` makes a step.

    ``start`` is in a trap. The states after it, in order, ``start`` last.
    """
    walk: list[int] = []
    here = start
    left = set(workers)
    while left:
        steps = _nearest(here, lambda worker, _: _who(worker) in left, successors)
        walk += [to for _, to in steps]
        left.difference_update(_who(worker) for worker, _ in steps)
        here = walk[-1]
    if here != start:
        walk += [to for _, to in _nearest(here, lambda _, to: to == start, successors)]
    return walk


def _nearest(
    start: int, wanted: Callable[[int, int], bool], successors: Successors
) -> list[tuple[int, int]]:
    """The shortest path from ``start`` whose last step is ``wanted``."""
    came: dict[int, tuple[int, int]] = {}  # state: the one before it, and whose step it was
    line = deque([start])
    while line:
        state = line.popleft()
        for worker, to in successors(state):
            if wanted(worker, to):
                steps = [(worker, to)]
                while state != start:
                    before, who = came[state]
                    steps.append((who, state))
                    state = before
                return steps[::-1]
            if to not in came and to != start:
                came[to] = (state, worker)
                line.append(to)
    return []


def shortest_end(start: int, successors: Successors, limit: int) -> list[int]:
    """The states on a shortest way from ``start`` to an end; none within ``limit`` states: []."""
    came: dict[int, int] = {start: start}
    line = deque([start])
    while line and len(came) < limit:
        state = line.popleft()
        following = successors(state)
        if not following:
            path = []
            while state != start:
                path.append(state)
                state = came[state]
            return path[::-1]
        for _, to in following:
            if to not in came:
                came[to] = state
                line.append(to)
    return []


def cycle_text(space: StateSpace, state: int, workers: frozenset[int]) -> str:
    """Who goes round and who waits, for a message."""
    parts = space.decode(state)[space.stepper.shared : space.stepper.failure]
    going: list[str] = []
    waiting: list[str] = []
    for number, part in enumerate(parts):
        if part.status == ACTIVE:
            name = f"{space.layout.workers[number].name} (at {part.op.at})"
            (going if number in workers else waiting).append(name)
    text = f"{', '.join(going)} {'go' if len(going) > 1 else 'goes'} round for ever"
    if waiting:
        text += f"; {', '.join(waiting)} {'wait' if len(waiting) > 1 else 'waits'}"
    return text
