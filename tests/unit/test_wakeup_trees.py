"""Wakeup trees of DPOR go from one process to another, however long their branches are."""

from __future__ import annotations

import pickle

from tracelock.schedulers.dpor.wakeup import Node, Step, chain


def step(number: int) -> Step:
    return number, (number % 3,), 0, 1 << number % 7


def same(one: Node, other: Node) -> bool:
    left = [(one, other)]
    while left:
        a, b = left.pop()
        if a.step != b.step or len(a.children) != len(b.children):
            return False
        left += zip(a.children, b.children, strict=True)
    return True


def test_a_branch_longer_than_a_recursion_goes() -> None:
    tree = chain([step(number) for number in range(5_000)])
    assert same(tree, pickle.loads(pickle.dumps(tree)))


def test_branches_keep_their_order() -> None:
    tree = Node(
        step(0),
        [Node(step(1), [Node(step(2), []), chain([step(3), step(4)])]), Node(step(5), [])],
    )
    again, shared = pickle.loads(pickle.dumps((tree, [tree, tree])))
    assert same(tree, again) and shared[0] is shared[1] is again
    assert not same(tree, chain([step(0), step(1)]))
