"""One name for each thing out of several that it could have, no two things with one name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import TypeVar

__all__ = ["unique"]

Thing = TypeVar("Thing", bound=Hashable)


def unique(
    candidates: Mapping[Thing, Sequence[str]],
    taken: Collection[str] = (),
    first: Collection[Thing] = (),
) -> dict[Thing, str]:
    """A name for each thing, all different and none of them ``taken``.

    ``candidates``: the names that each may have, the best first (at least one). Things that would
    have the same name all get their next one, but for those of ``first`` where one alone of them
    wants it. Those that have no other left are numbered in the order of ``candidates``.
    """
    level = dict.fromkeys(candidates, 0)
    fixed = set(taken)
    while True:
        wanted: defaultdict[str, list[Thing]] = defaultdict(list)
        for thing, names in candidates.items():
            wanted[names[level[thing]]].append(thing)
        moved = False
        for name, things in wanted.items():
            if len(things) == 1 and name not in fixed:
                continue
            ahead = [thing for thing in things if thing in first]
            stays = ahead[0] if len(ahead) == 1 and name not in fixed else None
            for thing in things:
                if thing != stays and level[thing] + 1 < len(candidates[thing]):
                    level[thing] += 1
                    moved = True
        if not moved:
            break
    found: dict[Thing, str] = {}
    # a name that one alone wants is its own, whatever the others would be numbered to
    used = fixed | {name for name, things in wanted.items() if len(things) == 1}
    for name, things in wanted.items():
        if len(things) == 1 and name not in fixed:
            found[things[0]] = name
            continue
        number = 0
        for thing in things:
            number += 1
            while (numbered := f"{name}#{number}") in used:
                number += 1
            used.add(numbered)
            found[thing] = numbered
    return {thing: found[thing] for thing in candidates}
