"""A connection pool of asyncio: the twin of ``pool_threads``, with the same mistake."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Connection:
    """A connection to the server."""

    def __init__(self, number: int) -> None:
        self.number = number

    async def execute(self, statement: str) -> str:
        await asyncio.sleep(0.01)
        return f"{statement} by connection {self.number}"


class Pool:
    """At most ``size`` connections, which are lent to one user at a time."""

    def __init__(self, size: int) -> None:
        self._cond = asyncio.Condition()
        self._idle: deque[Connection] = deque()
        self._size = size
        self._made = 0

    async def acquire(self) -> Connection:
        """A connection that nobody else has; waits until there is one."""
        async with self._cond:
            if not self._idle and self._made < self._size:
                self._made += 1
                return Connection(self._made)
            if not self._idle:
                await self._cond.wait()
            return self._idle.popleft()

    async def release(self, connection: Connection) -> None:
        """Give a connection back."""
        async with self._cond:
            self._idle.append(connection)
            self._cond.notify()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for the time of an ``async with`` statement."""
        found = await self.acquire()
        try:
            yield found
        finally:
            await self.release(found)
