"""The breadth-first sweep over all states of a program: what of ``states`` has to be fast."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable
from typing import Final

from tracelock.explore.search import FAILED
from tracelock.explore.states.cycles import shortest_end
from tracelock.explore.states.ends import Ends
from tracelock.explore.states.space import StateSpace, Widened
from tracelock.scenario.program import Program

#: States between two calls of ``look``.
_CHUNK: Final = 2048
#: Bytes that an entry of a look-up table takes, and a value that is known not to fail: measured.
_ENTRY: Final = 450
_FINE: Final = 100


class Sweep:
    """Every state reached so far, and how.

    ``order``: the states, nearest first; those up to ``at`` are expanded. ``failed``: for each
    number of a failure the place of the state before it, and the state it is in. ``every``:
    go on after a failure. ``stopped``: what ended the sweep early; the caller may set it.
    """

    def __init__(self, space: StateSpace, program: Program, every: bool) -> None:
        self.space = space
        self.every = every
        self.order: list[int] = []
        self.at = 0
        self.edges = 0
        self.depth = 0
        self.stopped = ""
        self.failed: dict[int, tuple[int, int]] = {}
        self.ends = Ends(space, program, every)
        self._seen: set[int] = set()
        self._parents = array("I")  # by place in the order
        self._last = 0  # place of the last state of this depth
        #: What decides whether a state fails (see ``_probe``), of states that do not.
        self._fine: set[int] = set()
        self._mask = 0

    def run(self, look: Callable[[], None]) -> None:
        """Expand everything, until ``stopped``. ``look`` is called now and then."""
        self._start()
        while self.at < len(self.order) and not self.stopped:
            look()
            if self.stopped:
                return
            try:
                self._expand(min(self.at + _CHUNK, len(self.order)))
            except Widened as widened:
                self.recode(widened)

    def _start(self) -> None:
        while not self.order:
            try:
                first = self.space.first()
                self._probe()
                failure = self.space.failure.mask
                self.order.append(self._judge(first, first & ~failure))
            except Widened:
                continue
        self._seen.add(self.order[0])
        self._parents.append(0)
        if self.order[0] & self.space.failure.mask:
            self._fail(0, self.order[0])

    def recode(self, widened: Widened) -> None:
        """A field of the space has grown. (``edges`` of the state at hand count twice then.)"""
        self.order = [widened.recode(state) for state in self.order]
        self._seen = set(self.order)
        self.failed = {
            number: (place, widened.recode(state)) for number, (place, state) in self.failed.items()
        }
        self._probe()

    def _probe(self) -> None:
        """Whether a state fails is decided by its failure and by what ``always`` mentions."""
        self._mask = self.space.failure.mask
        for variable in self.ends.watched:
            self._mask |= self.space.fields[variable].mask
        self._fine.clear()

    def _expand(self, until: int) -> None:
        """Expand the states up to the place ``until``."""
        space = self.space
        order, seen, fine, mask = self.order, self._seen, self._fine, self._mask
        add, append, parent = seen.add, order.append, self._parents.append
        lanes, compute = space.lanes(), space.compute
        cooperative = space.rules.cooperative
        turn, turns = space.turn.shift, space.turn.mask >> space.turn.shift if cooperative else 0
        failed = space.failure.mask
        for place in range(self.at, until):
            self.at = place
            state = order[place]
            edges = 0
            for worker, shift, bits, rows in lanes[(state >> turn) & turns]:
                footprint, table = rows[(state >> shift) & bits]
                try:
                    moves = table[state & footprint]
                except KeyError:
                    moves = compute(worker, state)
                for move in moves:
                    edges += 1
                    to = state ^ move
                    if to not in seen:
                        if to & mask not in fine:
                            to = self._judge(to, state)
                            if to in seen:
                                continue
                            if to & failed:
                                self._fail(place, to)
                        add(to)
                        append(to)
                        parent(place)
            if not edges:
                edges = self._wait(place, state)
            self.edges += edges
            if place == self._last:
                self._last = len(order) - 1
                if self._last > place:
                    self.depth += 1
            if self.stopped:
                return
        self.at = until

    def _wait(self, place: int, state: int) -> int:
        """Nobody can go on: either time passes, or this is an end. Returns how many ways on."""
        moves = self.space.idle(state)
        for _, move in moves:
            to = self._judge(state ^ move, state)
            if to not in self._seen:
                if to & self.space.failure.mask:
                    self._fail(place, to)
                self._seen.add(to)
                self.order.append(to)
                self._parents.append(place)
        if not moves and self.ends.add(state, place) in FAILED and not self.every:
            self.stopped = "failure"
        return len(moves)

    def _judge(self, to: int, state: int) -> int:
        """``to``, with the failure in it that the step there from ``state`` is."""
        if state & self.space.failure.mask:
            return to  # the first failure stands
        failure = self.ends.broken(to)
        if failure is None:
            self._fine.add(to & self._mask)
            return to
        # it was noticed before the worker went on and failed by itself
        number = self.space.number_failure((-1, failure))
        return (to & ~self.space.failure.mask) | (number << self.space.failure.shift)

    def _fail(self, place: int, state: int) -> None:
        number = self.space.failure.of(state)
        self.failed.setdefault(number, (place, state))
        if not self.every and not isinstance(self.space.failure.values[number], str):
            self.stopped = "failure"

    def successors(self, state: int) -> list[tuple[int, int]]:
        """As those of the space, with the failures that it does not see."""
        return [(worker, self._judge(to, state)) for worker, to in self.space.successors(state)]

    def bytes(self) -> int:
        """Memory taken, about."""
        order = self.order
        return (
            sys.getsizeof(self._seen)
            + sys.getsizeof(order)
            + len(order) * (sys.getsizeof(order[-1]) + 4)
            + self.space.entries * _ENTRY
            + len(self._fine) * _FINE
        )

    def path(self, place: int) -> list[int]:
        """The states from the first one to the one at ``place``."""
        path = [self.order[place]]
        while place:
            place = self._parents[place]
            path.append(self.order[place])
        return path[::-1]

    def path_to_failure(self, number: int, limit: int) -> tuple[list[int], int]:
        """The states up to this failure, and on to an end if there is one within ``limit``
        states; and how many steps the failure takes."""
        while True:
            place, state = self.failed[number]
            try:
                beyond = shortest_end(state, self.successors, limit)
            except Widened as widened:
                self.recode(widened)
                continue
            path = self.path(place)
            if state != path[-1]:
                path.append(state)
            return path + beyond, len(path) - 1
