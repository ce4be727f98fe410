"""The passes of the shrinker: each has one idea of what to leave out, and offers it to the gate.

A pass works on the blocks of the best schedule (see ``trials``) and looks at it anew after every
step that the gate takes. None of them knows what a failure is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from tracelock.explore.shrink.best import Shrinking
from tracelock.explore.shrink.commuting import reordered
from tracelock.explore.shrink.trials import FAR, Block

#: Up to so many blocks any block is tried at any other place.
FEW: Final = 12
#: How often it is closed in on a number.
ROUNDS: Final = 3


def commute(shrinking: Shrinking) -> None:
    """The same events in an order with longer stretches, as far as independent ones commute.

    The orders are found by looking at the ops alone; the run only confirms them.
    """
    layout = shrinking.layout
    for blocks in reordered(layout, shrinking.best.executed.log):
        shrinking.consider(blocks)


def drop(shrinking: Shrinking) -> None:
    """Leave out blocks, many at once, then fewer: their events come with the worker's next block.

    From the end, so that what comes after the failure goes first (Zeller and Hildebrandt,
    *Simplifying and isolating failure-inducing input*, 2002).
    """
    for first, end in _chunks(shrinking, 1):
        blocks = shrinking.best.plan.blocks
        shrinking.consider(blocks[:first] + blocks[end:])


def regroup(shrinking: Shrinking) -> None:
    """In a part of the schedule let each worker make all its events at once."""
    for first, end in _chunks(shrinking, 3):
        blocks = shrinking.best.plan.blocks
        part = blocks[first:end]
        for merged in (_merged(part), tuple(reversed(_merged(tuple(reversed(part)))))):
            if shrinking.consider(blocks[:first] + merged + blocks[end:]):
                break


def _merged(part: Sequence[Block]) -> tuple[Block, ...]:
    most: dict[int, int] = {}
    for worker, upto in part:
        most[worker] = max(upto, most.get(worker, 0))
    return tuple(most.items())


def _chunks(shrinking: Shrinking, least: int) -> Iterator[tuple[int, int]]:
    """Stretches of the best schedule's blocks: half of them, a quarter, ... ``least``; each size
    from the end to the start."""
    size = len(shrinking.best.plan.blocks)
    while size >= least:
        end = len(shrinking.best.plan.blocks)
        while end > 0:
            yield max(end - size, 0), end
            end = min(end - size, len(shrinking.best.plan.blocks))
        if size == least:
            return
        size = max(size // 2, least)


def go_on(shrinking: Shrinking) -> None:
    """Remove one switch: the worker that runs goes on, to where it waits, or through what it does
    in its next block."""
    place = len(shrinking.best.plan.blocks) - 1
    while place >= 0:
        blocks = shrinking.best.plan.blocks
        if place < len(blocks):
            worker = blocks[place][0]
            rest = blocks[place + 1 :]
            shrinking.consider((*blocks[:place], (worker, FAR), *rest))
            later = next((n for n, block in enumerate(rest) if block[0] == worker), None)
            if later is not None:
                rest = rest[:later] + rest[later + 1 :]
                upto = blocks[place + 1 + later][1]
                shrinking.consider((*blocks[:place], (worker, upto), *rest))
        place -= 1


def without_worker(shrinking: Shrinking) -> None:
    """A worker does not take part before the end, or does all it can at the start."""
    for worker in range(len(shrinking.layout.workers)):
        blocks = shrinking.best.plan.blocks
        others = tuple(block for block in blocks if block[0] != worker)
        if len(others) == len(blocks) or not others:
            continue
        if not shrinking.consider(others):
            shrinking.consider(((worker, FAR), *others))


def move(shrinking: Shrinking) -> None:
    """A block comes earlier or later: next to its neighbour, or anywhere where there are few."""
    place = 0
    while place < len(shrinking.best.plan.blocks):
        blocks = shrinking.best.plan.blocks
        rest = blocks[:place] + blocks[place + 1 :]
        near = range(len(blocks)) if len(blocks) <= FEW else range(place - 1, place + 2)
        for target in near:
            if 0 <= target < len(blocks) and shrinking.consider(
                (*rest[:target], blocks[place], *rest[target:])
            ):
                break
        place += 1


def shift(shrinking: Shrinking) -> None:
    """A switch comes some events earlier or later: one, two, four, ... and further where it may."""
    place = 0
    while place < len(shrinking.best.plan.blocks):
        for direction in (-1, 1):
            by = 1
            while by <= _room(shrinking, place):
                if _shifted(shrinking, place, direction * by):
                    while by:
                        by = by * 2 if _shifted(shrinking, place, direction * by) else by // 2
                    break
                by *= 2
        place += 1


def _room(shrinking: Shrinking, place: int) -> int:
    """How far it makes sense to shift the end of a block: over itself, or over a few events."""
    blocks = shrinking.best.plan.blocks
    return max(_events(blocks, place), FEW) if place < len(blocks) else 0


def _events(blocks: Sequence[Block], place: int) -> int:
    worker, upto = blocks[place]
    return upto - max((b for w, b in blocks[:place] if w == worker), default=0)


def _shifted(shrinking: Shrinking, place: int, by: int) -> bool:
    blocks = shrinking.best.plan.blocks
    if place >= len(blocks) or _events(blocks, place) + by < 1:
        return False
    worker, upto = blocks[place]
    return shrinking.consider((*blocks[:place], (worker, upto + by), *blocks[place + 1 :]))


def usual(shrinking: Shrinking) -> None:
    """Timers do not fire where they need not, and the first in line wakes."""
    if not shrinking.best.plan.extra:
        return
    shrinking.consider(shrinking.best.plan.blocks, ())
    place = len(shrinking.best.plan.extra) - 1
    while place >= 0:
        blocks, extra = shrinking.best.plan
        if place < len(extra):
            shrinking.consider(blocks, extra[:place] + extra[place + 1 :])
        place -= 1


def lower(shrinking: Shrinking) -> None:
    """What was picked beside workers gets a lower number: of values that the program chose, one
    that stands further to the front. It is closed in on from both sides, and once more from below
    where that has found a lower one."""
    for place in range(len(shrinking.best.plan.extra) - 1, -1, -1):
        for at in range(_count(shrinking, place)):
            most = ROUNDS
            while most and _closed_in(shrinking, place, at):
                most -= 1


def _count(shrinking: Shrinking, place: int) -> int:
    extra = shrinking.best.plan.extra
    return len(extra[place][1]) if place < len(extra) else 0


def _closed_in(shrinking: Shrinking, place: int, at: int) -> bool:
    """Look between 0 and the number that is there for a lower one; whether there was one."""
    found, below = False, -1
    while at < _count(shrinking, place):
        number = shrinking.best.plan.extra[place][1][at]
        if number - below < 2:
            break
        middle = below + 1 if below < 0 else (below + number) // 2
        if _lowered(shrinking, place, at, middle):
            found = True
        else:
            below = middle
    return found


def _lowered(shrinking: Shrinking, place: int, at: int, to: int) -> bool:
    blocks, extra = shrinking.best.plan
    event, picks = extra[place]
    changed = (event, (*picks[:at], to, *picks[at + 1 :]))
    return shrinking.consider(blocks, (*extra[:place], changed, *extra[place + 1 :]))


def rename(shrinking: Shrinking) -> None:
    """Two workers of one kind change places, so that the lower number goes first."""
    workers = shrinking.layout.workers
    for a in range(len(workers)):
        for b in range(a + 1, len(workers)):
            if workers[a].group != workers[b].group:
                continue
            blocks, extra = shrinking.best.plan
            names = {a: b, b: a}
            shrinking.consider(
                tuple((names.get(worker, worker), upto) for worker, upto in blocks),
                tuple(
                    sorted(
                        ((names.get(worker, worker), number), picks)
                        for (worker, number), picks in extra
                    )
                ),
            )


Passes = tuple[Callable[["Shrinking"], None], ...]
#: Those that save switches and events, in the order of what a run of each is likely to save.
COARSE: Final[Passes] = (drop, commute, regroup, without_worker, go_on, usual, move)
#: And those that put what is left in order.
ALL_PASSES: Final[Passes] = (*COARSE, lower, shift, rename)
