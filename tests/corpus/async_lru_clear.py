"""aio-libs/async-lru issue #503 (fixed in 2.0.4): cache_clear() while a call is pending; the
task's done callback fails and the caller hangs.
Kind: order violation (callback after clear) -> KeyError in a callback, future never resolved.
Lines: async_lru/__init__.py _task_done_callback 'self.__tasks.remove(task)' vs cache_clear
'self.__tasks.clear()'.
"""

import asyncio

from async_lru import alru_cache


async def tick(s, tag, default):
    for _ in range(s["ticks"].get(tag, default)):
        await asyncio.sleep(0)


def setup():
    @alru_cache(maxsize=8)
    async def f(x):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return x * 2

    return {"f": f, "got": []}


async def caller(s):
    s["got"].append(await s["f"](21))


async def clearer(s):
    await tick(s, "clear", 8)
    s["f"].cache_clear()


workers = [caller, clearer]


def check(s):
    assert s["got"] == [42]
