"""Classes of coroutines of trio to be audited: right ones, and each once more with one bug."""

from __future__ import annotations

import trio


class CounterRight:
    def __init__(self) -> None:
        self._lock = trio.Lock()
        self._number = 0

    async def increment(self) -> int:
        async with self._lock:
            number = self._number
            await trio.lowlevel.checkpoint()
            self._number = number + 1
            return self._number

    def value(self) -> int:
        return self._number


class CounterWrong(CounterRight):
    async def increment(self) -> int:
        number = self._number
        await trio.lowlevel.checkpoint()
        self._number = number + 1
        return self._number


class SemaphoreRight:
    """Of one permit, which whoever finds it free takes."""

    def __init__(self) -> None:
        self._free = True
        self._lot = trio.lowlevel.ParkingLot()

    async def acquire(self) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._free:
            await self._lot.park()
        self._free = False

    def release(self) -> None:
        self._free = True
        self._lot.unpark_all()


class SemaphoreWrong(SemaphoreRight):
    async def acquire(self) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._free:
            await self._lot.park()
        self._free = False
        await trio.lowlevel.checkpoint()  # cancelled here, nobody has the permit


class MailRight:
    """One message, handed to whoever asks first."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[int](1)

    async def put(self, item: int) -> None:
        await self._send.send(item)

    async def get(self) -> int:
        return await self._receive.receive()


class MailWrong(MailRight):
    async def get(self) -> int:
        item = await self._receive.receive()
        await trio.lowlevel.checkpoint()  # cancelled here, the message is nobody's
        return item


class HandedRight:
    """A giver hands its item to the task that waits first."""

    def __init__(self) -> None:
        self._items: list[int] = []
        self._slots: list[tuple[trio.Event, list[int]]] = []

    def put(self, item: int) -> None:
        if self._slots:
            came, slot = self._slots.pop(0)
            slot.append(item)
            came.set()
        else:
            self._items.append(item)

    async def take(self) -> int:
        if self._items:
            return self._items.pop(0)
        came, slot = trio.Event(), list[int]()
        self._slots.append((came, slot))
        try:
            await came.wait()
        except trio.Cancelled:
            if slot:
                self.put(slot[0])
            else:
                self._slots.remove((came, slot))
            raise
        return slot[0]


class HandedWrong(HandedRight):
    async def take(self) -> int:
        if self._items:
            return self._items.pop(0)
        came, slot = trio.Event(), list[int]()
        self._slots.append((came, slot))
        try:
            await came.wait()
        except trio.Cancelled:
            if not slot:
                self._slots.remove((came, slot))
            raise
        await trio.lowlevel.checkpoint()  # whose time is up here has taken the item
        return slot[0]
