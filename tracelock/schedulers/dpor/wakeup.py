"""Wakeup trees: what is still to be explored below one point of an execution.

After Abdulla, Aronis, Jonsson and Sagonas, "Source Sets: A Foundation for Optimal Dynamic Partial
Order Reduction" (JACM 64(4), 2017), section 6. A sequence of steps is *weakly initial* to another
if some continuation of the other can be reordered to begin with it; a tree holds sequences of
which none makes another superfluous.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

#: One transition of one worker: the worker, its data choices (a prefix of them where they are not
#: known yet), and bit masks of the things that it reads and writes. Every step also writes its
#: worker's own bit, so that steps of one worker and steps that start or await it conflict.
Step = tuple[int, tuple[int, ...], int, int]


def as_step(data: Sequence[Any]) -> Step:
    """A step that has been plain data."""
    worker, picks, reads, writes = data
    return worker, tuple(picks), reads, writes


def agree(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether two lists of data choices can be of one step: one goes on where the other ends."""
    return a == b or not a or not b or a[: len(b)] == b[: len(a)]


def place(step: Step, sequence: Sequence[Step]) -> int:
    """Where ``step`` stands in ``sequence``, if it could be first there.

    Its index, or the length of ``sequence`` if it is not in there and independent of all of it;
    -1 if it cannot be first: ``step`` is not a weak initial of ``sequence``.
    """
    worker, picks, reads, writes = step
    both = reads | writes
    for index, (other, theirs, r, w) in enumerate(sequence):
        if other == worker:
            return index if picks == theirs or agree(picks, theirs) else -1
        if w & both or r & writes:
            return -1
    return len(sequence)


class Node:
    """A step still to be explored, and what is to come after it, leftmost first."""

    __slots__ = ("children", "step")

    def __init__(self, step: Step, children: list[Node]) -> None:
        self.step = step
        self.children = children

    def __reduce__(self) -> tuple[Any, ...]:
        """For another process: as a list, since a branch may be longer than a recursion goes."""
        listed, left = [], [self]
        while left:
            node = left.pop()
            listed.append((node.step, len(node.children)))
            left += reversed(node.children)
        return _grown, (listed,)


def _grown(listed: Sequence[tuple[Step, int]]) -> Node:
    """The tree of these steps, each before what is below it, with the number of its branches."""
    made: list[Node] = []
    for step, branches in reversed(listed):
        made.append(Node(step, [made.pop() for _ in range(branches)]))
    return made[0]


def chain(sequence: Sequence[Step]) -> Node:
    """A tree of one branch. ``sequence`` is not empty."""
    node = Node(sequence[-1], [])
    for step in reversed(sequence[:-1]):
        node = Node(step, [node])
    return node


def leftmost(node: Node) -> tuple[list[Step], list[list[Node]]]:
    """The leftmost branch from ``node`` on: its steps, and what else is below each but the last."""
    steps, beside = [node.step], []
    while node.children:
        node, *others = node.children
        beside.append(others)
        steps.append(node.step)
    return steps, beside


def insert(children: list[Node], sequence: list[Step]) -> bool:
    """Add ``sequence``, which is used up, to the tree of these branches.

    Returns whether the tree has grown: it does not where exploring it covers ``sequence`` anyway.
    """
    while True:
        for child in children:
            index = place(child.step, sequence)
            if index >= 0:
                break
        else:
            children.append(chain(sequence))
            return True
        if index < len(sequence):
            del sequence[index]
        children = child.children
        if not sequence or not children:
            return False


def share_done(points: Iterable[tuple[int, int]]) -> float:
    """How much of a tree is done, from 0 to 1: a guess by the branches seen so far, every branch of
    a point counting alike (Knuth, "Estimating the efficiency of backtrack programs", 1975).
    ``points``: along the last path, how many branches are done and how many there are."""
    share, weight = 0.0, 1.0
    for done, branches in points:
        share += weight * done / branches
        weight /= branches
    return min(share, 1.0)
