"""Where every schedule counts and draws from the same beginning.

Counters of the standard library from which threads and pools get their names, the generator of the
``random`` module, and the last UUIDs. What a schedule changes of the process is put back by
``state``.
"""

from __future__ import annotations

import _random
import itertools
import random
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

#: What ``random.seed`` does with a number, in C.
_generator: Final[Any] = random._inst
_seed: Final = _random.Random.seed
#: Owner, attribute, the first number, and whether it is the counter's own ``__next__``.
_COUNTERS: Final = (
    (threading, "_counter", 1, True),
    (ThreadPoolExecutor, "_counter", 0, True),
    ("multiprocessing.process", "_process_counter", 1, False),
)
#: What the ``uuid`` module remembers of the last one that it made, and what it begins with.
_LAST: Final = {
    "_last_timestamp": None, "_last_timestamp_v6": None, "_last_timestamp_v7": None,
    "_last_counter_v7": 0,
}  # fmt: skip
#: With what the generator of ``random`` begins in each schedule, and its first number then.
_SEED: Final = 1_700_000_000
_FIRST: Final = random.Random(_SEED).random()


class Afresh:
    """All of that for one exploration, which ends with ``close``.

    ``drew``: some schedule has drawn random numbers from the module's own generator.
    """

    def __init__(self) -> None:
        next(tempfile._get_candidate_names())  # type: ignore[attr-defined]  # its own generator
        self.drew = False
        self._random = random.getstate()
        #: Owner, attribute, the counter that was there, the first number, ``__next__`` or not.
        self._counters: list[tuple[Any, str, Any, int, bool]] = []
        for module, name, first, own in _COUNTERS:
            owner = sys.modules.get(module) if isinstance(module, str) else module
            if owner is not None and hasattr(owner, name):
                self._counters.append((owner, name, vars(owner)[name], first, own))
        uuid = sys.modules.get("uuid")
        self._uuid: dict[str, Any] = vars(uuid) if uuid is not None else {}
        self._last = {name: self._uuid[name] for name in _LAST if name in self._uuid}

    def begin(self) -> None:
        """A schedule begins."""
        for owner, name, _, first, own in self._counters:
            count = itertools.count(first)
            setattr(owner, name, count.__next__ if own else count)
        for name in self._last:
            self._uuid[name] = _LAST[name]
        _seed(_generator, _SEED)
        _generator.gauss_next = None

    def end(self) -> None:
        """It has ended."""
        self.drew = self.drew or random.random() != _FIRST

    def close(self) -> None:
        """The exploration is over: the process goes on as if there had been none."""
        for owner, name, counter, _, _ in self._counters:
            setattr(owner, name, counter)
        self._uuid.update(self._last)
        random.setstate(self._random)
