"""A pool of connections that loses one whenever a task is cancelled that has it.

A cancellation comes at an ``await``: what stands after it is not reached.
"""

import asyncio

import tracelock


class Pool:
    """One connection, made when it is needed."""

    def __init__(self, port):
        self.port = port
        self.idle = asyncio.Queue()
        self.idle.put_nowait(None)

    async def take(self):
        connection = await self.idle.get()
        return connection or await asyncio.open_connection("127.0.0.1", self.port)

    def give(self, connection):
        self.idle.put_nowait(connection)

    async def close(self):
        connection = await self.idle.get()
        if connection is not None:
            connection[1].close()


async def serve(reader, writer):
    try:
        while question := await reader.read(100):
            writer.write(question.upper())
    except ConnectionError:
        pass  # who asked has given up
    writer.close()


async def ask(pool):
    reader, writer = await pool.take()
    with tracelock.cancellable():  # where a cancellation may come
        writer.write(b"a")
        await reader.readexactly(1)
    pool.give((reader, writer))


async def ask_and_give_back(pool):
    reader, writer = await pool.take()
    connection = None
    try:
        with tracelock.cancellable():
            writer.write(b"a")
            await reader.readexactly(1)
        connection = reader, writer
    finally:
        if connection is None:
            writer.close()  # the answer may still come: nobody may use it again
        pool.give(connection)


async def two_users(user):
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        pool = Pool(server.sockets[0].getsockname()[1])
        await asyncio.gather(user(pool), user(pool), return_exceptions=True)
        await pool.close()


async def buggy():
    await two_users(ask)


async def fixed():
    await two_users(ask_and_give_back)


BUGGY = {"workers": [buggy], "cancellations": 1}
FIXED = {"workers": [fixed], "cancellations": 1}
