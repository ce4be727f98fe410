"""A connection pool with ``if`` instead of ``while`` round ``Condition.wait``."""

import threading

KINDS = {"unchecked-wait"}


class Pool:
    def __init__(self):
        self._cond = threading.Condition()
        self._idle = ["connection"]
        self.taken = 0

    def get(self):
        with self._cond:
            if not self._idle:  # mend: while not self._idle:
                self._cond.wait()
            self.taken += 1
            return self._idle.pop()

    def put(self, connection):
        with self._cond:
            self._idle.append(connection)
            self._cond.notify_all()


def setup():
    return Pool()


def user(pool):
    pool.put(pool.get())


workers = [user] * 3
