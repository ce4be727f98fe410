"""Classes of coroutines to be audited: right ones, and each once more with one bug, most of which
only a cancellation brings to light."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any


class CounterRight:
    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._number = 0

    async def increment(self) -> int:
        async with self._lock:
            number = self._number
            await asyncio.sleep(0)
            self._number = number + 1
            return self._number

    def value(self) -> int:
        return self._number


class CounterWrong(CounterRight):
    async def increment(self) -> int:
        number = self._number
        await asyncio.sleep(0)
        self._number = number + 1
        return self._number


class SemaphoreRight:
    """Of one permit, which a release hands to the first who waits."""

    def __init__(self) -> None:
        self._free = 1
        self._waiters: deque[asyncio.Future[None]] = deque()

    async def acquire(self) -> None:
        if self._free:
            self._free -= 1
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.release()  # it had been handed the permit
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            raise

    def release(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1


class GateRight(SemaphoreRight):
    """The same; its bug: a release may have taken the waiter out before its task runs."""


class GateWrong(SemaphoreRight):
    async def acquire(self) -> None:
        if self._free:
            self._free -= 1
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.release()
            else:
                self._waiters.remove(waiter)
            raise


class SemaphoreWrong(SemaphoreRight):
    async def acquire(self) -> None:
        if self._free:
            self._free -= 1
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter  # who is cancelled when it was handed the permit keeps it


class QueueRight:
    def __init__(self) -> None:
        self._items: asyncio.Queue[Any] = asyncio.Queue()

    async def put(self, item: Any) -> None:
        await self._items.put(item)

    async def get(self) -> Any:
        return await self._items.get()

    def size(self) -> int:
        return self._items.qsize()


class QueueWrong(QueueRight):
    async def get(self) -> Any:
        item = await self._items.get()
        await asyncio.sleep(0)  # who is cancelled here has taken the item
        return item


class PoolRight:
    """Two connections, each of which is tried before it is given out."""

    def __init__(self) -> None:
        self._idle = 2
        self._closed = False

    async def acquire(self) -> None:
        if self._closed or not self._idle:
            raise RuntimeError("none")
        self._idle -= 1
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self._idle += 1
            raise

    async def close(self) -> None:
        self._closed = True


class PoolWrong(PoolRight):
    async def acquire(self) -> None:
        if self._closed or not self._idle:
            raise RuntimeError("none")
        self._idle -= 1
        await asyncio.sleep(0)  # who is cancelled here keeps it


class OnceRight:
    """A value that is made at first use."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._value: object | None = None

    async def value(self) -> object:
        async with self._lock:
            if self._value is None:
                await asyncio.sleep(0)
                self._value = object()
            return self._value


class OnceWrong(OnceRight):
    async def value(self) -> object:
        if self._value is None:
            await asyncio.sleep(0)
            self._value = object()
        return self._value


class AccountsRight:
    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._balance = [10, 10]

    async def move(self) -> None:
        async with self._lock:
            await asyncio.sleep(0)
            self._balance = [self._balance[0] - 1, self._balance[1] + 1]

    async def balance(self) -> list[int]:
        async with self._lock:
            return list(self._balance)


class AccountsWrong(AccountsRight):
    async def move(self) -> None:
        async with self._lock:
            self._balance[0] -= 1
            await asyncio.sleep(0)  # who is cancelled here leaves it half done
            self._balance[1] += 1


class ServerRight:
    """Something that is closed once, and says when."""

    def __init__(self) -> None:
        self._closing: asyncio.Future[None] | None = None
        self.closed = 0

    async def close(self) -> int:
        if self._closing is not None:
            await asyncio.shield(self._closing)
            return self.closed
        self._closing = asyncio.get_running_loop().create_future()
        self.closed += 1
        self._closing.set_result(None)
        return self.closed

    async def ask(self) -> str:
        if self._closing is not None:
            raise RuntimeError("closed")
        return "answer"


class ServerWrong(ServerRight):
    async def close(self) -> int:
        if self._closing is None:
            await asyncio.sleep(0)
            self._closing = asyncio.get_running_loop().create_future()
            self.closed += 1
        return self.closed


NAMES = tuple(name.removesuffix("Right") for name in list(globals()) if name.endswith("Right"))
