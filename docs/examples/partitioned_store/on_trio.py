"""A register with two replicas, of which the one that takes a write tells the other.

Where that cannot be reached in time it is left behind: the replicas disagree, and stay so when the
network is whole again.
"""

import trio

import tracelock

EAST, WEST = tracelock.host("east"), tracelock.host("west")


class Replica:
    """Has a value, with the number of its write. ``other``: the host of the other replica."""

    def __init__(self, other):
        self.number, self.value, self.other = 0, "", other.name

    async def serve(self, stream):
        async with stream:
            while line := await read_line(stream):
                number, value = line.decode().split()
                if int(number) > self.number:  # else it has that write, or a later one
                    self.number, self.value = int(number), value
                await stream.send_all(b"ok\n")

    async def write(self, value, tell):
        self.number, self.value = self.number + 1, value
        await tell(f"{self.number} {value}\n".encode())

    async def tell_once(self, line):
        with trio.move_on_after(30.0):
            async with await trio.open_tcp_stream(self.other, 80) as stream:
                await stream.send_all(line)
                return await read_line(stream) == b"ok\n"
        return False  # it is down: this one goes on alone

    async def tell_until_it_knows(self, line):
        while not await self.tell_once(line):
            await trio.sleep(900.0)


async def read_line(stream):
    line = b""
    while not line.endswith(b"\n") and (part := await stream.receive_some(100)):
        line += part
    return line


@EAST
async def write(east, tell):
    await east.write("red", tell)


async def run(how):
    east, west = Replica(WEST), Replica(EAST)
    async with trio.open_nursery() as nursery:
        with WEST:
            await nursery.start(trio.serve_tcp, west.serve, 80)
        await write(east, getattr(east, how))
        nursery.cancel_scope.cancel()
    assert east.value == west.value, (east.value, west.value)


async def buggy():
    await run("tell_once")


async def fixed():
    await run("tell_until_it_knows")


RULES = {"backend": "trio", "faults": 1, "network": {"kinds": ["partition"]}}
BUGGY = {"workers": [buggy], **RULES}
FIXED = {"workers": [fixed], **RULES}
