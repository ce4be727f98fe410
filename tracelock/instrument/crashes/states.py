"""The states in which a crash may leave a disk: all of them where they are few, else some."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

from tracelock.instrument.crashes.model import DiskChange, DiskModel, Thing

#: Of more sets of lost changes than this not all are looked at.
SETS: Final = 2048


@dataclass(slots=True, eq=False)
class CrashState:
    """One state: ``values`` of all things; of the pending changes those that are ``lost`` in it,
    and those that are ``durable``: the fewest lost that it can be had by."""

    values: dict[Thing, Any]
    lost: list[DiskChange]
    durable: list[DiskChange]


def states_of(model: DiskModel, most: int) -> tuple[list[CrashState], bool]:
    """The states that a disk may be in after a crash now, ``most`` of them, those with the fewest
    lost operations first (the first has lost nothing); and whether these are all.

    Two sets of lost changes that leave the same files are one state.
    """
    changes = model.pending
    few = list(_at_most(closed_sets(changes), SETS + 1))
    complete = len(few) <= SETS and not model.grouped
    sets: Iterable[frozenset[int]] = few if len(few) <= SETS else _some(changes)
    ordered = sorted(
        set(sets),
        # of one operation all is lost rather than a part that makes no difference without the rest
        key=lambda lost: (
            len({id(changes[number].operation) for number in lost}), -len(lost), sorted(lost)
        ),
    )  # fmt: skip
    states: list[CrashState] = []
    known: set[Any] = set()
    for lost in ordered:
        kept = [change for number, change in enumerate(changes) if number not in lost]
        values = model.after(kept)
        looks = frozenset(model.seen(values).items())
        if looks in known:
            continue
        if len(states) == most:
            return states, False
        known.add(looks)
        states.append(CrashState(values, [changes[number] for number in sorted(lost)], kept))
    return states, complete


def closed_sets(changes: Sequence[DiskChange]) -> Iterator[frozenset[int]]:
    """All sets of changes, by their numbers, that may be lost together: with a change those that
    come after it and are of the same thing. Each once."""
    left: list[tuple[int, frozenset[int], frozenset[Thing]]] = [(0, frozenset(), frozenset())]
    while left:
        number, lost, things = left.pop()
        if number == len(changes):
            yield lost
            continue
        values = changes[number].values
        left.append((number + 1, lost | {number}, things.union(values)))
        if things.isdisjoint(values):
            left.append((number + 1, lost, things))


def _at_most(sets: Iterator[frozenset[int]], most: int) -> Iterator[frozenset[int]]:
    for _, one in zip(range(most), sets, strict=False):
        yield one


def _some(changes: Sequence[DiskChange]) -> Iterator[frozenset[int]]:
    """Sets of which one can tell what they are good for: nothing is lost, all is, what comes after
    some point, one operation or one change or two, all but one."""
    count = len(changes)
    everything = range(count)
    operations: dict[int, list[int]] = {}
    for number, change in enumerate(changes):
        operations.setdefault(id(change.operation), []).append(number)
    groups = [*operations.values(), *([number] for number in everything)]
    wanted: Iterator[Iterable[int]] = iter([(), everything])
    yield from (frozenset(one) for one in wanted)
    for group in groups:
        yield _closed(changes, group)
        yield frozenset(range(group[0], count))
        yield frozenset(everything) - _needed(changes, group)
    pairs = combinations(list(operations.values()), 2)
    for (one, other), _ in zip(pairs, range(SETS), strict=False):
        yield _closed(changes, [*one, *other])


def _closed(changes: Sequence[DiskChange], lost: Iterable[int]) -> frozenset[int]:
    """The same with what is lost along with these."""
    gone = set(lost)
    things: set[Thing] = set()
    for number, change in enumerate(changes):
        if number in gone or not things.isdisjoint(change.values):
            gone.add(number)
            things.update(change.values)
    return frozenset(gone)


def _needed(changes: Sequence[DiskChange], kept: Iterable[int]) -> frozenset[int]:
    """The same with what is durable along with these."""
    there = set(kept)
    things: set[Thing] = set()
    for number in range(len(changes) - 1, -1, -1):
        if number in there or not things.isdisjoint(changes[number].values):
            there.add(number)
            things.update(changes[number].values)
    return frozenset(there)
