"""A pool of connections that loses one whenever an answer takes too long.

The time-out leaves the function on a way of its own, on which nobody gives the connection back.
"""

import queue
import socket
import threading


class Pool:
    """One connection, made when it is needed. A question waits a second for its answer."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        threading.Thread(target=self.serve, daemon=True).start()
        self.idle = queue.Queue()
        self.idle.put(None)

    def serve(self):
        while True:
            connection, _ = self.listener.accept()
            try:
                while question := connection.recv(100):
                    connection.sendall(question.upper())
            except ConnectionError:
                pass  # who asked has given up
            connection.close()

    def take(self):
        connection = self.idle.get()
        if connection is None:
            connection = socket.create_connection(self.address)
            connection.settimeout(1.0)
        return connection

    def give(self, connection):
        self.idle.put(connection)


def ask(pool):
    connection = pool.take()
    try:
        connection.sendall(b"a")
        connection.recv(1)
    except TimeoutError:
        return  # the bug: with the connection
    pool.give(connection)


def ask_and_give_back(pool):
    connection = pool.take()
    try:
        connection.sendall(b"a")
        connection.recv(1)
    except TimeoutError:
        connection.close()  # the answer may still come: nobody may use it again
        connection = None
    pool.give(connection)


def check(pool):
    assert pool.idle.qsize() == 1, "a connection is lost"


#: ``adversarial``: a second may be over before the answer comes.
BUGGY = {"setup": Pool, "workers": [ask] * 2, "check": check, "clock": "adversarial"}
FIXED = {**BUGGY, "workers": [ask_and_give_back] * 2}
