"""A pool of connections that loses one whenever an answer takes too long.

The time-out leaves the function on a way of its own, on which nobody gives the connection back.
"""

import trio
from trio.testing import open_stream_to_socket_listener as connect


class Pool:
    def __init__(self):
        self.listener = None
        self.back, self.idle = trio.open_memory_channel(1)
        self.give(None)  # one connection, which is made when it is needed

    async def take(self):
        return await self.idle.receive() or await connect(self.listener)

    def give(self, connection):
        self.back.send_nowait(connection)


async def serve(stream):
    try:
        async for question in stream:
            await stream.send_all(question.upper())
    except trio.BrokenResourceError:
        pass  # who asked has given up


async def ask(pool):
    stream = await pool.take()
    try:
        with trio.fail_after(1.0):
            await stream.send_all(b"a")
            await stream.receive_some(1)
    except trio.TooSlowError:
        return  # the bug: with the connection
    pool.give(stream)


async def ask_and_give_back(pool):
    stream = await pool.take()
    try:
        with trio.fail_after(1.0):
            await stream.send_all(b"a")
            await stream.receive_some(1)
    except trio.TooSlowError:
        await trio.aclose_forcefully(stream)  # the answer may still come: nobody may use it again
        stream = None
    pool.give(stream)


async def two_users(pool, user):
    async with trio.open_nursery() as servers:
        (pool.listener,) = await servers.start(trio.serve_tcp, serve, 0)
        async with trio.open_nursery() as users:
            users.start_soon(user, pool)
            users.start_soon(user, pool)
        servers.cancel_scope.cancel()


async def buggy(pool):
    await two_users(pool, ask)


async def fixed(pool):
    await two_users(pool, ask_and_give_back)


def check(pool):
    assert pool.idle.statistics().current_buffer_used == 1, "a connection is lost"


#: ``adversarial``: a second may be over before the answer comes.
OPTIONS = {"setup": Pool, "check": check, "clock": "adversarial", "backend": "trio"}
BUGGY = {**OPTIONS, "workers": [buggy]}
FIXED = {**OPTIONS, "workers": [fixed]}
