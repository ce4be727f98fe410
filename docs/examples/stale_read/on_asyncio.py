"""A store with two replicas, of which the second one hears of a write after its writer does.

The leader thanks for a write as soon as it has it, and tells the follower without waiting for an
answer. Who then reads from the follower may see what was there before: a stale read.
"""

import asyncio


class Replica:
    """Answers ``set VALUE`` and ``get``. ``followers``: connections to which it sends copies."""

    def __init__(self):
        self.value = b"0"
        self.followers = []

    async def serve(self, reader, writer):
        while line := await reader.readline():
            word, _, value = line.strip().partition(b" ")
            if word == b"get":
                writer.write(self.value + b"\n")
                continue
            self.value = value
            if word == b"set":
                for follower in self.followers:
                    follower.write(b"copy %s\n" % value)  # of which there is no answer
                writer.write(b"ok\n")
        writer.close()


async def ask(server, question):
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(question)
    answer = await reader.readline()
    writer.close()
    return answer


async def reads_anywhere(leader, follower):
    assert await ask(leader, b"set 1\n") == b"ok\n"
    return await ask(follower, b"get\n")


async def reads_from_the_leader(leader, follower):
    assert await ask(leader, b"set 1\n") == b"ok\n"
    return await ask(leader, b"get\n")


async def run(client):
    one, two = Replica(), Replica()
    follower = await asyncio.start_server(two.serve, "127.0.0.1", 0)
    leader = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*follower.sockets[0].getsockname())
    one.followers.append(writer)
    value = await client(leader, follower)
    for open_one in writer, leader, follower:
        open_one.close()
    assert value == b"1\n", f"reads {value} after it has written 1"


async def buggy():
    await run(reads_anywhere)


async def fixed():
    await run(reads_from_the_leader)


BUGGY = {"workers": [buggy]}
FIXED = {"workers": [fixed]}
