"""A register with two replicas, of which the one that takes a write tells the other.

Where that cannot be reached in time it is left behind: the replicas disagree, and stay so when the
network is whole again.
"""

import asyncio

import tracelock

EAST, WEST = tracelock.host("east"), tracelock.host("west")


class Replica:
    """Has a value, with the number of its write. ``other``: the host of the other replica."""

    def __init__(self, other):
        self.number, self.value, self.other = 0, "", other.name

    async def serve(self, reader, writer):
        try:
            while line := await reader.readline():
                number, value = line.decode().split()
                if int(number) > self.number:  # else it has that write, or a later one
                    self.number, self.value = int(number), value
                writer.write(b"ok\n")
        except OSError:
            pass
        writer.close()

    async def write(self, value, tell):
        self.number, self.value = self.number + 1, value
        await tell(f"{self.number} {value}\n".encode())

    async def tell_once(self, line):
        try:
            async with asyncio.timeout(30.0):
                reader, writer = await asyncio.open_connection(self.other, 80)
                writer.write(line)
                answer = await reader.readline()
                writer.close()
                return answer == b"ok\n"
        except OSError:  # a TimeoutError is one
            return False  # it is down: this one goes on alone

    async def tell_until_it_knows(self, line):
        while not await self.tell_once(line):
            await asyncio.sleep(900.0)


@WEST
async def listen(replica):
    return await asyncio.start_server(replica.serve, "", 80)


@EAST
async def write(east, tell):
    await east.write("red", tell)


async def buggy():
    east, west = Replica(WEST), Replica(EAST)
    async with await listen(west):
        await write(east, east.tell_once)
    assert east.value == west.value, (east.value, west.value)


async def fixed():
    east, west = Replica(WEST), Replica(EAST)
    async with await listen(west):
        await write(east, east.tell_until_it_knows)
    assert east.value == west.value, (east.value, west.value)


RULES = {"faults": 1, "network": {"kinds": ["partition"]}}
BUGGY = {"workers": [buggy], **RULES}
FIXED = {"workers": [fixed], **RULES}
