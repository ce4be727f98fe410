"""limits 5.2.0: what is kept is computed before an await and used after it, outside the lock."""

import asyncio
import contextlib

KINDS = {"check-then-act", "lost-update", "interference", "atomicity-violation"}
BACKEND = "asyncio"


class Storage:
    def __init__(self):
        self.lock = asyncio.Lock()
        self.events = [1]

    async def expire(self):
        async with contextlib.AsyncExitStack():  # mend: async with self.lock:
            kept = len(self.events) - 1
            await asyncio.sleep(0)
            self.events = self.events[:kept]

    async def hit(self):
        async with self.lock:
            self.events = [2, *self.events]


async def setup():
    return Storage()


async def expire(storage):
    await storage.expire()


async def hit(storage):
    await storage.hit()


workers = [expire, hit]


def check(storage):
    assert 2 in storage.events, storage.events
