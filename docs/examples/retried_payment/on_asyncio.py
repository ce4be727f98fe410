"""A client that pays again when the connection broke before the answer came.

A reset says nothing about what the server has done: the first payment may be through.
"""

import asyncio


class Shop:
    def __init__(self):
        self.paid = []

    async def serve(self, reader, writer):
        try:
            while line := await reader.readline():
                self.pay(line)
                writer.write(b"thanks\n")
                await writer.drain()
        except ConnectionError:
            pass  # this client is gone, the next one is not
        finally:
            writer.close()

    def pay(self, line):
        self.paid.append(line)


class ShopWithKeys(Shop):
    """A payment has a key, and is done once, however often it is asked for."""

    def pay(self, line):
        if line not in self.paid:
            self.paid.append(line)


async def pay_until_thanked(port):
    for _ in range(2):  # with the same key, which a shop without keys does not look at
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"pay 20, key 4711\n")
            if await reader.readline():
                return
        except ConnectionError:
            pass  # once more
        finally:
            writer.close()


async def customer(shop):
    server = await asyncio.start_server(shop.serve, "127.0.0.1", 0)
    await pay_until_thanked(server.sockets[0].getsockname()[1])
    server.close()


def check(shop):
    assert len(shop.paid) <= 1, f"paid {len(shop.paid)} times"


FAULTS = {"faults": 1, "network": {"kinds": ["reset"], "splits": 0}}
BUGGY = {"setup": Shop, "workers": [customer], "check": check, **FAULTS}
FIXED = {"setup": ShopWithKeys, "workers": [customer], "check": check, **FAULTS}
