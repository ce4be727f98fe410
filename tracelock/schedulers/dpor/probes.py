"""Probes: random schedules that tell how many inequivalent ones there are.

Knuth ("Estimating the efficiency of backtrack programs", Mathematics of Computation 29, 1975):
go down a tree at random, and one over the probability of the way is, on average, the number of
leaves. Here the leaves are schedules. To count classes of equivalent ones, each schedule is given a
share in its class, such that the shares of a class add up to one: the probability with which the
class, as a partial order, would have been put in this order by one who walks through it in the same
random way. So a probe counts for its share, divided by its probability. The mean of that is the
number of classes, whatever the program is: nothing has to be known of a step before it is made, and
steps that are independent of all others do not add to the variance.

A walk that takes any worker at each step seldom comes to schedules in which workers go on for
long. So each probe is one of several walks (``STAYS``), and its probability is that of the mixture
(Veach and Guibas, "Optimally combining sampling techniques", SIGGRAPH 1995: the balance heuristic).

Of each probe it is also known whether the search has been there: everything of which a step that
sleeps at a point of the search's last execution could be the first from there on. As the number of
classes in that part is known, it corrects the mean: see ``explore.estimate``.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Final

from tracelock.schedulers.base import Choice, Scheduler
from tracelock.schedulers.dpor.possible import EXACT
from tracelock.schedulers.dpor.scheduler import DporScheduler
from tracelock.schedulers.dpor.wakeup import Step, agree
from tracelock.schedulers.sampling import Sampler

#: The walks: with which probability the same worker goes on, where it can. Chosen by how well they
#: estimate what has been counted: ``tests/bench/bench_estimate.py``.
STAYS: Final = (0.0, 0.5, 0.8)
#: In a sleep set: a step of no worker, so that the next worker is asked for.
_ASK: Final[Step] = (-2, (), -1, -1)
_FINE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Probe:
    """One random schedule. ``weight``: the natural logarithm of how many classes it counts for.
    ``seen``: whether the search has explored its class. ``key``: the same for schedules of one
    class, and another for each class."""

    weight: float
    seen: bool
    key: Hashable


#: A step by whose it is and its data choices, which say which one it is where it can be made.
Move = tuple[int, tuple[int, ...]]


class TriedPart:
    """What a search by DPOR has been through.

    ``moves``: of its last execution. ``asleep``: at each of its points, from the start, the moves
    after which all has been explored. ``whole``: whether the moves are all steps of the execution.
    """

    def __init__(
        self, moves: Sequence[Move], asleep: Sequence[Sequence[Move]], whole: bool = True
    ) -> None:
        self.moves = list(moves)
        self.asleep = [list(moves) for moves in asleep]
        self.whole = whole

    def has(self, made: Sequence[Move], before: Sequence[int]) -> bool:
        """Whether the execution of these moves, or an equivalent order of them, was one of its
        own. ``before``: of each a mask of the moves that happen before it."""
        lines: dict[int, list[int]] = {}
        for number in range(len(made) - 1, -1, -1):
            lines.setdefault(made[number][0], []).append(number)
        left = (1 << len(made)) - 1

        def first(move: Move) -> bool:
            """Whether what is left, in some order, begins with it."""
            worker, picks = move
            line = lines.get(worker)
            if not line or before[line[-1]] & left & ~(1 << line[-1]):
                return False
            return agree(picks, made[line[-1]][1])

        for depth, asleep in enumerate(self.asleep):
            if any(map(first, asleep)):
                return True
            if depth == len(self.moves):
                break
            if not first(self.moves[depth]):
                return False
            left &= ~(1 << lines[self.moves[depth][0]].pop())
        return not (left and self.whole)


class RandomWalk:
    """One random walk after the other, and what each counts for."""

    def __init__(self, seed: int, stays: Sequence[float] = STAYS) -> None:
        self._random = Sampler(seed)
        self._stays = stays
        self._stay = 0.0
        self._current = -1
        self._offered: list[Sequence[int]] = []
        self._data = 0.0

    def begin(self) -> None:
        """A schedule begins."""
        self._random.begin()
        self._stay = self._stays[self._random.below(len(self._stays))]
        self._current = -1
        self._offered.clear()
        self._data = 0.0

    def worker(self, options: Sequence[int]) -> int:
        """Who makes the next step."""
        draw = self._random
        if self._current not in options or draw.below(_FINE) >= self._stay * _FINE:
            self._current = options[draw.below(len(options))]
        self._offered.append(tuple(options))
        return self._current

    def option(self, options: Sequence[int]) -> int:
        """Any option of another choice, which is a part of the step before it."""
        self._data += log(len(options))
        return options[self._random.below(len(options))]

    def weight(self, workers: Sequence[int], before: Sequence[int]) -> float:
        """The logarithm of how many classes this walk counts for. ``workers``: whose its steps
        were; ``before``: of each, a mask of the steps that happen before it."""
        lines: dict[int, list[int]] = {}
        for number, worker in enumerate(workers):
            lines.setdefault(worker, []).append(number)
        todo = {worker: iter(line) for worker, line in lines.items()}
        ahead = {worker: next(line) for worker, line in todo.items()}
        drawn, shared = [0.0] * len(self._stays), [0.0] * len(self._stays)
        left, last = (1 << len(workers)) - 1, -1
        for number, worker in enumerate(workers):
            offered = self._offered[number] if number < len(self._offered) else (worker,)
            if len(offered) > 1:
                # in this order or another: whose steps may be the next ones of the same class
                free = [
                    other for other, step in ahead.items() if not before[step] & left & ~(1 << step)
                ]
                for walk, stay in enumerate(self._stays):
                    drawn[walk] += _logarithm(offered, worker, last, stay)
                    shared[walk] += _logarithm(free, worker, last, stay)
            left &= ~(1 << number)
            last = worker
            following = next(todo[worker], None)
            if following is None:
                del ahead[worker]
            else:
                ahead[worker] = following
        return _sum(shared) - _sum(drawn) + self._data


def _logarithm(options: Sequence[int], worker: int, last: int, stay: float) -> float:
    """The logarithm of the probability with which a walk takes ``worker`` of these."""
    if last not in options:
        return -log(len(options))
    return log((1.0 - stay) / len(options) + (stay if worker == last else 0.0))


def _sum(logarithms: Sequence[float]) -> float:
    """The logarithm of the sum of numbers of which these are the logarithms."""
    most = max(logarithms)
    return most + log(sum(exp(one - most) for one in logarithms))


def key_of(moves: Sequence[Move], before: Sequence[int]) -> Hashable:
    """The same for all orders of one class: by worker, what happens before each of its steps."""
    made: dict[int, int] = {}
    clocks: list[dict[int, int]] = []
    form = []
    for number, (worker, picks) in enumerate(moves):
        clock: dict[int, int] = {}
        mask = before[number] & ~(1 << number)
        while mask:
            latest = mask.bit_length() - 1
            mask &= ~(before[latest] | 1 << latest)
            for other, count in clocks[latest].items():
                if clock.get(other, 0) < count:
                    clock[other] = count
        made[worker] = count = made.get(worker, 0) + 1
        form.append((worker, count, picks, tuple(sorted(clock.items()))))
        clock[worker] = count
        clocks.append(clock)
    form.sort(key=lambda one: one[:2])
    return hash(tuple(form))


class Probes(Scheduler):
    """Random schedules of the tree that a search has been through, for an estimate of its size.

    ``probes``: what they came to. ``known``: whether it is known of each if the search has seen
    its class. ``exact``: whether executions of the search are classes, each once. ``spoilt``: why
    no estimate can be had of them, "" where one can.
    """

    name = "probes"
    #: The program has to depend on the schedule alone, and nobody else may choose.
    systematic = True
    known = False
    exact = True
    spoilt = ""

    def __init__(self, seed: int, stays: Sequence[float] = STAYS) -> None:
        self.probes: list[Probe] = []
        self.walk = RandomWalk(seed, stays)

    def count(self, moves: Sequence[Move], before: Sequence[int], tried: TriedPart) -> None:
        """A schedule has ended that had these moves, each with what happens before it."""
        self.executions += 1
        weight = self.walk.weight([move[0] for move in moves], before)
        seen = self.known and tried.has(moves, before)
        self.probes.append(Probe(weight, seen, key_of(moves, before)))

    def cut_off(self, limit: str | None) -> bool:
        """Whether the schedule that ends now was cut off by a limit of the run."""
        if limit is None:
            return False
        self.bounded += 1
        self.spoilt = "schedules are cut off by a bound"
        return True


class TreeProbes(DporScheduler, Probes):
    """Probes of the tree of a ``DporScheduler``, which cannot go on then."""

    name = "probes"

    def __init__(self, searched: DporScheduler, seed: int) -> None:
        DporScheduler.__init__(self, searched.watched)
        Probes.__init__(self, seed)
        self.exact = True
        steps, sleeps = searched.tried()
        self.known = searched.executions > 0 and bool(sleeps)
        self._tried = TriedPart(_moves(steps), [_moves(sleep) for sleep in sleeps])
        if searched.history is not None:  # the same things have the same bits
            self.take_over(searched.history)

    def begin(self) -> bool:
        self.walk.begin()
        self._history.cut(0)
        self._trees, self._sleeps, self._done = [[]], [[_ASK]], [0]
        self._fixed, self._data = 0, {}
        self._begun = self._planned = True
        return super().begin()

    def _awake(self, choice: Choice, depth: int) -> int:
        return self.walk.worker(choice.options)

    def _option(self, choice: Choice) -> int:
        depth = self._depth - 1
        picked = self.walk.option(choice.options)
        picks, offered = self._data.setdefault(depth, ([], []))
        picks.append(picked)
        offered.append(tuple(choice.options))
        return picked

    def end(self, steps: int) -> None:
        self._close()
        self._look_at(self._depth)
        if self.cut_off(self._run.limit):
            return
        history = self._history
        made = history.steps
        if self.exact:
            self.exact = all(
                row[EXACT] is step for row, step in zip(history.rows, made, strict=True)
            )
        self.count(_moves(made), history.before, self._tried)


def _moves(steps: Sequence[Step]) -> list[Move]:
    return [step[:2] for step in steps]
