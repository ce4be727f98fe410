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
