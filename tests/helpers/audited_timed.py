"""Classes to be audited whose calls sleep, look at the clock or wait for some time only: some that
are right, and each of them once more with one bug."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any


class LimiterRight:
    """One call in each minute; each is told how long it has waited."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 0.0

    def acquire(self) -> float:
        with self._lock:
            now = time.monotonic()
            at = max(now, self._next)
            self._next = at + 60
        time.sleep(at - now)
        return at - now


class LimiterWrong(LimiterRight):
    def acquire(self) -> float:
        now = time.monotonic()
        at = max(now, self._next)
        with self._lock:
            self._next = at + 60
        time.sleep(at - now)
        return at - now


class BucketRight:
    """One token, one more in each second; who finds none waits, once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens, self._at = 1.0, time.monotonic()

    def take(self) -> str:
        if self._taken():
            return "at once"
        time.sleep(1)
        return "later" if self._taken() else "no"

    def _taken(self) -> bool:
        with self._lock:
            now = time.monotonic()
            self._tokens = min(1.0, self._tokens + now - self._at)
            self._at = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


class BucketWrong(BucketRight):
    def _taken(self) -> bool:
        now = time.monotonic()
        tokens = min(1.0, self._tokens + now - self._at)
        self._at = now
        if tokens < 1:
            return False
        with self._lock:
            self._tokens = tokens - 1
        return True


class ExpiringRight:
    """A value that is good for two seconds, and takes one to be made."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made = 0
        self._until = 0.0

    def get(self) -> int:
        with self._lock:
            if time.monotonic() >= self._until:
                time.sleep(1)
                self._made += 1
                self._until = time.monotonic() + 2
            return self._made

    def forget(self) -> None:
        with self._lock:
            self._until = 0.0

    def age(self) -> float:
        with self._lock:
            return max(0.0, self._until - time.monotonic())


class ExpiringWrong(ExpiringRight):
    def get(self) -> int:
        if time.monotonic() >= self._until:
            time.sleep(1)  # others do so, too
            with self._lock:
                self._made += 1
                self._until = time.monotonic() + 2
        return self._made


class ImpatientRight:
    """Works for two seconds at most once at a time; who waits for a second gives up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.done = 0

    def work(self) -> bool:
        if not self._lock.acquire(timeout=1):
            return False
        done = self.done
        time.sleep(2)
        self.done = done + 1
        self._lock.release()
        return True

    def how_many(self) -> int:
        return self.done


class ImpatientWrong(ImpatientRight):
    def work(self) -> bool:
        mine = self._lock.acquire(timeout=1)  # and goes on all the same
        done = self.done
        time.sleep(2)
        self.done = done + 1
        if mine:
            self._lock.release()
        return True


class PollingRight:
    """A flag that is taken by whoever finds it free, within a second."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free = True

    def take(self) -> bool:
        until = time.monotonic() + 1
        while True:
            with self._lock:
                if self._free:
                    self._free = False
                    return True
            if time.monotonic() >= until:
                return False
            time.sleep(0.5)

    def give(self) -> None:
        with self._lock:
            self._free = True


class PollingWrong(PollingRight):
    def take(self) -> bool:
        until = time.monotonic() + 1
        while not self._free:
            if time.monotonic() >= until:
                return False
            time.sleep(0.5)
        with self._lock:
            self._free = False
        return True


class SlowRight:
    """Counts under a lock, and sleeps meanwhile; tells how long that took."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def add(self) -> Any:
        begun = time.perf_counter()
        with self._lock:
            count = self._count
            time.sleep(0.5)
            self._count = count + 1
        return self._count > 0, time.perf_counter() - begun

    def count(self) -> int:
        with self._lock:
            return self._count


class SlowWrong(SlowRight):
    def add(self) -> Any:
        begun = time.perf_counter()
        count = self._count
        time.sleep(0.5)
        with self._lock:
            self._count = count + 1
        return self._count > 0, time.perf_counter() - begun


class MeetingRight:
    """Two calls that wait for each other after a sleep, for a minute at most."""

    def __init__(self) -> None:
        self._barrier = threading.Barrier(2)

    def meet(self) -> bool:
        time.sleep(1)
        try:
            self._barrier.wait(60)
        except threading.BrokenBarrierError:
            return False
        return True


class AsyncSlowRight:
    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._count = 0

    async def add(self) -> int:
        async with self._lock:
            count = self._count
            await asyncio.sleep(0.5)
            self._count = count + 1
            return self._count

    async def count(self) -> int:
        return self._count


class AsyncSlowWrong(AsyncSlowRight):
    async def add(self) -> int:
        count = self._count
        await asyncio.sleep(0.5)
        self._count = count + 1
        return self._count


class AsyncLimiterRight:
    def __init__(self) -> None:
        self._next = 0.0

    async def through(self) -> float:
        now = time.monotonic()
        at = max(now, self._next)
        self._next = at + 60
        await asyncio.sleep(at - now)
        return at - now


class AsyncLimiterWrong(AsyncLimiterRight):
    async def through(self) -> float:
        now = time.monotonic()
        at = max(now, self._next)
        await asyncio.sleep(at - now)
        self._next = at + 60
        return at - now


class AsyncImpatientRight:
    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self.done = 0

    async def work(self) -> bool:
        try:
            await asyncio.wait_for(self._lock.acquire(), 1)
        except TimeoutError:
            return False
        done = self.done
        await asyncio.sleep(2)
        self.done = done + 1
        self._lock.release()
        return True
