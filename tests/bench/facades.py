"""What stands between an audit and libraries whose classes are used by way of something else: one
method for each thing that a user of theirs writes in several lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from typing import Any


def library(name: str) -> Any:
    """A module, which need not be there when this one is imported."""
    return importlib.import_module(name)


class ReadWriteLock:
    """aiorwlock: the two locks of one object."""

    def __init__(self) -> None:
        self._lock = library("aiorwlock").RWLock()

    async def acquire_read(self) -> Any:
        return await self._lock.reader.acquire()

    async def acquire_write(self) -> Any:
        return await self._lock.writer.acquire()

    def release_read(self) -> Any:
        return self._lock.reader.release()

    def release_write(self) -> Any:
        return self._lock.writer.release()

    def locked(self) -> Any:
        return self._lock.reader.locked, self._lock.writer.locked


class CachedFunction:
    """async_lru: a function whose results are kept, the last two of them."""

    def __init__(self) -> None:
        self.made = 0

        async def work(key: str) -> str:
            await asyncio.sleep(0)
            self.made += 1
            return f"{key}{self.made}"

        self._function = library("async_lru").alru_cache(maxsize=2)(work)

    async def call(self, key: str) -> str:
        result: str = await self._function(key)
        return result

    def cache_invalidate(self, key: str) -> bool:
        return bool(self._function.cache_invalidate(key))

    def cache_clear(self) -> None:
        self._function.cache_clear()

    async def cache_close(self) -> None:
        await self._function.cache_close()

    def currsize(self) -> int:
        return int(self._function.cache_info().currsize)


class MemoryCache:
    """aiocache: its cache in memory, with one item that is counted."""

    def __init__(self) -> None:
        self._cache = library("aiocache").SimpleMemoryCache()

    async def get(self, key: str) -> Any:
        return await self._cache.get(key)

    async def add(self, key: str, value: int) -> Any:
        return await self._cache.add(key, value)

    async def set(self, key: str, value: int) -> Any:
        return await self._cache.set(key, value)

    async def delete(self, key: str) -> Any:
        return await self._cache.delete(key)

    async def increment(self, key: str) -> Any:
        return await self._cache.increment(key)

    async def exists(self, key: str) -> Any:
        return await self._cache.exists(key)


class MemoryLock:
    """aiocache's RedLock on its cache in memory."""

    def __init__(self) -> None:
        module = library("aiocache.lock")
        cache = library("aiocache").SimpleMemoryCache()
        self._make = lambda: module.RedLock(cache, "k", lease=60)
        self._held: list[Any] = []

    async def acquire(self) -> None:
        lock = self._make()
        await lock.__aenter__()
        self._held.append(lock)

    async def release(self) -> None:
        if not self._held:
            raise RuntimeError("not held")
        await self._held.pop().__aexit__(None, None, None)


class Breaker:
    """purgatory: calls through a circuit breaker that opens after two failures."""

    def __init__(self) -> None:
        factory = library("purgatory").AsyncCircuitBreakerFactory(default_threshold=1)
        self._factory = factory

    async def succeed(self) -> str:
        async with await self._factory.get_breaker("b"):
            await asyncio.sleep(0)
        return "done"

    async def fail(self) -> str:
        try:
            async with await self._factory.get_breaker("b"):
                await asyncio.sleep(0)
                raise ValueError("failed")
        except ValueError:
            return "failed"

    async def state(self) -> str:
        breaker = await self._factory.get_breaker("b")
        return type(breaker.context._state).__name__


class OtherBreaker:
    """aiobreaker: the same."""

    def __init__(self) -> None:
        self._breaker = library("aiobreaker").CircuitBreaker(fail_max=2)

    async def succeed(self) -> str:
        async def work() -> str:
            await asyncio.sleep(0)
            return "done"

        result: str = await self._breaker.call_async(work)
        return result

    async def fail(self) -> str:
        async def work() -> None:
            await asyncio.sleep(0)
            raise ValueError("failed")

        with contextlib.suppress(ValueError):
            await self._breaker.call_async(work)
        return "failed"

    def state(self) -> str:
        return str(self._breaker.current_state)

    def failures(self) -> int:
        return int(self._breaker.fail_counter)


class CachedProperty:
    """asyncstdlib: a property that is awaited, and made once."""

    def __init__(self) -> None:
        made = [0]

        async def value(self: Any) -> int:
            await asyncio.sleep(0)
            made[0] += 1
            return made[0]

        module = library("asyncstdlib")
        kind = type("Owner", (), {"value": module.cached_property(asyncio.Lock)(value)})
        kind.value.__set_name__(kind, "value")
        self._owner = kind()

    async def value(self) -> int:
        result: int = await self._owner.value
        return result


async def async_queue(kind: str = "Queue") -> Any:
    """janus: the side of the tasks of a queue of one item."""
    return getattr(library("janus"), kind)(1).async_q
