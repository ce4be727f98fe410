"""async-lru 2.0.3: the cache is cleared while a call is under way, whose end then fails."""

import asyncio

KINDS = {"order-violation", "interference", "check-then-act"}
BACKEND = "asyncio"


class Cache:
    def __init__(self):
        self.pending = set()

    async def call(self):
        self.pending.add("call")
        await asyncio.sleep(0)
        self.pending.remove("call")  # mend: self.pending.discard("call")

    def clear(self):
        self.pending.clear()


def setup():
    return Cache()


async def caller(cache):
    await cache.call()


async def clearer(cache):
    cache.clear()


workers = [caller, clearer]
