"""A systematic search of real code that others share, which begins again when it learns.

What is shared, and who the workers are, decide where a schedule has choices: a part that teaches
something of that ends the search, and another one begins with it. A part that has only met further
objects does not: it tells which they are, and its masks are read by their names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from tracelock.explore.spread.shards import Shard, ShardResult
from tracelock.explore.spread.sources import Levels, StepParts, Tree
from tracelock.objects import VARIABLE
from tracelock.ops import ObjectSpec
from tracelock.schedulers.dpor.subtree import Subtree
from tracelock.schedulers.dpor.wakeup import Step

#: A source whose parts do not depend on one another, made anew each time.
Make = Callable[[], "Tree | Levels | StepParts"]
#: How a part may end that has not made all of its schedules to their ends.
_CUT_SHORT: Final = frozenset({"seconds", "interrupted", "killed"})
#: Schedules of the first part; the next ones have up to so many times as many, if their time is
#: enough for that.
FIRST_COUNT: Final = 32
GROWTH: Final = 2
#: Schedules a second, before that is known.
FIRST_RATE: Final = 200.0
#: Where a specification of an object has the number of another.
_LOCK: Final = 3


class Relearning:
    """What ``make`` gives, again and again. ``known``: with what its parts are run. ``executions``:
    those since it began for the last time. ``missed``: something planned could not be had;
    ``lost``: some part could not be found again, as the program depends on more than its
    schedule. ``coarser``: what is made from the start on instead of ``make`` once a part has gone
    ``beyond`` what that can do.

    A part comes back after so many schedules, not seconds: where schedules run in a forked process
    some may have been run that do not count any more when the time is up, and nobody would run them
    again. So a part that was cut short is as if it had not begun: its result, one of ``cut_short``,
    is to be told of, but all of it is still to be done."""

    def __init__(self, make: Make, known: bytes, coarser: Make | None = None) -> None:
        self._make = make
        self._coarser = coarser
        self.cut_short: list[ShardResult] = []
        self._most = FIRST_COUNT  # schedules of the next part
        self.limit: int | None = None
        self.lost = False
        self.missed = False
        self.executions = 0
        self._rate = FIRST_RATE
        self._before = 0  # schedules of the searches that taught something
        self._here: list[ShardResult] = []
        self._begin(known)

    def _begin(self, known: bytes) -> None:
        self.known = known
        self.inner = self._make()
        self._before += self.executions
        self.executions = 0
        self.missed = False
        #: With what a part was run that counts.
        self._current = {known}
        self._given: dict[int, Shard] = {}  # parts as ``inner`` gave them, by their number

    @property
    def exhaustive(self) -> bool:
        return self.inner.exhaustive and not (self.lost or self.missed)

    @property
    def finished(self) -> bool:
        return self.lost or self.inner.finished

    @property
    def over(self) -> str:
        """Why no more parts are to be run, "" where they are."""
        ends = (
            "stuck" if one.code.noticed.stuck else one.stopped for one in self.cut_short if one.code
        )
        return next((end for end in ends if end != "seconds"), "")

    def within(self, shard: Shard, seconds: float) -> Shard:
        """A part with no more schedules than can be made in this time."""
        count = max(1, int(seconds * self._rate))
        return replace(shard, count=count if shard.count is None else min(count, shard.count))

    def run_by(self, run: Callable[[Shard], ShardResult]) -> None:
        """What runs the first executions of a part that is only planned."""

        def told(shard: Shard) -> ShardResult:
            shard.known = self.known
            result = run(shard)
            if result.stopped in _CUT_SHORT:
                self.cut_short.append(result)
                raise KeyboardInterrupt
            self._adopt(shard, result)
            return result

        inner = self.inner
        if isinstance(inner, Tree):
            inner.run = told
        self._run = run

    def next(self, idle: bool) -> Shard | None:
        shard = None
        while not self.lost:
            inner = self.inner
            inner.limit = None if self.limit is None else max(0, self.limit - self._before)
            shard = inner.next(idle)
            if self.inner is inner:
                break
            if isinstance(inner, Tree):  # what it has made has taught something
                self._here += inner.run_here()
        if shard is None:
            return None
        self._given[shard.number] = shard
        count = shard.count
        if shard.seconds is not None:
            most = min(max(1, int(shard.seconds * self._rate)), self._most)
            count = most if count is None else min(most, count)
        return replace(shard, known=self.known, count=count, seconds=None)

    def take(self, shard: Shard, result: ShardResult, hungry: bool) -> Sequence[ShardResult]:
        if shard.known not in self._current:
            return []
        code = result.code
        assert code is not None
        if result.stopped in _CUT_SHORT or code.noticed.stuck:
            self.cut_short.append(result)  # what it was given is out for good
            return []
        self._most = max(self._most, GROWTH * result.schedules)
        if code.seconds > 0.0 and result.schedules:
            self._rate = (self._rate + result.schedules / code.seconds) / 2
        given = self._given.pop(shard.number)
        if not self._adopt(shard, result):
            self._before += result.schedules
            return [result]
        return self._count(self.inner.take(given, result, hungry))

    def run_here(self) -> list[ShardResult]:
        """As of ``Tree``."""
        made, self._here = self._here, []
        self._before += sum(one.schedules for one in made)
        if isinstance(self.inner, Tree):
            made += self._count(self.inner.run_here())
        return made

    def _count(self, results: Sequence[ShardResult]) -> Sequence[ShardResult]:
        self.executions += sum(one.schedules for one in results)
        return results

    # --- kept in a file ----------------------------------------------------------------------
    def to_data(self) -> dict[str, Any]:
        """For JSON: parts that are out, or were cut short, as they were when they were given."""
        return {
            "known": json.loads(self.known), "executions": self.executions,
            "before": self._before, "lost": self.lost, "missed": self.missed,
            "coarse": self._coarser is None, "left": self.inner.to_data(),
        }  # fmt: skip

    def go_on(self, data: dict[str, Any]) -> None:
        """From what ``to_data`` gave."""
        if data["coarse"] and self._coarser is not None:
            self._make, self._coarser = self._coarser, None
        self._begin(_bytes(data["known"]))
        self.executions, self._before = int(data["executions"]), int(data["before"])
        self.lost, self.missed = bool(data["lost"]), bool(data["missed"])
        self.inner.go_on(data["left"], self.executions, ())

    # --- what is learnt ----------------------------------------------------------------------
    def _adopt(self, shard: Shard, result: ShardResult) -> bool:
        """Take in what a part has taught; False where the search begins again with that."""
        assert result.code is not None
        self.lost = self.lost or result.code.lost
        self.missed = self.missed or result.code.missed
        if result.code.beyond and self._coarser is not None:
            self._make, self._coarser = self._coarser, None
            known = result.code.known
            self._begin(self.known if known is None else _bytes(applied(json.loads(known))))
            self.run_by(self._run)
            return False
        if result.code.known is None:
            return True
        mine, theirs = json.loads(self.known), json.loads(result.code.known)
        begun = len(json.loads(shard.known)["objects"])
        places = _placed(mine["objects"], theirs["objects"], begun)
        rest = {**theirs, "objects": mine["objects"]}
        if places is None or rest != mine:
            self._begin(_bytes(applied(theirs)))
            self.run_by(self._run)
            return False
        self.known = _bytes(mine)
        self._current.add(self.known)
        if places != list(range(len(places))):
            _translate(result, places, len(mine["groups"]) + 1)
        return True


def _bytes(known: Any) -> bytes:
    return json.dumps(known).encode()


def _placed(mine: list[list[Any]], theirs: list[list[Any]], begun: int) -> list[int] | None:
    """For each of their objects the number that it has in ``mine``, to which new ones are added;
    None where one that was known is another now."""
    if theirs[:begun] != mine[:begun]:
        return None
    places = list(range(begun))
    numbers = {spec[0]: number for number, spec in enumerate(mine)}
    for spec in theirs[begun:]:
        here = [places[spec[_LOCK]] if place == _LOCK and spec[_LOCK] >= 0 else part
                for place, part in enumerate(spec)]  # fmt: skip
        number = numbers.get(spec[0])
        if number is None:
            number = numbers[spec[0]] = len(mine)
            mine.append(here)
        elif mine[number] != here:
            return None
        places.append(number)
    return places


def applied(known: dict[str, Any]) -> dict[str, Any]:
    """What is known, with all that was found out taken into account."""
    objects, shared = list(known["objects"]), list(known["shared"])
    for name, number in known["pending"]:
        if number < 0:
            number = len(objects)
            spec = ObjectSpec(name, VARIABLE)
            objects.append([getattr(spec, each) for each in ObjectSpec.__slots__])
        shared.append([name, number])
    aim = {**known["aim"], "blocks": known["aim"]["blocks"] or known["aim"]["pending"]}
    return {
        **known, "objects": objects, "shared": sorted(shared), "pending": [],
        "aim": {**aim, "pending": False},
    }  # fmt: skip


def _translate(result: ShardResult, places: list[int], base: int) -> None:
    """Let the masks of a part that comes back be those of the numbers that objects have here."""

    def mask(bits: int) -> int:
        if bits < 0:
            return bits
        found, above, number = bits & ((1 << base) - 1), bits >> base, 0
        while above:
            if above & 1:
                found |= 1 << base + places[number]
            above >>= 1
            number += 1
        return found

    def one(step: Step) -> Step:
        worker, picks, reads, writes = step
        return worker, picks, mask(reads), mask(writes)

    def several(steps: Sequence[Step]) -> list[Step]:
        return [one(step) for step in steps]

    left = result.left
    if isinstance(left, Subtree):
        result.left = Subtree(
            several(left.path), left.root, [several(each) for each in left.sleeps],
            [[(level, one(step)) for level, step in tree] for tree in left.trees],
        )  # fmt: skip
    result.outside = [(depth, tuple(several(sequence))) for depth, sequence in result.outside]
    steps, sleeps = result.head
    result.head = several(steps), [several(each) for each in sleeps]
