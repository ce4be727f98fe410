"""aiohttp 3.14.5: a waiter that is woken and cancelled does not pass its wake-up on."""

import asyncio
import collections

KINDS = {"lost-wakeup"}
BACKEND = "asyncio"


class Semaphore:
    def __init__(self):
        self.free = False
        self.waiters = collections.deque()

    async def acquire(self):
        while not self.free:
            future = asyncio.get_running_loop().create_future()
            self.waiters.append(future)
            try:
                await future
            except asyncio.CancelledError:
                raise  # mend: self.wake(); raise
        self.free = False

    def wake(self):
        while self.waiters:
            future = self.waiters.popleft()
            if not future.done():
                future.set_result(None)
                break

    def release(self):
        self.free = True
        self.wake()


async def setup():
    return Semaphore()


async def main(semaphore):
    first = asyncio.create_task(semaphore.acquire())
    second = asyncio.create_task(semaphore.acquire())
    for _ in range(3):
        await asyncio.sleep(0)
    semaphore.release()
    first.cancel()
    await asyncio.wait([first, second])


workers = [main]
