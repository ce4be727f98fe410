"""A store with two replicas, of which the second one hears of a write after its writer does.

The leader thanks for a write as soon as it has it, and tells the follower without waiting for an
answer. Who then reads from the follower may see what was there before: a stale read.
"""

import trio
from trio.testing import open_stream_to_socket_listener as connect


class Replica:
    """Answers ``set VALUE`` and ``get``. ``followers``: connections to which it sends copies."""

    def __init__(self):
        self.value = b"0"
        self.followers = []

    async def serve(self, stream):
        rest = b""
        async for data in stream:
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if answer := await self.do(line):
                    await stream.send_all(answer)

    async def do(self, line):
        word, _, value = line.partition(b" ")
        if word == b"get":
            return self.value + b"\n"
        self.value = value
        if word == b"copy":
            return b""
        for follower in self.followers:
            await follower.send_all(b"copy %s\n" % value)  # of which there is no answer
        return b"ok\n"


async def ask(listener, question):
    async with await connect(listener) as stream:
        await stream.send_all(question)
        answer = b""
        while not answer.endswith(b"\n"):
            answer += await stream.receive_some()
        return answer


async def reads_anywhere(leader, follower):
    assert await ask(leader, b"set 1\n") == b"ok\n"
    return await ask(follower, b"get\n")


async def reads_from_the_leader(leader, follower):
    assert await ask(leader, b"set 1\n") == b"ok\n"
    return await ask(leader, b"get\n")


async def run(client):
    one, two = Replica(), Replica()
    async with trio.open_nursery() as servers:
        (leader,) = await servers.start(trio.serve_tcp, one.serve, 0)
        (follower,) = await servers.start(trio.serve_tcp, two.serve, 0)
        one.followers.append(await connect(follower))
        value = await client(leader, follower)
        servers.cancel_scope.cancel()
    assert value == b"1\n", f"reads {value} after it has written 1"


async def buggy():
    await run(reads_anywhere)


async def fixed():
    await run(reads_from_the_leader)


BUGGY = {"workers": [buggy], "backend": "trio"}
FIXED = {"workers": [fixed], "backend": "trio"}
