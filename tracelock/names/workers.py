"""What workers are called for people: by what they run (``user-1``, ``withdraw(60)``)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from tracelock.names.unique import unique

__all__ = ["worker_display"]

#: What a test itself is called, whose own name stands above.
TEST: Final = "test"
_NUMBERED: Final = re.compile(r"(.+?)(?:#(\d+))?")


def worker_display(workers: Sequence[str], told: Mapping[str, str], test: bool) -> dict[str, str]:
    """A short name for each worker, all different.

    ``told``: what some run, with their arguments; ``test``: whether the first is a test, which has
    started the others. A worker is called without the one that started it (``test_x/user`` is
    ``user``), and numbered from 1 where that one has started several (``user#2`` is ``user-2``).
    """
    known = set(workers)
    family: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    parts: dict[str, tuple[str, str, int]] = {}
    for name in workers:
        parent, base = _split(name, known)
        match = _NUMBERED.fullmatch(base)
        root, number = (match[1], int(match[2] or 1)) if match is not None else (base, 1)
        parts[name] = parent, root, number
        family[parent, root].append(name)
    candidates: dict[str, list[str]] = {}
    for place, name in enumerate(workers):
        parent, root, number = parts[name]
        several = len(family[parent, root]) > 1 or number > 1
        short = root if not several else f"{root}#{number}" if root[-1:].isdigit() else (
            f"{root}-{number}"
        )  # fmt: skip
        names = [short]
        if told.get(name):
            names.insert(0, told[name])
        if test and not place:
            names.insert(0, TEST)
        above = parts[parent][1] if parent else ""
        if above:
            names.append(f"{above}/{short}")
        candidates[name] = [*dict.fromkeys([*names, name])]
    return unique(candidates)


def _split(name: str, known: Collection[str]) -> tuple[str, str]:
    """The worker that has started this one, "" for none, and what it is called there."""
    end = len(name)
    while (end := name.rfind("/", 0, end)) > 0:
        if name[:end] in known:
            return name[:end], name[end + 1 :]
    return "", name
