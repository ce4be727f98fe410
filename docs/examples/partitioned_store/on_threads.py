"""A register with two replicas, of which the one that takes a write tells the other.

Where that cannot be reached in time it is left behind: the replicas disagree, and stay so when the
network is whole again.
"""

import socket
import threading
import time

import tracelock

EAST, WEST = tracelock.host("east"), tracelock.host("west")


class Replica:
    """Has a value, with the number of its write. ``other``: the host of the other replica."""

    def __init__(self, host, other):
        self.number, self.value, self.other = 0, "", other.name
        with host:
            self.listener = socket.create_server(("", 80))
            threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            connection, _ = self.listener.accept()
            with connection, connection.makefile("rb") as lines:
                for line in lines:
                    number, value = line.decode().split()
                    if int(number) > self.number:  # else it has that write, or a later one
                        self.number, self.value = int(number), value
                    connection.sendall(b"ok\n")

    def write(self, value, tell):
        self.number, self.value = self.number + 1, value
        tell(f"{self.number} {value}\n".encode())

    def tell_once(self, line):
        try:
            with socket.create_connection((self.other, 80), 30.0) as connection:
                connection.sendall(line)
                with connection.makefile("rb") as lines:
                    return lines.readline() == b"ok\n"
        except OSError:
            return False  # it is down: this one goes on alone

    def tell_until_it_knows(self, line):
        while not self.tell_once(line):
            time.sleep(900.0)


class Store:
    def __init__(self):
        self.east, self.west = Replica(EAST, WEST), Replica(WEST, EAST)


@EAST
def tells_once(store):
    store.east.write("red", store.east.tell_once)


@EAST
def tells_until_it_knows(store):
    store.east.write("red", store.east.tell_until_it_knows)


def agree(store):
    assert store.east.value == store.west.value, (store.east.value, store.west.value)


RULES = {"setup": Store, "check": agree, "faults": 1, "network": {"kinds": ["partition"]}}
BUGGY = {"workers": [tells_once], **RULES}
FIXED = {"workers": [tells_until_it_knows], **RULES}
