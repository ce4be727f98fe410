"""Where every schedule counts and draws from the same beginning.

Counters of the standard library from which threads and pools get their names, the generator of the
``random`` module, the last UUIDs, and what loggers remember. What a schedule changes of the process
is put back by ``state``.
"""

from __future__ import annotations

import _random
import contextlib
import ctypes
import itertools
import logging
import random
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

_generator: Final[Any] = random._inst
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
#: What ``random.seed`` does with a number, in C.
_seed: Final = _random.Random.seed
_FourWords: Final = ctypes.c_uint32 * 4


def _place(generator: Any) -> Any:
    """How many words a generator has given of its state, and the first three of these: the one
    changes with each number, the others where it begins anew, and with another seed (but for the
    very first). CPython has them side by side.
    """
    return _FourWords.from_address(id(generator) + object.__basicsize__)


def _place_is_seen() -> bool:
    if sys.implementation.name != "cpython" or _random.Random.__basicsize__ < 4 * _WORDS:
        return False
    generator = random.Random(_SEED)
    place = _place(generator)
    seeded = place[:]
    generator.random()
    return bool(seeded[0] == _WORDS and place[0] == 2 and place[1] != seeded[1])


#: Words of the state of a generator.
_WORDS: Final = 624
_PLACE_SEEN: Final = _place_is_seen()


#: The levels that loggers are asked for.
_LEVELS: Final = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)


def _remember_levels() -> None:
    """Let loggers remember for which levels they are enabled. Who asks one for the first time takes
    the lock of ``logging``, which would be a step, and who asks again does not: a schedule would
    begin with what the last one, or the rest of the process, has left there.
    """
    root = logging.root
    for logger in (root, *root.manager.loggerDict.values()):
        known = getattr(logger, "_cache", None)  # one that is there for its children has none
        if known is None or tuple(known) == _LEVELS:
            continue
        known.clear()
        with contextlib.suppress(Exception):  # of a class of the program's
            for level in _LEVELS:
                logging.Logger.isEnabledFor(logger, level)  # type: ignore[arg-type]


def temporary_names() -> None:
    """Let ``tempfile`` have its own generator of names in this process, which it makes when it is
    asked first, anew after a fork. Made under control it would begin with the same names each time,
    all of which earlier schedules may have left behind: to find a new one would take as many tries
    as there were schedules."""
    next(tempfile._get_candidate_names())  # type: ignore[attr-defined]


class Afresh:
    """All of that for one exploration, which ends with ``close``.

    ``drew``: some schedule has drawn random numbers from the module's own generator.
    """

    def __init__(self) -> None:
        temporary_names()
        self.drew = False
        self._random = random.getstate()
        #: Where the generator is, if that can be seen, and where it is when a schedule begins.
        self._place: Any = _place(_generator) if _PLACE_SEEN else ()
        self._seeded = b""
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
        if not self._seeded or bytes(self._place) != self._seeded:
            _seed(_generator, _SEED)  # which takes as long as three steps of a worker
            self._seeded = bytes(self._place)
        _generator.gauss_next = None
        _remember_levels()

    def end(self) -> None:
        """It has ended."""
        if not self.drew:
            seen = bytes(self._place)
            self.drew = seen != self._seeded if seen else random.random() != _FIRST

    def close(self) -> None:
        """The exploration is over: the process goes on as if there had been none."""
        for owner, name, counter, _, _ in self._counters:
            setattr(owner, name, counter)
        self._uuid.update(self._last)
        random.setstate(self._random)
