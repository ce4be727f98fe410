"""A connection pool of 100 lines, with ``if`` instead of ``while`` round ``Condition.wait``."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class PoolClosed(Exception):
    """The pool gives no connections any more."""


class PoolTimeout(Exception):
    """No connection became free in time."""


class Connection:
    """A connection to the server."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.open = True
        self.uses = 0

    def execute(self, statement: str) -> str:
        if not self.open:
            raise RuntimeError("the connection is closed")
        self.uses += 1
        return f"{statement} by connection {self.number}"

    def close(self) -> None:
        self.open = False


class Pool:
    """At most ``size`` connections, which are lent to one user at a time."""

    def __init__(self, size: int) -> None:
        self._cond = threading.Condition()
        self._idle: deque[Connection] = deque()
        self._size = size
        self._made = 0
        self._closed = False

    def acquire(self) -> Connection:
        """A connection that nobody else has; waits until there is one."""
        with self._cond:
            if self._closed:
                raise PoolClosed("the pool is closed")
            if not self._idle and self._made < self._size:
                self._made += 1
                return Connection(self._made)
            if not self._idle:
                self._cond.wait()
            return self._idle.popleft()

    def release(self, connection: Connection) -> None:
        """Give a connection back."""
        with self._cond:
            if self._closed:
                connection.close()
                return
            self._idle.append(connection)
            self._cond.notify()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection for the time of a ``with`` statement."""
        found = self.acquire()
        try:
            yield found
        finally:
            self.release(found)

    def close(self) -> None:
        """Close what is idle now, and the rest when it is given back."""
        with self._cond:
            self._closed = True
            while self._idle:
                self._idle.popleft().close()
            self._cond.notify_all()

    @property
    def idle(self) -> int:
        """So many connections are there for the next users."""
        with self._cond:
            return len(self._idle)


class Client:
    """Runs statements on connections of a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def query(self, statement: str) -> str:
        with self._pool.connection() as connection:
            return connection.execute(statement)
