"""A cache that lets everybody compute what is not there yet.

While the first one computes, the value is still missing: whoever asks meanwhile computes it too.
"""

import trio


class Cache:
    def __init__(self):
        self.values = {}
        self.lock = trio.Lock()
        self.computed = []

    async def compute(self, name):
        self.computed.append(name)
        await trio.sleep(1.0)  # a slow query
        return name.upper()

    async def get(self, name):
        if name not in self.values:
            self.values[name] = await self.compute(name)
        return self.values[name]

    async def get_once(self, name):
        async with self.lock:
            return await self.get(name)


async def visitor(cache):
    assert await cache.get("front page") == "FRONT PAGE"


async def patient_visitor(cache):
    assert await cache.get_once("front page") == "FRONT PAGE"


def check(cache):
    assert len(cache.computed) == 1, f"computed {len(cache.computed)} times"


BUGGY = {"setup": Cache, "workers": [visitor] * 3, "check": check, "backend": "trio"}
FIXED = {"setup": Cache, "workers": [patient_visitor] * 3, "check": check, "backend": "trio"}
