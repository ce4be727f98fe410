"""A server that takes what one ``recv`` gives for a whole command.

TCP keeps the order of bytes, not the borders of writes: ``deposit 100`` may come as ``deposit 10``
and, a little later, ``0``.
"""

import socket


class Bank:
    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.balance = 0

    def do(self, command):
        word, _, amount = command.strip().partition(b" ")
        if word != b"deposit":
            return b"what is that?\n"
        self.balance += int(amount)
        return b"balance %d\n" % self.balance


def serve_by_reads(bank):
    connection, _ = bank.listener.accept()
    with connection:
        while command := connection.recv(1000):  # the bug: perhaps a part, perhaps two
            connection.sendall(bank.do(command))


def serve_by_lines(bank):
    connection, _ = bank.listener.accept()
    with connection, connection.makefile("rb") as lines:
        for command in lines:
            connection.sendall(bank.do(command))


def customer(bank):
    with socket.create_connection(bank.address) as connection:
        connection.sendall(b"deposit 100\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1000):
            pass  # the answers


def check(bank):
    assert bank.balance == 100, f"100 paid in, {bank.balance} on the account"


BUGGY = {"setup": Bank, "workers": [serve_by_reads, customer], "check": check}
FIXED = {"setup": Bank, "workers": [serve_by_lines, customer], "check": check}
