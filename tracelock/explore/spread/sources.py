"""What a search is split into: which shards there are, and what is left when they come back.

A *source* splits a search. ``Chunks`` (samplers) numbers its shards through and counts them in that
order, so that the result is the same however many workers there are, up to the first failure too.
``Tree`` (DPOR) and ``Levels`` (bounded searches) hand out what is planned and split what comes
back unfinished when others have nothing to do. What a source still has to do can be kept as JSON.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Protocol

from tracelock.errors import InternalError
from tracelock.explore.running import Runner
from tracelock.explore.spread.frontier import Frontier, Part
from tracelock.explore.spread.shards import Cursor, Job, Shard, ShardResult, run_on
from tracelock.schedulers.dpor.step_part import StepPart
from tracelock.schedulers.dpor.subtree import Subtree
from tracelock.schedulers.dpor.wakeup import Step
from tracelock.schedulers.strategies import LEVELS, NUMBERED, SEEDED, TREE, strategy_named

#: A systematic shard comes back after so many seconds; one that is run here, for a checkpoint.
SLICE: Final = 0.25
SLICE_HERE: Final = 2.0
FIRST_SLICE: Final = 0.03
#: A part that is all there is to do goes on for twice as long each time, up to this.
LONGEST_SLICE: Final = 4.0
#: Schedules that a part of a tree makes here before it is given out: many parts are no larger.
FIRST: Final = 4
#: After so many in turn that were done at once, they are not given out one by one.
TINY: Final = 8
#: After so many more that were done at once than others, of which each counts as so many, the rest
#: is explored part by part: each is planned by what another has found, and no two can share it.
VAIN: Final = 32
USEFUL: Final = 4


#: Where schedules do not depend on the chunk they are in, a shard has twice as many chunks after so
#: many shards each time, up to this, and no more than this part of what is left.
STEADY: Final = 16
GROWN: Final = 4
PART: Final = 8
#: Schedules of the first of these shards that nobody else works beside; the next has twice as many.
TRIED: Final = 16
#: After so many chunks of real code in turn that have taught something they are run one by one.
STILL_LEARNING: Final = 3


class SharedSearch(Protocol):
    """A search in shards. ``limit``: schedules in all, None for no bound."""

    limit: int | None

    @property
    def exhaustive(self) -> bool: ...

    def next(self, idle: bool) -> Shard | None:
        """The next shard; None where there is none now. ``idle``: nothing else is being run."""
        ...

    def take(self, shard: Shard, result: ShardResult, hungry: bool) -> Sequence[ShardResult]:
        """A shard came back: the results that count now. ``hungry``: others want to work."""
        ...

    @property
    def finished(self) -> bool: ...


class Source(SharedSearch, Protocol):
    """One whose rest can be kept as JSON."""

    def to_data(self) -> dict[str, Any]: ...

    def go_on(self, data: dict[str, Any], counted: int, base: Sequence[Step]) -> None:
        """From what ``to_data`` gave, with ``counted`` schedules; ``base``: see ``make_source``."""
        ...


def make_source(
    job: Job, limit: int | None, runner: Runner, *, here: bool, base: Sequence[Step] = ()
) -> Source:
    """The source for the strategy of ``job``. ``here``: shards are run in this process."""
    slice_ = SLICE_HERE if here else SLICE
    shards = strategy_named(job.strategy).shards
    if shards == TREE:
        return Tree(job, limit, runner, slice_, Frontier(base))
    if shards == LEVELS:
        return Levels(job, limit, slice_)
    if shards in (NUMBERED, SEEDED):
        return Chunks(job, limit)
    raise InternalError(f"the {job.strategy} strategy cannot be split into shards")


class Chunks:
    """A sampler: chunk after chunk. ``done``: schedules of it that count already."""

    exhaustive = False

    def __init__(self, job: Job, limit: int | None) -> None:
        self.job = job
        self.limit = limit
        self.done = 0
        self._next = 0  # the first schedule that is not given out
        self._late: dict[int, ShardResult] = {}  # by the first schedule: they wait for others
        self._failed: int | None = None
        self._shards = 0  # given out so far
        self._grown = GROWN if strategy_named(job.strategy).shards == NUMBERED else 1

    @property
    def finished(self) -> bool:
        return self.limit is not None and self.done >= self.limit

    def next(self, idle: bool) -> Shard | None:
        if (self.limit is not None and self._next >= self.limit) or self._failed is not None:
            return None
        chunk = self.job.chunk
        number, skip = divmod(self._next, chunk)
        many = min(self._grown, 1 << min(self._shards // STEADY, 16))
        self._shards += 1
        if self.limit is not None:  # the last ones are to end at about the same time
            many = max(1, min(many, (self.limit - self._next) // (PART * chunk)))
        end = (number + many) * chunk
        if idle and self._grown > 1:  # nobody else works: it is tried first how long they take
            end = min(end, self._next + (TRIED << min(self._shards - 1, 16)))
        if self.limit is not None:
            end = min(end, self.limit)
        shard = Shard(self.job, number, skip, end - self._next)
        self._next = end
        return shard

    def take(self, shard: Shard, result: ShardResult, hungry: bool) -> Sequence[ShardResult]:
        self._late[shard.number * self.job.chunk + shard.skip] = result
        if result.stopped == "failure":
            self._failed = shard.number
        ready = []
        while (one := self._late.pop(self.done, None)) is not None:
            self.done += one.schedules
            ready.append(one)
            if one.stopped in ("failure", "seconds", "interrupted"):
                self._late.clear()
                self._next = self.done
                break
        return ready

    def to_data(self) -> dict[str, Any]:
        return {"done": self.done}

    def go_on(self, data: dict[str, Any], counted: int, base: Sequence[Step]) -> None:
        self.done = self._next = int(data["done"])


class LearningChunks(Chunks):
    """A sampler of real code, whose schedules teach what is shared: a chunk is run with what all
    before it have taught. Those that were given out before that was known are given out again, so
    that it comes to the chunks one after the other. ``known``: at first, and then so far."""

    def __init__(self, job: Job, limit: int | None, known: bytes) -> None:
        super().__init__(job, limit)
        self._grown = 1  # what is learnt in one has to be known in the next
        self.known = known
        self._learnt = 0  # chunks in turn that have taught something

    def next(self, idle: bool) -> Shard | None:
        if self._learnt >= STILL_LEARNING and not idle:
            return None  # what would be given out is likely to be in vain
        shard = super().next(idle)
        if shard is not None:
            shard.known = self.known
        return shard

    def take(self, shard: Shard, result: ShardResult, hungry: bool) -> Sequence[ShardResult]:
        if shard.known != self.known:
            return []
        ready = super().take(shard, result, hungry)
        for number, one in enumerate(ready):
            assert one.code is not None
            self._learnt += 1
            if one.code.known is None:
                self._learnt = 0
                continue
            self.known = one.code.known
            for other in ready[number + 1 :]:
                self.done -= other.schedules
            self._late.clear()
            self._failed = None
            self._next = self.done
            return ready[: number + 1]
        return ready


class _Systematic:
    """What is planned is given out, and may come back unfinished."""

    def __init__(self, job: Job, limit: int | None, slice_: float) -> None:
        self.job = job
        self.limit = limit
        self._slice = slice_
        self._granted = 0  # schedules counted, or given out to be made
        self._number = 0
        self._bounded = 0  # schedules that a limit of the run ended

    @property
    def finished(self) -> bool:
        raise NotImplementedError

    @property
    def exhaustive(self) -> bool:
        """Whether all was explored, and nothing was cut by a limit of a run."""
        return self.finished and not self._bounded

    def _left(self) -> int | None:
        """How many schedules may still be given out."""
        return None if self.limit is None else max(0, self.limit - self._granted)

    def _grant(self, left: int | None, idle: bool) -> int | None:
        """A share of them for the next shard, whose number is ``_number``."""
        self._number += 1
        if left is not None:
            left = left if idle else min(left, max(64, left // 4))
            self._granted += left
        return left

    def _settle(self, shard: Shard, result: ShardResult) -> None:
        """Take back what a shard that has come back did not need."""
        if shard.count is not None:
            self._granted -= shard.count - result.schedules


class Tree(_Systematic):
    """DPOR: the parts of one tree, see ``frontier``."""

    def __init__(
        self, job: Job, limit: int | None, runner: Runner, slice_: float, frontier: Frontier
    ) -> None:
        super().__init__(job, limit, slice_)
        self.frontier = frontier
        #: What runs the first executions of a part that is only planned: that cannot wait.
        self.run: Callable[[Shard], ShardResult] = partial(run_on, runner)
        self._parts: dict[int, Part] = {}
        self._tiny = 0  # parts since the last one that was worth giving out
        self._vain = 0  # how much more often parts were done at once than not
        self._alone = 0  # parts in turn that were all there was to do
        self._here: list[ShardResult] = []  # made here, and not counted yet

    @property
    def finished(self) -> bool:
        return self.frontier.finished and not self._here

    def next(self, idle: bool) -> Shard | None:
        frontier = self.frontier
        while True:
            left = self._left()
            if left == 0:
                return None
            part = frontier.take()
            if part is not None:
                grant = self._grant(left, idle)
                self._parts[self._number] = part
                seconds = self._slice
                if idle and seconds == SLICE:
                    # alone it comes back soon, so that the others can have a share, if they can
                    seconds = min(LONGEST_SLICE, FIRST_SLICE * 2 ** min(self._alone, 9))
                self._alone = self._alone + 1 if idle else 0
                return Shard(self.job, self._number, 0, grant, seconds, part.left)
            if (self._tiny >= TINY or self._slice == SLICE_HERE) and frontier.gather():
                self._tiny = TINY if self._vain >= VAIN else 0
                continue
            if self._tiny >= TINY and not idle:
                return None
            part = frontier.seed()
            if part is None:
                return None
            count = FIRST if left is None else min(left, FIRST)
            shard = Shard(self.job, 0, count=count, part=part.left)
            result = self.run(shard)
            if result.stopped == "interrupted":
                raise KeyboardInterrupt  # it is as if it were still planned
            self._granted += result.schedules
            self._back(part, result, False)
            self._here.append(result)
            self._tiny = 0 if result.left is not None else self._tiny + 1
            self._vain = max(0, self._vain + (1 if result.left is None else -USEFUL))
            if result.stopped == "failure":
                return None

    def _back(self, part: Part, result: ShardResult, split: bool) -> None:
        assert not isinstance(result.left, StepPart)
        self._bounded += result.bounded
        self.frontier.done(part, result.left, result.outside, result.head, split)

    def take(self, shard: Shard, result: ShardResult, hungry: bool) -> Sequence[ShardResult]:
        part = self._parts.pop(shard.number)
        self._tiny = TINY if self._vain >= VAIN else 0
        self._settle(shard, result)
        frontier = self.frontier
        split = hungry and not (frontier.waiting or frontier.planned)
        if self._vain >= VAIN:
            split = False
        self._back(part, result, split)
        return [result, *self.run_here()]

    def run_here(self) -> list[ShardResult]:
        """The results of the shards that ``next`` has run in this process since the last call."""
        results, self._here = self._here, []
        return results

    def to_data(self) -> dict[str, Any]:
        return {"bounded": self._bounded, **self.frontier.to_data()}

    def go_on(self, data: dict[str, Any], counted: int, base: Sequence[Step]) -> None:
        self.frontier = Frontier.from_data(data, base)
        self._bounded = int(data["bounded"])
        self._granted = counted


class StepParts(_Systematic):
    """DPOR of the tasks of one loop by what their steps touch: one part, then what it has left."""

    def __init__(self, job: Job, limit: int | None, slice_: float) -> None:
        super().__init__(job, limit, slice_)
        self._rest: StepPart | None = StepPart()
        self._out: Shard | None = None

    @property
    def finished(self) -> bool:
        return self._rest is None

    def next(self, idle: bool) -> Shard | None:
        left = self._left()
        if left == 0 or self._rest is None or self._out is not None:
            return None
        grant = self._grant(left, True)
        self._out = Shard(self.job, self._number, 0, grant, self._slice, self._rest)
        return self._out

    def take(self, shard: Shard, result: ShardResult, hungry: bool) -> Sequence[ShardResult]:
        assert not isinstance(result.left, Subtree)
        self._out = None
        self._settle(shard, result)
        self._bounded += result.bounded
        self._rest = result.left
        return [result]

    def to_data(self) -> dict[str, Any]:
        rest = None if self._rest is None else self._rest.to_data()
        return {"bounded": self._bounded, "rest": rest}

    def go_on(self, data: dict[str, Any], counted: int, base: Sequence[Step]) -> None:
        self._bounded, self._granted = int(data["bounded"]), counted
        self._rest = None if data["rest"] is None else StepPart.from_data(data["rest"])


class Levels(_Systematic):
    """A bounded search: all schedules of one cost, then those of the next."""

    def __init__(self, job: Job, limit: int | None, slice_: float) -> None:
        super().__init__(job, limit, slice_)
        self._bound = 0
        self._begun = False
        self._present: list[Cursor] = []
        self._dearer: dict[int, list[Cursor]] = {}
        self._out: dict[int, Shard] = {}

    @property
    def finished(self) -> bool:
        return self._begun and not (self._present or self._dearer or self._out)

    def next(self, idle: bool) -> Shard | None:
        left = self._left()
        if left == 0:
            return None
        if not self._begun:
            self._begun = True
            children = None
        else:
            if not self._present:
                if self._out or not self._dearer:
                    return None
                self._bound = min(self._dearer)
                self._present = self._dearer.pop(self._bound)
            share = max(1, len(self._present) // 4)
            children, self._present = self._present[-share:], self._present[:-share]
        grant = self._grant(left, idle)
        shard = Shard(
            self.job, self._number, count=grant, seconds=self._slice, bound=self._bound,
            children=children,
        )  # fmt: skip
        self._out[self._number] = shard
        return shard

    def take(self, shard: Shard, result: ShardResult, hungry: bool) -> Sequence[ShardResult]:
        del self._out[shard.number]
        self._settle(shard, result)
        self._bounded += result.bounded
        self._present += result.children
        for cost, children in result.dearer:
            self._dearer.setdefault(cost, []).extend(children)
        return [result]

    def to_data(self) -> dict[str, Any]:
        begun = self._begun and not any(one.children is None for one in self._out.values())
        present = self._present + [c for one in self._out.values() for c in one.children or ()]
        return {
            "bound": self._bound, "begun": begun, "bounded": self._bounded,
            "present": [_text(one) for one in present],
            "dearer": [[cost, [_text(c) for c in of]] for cost, of in self._dearer.items()],
        }  # fmt: skip

    def go_on(self, data: dict[str, Any], counted: int, base: Sequence[Step]) -> None:
        self._bound, self._begun = int(data["bound"]), bool(data["begun"])
        self._bounded, self._granted = int(data["bounded"]), counted
        self._present = [_cursor(one) for one in data["present"]]
        self._dearer = {int(cost): [_cursor(one) for one in of] for cost, of in data["dearer"]}


def _text(cursor: Cursor) -> list[Any]:
    return [*(b64encode(part).decode("ascii") for part in cursor[:3]), *cursor[3:]]


def _cursor(data: Sequence[Any]) -> Cursor:
    places, sizes, costs = (b64decode(part) for part in data[:3])
    start, cost, lowest, highest, at, place = (int(number) for number in data[3:])
    return places, sizes, costs, start, cost, lowest, highest, at, place
