"""CPython gh-112202 (3.11.7 and 3.12.1 have it, 3.13.0 does not): Condition.notify() is lost when
the notified task is cancelled before it runs.
Kind: lost wakeup / cancellation leak.
Lines: asyncio/locks.py Condition.wait 'await fut' (fut already set by notify, task cancelled) -
nothing passes the notification on.
"""

import asyncio


async def tick(s, tag, default):
    for _ in range(s["ticks"].get(tag, default)):
        await asyncio.sleep(0)


def setup():
    return {"cond": asyncio.Condition(), "items": [], "got": []}


def consumer(name):
    async def w(s):
        async with s["cond"]:
            while not s["items"]:
                await s["cond"].wait()
            s["got"].append(name)
            s["cond"].notify(1)  # the item stays for the next consumer

    return w


async def producer(s):
    async with s["cond"]:
        s["items"].append(1)
        s["cond"].notify(1)


async def canceller(s):
    await tick(s, "cancel", 6)  # as written: long after consumer 0 is done
    s["tasks"][0].cancel()


workers = [consumer("a"), consumer("b"), producer, canceller]


def check(s):
    assert "b" in s["got"], s["got"]
