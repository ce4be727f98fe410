"""A tree of DPOR that several explore at once: who has which part, and what is not given out yet.

The parts are those of ``schedulers.subtree``. Every point above a part is kept here, and here
alone the sequences are planned that reverse races across parts, so that what several parts ask for
is done once. It comes to the executions of the sequential search, each once, for these reasons:

* Steps at a point stand in a fixed order, to which only its end is added to. What is explored
  below one has all those before it in its sleep set, each as it was really executed: a part is
  given out only once those before it have made their first execution (``seed``).
* A sequence is new at a point if it cannot begin with any step there, as in the sequential search;
  if it can begin with one that was planned with more to come, what is left of it goes there, where
  what was explored since stands as if it were still planned. So that has to be kept until all
  before it is done: a part by itself does not find all that is to be explored in it as long as
  steps sleep there. Where a planned sequence ends nothing of that kind sleeps any more, and its
  last step covers all that can begin with it.
* So two executions part at some point into an earlier and a later step, where the earlier sleeps
  in the later: none is made twice. And that everything planned can be had without meeting a
  step that sleeps holds as in the paper, since no step ever comes before one that is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tracelock.schedulers.dpor.subtree import Flat, Subtree, flat, nested
from tracelock.schedulers.dpor.wakeup import Node, Step, as_step, insert, leftmost, place


@dataclass(slots=True, eq=False)
class TakenStep:
    """A step explored from a point, or being explored, as executed (None: it could not be had).
    ``behind``: the point behind it, where sequences may be added there."""

    step: Step | None
    behind: Point | None = None
    done: bool = False


@dataclass(slots=True, eq=False)
class Point:
    """A point above the parts. ``live``: how many of the steps taken are not done. ``up`` and
    ``place``: where it hangs."""

    depth: int
    up: Point | None
    place: int
    sleep: list[Step]
    planned: list[Node]
    taken: list[TakenStep] = field(default_factory=list)
    live: int = 0


@dataclass(slots=True, eq=False)
class Part:
    """A part that is given out: what is left of it, and where it hangs (None: it is all)."""

    left: Subtree
    at: Point | None
    place: int


@dataclass(slots=True, eq=False)
class _Seed(Part):
    """A part of which not even the way to it has been executed as planned. ``start``: the depth
    of its point; ``beside``: what else is planned at the points of the way below that."""

    start: int
    beside: list[list[Node]]


class Frontier:
    """All the parts of one exploration. ``waiting``: those that nobody explores now."""

    def __init__(self, base: Sequence[Step] = ()) -> None:
        self.base = list(base)
        self.waiting: list[Part] = [Part(Subtree.whole(base), None, 0)]
        self.out: list[Part] = []
        self._open: list[Point] = []

    @property
    def finished(self) -> bool:
        """Whether nothing is left anywhere."""
        return not (self.waiting or self.out or self._open)

    @property
    def planned(self) -> bool:
        """Whether there is something that only has to be seeded."""
        return bool(self._open)

    # --- giving out --------------------------------------------------------------------------
    def take(self) -> Part | None:
        """A part to explore, None where there is none to give out."""
        if not self.waiting:
            return None
        part = self.waiting.pop()
        self.out.append(part)
        return part

    def seed(self) -> Part | None:
        """The next part that was only planned: one execution of it has to be made at once."""
        if not self._open:
            return None
        point = min(self._open, key=lambda one: one.depth)  # what is near the root is large
        node = point.planned.pop(0)
        if not point.planned:
            self._open.remove(point)
        path, sleeps = self._way(point)
        steps, beside = leftmost(node)
        chain: Flat = list(enumerate(steps))
        sleeps.append(point.sleep + _steps(point.taken))
        trees: list[Flat] = [[] for _ in path]
        trees.append(chain)
        left = Subtree(path, len(path) + len(chain), sleeps, trees)
        part = _Seed(left, point, -1, point.depth, beside)
        point.live += 1
        self.out.append(part)
        return part

    def gather(self) -> bool:
        """Make one part of all that is planned at a point below which nobody works any more.

        Not at a point where others may still add something to what was explored there.
        """
        for point in self._open:
            if not point.live and _closed(point):
                break
        else:
            return False
        self._open.remove(point)
        path, sleeps = self._way(point)
        sleeps.append(point.sleep + _steps(point.taken))
        trees: list[Flat] = [[] for _ in path]
        trees.append(flat(point.planned))
        self.waiting.append(Part(Subtree(path, len(path), sleeps, trees), point.up, point.place))
        return True

    def _way(self, point: Point | None) -> tuple[list[Step], list[list[Step]]]:
        """The transitions to a point, and who sleeps at each point before it."""
        path: list[Step] = []
        sleeps: list[list[Step]] = []
        while point is not None and point.up is not None:
            up = point.up
            step = up.taken[point.place].step
            assert step is not None
            path.append(step)
            sleeps.append(up.sleep + _steps(up.taken[: point.place]))
            point = up
        whole = Subtree.whole(self.base)
        return [*self.base, *reversed(path)], [*whole.sleeps[:-1], *reversed(sleeps)]

    # --- taking back -------------------------------------------------------------------------
    def done(
        self,
        part: Part,
        left: Subtree | None,
        outside: Sequence[tuple[int, Sequence[Step]]],
        head: tuple[list[Step], list[list[Step]]],
        split: bool,
    ) -> None:
        """A part comes back: what is left of it, its reversals above it, and its way.

        ``split``: let others have a share of what is left.
        """
        self.out.remove(part)
        planted = self._plant(part, head) if isinstance(part, _Seed) else True
        for depth, sequence in outside:
            self._insert(part, depth, list(sequence))
        if left is None or not planted:
            self._ended(part.at, part.place)
        elif split:
            self._split(part, left)
        else:
            self.waiting.append(Part(left, part.at, part.place))

    def _plant(self, part: _Seed, head: tuple[list[Step], list[list[Step]]]) -> bool:
        """Make the points on the way to a part that was planned; False: it cannot be had."""
        steps, sleeps = head
        point = part.at
        assert point is not None
        for depth in range(part.start, part.left.root):
            step = steps[depth] if depth < len(steps) else None
            part.at, part.place = point, len(point.taken)
            if step is None or depth == part.left.root - 1:
                point.taken.append(TakenStep(step))
                return step is not None
            planned = part.beside[depth - part.start]
            child = Point(depth + 1, point, len(point.taken), sleeps[depth + 1], planned)
            point.taken.append(TakenStep(step, child))
            child.live = 1
            if planned:
                self._open.append(child)
            point = child
        return True

    def _insert(self, part: Part, depth: int, sequence: list[Step]) -> None:
        """Plan what a part has found out about a point above it, unless that is covered."""
        point, origin = part.at, part.place
        while point is not None and point.depth > depth:
            origin = point.place
            point = point.up
        while point is not None:
            below: Point | None = None
            for number, taken in enumerate(point.taken):
                if number == origin or taken.step is None:
                    continue
                index = place(taken.step, sequence)
                if index < 0:
                    continue
                if number < origin or taken.behind is None:
                    return
                if index < len(sequence):
                    del sequence[index]
                below = taken.behind
                break
            if below is None:
                break
            if not sequence:
                return
            point, origin = below, -1
        if point is not None:
            was = bool(point.planned)
            insert(point.planned, sequence)
            if not was:
                self._open.append(point)
                self._reopen(point)

    def _ended(self, point: Point | None, number: int) -> None:
        """The step with this number at ``point`` has been explored to the end, for now."""
        while point is not None:
            point.taken[number].done = True
            point.live -= 1
            if _closed(point):
                _close(point)
            if point.live or point.planned:
                return
            number = point.place
            point = point.up

    def _reopen(self, point: Point) -> None:
        """Something was added to a point that may have been done."""
        if point.live:
            return
        while point.up is not None:
            taken = point.up.taken[point.place]
            if not taken.done:
                return
            taken.done = False
            point = point.up
            point.live += 1
            if point.live > 1 or point.planned:
                return

    def _split(self, part: Part, left: Subtree) -> None:
        """Take over the highest point at which something is planned, and the way to it."""
        deepest = len(left.path)
        highest = next(depth for depth in range(left.root, deepest + 1) if left.trees[depth])
        point, number = part.at, part.place
        for depth in range(left.root, highest + 1):
            planned = nested(left.trees[depth]) if depth == highest else []
            point, number = Point(depth, point, number, left.sleeps[depth], planned), 0
            if depth < deepest:
                point.taken.append(TakenStep(left.path[depth]))
                point.live = 1
            if planned:
                self._open.append(point)
        if highest < deepest:
            trees: list[Flat] = [[] for _ in range(highest + 1)]
            trees += left.trees[highest + 1 :]
            rest = Subtree(left.path, highest + 1, left.sleeps, trees)
            self.waiting.append(Part(rest, point, number))

    # --- kept in a file ----------------------------------------------------------------------
    def to_data(self) -> dict[str, Any]:
        """For JSON: everything, parts that are out as they were when they were given out."""
        numbers: dict[int, int] = {}
        points: list[Point] = []

        def number(point: Point | None) -> int:
            way: list[Point] = []
            above = point
            while above is not None and id(above) not in numbers:
                way.append(above)
                above = above.up
            for one in reversed(way):
                numbers[id(one)] = len(points)
                points.append(one)
            return -1 if point is None else numbers[id(point)]

        seeds = [part for part in self.out if isinstance(part, _Seed)]
        parts = [part for part in self.waiting + self.out if not isinstance(part, _Seed)]
        listed = [[number(part.at), part.place, part.left.to_data()] for part in parts]
        for one in [*self._open, *(seed.at for seed in seeds)]:
            number(one)
        for point in points:  # which grows
            for taken in point.taken:
                number(taken.behind)
        again: dict[int, Flat] = {}
        for seed in seeds:  # as if it were still planned
            chain = nested(seed.left.trees[-1])
            node = chain[0]
            for others in seed.beside:
                node.children.extend(others)
                node = node.children[0]
            again[id(seed.at)] = flat(chain)
        return {
            "points": [
                [
                    point.depth,
                    number(point.up),
                    point.place,
                    point.sleep,
                    [[taken.step, number(taken.behind)] for taken in point.taken],
                    again.get(id(point), []) + flat(point.planned),
                ]
                for point in points
            ],
            "parts": listed,
        }

    @classmethod
    def from_data(cls, data: dict[str, Any], base: Sequence[Step] = ()) -> Frontier:
        """What ``to_data`` gave, from JSON."""
        frontier = cls(base)
        points: list[Point] = []
        for depth, up, where, sleep, _, planned in data["points"]:
            above = points[up] if up >= 0 else None
            steps = [as_step(step) for step in sleep]
            points.append(Point(depth, above, where, steps, nested(planned)))
        for point, (_, _, _, _, listed, _) in zip(points, data["points"], strict=True):
            for step, behind in listed:
                executed = None if step is None else as_step(step)
                after = points[behind] if behind >= 0 else None
                point.taken.append(TakenStep(executed, after, True))
        frontier._open = [point for point in points if point.planned]
        frontier.waiting = []
        for at, where, left in data["parts"]:
            owner = points[at] if at >= 0 else None
            if owner is not None:
                owner.live += 1
                owner.taken[where].done = False
            frontier.waiting.append(Part(Subtree.from_data(left), owner, where))
        for point in reversed(points):  # those behind a point come after it
            if point.up is not None and (point.live or point.planned):
                point.up.live += 1
                point.up.taken[point.place].done = False
        return frontier


def _closed(point: Point) -> bool:
    """Whether nobody outside of what is below a point adds to it any more."""
    up = point.up
    return up is None or up.taken[point.place].behind is None


def _close(point: Point) -> None:
    """What is below a closed point is closed too as far as all before it is done for good: only
    earlier steps add to what is below a later one."""
    below: Point | None = point
    while below is not None:
        taken = below.taken
        below = None
        for one in taken:
            behind, one.behind = one.behind, None
            if not one.done:
                below = behind
                break


def _steps(taken: Sequence[TakenStep]) -> list[Step]:
    return [one.step for one in taken if one.step is not None]
