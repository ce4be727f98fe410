"""What stands between an audit and libraries whose classes are used by way of something else: one
method for each thing that a user of theirs writes in several lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import itertools
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


class Condition:
    """asyncio.Condition, with its lock around each call."""

    def __init__(self) -> None:
        self._condition = asyncio.Condition()

    async def wait(self) -> None:
        async with self._condition:
            await self._condition.wait()

    async def notify(self) -> None:
        async with self._condition:
            self._condition.notify()

    def locked(self) -> bool:
        return self._condition.locked()


class Limiter:
    """anyio: a limiter of one token, which is borrowed on behalf of two."""

    def __init__(self) -> None:
        self._limiter = library("anyio").CapacityLimiter(1)

    async def acquire(self, name: str) -> None:
        await self._limiter.acquire_on_behalf_of(name)

    def release(self, name: str) -> None:
        self._limiter.release_on_behalf_of(name)

    def borrowed(self) -> float:
        return float(self._limiter.borrowed_tokens)


class ThreadReadWriteLock:
    """readerwriterlock: a fair lock, as one object."""

    def __init__(self) -> None:
        lock = library("readerwriterlock.rwlock").RWLockFair()
        self._reader, self._writer = lock.gen_rlock(), lock.gen_wlock()

    def acquire_read(self) -> bool:
        return bool(self._reader.acquire())

    def acquire_write(self) -> bool:
        return bool(self._writer.acquire())

    def release_read(self) -> None:
        self._reader.release()

    def release_write(self) -> None:
        self._writer.release()


class Signal:
    """blinker: a signal with two receivers that may come and go."""

    def __init__(self) -> None:
        self._signal = library("blinker").Signal()
        self._heard: list[str] = []

    def _one(self, sender: Any) -> str:
        return "one"

    def connect(self) -> None:
        self._signal.connect(self._one)

    def disconnect(self) -> None:
        self._signal.disconnect(self._one)

    def send(self) -> list[Any]:
        return [result for _, result in self._signal.send("a")]

    def connected(self) -> bool:
        return bool(self._signal.receivers)


class Plugins:
    """pluggy: a manager with two plugins."""

    def __init__(self) -> None:
        self._manager = library("pluggy").PluginManager("p")
        self._plugins = {"a": object(), "b": object()}

    def register(self, name: str) -> Any:
        return self._manager.register(self._plugins[name], name)

    def unregister(self, name: str) -> bool:
        return self._manager.unregister(name=name) is not None

    def set_blocked(self, name: str) -> None:
        self._manager.set_blocked(name)

    def names(self) -> list[str]:
        return sorted(name for name, _ in self._manager.list_name_plugin())


class Region:
    """dogpile.cache: values in memory that are made once."""

    def __init__(self) -> None:
        self._region = library("dogpile.cache").make_region().configure("dogpile.cache.memory")
        self._made = itertools.count(1)

    def _make(self) -> int:
        return next(self._made)

    def get_or_create(self, key: str) -> int:
        return int(self._region.get_or_create(key, self._make))

    def delete(self, key: str) -> None:
        self._region.delete(key)

    def set(self, key: str, value: int) -> None:
        self._region.set(key, value)


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
