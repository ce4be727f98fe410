"""The stable names of a trace of real code, taken apart.

``Account#1@withdraw[0].items[]`` is what an object of class ``Account`` that worker
``withdraw[0]`` met has as ``items``; ``_cond@pool.py:41#2 of test`` is the second object that
worker ``test`` made at that line. Names that have neither form are left whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

__all__ = ["CREATED", "MET", "OTHER", "Parts", "Taker"]

#: What a name is of: an object of a class, one that was made at a place, anything else.
MET, CREATED, OTHER = "met", "created", "other"

_CLASS: Final = re.compile(r"([^\W\d]\w*)#(\d+)")
_MADE: Final = re.compile(r"(shared:)?([^@]+)@(.+?:\d+)(#\d+)?(?= of |[.'\[]|$)")


class Parts(NamedTuple):
    """``label``: the stable name of the object itself, which ``rest`` follows (``.items[]``).

    ``word``: its class, or what its name says (a guess of the source line, for what was created);
    ``number``: of that, 0 for none; ``at``: where it was created; ``worker``: who met or made it,
    "" where that was not said.
    """

    kind: str
    label: str
    rest: str
    word: str
    number: int = 0
    at: str = ""
    worker: str = ""


class Taker:
    """Takes names apart. ``workers``: the stable names of the workers, which stand in others."""

    def __init__(self, workers: Iterable[str]) -> None:
        self._workers: Sequence[str] = sorted(workers, key=len, reverse=True)

    def parts(self, name: str) -> Parts:
        """The parts of the stable name of an object."""
        met = _CLASS.match(name)
        if met is not None:
            end = met.end()
            worker = ""
            if name[end : end + 1] == "@":
                worker = self._worker(name, end + 1)
                end += 1 + len(worker) if worker else 0
            if name[end : end + 1] in ("", ".", "["):
                number = int(met[2])
                return Parts(MET, name[:end], name[end:], met[1], number, "", worker)
        made = _MADE.match(name)
        if made is not None:
            end = made.end()
            worker = ""
            if name.startswith(" of ", end):
                worker = self._worker(name, end + 4)
                end += 4 + len(worker) if worker else 0
            number = int((made[4] or "#0")[1:])
            return Parts(CREATED, name[:end], name[end:], made[2], number, made[3], worker)
        return Parts(OTHER, name, "", name)

    def _worker(self, name: str, start: int) -> str:
        """The longest name of a worker that stands there, followed by an end."""
        for worker in self._workers:
            end = start + len(worker)
            if name.startswith(worker, start) and name[end : end + 1] in ("", ".", "[", "'", " "):
                return worker
        return ""
