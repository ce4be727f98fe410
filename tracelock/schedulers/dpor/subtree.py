"""A part of the tree that ``DporScheduler`` walks over: explored alone, stopped, taken up again.

A part is all that lies below one point of an execution. Exploring it finds races of which the
first half lies above it, and to reverse these is up to the owner of the point there: such
sequences are collected in ``outside``, not planned. All else is as if the rest had been explored
first: the sleep sets on the way to the part say what others have taken on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tracelock.schedulers.base import INTERRUPTED
from tracelock.schedulers.dpor.scheduler import DporScheduler
from tracelock.schedulers.dpor.wakeup import Node, Step, as_step

#: In a sleep set: a step of no worker, which can begin no sequence.
NOBODY: Final[Step] = (-2, (), -1, -1)

#: A wakeup tree in preorder: (level, step) for each node. Trees are deep: nothing that walks over
#: one may call itself.
Flat = list[tuple[int, Step]]


def flat(children: Sequence[Node]) -> Flat:
    """A tree as a list, see ``Flat``."""
    found: Flat = []
    stack = [(0, child) for child in reversed(children)]
    while stack:
        level, node = stack.pop()
        found.append((level, node.step))
        stack.extend((level + 1, child) for child in reversed(node.children))
    return found


def nested(listed: Iterable[Sequence[Any]]) -> list[Node]:
    """The tree that ``flat`` made a list of."""
    top: list[Node] = []
    way = [top]
    for level, step in listed:
        node = Node(as_step(step), [])
        del way[level + 1 :]
        way[level].append(node)
        way.append(node.children)
    return top


@dataclass(slots=True)
class Subtree:
    """What is left to explore of one part. Plain data: it can be pickled and written as JSON.

    ``path``: the transitions to the deepest point where something is planned. ``root``: the
    part is what lies below this many transitions. ``sleeps`` and ``trees``: for each depth from
    0 to the length of ``path``; above the root nothing is planned. With no plan at all the
    whole part is still to be explored.
    """

    path: list[Step]
    root: int
    sleeps: list[list[Step]]
    trees: list[Flat]

    @classmethod
    def whole(cls, path: Sequence[Step] = ()) -> Subtree:
        """All that lies below ``path``."""
        points = range(len(path) + 1)
        return cls(list(path), len(path), [[] for _ in points], [[] for _ in points])

    def to_data(self) -> dict[str, Any]:
        """For JSON."""
        return {"path": self.path, "root": self.root, "sleeps": self.sleeps, "trees": self.trees}

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Subtree:
        """What ``to_data`` gave, from JSON."""
        return cls(
            [as_step(step) for step in data["path"]],
            int(data["root"]),
            [[as_step(step) for step in sleep] for sleep in data["sleeps"]],
            [[(int(level), as_step(step)) for level, step in tree] for tree in data["trees"]],
        )


class SubtreeScheduler(DporScheduler):
    """Explores one part. ``rest`` says what is left of it after any number of executions.

    ``outside``: (depth, sequence) for each reversal above the root. ``floor``: reversals above
    this depth are nobody's: the exploration as a whole is confined to what lies below.
    ``strayed``: the way to the part could not be gone again: the program depends on more than its
    schedule.
    """

    hurries = False  # what is left has to be known

    def __init__(
        self, part: Subtree, watched: Iterable[Iterable[int]] = (), floor: int = 0
    ) -> None:
        super().__init__(watched)
        self.root = part.root
        self.floor = floor
        self.outside: list[tuple[int, tuple[Step, ...]]] = []
        self._reported: set[tuple[int, tuple[Step, ...]]] = set()
        self._part = part
        self.strayed = False
        self._ran = False  # an execution was made
        self._interrupted = False
        self._taken: Node | None = None  # what the present execution has taken from its tree
        self._begun = self._planned = True
        self._kept = [list(sleep) for sleep in part.sleeps]
        if any(self._kept) and not self._kept[0]:
            self._kept[0] = [NOBODY]  # or no sleep set would be looked at the first time
        self._sleeps = self._kept[:1]
        self._trees = [nested(tree) for tree in part.trees]
        self._done = [0] * len(self._trees)
        self._plan = [(step[0], step[1]) for step in part.path]
        if self._trees[-1]:
            self._plan_branch(self._trees[-1].pop(0))

    def _next(self) -> bool:
        self._taken = next((tree[0] for tree in reversed(self._trees) if tree), None)
        return super()._next()

    def _give_up(self, depth: int) -> None:
        if not self._ran and depth < len(self._part.path):
            self.strayed = True
        super()._give_up(depth)

    def end(self, steps: int) -> None:
        # what was interrupted is as if it had not begun
        self._interrupted = self._run.limit == INTERRUPTED
        if not self._interrupted:
            self._ran = True
            super().end(steps)

    def _reverse(self, e: int, last: Step) -> None:
        if e >= self.root:
            super()._reverse(e, last)
            return
        if e < self.floor:
            return
        sequence = self._reversal(e, last)
        if sequence is None:
            return
        found = (e, tuple(sequence))
        if found not in self._reported:
            self._reported.add(found)
            self.outside.append(found)

    # --- what is left ------------------------------------------------------------------------
    def rest(self) -> Subtree | None:
        """What is left to explore, None where nothing is. Not while an execution runs."""
        if not self._ran:
            return self._part
        if self.finished:
            return None
        steps = self._history.steps
        if self._interrupted:
            assert self._taken is not None
            depth = self._fixed
            trees = [*self._trees[:depth], [self._taken, *self._trees[depth]]]
            sleeps = [list(sleep) for sleep in self._sleeps[: depth + 1]]
        else:
            trees = self._trees
            depth = self._deepest()
            if depth < 0:
                return None
            sleeps = [list(sleep) for sleep in self._sleeps[: depth + 1]]
            if depth < len(steps):
                sleeps[depth].append(steps[depth])
        planned = [flat(tree) for tree in trees[: depth + 1]]
        return Subtree(steps[:depth], self.root, sleeps, planned)

    def head(self) -> tuple[list[Step], list[list[Step]]]:
        """The transitions down to the root as they were made, and who sleeps at each depth."""
        steps = self._history.steps[: self.root]
        return steps, [list(sleep) for sleep in self._sleeps[: len(steps) + 1]]
