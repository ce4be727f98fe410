"""Classes whose calls have a limit of time: right ones, and each once more with one bug, which is
seen only where that is over just as another call is at work."""

from __future__ import annotations

import asyncio
import threading
from collections import deque


class PermitRight:
    """One permit, which a release hands to who waits first."""

    def __init__(self) -> None:
        self._free = 1
        self._lock = threading.Lock()
        self._waiters: deque[threading.Event] = deque()

    def acquire(self, timeout: float | None = None) -> bool:
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            handed = threading.Event()
            self._waiters.append(handed)
        return handed.wait(timeout) or self._late(handed)

    def _late(self, handed: threading.Event) -> bool:
        with self._lock:
            if handed not in self._waiters:
                return True  # it has been handed the permit since then
            self._waiters.remove(handed)
            return False

    def release(self) -> None:
        with self._lock:
            if self._waiters:
                self._waiters.popleft().set()
            else:
                self._free += 1


class PermitWrong(PermitRight):
    def _late(self, handed: threading.Event) -> bool:
        if super()._late(handed):
            self.release()  # it gives back what it then says that it has
            return True
        return False


class LeakRight(PermitRight):
    """The same; its bug: a permit that comes too late is nobody's."""


class LeakWrong(PermitRight):
    def _late(self, handed: threading.Event) -> bool:
        super()._late(handed)
        return False


class SlotsRight:
    """A giver puts its item into the slot of who waits first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._came = threading.Condition(self._lock)
        self._items: deque[int] = deque()
        self._slots: deque[list[int]] = deque()

    def put(self, item: int) -> None:
        with self._lock:
            if self._slots:
                self._slots.popleft().append(item)
                self._came.notify_all()
            else:
                self._items.append(item)

    def get(self, timeout: float | None = None) -> int | None:
        with self._lock:
            if self._items:
                return self._items.popleft()
            slot: list[int] = []
            self._slots.append(slot)
            self._came.wait_for(lambda: slot, timeout)
            if slot:
                return slot[0]
            self._slots.remove(slot)
            return None


class SlotsWrong(SlotsRight):
    def get(self, timeout: float | None = None) -> int | None:
        with self._lock:
            if self._items:
                return self._items.popleft()
            slot: list[int] = []
            self._slots.append(slot)
            came = self._came.wait_for(lambda: slot, timeout)
        if came:
            return slot[0]
        with self._lock:  # an item that has come since then is nobody's
            if slot in self._slots:
                self._slots.remove(slot)
        return None


class HandedRight:
    """A giver hands its item to the task that waits first."""

    def __init__(self) -> None:
        self._items: deque[int] = deque()
        self._waiters: deque[asyncio.Future[int]] = deque()

    def put(self, item: int) -> None:
        if not self._handed(item):
            self._items.append(item)

    def _handed(self, item: int) -> bool:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(item)
                return True
        return False

    async def take(self) -> int:
        if self._items:
            return self._items.popleft()
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                item = waiter.result()
                if not self._handed(item):
                    self._items.appendleft(item)
            raise


class HandedWrong(HandedRight):
    async def take(self) -> int:
        if self._items:
            return self._items.popleft()
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return await waiter  # who is cancelled has the item already


class MailboxRight:
    """The same with a limit of its own."""

    def __init__(self) -> None:
        self._items = HandedRight()

    async def put(self, item: int) -> None:
        self._items.put(item)

    async def get(self, timeout: float | None = None) -> int | None:
        try:
            return await asyncio.wait_for(self._items.take(), timeout)
        except TimeoutError:
            return None


class MailboxWrong(MailboxRight):
    def __init__(self) -> None:
        self._items = HandedWrong()


class OutboxRight:
    """Room for one item; who has waited in vain for some has put nothing."""

    def __init__(self) -> None:
        self._items: asyncio.Queue[int] = asyncio.Queue(1)

    async def put(self, item: int, timeout: float | None = None) -> bool:
        try:
            async with asyncio.timeout(timeout):
                await self._items.put(item)
        except TimeoutError:
            return False
        return True

    def get(self) -> int:
        return self._items.get_nowait()


class OutboxWrong(OutboxRight):
    async def put(self, item: int, timeout: float | None = None) -> bool:
        try:
            async with asyncio.timeout(timeout):
                await self._items.put(item)
                await asyncio.sleep(0)  # whose time is up here has put it all the same
        except TimeoutError:
            return False
        return True


class Refilled:
    """A bucket that time fills again: what a limit of time does there cannot be judged."""

    def __init__(self) -> None:
        self._next = 0.0

    async def acquire(self) -> float:
        now = asyncio.get_running_loop().time()
        wait = self._next - now
        self._next = max(self._next, now) + 2
        if wait > 0:
            await asyncio.sleep(wait)
        return round(max(wait, 0))

    def refill(self) -> None:
        self._next = 0.0


class Emptied:
    """Who is woken finds nothing where another one has come first."""

    def __init__(self) -> None:
        self._came = threading.Condition()
        self._items: list[int] = []

    def put(self, item: int) -> None:
        with self._came:
            self._items.append(item)
            self._came.notify()

    def get(self) -> int:
        with self._came:
            if not self._items:
                self._came.wait()
            return self._items.pop()

    def broken(self) -> None:
        raise LookupError


NAMES = tuple(name.removesuffix("Right") for name in list(globals()) if name.endswith("Right"))
THREADS = ("Slots", "Permit", "Leak")
