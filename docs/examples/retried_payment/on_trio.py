"""A client that pays again when the connection broke before the answer came.

A reset says nothing about what the server has done: the first payment may be through.
"""

import trio
import trio.testing


class Shop:
    def __init__(self):
        self.paid = []

    async def serve(self, stream):
        try:
            async for line in stream:
                self.pay(line)
                await stream.send_all(b"thanks\n")
        except trio.BrokenResourceError:
            pass  # this client is gone, the next one is not

    def pay(self, line):
        self.paid.append(line)


class ShopWithKeys(Shop):
    """A payment has a key, and is done once, however often it is asked for."""

    def pay(self, line):
        if line not in self.paid:
            self.paid.append(line)


async def pay_until_thanked(listener):
    for _ in range(2):  # with the same key, which a shop without keys does not look at
        try:
            async with await trio.testing.open_stream_to_socket_listener(listener) as stream:
                await stream.send_all(b"pay 20, key 4711\n")
                if await stream.receive_some():
                    return
        except trio.BrokenResourceError:
            pass  # once more


async def customer(shop):
    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(trio.serve_tcp, shop.serve, 0)
        await pay_until_thanked(listener)
        nursery.cancel_scope.cancel()


def check(shop):
    assert len(shop.paid) <= 1, f"paid {len(shop.paid)} times"


FAULTS = {"faults": 1, "network": {"kinds": ["reset"], "splits": 0}, "backend": "trio"}
BUGGY = {"setup": Shop, "workers": [customer], "check": check, **FAULTS}
FIXED = {"setup": ShopWithKeys, "workers": [customer], "check": check, **FAULTS}
