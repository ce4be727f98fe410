"""A store with two replicas, of which the second one hears of a write after its writer does.

The leader thanks for a write as soon as it has it, and tells the follower without waiting for an
answer. Who then reads from the follower may see what was there before: a stale read.
"""

import socket
import threading


class Replica:
    """Answers ``set VALUE`` and ``get``. ``followers``: connections to which it sends copies."""

    def __init__(self):
        self.value = b"0"
        self.followers = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, connection.makefile("rb") as lines:
            for line in lines:
                word, _, value = line.strip().partition(b" ")
                if word == b"get":
                    connection.sendall(self.value + b"\n")
                    continue
                self.value = value
                if word == b"set":
                    for follower in self.followers:
                        follower.sendall(b"copy %s\n" % value)  # of which there is no answer
                    connection.sendall(b"ok\n")


class Store:
    def __init__(self):
        self.leader, self.follower = Replica(), Replica()
        self.leader.followers.append(socket.create_connection(self.follower.address))


def ask(replica, question):
    with socket.create_connection(replica.address) as connection:
        connection.sendall(question)
        with connection.makefile("rb") as lines:
            return lines.readline()


def reads_anywhere(store):
    assert ask(store.leader, b"set 1\n") == b"ok\n"
    value = ask(store.follower, b"get\n")
    assert value == b"1\n", f"reads {value} after it has written 1"


def reads_from_the_leader(store):
    assert ask(store.leader, b"set 1\n") == b"ok\n"
    value = ask(store.leader, b"get\n")
    assert value == b"1\n", f"reads {value} after it has written 1"


BUGGY = {"setup": Store, "workers": [reads_anywhere]}
FIXED = {"setup": Store, "workers": [reads_from_the_leader]}
