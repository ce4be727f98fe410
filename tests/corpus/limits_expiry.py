"""alisaifee/limits issue #277 (fixed in 5.3.0): the async MemoryStorage computes what to keep in a
thread, outside the lock, and cuts later.
Kind: check-then-act across an await (task + executor thread): fresh entries are dropped, the
rate limit is not enforced.
Lines: limits/aio/storage/memory.py __expire_events 'cutoff = await asyncio.to_thread(...)' /
'self.events[key] = self.events[key][:cutoff]' vs acquire_entry 'self.events[key][:0] =
[Entry(expiry)] * amount'.
"""

import asyncio

import limits


async def tick(s, tag, default):
    for _ in range(s["ticks"].get(tag, default)):
        await asyncio.sleep(0)


def setup():
    st = limits.storage.storage_from_string("async+memory://")
    return {
        "lim": limits.aio.strategies.MovingWindowRateLimiter(st),
        "st": st,
        "item": limits.parse("2/day"),
        "ok": 0,
    }


def hit(tag):
    async def w(s):
        if tag:
            await tick(s, tag, 0)
            await asyncio.sleep(0.02 if tag not in s["ticks"] else 0)
        if await s["lim"].hit(s["item"], "user"):
            s["ok"] += 1

    return w


async def last(s):
    await asyncio.sleep(0.05)
    for _ in range(2):
        if await s["lim"].hit(s["item"], "user"):
            s["ok"] += 1


workers = [hit(None), hit("b"), last]


def check(s):
    assert s["ok"] == 2, f"{s['ok']} hits allowed, limit is 2 a day"
