"""A server that takes what one ``receive_some`` gives for a whole command.

TCP keeps the order of bytes, not the borders of writes: ``deposit 100`` may come as ``deposit 10``
and, a little later, ``0``.
"""

import trio
import trio.testing


class Bank:
    def __init__(self):
        self.balance = 0

    def do(self, command):
        word, _, amount = command.strip().partition(b" ")
        if word != b"deposit":
            return b"what is that?\n"
        self.balance += int(amount)
        return b"balance %d\n" % self.balance

    async def serve_by_reads(self, stream):
        async for command in stream:  # the bug: perhaps a part, perhaps two
            await stream.send_all(self.do(command))

    async def serve_by_lines(self, stream):
        async for command in lines(stream):
            await stream.send_all(self.do(command))


async def lines(stream):
    """The lines of a stream, however its bytes arrive."""
    rest = b""
    async for data in stream:
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            yield line


async def customer(stream):
    async with stream:
        await stream.send_all(b"deposit 100\n")
        await stream.send_eof()
        async for _ in stream:
            pass  # the answers


async def deposit(serve):
    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(trio.serve_tcp, serve, 0)
        await customer(await trio.testing.open_stream_to_socket_listener(listener))
        nursery.cancel_scope.cancel()


async def buggy(bank):
    await deposit(bank.serve_by_reads)


async def fixed(bank):
    await deposit(bank.serve_by_lines)


def check(bank):
    assert bank.balance == 100, f"100 paid in, {bank.balance} on the account"


BUGGY = {"setup": Bank, "workers": [buggy], "check": check, "backend": "trio"}
FIXED = {"setup": Bank, "workers": [fixed], "check": check, "backend": "trio"}
