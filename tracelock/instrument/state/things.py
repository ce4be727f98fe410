"""Holders of state of particular types: caches, locks, counters, buffers, and what can only be
seen to have changed."""

from __future__ import annotations

import _thread
import functools
import gc
import itertools
import random
import re
from array import array
from collections.abc import Callable
from typing import Any, Final

from tracelock.instrument.state.holders import Holder
from tracelock.instrument.threads.locks import ControlledLock

#: How long a lock that is held between two schedules may take to be let go, in seconds.
_GRACE: Final = 0.02


class Cache(Holder):
    """What a function under ``functools.lru_cache`` remembers. It can be forgotten; entries that
    were there before can be put back only where the cache has no bound."""

    def __init__(self, function: Any, label: str) -> None:
        super().__init__(label)
        self.function = self.thing = function
        self.accept()

    def accept(self) -> None:
        self.entries: Any = None
        self.then = self._now()
        if self.then[0]:
            self.entries = self._unbounded()
        self.whole = not self.then[0] or self.entries is not None
        self.kept = dict(self.entries) if self.entries is not None else {}

    def _now(self) -> tuple[int, int]:
        info = self.function.cache_info()
        return info.currsize, info.misses

    def _unbounded(self) -> Any:
        if self.function.cache_parameters()["maxsize"] is not None:
            return None
        boxes = [one for one in gc.get_referents(self.function) if type(one) is dict]
        own = functools._lru_cache_wrapper.__dict__.get("__dict__")
        names = own.__get__(self.function) if own is not None else None
        boxes = [one for one in boxes if one is not names and len(one) == self.then[0]]
        return boxes[0] if len(boxes) == 1 else None

    def changed(self) -> bool:
        return self._now() != self.then

    def put_back(self) -> None:
        if self.whole:
            self.function.cache_clear()
            if self.entries is not None:
                self.entries.update(self.kept)
        self.then = self._now()


class HeldLock(Holder):
    """A lock that no schedule held when it began: a worker that has ended, or waits for ever, left
    it locked."""

    def __init__(self, lock: Any, label: str) -> None:
        super().__init__(label)
        self.raw = lock.raw if isinstance(lock, ControlledLock) else lock

    def accept(self) -> None:
        self.raw = _thread.allocate_lock()  # whoever holds it means to

    def _locked(self) -> bool:
        return repr(self.raw).startswith("<locked")

    def changed(self) -> bool:
        return self._locked()

    def put_back(self) -> None:
        if type(self.raw) is _thread.LockType and self.raw.acquire(timeout=_GRACE):
            self.raw.release()  # a thread of no schedule had it for a moment
        else:
            self.raw._at_fork_reinit()


class RandomState(Holder):
    """A generator of random numbers of the program's own."""

    def __init__(self, generator: random.Random, label: str) -> None:
        super().__init__(label)
        self.generator = generator
        self.then = generator.getstate()

    def changed(self) -> bool:
        return self.generator.getstate() != self.then

    def accept(self) -> None:
        self.then = self.generator.getstate()

    def put_back(self) -> None:
        self.generator.setstate(self.then)


class Counter(Holder):
    """An ``itertools.count``, which cannot be set: another takes its place in all that hold it.
    ``held``: it, and its ``__next__`` where that is held."""

    def __init__(self, count: Any, label: str) -> None:
        super().__init__(label)
        self.count = count
        self.then = repr(count)
        self.held: list[tuple[Holder, Any]] = []

    @staticmethod
    def plain(count: Any) -> bool:
        """Whether it counts whole numbers, so that it can be made again."""
        return _COUNT.fullmatch(repr(count)) is not None

    def changed(self) -> bool:
        return repr(self.count) != self.then

    def accept(self) -> None:
        self.then = repr(self.count)

    def put_back(self) -> None:
        match = _COUNT.fullmatch(self.then)
        assert match is not None
        fresh = itertools.count(*(int(part) for part in match.groups() if part is not None))
        held = []
        for holder, old in self.held:
            new = fresh if old is self.count else fresh.__next__
            holder.exchange(old, new)
            held.append((holder, new))
        self.count, self.held = fresh, held


_COUNT: Final = re.compile(r"count\((-?\d+)(?:, (-?\d+))?\)")


class Buffer(Holder):
    """Text or bytes in memory, written like a file; or an array."""

    def __init__(self, buffer: Any, label: str) -> None:
        super().__init__(label)
        self.buffer = self.thing = buffer
        self.then = self._now()

    def _now(self) -> Any:
        buffer = self.buffer
        if type(buffer) is array:
            return buffer[:]
        return None if buffer.closed else (buffer.getvalue(), buffer.tell())

    def changed(self) -> bool:
        now = self._now()
        self.whole = now is not None or self.then is None
        return bool(now != self.then)

    def accept(self) -> None:
        self.then = self._now()

    def put_back(self) -> None:
        buffer = self.buffer
        if type(buffer) is array:
            buffer[:] = self.then
        elif self.then is not None and not buffer.closed:
            text, place = self.then
            buffer.seek(0)
            buffer.truncate()
            buffer.write(text)
            buffer.seek(place)


class Watched(Holder):
    """Something that cannot be put back: an object of a library, a generator. ``probe`` gives
    parts of it that differ, by identity or value, when it has changed."""

    whole = False
    settles = True

    def __init__(self, thing: Any, probe: Callable[[], list[Any]], label: str) -> None:
        super().__init__(label)
        self.thing = thing
        self.probe = probe
        self.then = probe()
        self.size = len(self.then)

    def changed(self) -> bool:
        now = self.probe()
        return len(now) != len(self.then) or not all(
            one is other or (type(one) is type(other) is int and one == other)
            for one, other in zip(now, self.then, strict=True)
        )

    def accept(self) -> None:
        self.then = self.probe()

    put_back = accept
