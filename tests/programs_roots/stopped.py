"""psycopg_pool 3.3.3: a client looks whether the pool is open, and waits when it is closed."""

import contextlib
import threading

KINDS = {"interference", "check-outside-lock", "check-then-act", "lost-wakeup"}


class Pool:
    def __init__(self):
        self.lock = threading.RLock()
        self.closed = False
        self.waiting = []

    def get(self):
        with contextlib.nullcontext():  # mend: with self.lock:
            if self.closed:
                return None
            with self.lock:
                event = threading.Event()
                self.waiting.append(event)
        event.wait()
        return event

    def close(self):
        with self.lock:
            self.closed = True
            for event in self.waiting:
                event.set()


def setup():
    return Pool()


workers = [lambda pool: pool.get(), lambda pool: pool.close()]
