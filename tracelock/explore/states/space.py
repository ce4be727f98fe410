"""States as integers, and the successors of a state by table look-up.

Each part of a state (see ``states_stepping``) is numbered in the order in which its values are
first met, and a state is one integer with a bit field for each part. The encoding is one to one:
two states are never taken for one, as hash compaction (Wolper and Leroy 1993) would risk.

What a worker does next depends on few parts only: its own, the thing that its op is about, and
what goes with that (the lock of a condition, the worker it joins). Those are its *footprint*, a bit
mask. The controller makes a step once for each value of the footprint; from then on the step is
one dictionary look-up, and the next state is the state with some bits flipped.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any, Final

from tracelock.errors import InternalError
from tracelock.explore.states.stepping import ACTIVE, ENDED, Parts, Stepper, Time, WorkerPart
from tracelock.objects import Rules
from tracelock.ops import ATOMIC, CANCEL, JOIN, SPAWN
from tracelock.scenario.program import Program

#: How many bits a field starts with, and how many it gains when they do not do.
_FIRST: Final = {"variable": 3, "object": 3, "worker": 4, "other": 2}
_MORE: Final = 2

Moves = tuple[int, ...]  # for each way on, the bits that change
Row = tuple[int, dict[int, Moves]]  # the footprint, and the moves for each value of it
#: A worker's number, where its field is, and its row for each value of that field.
Lane = tuple[int, int, int, list[Row]]


class Widened(Exception):
    """A field had to grow: every state that the caller holds needs ``recode``."""

    def __init__(self, cut: int, more: int) -> None:
        self.cut = cut
        self.more = more
        super().__init__(cut, more)

    def recode(self, state: int) -> int:
        """``state`` in the new layout."""
        cut = self.cut
        return ((state >> cut) << (cut + self.more)) | (state & ((1 << cut) - 1))


class Field:
    """One part of the state: ``values`` by number, ``numbers`` by key; bits from ``shift``."""

    __slots__ = ("mask", "numbers", "shift", "values", "width")

    def __init__(self, shift: int, width: int) -> None:
        self.shift = shift
        self.width = width
        self.mask = ((1 << width) - 1) << shift
        self.numbers: dict[Hashable, int] = {}
        self.values: list[Any] = []

    def of(self, state: int) -> int:
        """The number of this part in ``state``."""
        return (state & self.mask) >> self.shift


class StateSpace:
    """The states of one program under one backend's rules.

    ``exact``: see ``Stepper``. ``tables``: False has the controller make every step of every
    state, for checking the tables. ``state``s are integers from ``first`` and ``successors``;
    they hold until ``Widened`` is raised.
    """

    def __init__(
        self,
        program: Program,
        rules: Rules,
        clock: str = "virtual",
        *,
        exact: bool = False,
        tables: bool = True,
    ) -> None:
        self.stepper = stepper = Stepper(program, rules, clock, exact)
        self.layout = program.layout
        self.rules = rules
        self.tables = tables
        kinds = ["variable"] * stepper.variables
        kinds += ["object"] * (stepper.shared - stepper.variables)
        kinds += ["worker"] * stepper.workers + ["other"] * 3
        self.fields: list[Field] = []
        shift = 0
        for kind in kinds:
            self.fields.append(Field(shift, _FIRST[kind]))
            shift += _FIRST[kind]
        self.failure = self.fields[stepper.failure]
        self.turn = self.fields[stepper.turn]
        self.time = self.fields[stepper.time]
        self.workers = self.fields[stepper.shared : stepper.failure]
        self._rows: list[list[Row]] = [[] for _ in self.workers]
        #: What (worker, number of its part) depends on besides, as was seen: places of parts.
        self._besides: dict[tuple[int, int], set[int]] = {}
        self._timed = False
        self.entries = 0  # in all tables
        #: The steps of each worker from one value of its part to another.
        self.local: list[set[tuple[int, int]]] = [set() for _ in self.workers]

    # --- numbering ---------------------------------------------------------------------------
    def first(self) -> int:
        """The initial state."""
        parts = self.stepper.first()
        # the turn's numbers mean something: 0 is anybody's, else one more than the worker's
        for turn in range(len(self.workers) + 1 if self.rules.cooperative else 1):
            self._number(self.stepper.turn, turn)
        return self.encode(parts)

    def _number(self, place: int, part: Any) -> int:
        field = self.fields[place]
        key = self.stepper.key(place, part)
        number = field.numbers.get(key)
        if number is None:
            number = field.numbers[key] = len(field.values)
            field.values.append(part)
            worker = place - self.stepper.shared
            if 0 <= worker < len(self.workers):
                self._rows[worker].append(self._row(worker, number))
            elif field is self.time and number and not self._timed:
                # from now on it matters to everyone what is due
                self._timed = True
                self._rebuild()
        return number

    def encode(self, parts: Parts) -> int:
        """The state that consists of ``parts``. Raises Widened where one is too many."""
        state = 0
        for place, part in enumerate(parts):
            state |= self._placed(place, part) << self.fields[place].shift
        return state

    def _placed(self, place: int, part: Any) -> int:
        """The number of a part, for which there is room in its field then. Raises Widened."""
        number, field = self._number(place, part), self.fields[place]
        if number >> field.width:
            self._widen(field, number.bit_length())
        return number

    def number_failure(self, failure: Any) -> int:
        """The number of a failure that the caller found. Raises Widened."""
        return self._placed(self.stepper.failure, failure)

    def decode(self, state: int) -> Parts:
        """The parts of ``state``."""
        return [field.values[(state & field.mask) >> field.shift] for field in self.fields]

    def _widen(self, field: Field, least: int) -> None:
        cut = field.shift + field.width
        more = max(_MORE, least - field.width)
        field.width += more
        for other in self.fields:
            if other.shift >= cut and other is not field:
                other.shift += more
            other.mask = ((1 << other.width) - 1) << other.shift
        self._rebuild()
        raise Widened(cut, more)

    # --- footprints --------------------------------------------------------------------------
    def _rebuild(self) -> None:
        self.entries = 0
        for worker, rows in enumerate(self._rows):
            rows[:] = [self._row(worker, number) for number in range(len(rows))]

    def _row(self, worker: int, number: int) -> Row:
        part: WorkerPart = self.workers[worker].values[number]
        if part.status != ACTIVE:
            return (0, {0: ()})
        return (self._footprint(worker, number, part), {})

    def _footprint(self, worker: int, number: int, part: WorkerPart) -> int:
        op = part.op
        assert op is not None
        kind = op.kind
        if kind == CANCEL or not self.tables:
            # a cancellation reaches into whatever its target waits for
            return self._whole()
        mask = self.failure.mask
        if self.rules.cooperative:
            mask |= self.turn.mask
        if self._timed:
            mask |= self.time.mask
        if kind == ATOMIC:
            for variable in op.body.touches:
                mask |= self.fields[variable].mask
        elif kind in (JOIN, SPAWN):
            mask |= self.workers[op.target].mask
        elif op.target >= 0:
            mask |= self.fields[op.target].mask
            if op.target >= self.layout.variables:
                spec = self.layout.spec(op.target)
                if spec.type == "condition":
                    mask |= self.fields[spec.lock].mask
        for place in self._besides.get((worker, number), ()):
            mask |= self.fields[place].mask
        return mask

    def _whole(self) -> int:
        return sum(field.mask for field in self.fields)

    # --- successors --------------------------------------------------------------------------
    def lanes(self) -> list[list[Lane]]:
        """Who can go on, by the number of the turn: all of the workers, or just one."""
        lanes: list[Lane] = [
            (worker, field.shift, (1 << field.width) - 1, self._rows[worker])
            for worker, field in enumerate(self.workers)
        ]
        if not self.rules.cooperative:
            return [lanes]
        return [lanes, *([lane] for lane in lanes)]

    def compute(self, worker: int, state: int) -> Moves:
        """The moves of ``worker`` in ``state``, from the controller, put into its table.

        Raises Widened.
        """
        field = self.workers[worker]
        ways = self.stepper.ways(self.decode(state), worker)
        moves = tuple(dict.fromkeys(self.encode(way.parts) ^ state for way in ways))
        number = field.of(state)
        edges = {(number, field.of(state ^ move)) for move in moves}
        self.local[worker] |= edges
        besides: set[int] = set()
        for _, to in edges:
            besides |= self._beside(field.values[to])
        if not besides <= self._besides.setdefault((worker, number), set()):
            self._besides[worker, number] |= besides
            self._rows[worker][number] = self._row(worker, number)
        footprint, table = self._rows[worker][number]
        for move in moves:
            if move & ~(footprint | field.mask):
                raise InternalError(
                    f"{self.layout.workers[worker].name} changed something outside its footprint"
                )
        if footprint != self._whole():  # else it would never be looked up again
            table[state & footprint] = moves
            self.entries += 1
        return moves

    def _beside(self, after: WorkerPart) -> set[int]:
        """What a step depends on because it leaves its worker like that: places of parts."""
        if after.status == ENDED and self.rules.leaves:
            # a worker that ends leaves every object
            return set(range(self.stepper.variables, self.stepper.shared))
        op = after.op
        if op is not None and op.kind == JOIN and self.rules.cooperative:
            # a task does not suspend in a join of one that has ended
            return {self.stepper.shared + op.target}
        return set()

    def idle(self, state: int) -> list[tuple[int, int]]:
        """The moves where nobody can go on, as (worker, move): time passes until a timer of
        that worker fires. Raises Widened."""
        time: Time = self.time.values[self.time.of(state)]
        if not time.pending():
            return []
        moves: dict[tuple[int, int], None] = {}
        for worker, way in self.stepper.idle(self.decode(state)):
            move = self.encode(way.parts) ^ state
            moves[worker, move] = None
            field = self.workers[worker]
            self.local[worker].add((field.of(state), field.of(state ^ move)))
        return list(moves)

    def successors(self, state: int) -> Iterator[tuple[int, int]]:
        """Each way on, as (worker, next state), or (-1 - worker, next state) where nobody could
        go on and it took time to pass until a timer of that worker fired."""
        nobody = True
        for worker, shift, mask, rows in self.lanes()[
            self.turn.of(state) if self.rules.cooperative else 0
        ]:
            footprint, table = rows[(state >> shift) & mask]
            moves = table.get(state & footprint)
            if moves is None:
                moves = self.compute(worker, state)
            for move in moves:
                nobody = False
                yield worker, state ^ move
        if nobody:
            for worker, move in self.idle(state):
                yield ~worker, state ^ move

    def picks(self, state: int, to: int) -> tuple[int, ...]:
        """What a scheduler picks in ``state`` for a step to ``to``. Numbers nothing new."""
        parts, wanted = self.decode(state), self._keys(self.decode(to))
        stepper = self.stepper
        cut = stepper.failure
        ways = [way for w in range(len(self.workers)) for way in stepper.ways(parts, w)]
        for way in ways or [way for _, way in stepper.idle(parts)]:
            keys = self._keys(way.parts)
            failure = to & self.failure.mask
            # what must hold always is not the controller's business here
            if failure and self.failure.values[self.failure.of(to)][0] == -1:
                keys[stepper.failure] = wanted[stepper.failure]
            if isinstance(keys[cut], str) and isinstance(wanted[cut], str):
                keys[cut] = wanted[cut]  # by which bound a step was cut depends on the clock
            if keys == wanted:
                return way.picks
        raise InternalError("a step of the search of states cannot be made again")

    def _keys(self, parts: Parts) -> list[Hashable]:
        return [self.stepper.key(place, part) for place, part in enumerate(parts)]

    def cyclic(self) -> bool:
        """Whether any worker can come back to where it was. If none can, the states are acyclic:
        every step moves one worker on, and a cycle of states takes its workers in cycles."""
        for edges in self.local:
            after: dict[int, list[int]] = {}
            into: dict[int, int] = {}
            for a, b in edges:
                after.setdefault(a, []).append(b)
                into[b] = into.get(b, 0) + 1
                into.setdefault(a, 0)
            free = [node for node, count in into.items() if not count]
            done = 0
            while free:
                node = free.pop()
                done += 1
                for to in after.get(node, ()):
                    into[to] -= 1
                    if not into[to]:
                        free.append(to)
            if done < len(into):
                return True
        return False
