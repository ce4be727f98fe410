"""A client that pays again when the connection broke before the answer came.

A reset says nothing about what the server has done: the first payment may be through.
"""

import socket
import threading


class Shop:
    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.paid = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            connection, _ = self.listener.accept()
            try:
                with connection, connection.makefile("rb") as lines:
                    for line in lines:
                        self.pay(line)
                        connection.sendall(b"thanks\n")
            except ConnectionError:
                pass  # this client is gone, the next one is not

    def pay(self, line):
        self.paid.append(line)


class ShopWithKeys(Shop):
    """A payment has a key, and is done once, however often it is asked for."""

    def pay(self, line):
        if line not in self.paid:
            self.paid.append(line)


def customer(shop):
    """Tries again with the same key, which a shop without keys does not look at."""
    for _ in range(2):
        try:
            with socket.create_connection(shop.address) as connection:
                connection.sendall(b"pay 20, key 4711\n")
                if connection.recv(7):
                    return
        except ConnectionError:
            pass  # once more


def check(shop):
    assert len(shop.paid) <= 1, f"paid {len(shop.paid)} times"


FAULTS = {"faults": 1, "network": {"kinds": ["reset"], "splits": 0}}
BUGGY = {"setup": Shop, "workers": [customer], "check": check, **FAULTS}
FIXED = {"setup": ShopWithKeys, "workers": [customer], "check": check, **FAULTS}
