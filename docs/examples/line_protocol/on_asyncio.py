"""A server that takes what one ``read`` gives for a whole command.

TCP keeps the order of bytes, not the borders of writes: ``deposit 100`` may come as ``deposit 10``
and, a little later, ``0``.
"""

import asyncio


class Bank:
    def __init__(self):
        self.balance = 0

    def do(self, command):
        word, _, amount = command.strip().partition(b" ")
        if word != b"deposit":
            return b"what is that?\n"
        self.balance += int(amount)
        return b"balance %d\n" % self.balance

    async def serve_by_reads(self, reader, writer):
        while command := await reader.read(1000):  # the bug: perhaps a part, perhaps two
            writer.write(self.do(command))
            await writer.drain()
        writer.close()

    async def serve_by_lines(self, reader, writer):
        while command := await reader.readline():
            writer.write(self.do(command))
            await writer.drain()
        writer.close()


async def customer(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"deposit 100\n")
    writer.write_eof()
    await reader.read()  # the answers
    writer.close()


async def deposit(serve):
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        await customer(server.sockets[0].getsockname()[1])


async def buggy(bank):
    await deposit(bank.serve_by_reads)


async def fixed(bank):
    await deposit(bank.serve_by_lines)


def check(bank):
    assert bank.balance == 100, f"100 paid in, {bank.balance} on the account"


BUGGY = {"setup": Bank, "workers": [buggy], "check": check}
FIXED = {"setup": Bank, "workers": [fixed], "check": check}
