"""agronholm/anyio PR #1145 (fixed in 4.14.0): release() skips a cancelled waiter but leaves it
queued; the next task queues behind it for ever.
Kind: lost wakeup through cancellation (needs cancel, release and acquire in one loop
iteration).
Lines: anyio/_backends/_asyncio.py Lock.release 'for task, fut in self._waiters' / acquire 'if
self._owner_task is None and not self._waiters' / 'self._waiters.remove(item)'.
"""

import asyncio

import anyio


async def tick(s, tag, default):
    for _ in range(s["ticks"].get(tag, default)):
        await asyncio.sleep(0)


def setup():
    return {"lock": anyio.Lock(), "n": 0}


async def canceller(s):
    await tick(s, "cancel", 3)
    s["tasks"][2].cancel()


async def holder(s):
    async with s["lock"]:
        await tick(s, "hold", 6)


async def waiter(s):
    async with s["lock"]:
        pass


async def late(s):
    await tick(s, "late", 12)
    async with s["lock"]:
        s["n"] += 1


workers = [canceller, holder, waiter, late]


def check(s):
    assert s["n"] == 1
