"""The same events in another order: what of a run can be moved without changing its results.

Two neighbouring events of different workers commute where their ops do not conflict
(Mazurkiewicz). A run is so a partial order, and any order of its events that respects it is a run
with the same results. To find the one with the fewest switches is NP-hard (Jalbert and Sen 2010);
here a few greedy ones are made, which stay with a worker as long as its next event may come.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from tracelock.engine.controller import Entry
from tracelock.explore.shrink.trials import Block, blocks_of
from tracelock.ops import ON_WORKER, SLEEP, THINGS, TIMEOUT, WORKERS, Layout, Op, Place, accesses

#: What an event depends on, and whether it may change that.
Access = tuple[Place, bool]
#: When timers fire.
TIME: Final = (-1, 0)


def accesses_of(layout: Layout, worker: int, kind: int, op: Op) -> list[Access]:
    """What an event depends on: two events of which one may change a thing do not commute.

    Those of its op (``ops.accesses``). Beyond that a worker's own events keep their order, who
    starts, awaits or cancels a worker depends on all it does, and so does what takes time.
    """
    found: list[Access] = [((WORKERS, worker), True)]
    for places, changes in zip(accesses(op), (False, True), strict=True):
        for subject, number in places:
            here = layout.state_of(number) if subject == THINGS else number
            found.append(((subject, here), changes))
    if kind not in ON_WORKER:
        # a timer fires when nothing else can happen, or races with what ends its wait
        found.append((TIME, kind in (SLEEP, TIMEOUT) or op.timeout is not None))
    return found


def dependences(layout: Layout, log: Sequence[Entry]) -> list[list[int]]:
    """For each event the latest earlier ones that it has to come after, by number."""
    changed: dict[Place, int] = {}
    seen: dict[Place, list[int]] = {}
    found: list[list[int]] = []
    for number, (worker, kind, op, _, _, _) in enumerate(log):
        before: set[int] = set()
        for thing, changes in accesses_of(layout, worker, kind, op):
            last = changed.get(thing)
            if last is not None and last != number:  # who joins itself is about one thing twice
                before.add(last)
            if changes:
                before.update(seen.pop(thing, ()))
                before.discard(number)
                changed[thing] = number
            else:
                seen.setdefault(thing, []).append(number)
        found.append(sorted(before))
    return found


def causes(before: Sequence[Sequence[int]], number: int) -> list[int]:
    """All events that have to come before event ``number``, and itself, in their order."""
    needed = {number}
    for event in range(number, -1, -1):
        if event in needed:
            needed.update(before[event])
    return sorted(needed)


def reordered(layout: Layout, log: Sequence[Entry]) -> list[tuple[Block, ...]]:
    """Orders of a log's events with fewer stretches than it has, as blocks, the fewest first.

    Some leave out what the last event does not depend on: it comes after, if that event fails.
    """
    if not log:
        return []
    before = dependences(layout, log)
    everything = list(range(len(log)))
    now = len(blocks_of(log))
    found: dict[tuple[Block, ...], None] = {}
    for events in (causes(before, len(log) - 1), everything):
        for first in sorted({log[number][0] for number in events}):
            for choose in (min, max):
                order = _greedy(log, before, events, first, choose)
                found[blocks_of(log[number] for number in order)] = None
    return sorted((blocks for blocks in found if len(blocks) < now), key=len)


def _greedy(
    log: Sequence[Entry],
    before: Sequence[Sequence[int]],
    events: Sequence[int],
    first: int,
    choose: Callable[[Sequence[int]], int],
) -> list[int]:
    """``first`` begins, each goes on while it can; of those that can then, ``choose`` by number."""
    queues: dict[int, list[int]] = {}
    for number in reversed(events):
        queues.setdefault(log[number][0], []).append(number)
    done: set[int] = set()
    order: list[int] = []
    current = first
    while queues:
        queue = queues.get(current)
        if queue is None or not done.issuperset(before[queue[-1]]):
            ready = [q[-1] for q in queues.values() if done.issuperset(before[q[-1]])]
            current = log[choose(ready)][0]
            queue = queues[current]
        number = queue.pop()
        done.add(number)
        order.append(number)
        if not queue:
            del queues[current]
    return order
